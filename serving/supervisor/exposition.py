"""Several processes' metrics as those of one. Read and written line by line, as Prometheus' text format has them
(https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

ADDED = frozenset(("counter", "histogram", "summary"))
"""Kinds of families that only ever grow: those of processes that have ended are added to those of living ones."""

LEAST = frozenset(
    ("epm_ready", "epm_models_served", "epm_store_up", "epm_cache_redis_up", "process_start_time_seconds")
)
MOST = frozenset(
    (
        "epm_build_info",
        "epm_model_versions",
        "epm_replica_age_seconds",
        "epm_replica_most_stale_seconds",
        "python_info",
    )
)
"""Gauges of which the least, or the most, of all workers is told. Of all others it is the sum."""


@dataclass
class Family:
    """heading: the lines HELP and TYPE; series: values by name and labels, as they are written."""

    name: str
    kind: str = "untyped"
    heading: list[str] = field(default_factory=list)
    series: dict[str, float] = field(default_factory=dict)

    def join(self, other: "Family") -> None:
        """Take another process's values in as well."""
        for key, value in other.series.items():
            mine = self.series.get(key)
            if mine is None:
                self.series[key] = value
            elif self.name in LEAST:
                self.series[key] = min(mine, value)
            elif self.name in MOST:
                self.series[key] = max(mine, value)
            else:
                self.series[key] = mine + value


class Exposition:
    """Families by name."""

    def __init__(self, text: str = "") -> None:
        """text: what one process says; nothing is in it that Prometheus' own library does not write."""
        self.families: dict[str, Family] = {}
        family = Family("")
        for line in text.split("\n"):  # a label may hold what else ends lines
            if line.startswith("#"):
                _, said, name, *rest = line.split(" ", 3)
                family = self.families.setdefault(name, Family(name))
                family.heading.append(line)
                if said == "TYPE":
                    family.kind = rest[0]
            elif line:
                key, _, value = line.rpartition(" ")
                family.series[key] = float(value)

    def join(self, other: "Exposition", kinds: frozenset[str] | None = None) -> None:
        """Take another process's families in, of these kinds only."""
        for name, family in other.families.items():
            if kinds is None or family.kind in kinds:
                mine = self.families.setdefault(name, Family(name, family.kind, family.heading))
                mine.join(family)

    def add(self, name: str, kind: str, text: str, series: dict[str, float]) -> None:
        """Another family; series: values by their labels, as in `{reason="crash"}`, or nothing."""
        heading = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        self.families[name] = Family(
            name, kind, heading, {f"{name}{labels}": value for labels, value in series.items()}
        )

    def text(self) -> str:
        """All of it."""
        return "".join(
            "\n".join((*family.heading, *(f"{key} {_number(value)}" for key, value in family.series.items()), ""))
            for family in self.families.values()
        )


def together(counted: Iterable[Exposition], up: Iterable[Exposition]) -> Exposition:
    """What grows of all that were ever `counted`; how it is now of those that are `up`, which are among them."""
    whole = Exposition()
    for each in up:
        whole.join(each, frozenset(family.kind for family in each.families.values()) - ADDED)
    for each in counted:
        whole.join(each, ADDED)
    return whole


def _number(value: float) -> str:
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text := repr(value), text)
