"""Every query that dashboards and rules ask, and which of them an observed run gives nothing to."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from k8s.monitoring.dashboards import reading
from tests.monitoring.promql import compared, selectors
from tests.support.prometheus import Prometheus

NEVER = {'status="INTERNAL"': 'status!=""'}
"""Matchers of series that only a defect brings into being, and what is looked at instead."""
STEP = 5.0
"""Seconds between two values that are looked at."""


@dataclass(frozen=True)
class Asked:
    """where: the dashboard and panel, or the rule; expr: without variables; reads: the selectors in it."""

    where: str
    expr: str
    reads: tuple[str, ...]

    @classmethod
    def of(cls, where: str, expr: str) -> "Asked":
        for absent, instead in NEVER.items():
            expr = expr.replace(absent, instead)
        return cls(where, expr, tuple(selectors(expr)))


@dataclass(frozen=True)
class Run:
    """The time of a run, in seconds since 1970, as Prometheus saw it."""

    prometheus: Prometheus
    start: float
    end: float

    def silent(self, asked: Iterable[Asked]) -> list[str]:
        """Of which queries nothing came, told where they stand: no number at any time, or a selector without series.

        The latter is told apart because an `or` may hide it.
        """
        return [told for one in asked for told in self._silent(one)]

    def _silent(self, asked: Asked) -> Iterator[str]:
        steps = (self.end - self.start) // STEP  # counted back from the end: what came last is seen
        series = self.prometheus.over(asked.expr, self.end - steps * STEP, self.end, STEP)
        if not any(math.isfinite(value) for one in series for _, value in one.points):
            yield f"{asked.where}: nothing comes of {asked.expr}"
        for selector in asked.reads:
            if not self.prometheus.series(selector, self.start, self.end):
                yield f"{asked.where}: there is no {selector}"


def panels(files: Mapping[str, str], values: Mapping[str, str]) -> list[Asked]:
    """The queries of all panels, their variables filled in."""
    return [
        Asked.of(f"{name}, panel {panel.title!r}", reading.filled(query.expr, values))
        for name, text in files.items()
        for panel in reading.panels(text)
        for query in panel.queries
    ]


def choices(files: Mapping[str, str], values: Mapping[str, str]) -> list[Asked]:
    """The selectors that variables take their choices from."""
    return [
        Asked.of(f"{name}, variable {variable}", reading.filled(selector, values))
        for name, text in files.items()
        for variable, query in reading.variables(text).items()
        for selector in [query.removeprefix("label_values(").rpartition(",")[0]]
    ]


def rules(prometheus: Prometheus) -> list[Asked]:
    """The expressions of all rules that a Prometheus has loaded, and what recording rules record.

    An alert's expression gives series only while it is true, and most should not be: what it compares is asked for.
    """
    found = []
    for rule in prometheus.rules():
        where = f"{rule['type']} rule {rule['name']}"
        if rule["type"] == "recording":
            matchers = ", ".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
            found.append(Asked.of(where, f"{rule['name']}{{{matchers}}}"))
            found.append(Asked.of(where, rule["query"]))
        else:
            found.append(Asked.of(where, compared(rule["query"])))
    return found
