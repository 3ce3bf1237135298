"""What a dashboard is made of: rows of panels, each with a question, a unit and the queries that answer it."""

from dataclasses import dataclass
from enum import StrEnum

JOB = 'job="epm-gateway"'
WINDOW = "$__rate_interval"
"""The shortest time that a rate can be taken over at the shown resolution; Grafana fills it in."""
SIZED = 'size=~"small|large"'
"""Predictions: of other calls no number of rows is known."""


class Kind(StrEnum):
    """How a panel looks."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBERS = "numbers"
    """What each series is now, in large."""


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of a series in the legend, where {{label}} is the value of a label."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One question. width: of 24; unit: as Grafana names it; most: the end of the axis, None for what comes;
    logarithmic: the axis, where values are far from a limit.

    steps: from which value on a number has which colour; of the first one the value plays no part.
    """

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    width: int = 8
    height: int = 8
    most: float | None = None
    logarithmic: bool = False
    steps: tuple[tuple[float, str], ...] = ((0, "blue"),)


@dataclass(frozen=True)
class Row:
    """Panels under a heading; their widths fill lines of 24."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """What the reader chooses above the panels: label values that `query` finds. several: more than one, or all."""

    name: str
    label: str
    query: str
    several: bool = False


@dataclass(frozen=True)
class Board:
    """A dashboard. name: of its file, and part of its address."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()


def selector(metric: str, *matchers: str) -> str:
    """A metric, with those matchers that are not empty."""
    given = ", ".join(filter(None, matchers))
    return f"{metric}{{{given}}}" if given else metric


def rate(metric: str, *matchers: str) -> str:
    """How much a counter grows in a second."""
    return f"rate({selector(metric, *matchers)}[{WINDOW}])"


def quantiles(metric: str, matchers: str, *shares: float) -> tuple[Query, ...]:
    """Quantiles of a histogram of all gateways together."""
    buckets = f"sum by (le) ({rate(f'{metric}_bucket', matchers)})"
    return tuple(Query(f"histogram_quantile({share:g}, {buckets})", f"p{100 * share:g}") for share in shares)


def rates(metric: str, matchers: str, by: str, legend: str = "") -> tuple[Query, ...]:
    """How much a second, of all gateways together, by one or several labels."""
    shown = legend or " ".join(f"{{{{{name}}}}}" for name in by.split(", "))
    return (Query(f"sum by ({by}) ({rate(metric, matchers)})", shown),)


def stages(matchers: str = "") -> tuple[Query, ...]:
    """Seconds that a call spends in each stage on average: stacked, they are nearly what a call takes on average."""
    of_stage = f"sum by (stage) ({rate('epm_stage_duration_seconds_sum', matchers)})"
    of_calls = f"sum({rate('epm_request_duration_seconds_count', matchers, SIZED)})"
    return (Query(f"{of_stage} / on () group_left () {of_calls}", "{{stage}}"),)
