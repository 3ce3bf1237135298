"""What came beside what is recorded, and what is said of it. Ratios say how many times as fast as the other ours is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

ATTEMPTS = 3
"""Noise breaks a bound once; a regression breaks it as often as it is measured."""


TWICE = 2.0


class RecordError(Exception):
    """What is recorded cannot be used."""


@dataclass(frozen=True)
class Bound:
    """A ratio as recorded, by what factor it may be worse, and whether it was recorded on this kind of processor."""

    recorded: float
    factor: float
    known: bool = True

    @property
    def least(self) -> float:
        """The smallest ratio that passes."""
        return self.recorded / self.factor


class Verdict(StrEnum):
    """What is said of a ratio."""

    HOLDS = "holds"
    BETTER = "better: record it"
    """So much that a regression as large as the factor would pass unseen."""
    BROKEN = "BROKEN"


@dataclass
class Measured:
    """One watched ratio: its bound, and what came, attempt by attempt."""

    name: str
    what: str
    study: str
    """The command that says more."""
    bound: Bound
    came: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return max(self.came)

    @property
    def verdict(self) -> Verdict:
        """By the best attempt."""
        if self.best < self.bound.least:
            return Verdict.BROKEN
        return Verdict.BETTER if self.best > self.bound.recorded * self.bound.factor else Verdict.HOLDS

    @property
    def again(self) -> bool:
        """Whether another attempt is due."""
        return len(self.came) < ATTEMPTS and (not self.came or self.verdict is Verdict.BROKEN)

    def sentence(self) -> str:
        """Of a broken bound: which, what came, what was allowed, what to do."""
        came = ", ".join(f"{ratio:.2f}" for ratio in self.came)
        where = "" if self.bound.known else " on another processor"
        return (
            f"{self.name}: {self.what}: came {came}, at least {self.bound.least:.2f} is allowed "
            f"({self.bound.recorded:.2f} recorded{where}, divided by {self.bound.factor:g}): `{self.study}` shows what "
            f"became slow; where it is meant, record it: `python -m loadtest.gate --record --only {self.name}`"
        )


def table(measured: list[Measured]) -> str:
    """Plain columns: name, what came, recorded, bound, verdict, what it is."""
    heads = ("ratio", "came", "recorded", "at least", "verdict", "what")
    rows = [
        (
            one.name,
            " ".join(f"{ratio:.2f}" for ratio in one.came),
            f"{one.bound.recorded:.2f}",
            f"{one.bound.least:.2f}",
            str(one.verdict),
            one.what,
        )
        for one in measured
    ]
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows))
    return "\n".join(line.rstrip() for line in lines)


def bound(recorded: Mapping[str, Any], name: str, cpu: str) -> Bound:
    """What is recorded of a ratio for this kind of processor; where there is nothing, the smallest of the others.

    Raises RecordError when nothing is recorded, and for factors that make no sense.
    """
    try:
        found = recorded["ratios"][name]
        ratios = {kind: float(one["ratio"]) for kind, one in found["recorded"].items()}
        factor, elsewhere = float(found["factor"]), float(found["elsewhere"])
        known = cpu in ratios
        ratio = ratios[cpu] if known else min(ratios.values())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"nothing is recorded of {name}: `python -m loadtest.gate --record` does") from error
    if not ratio > 0 or not 1 < factor < TWICE or not factor <= elsewhere:
        raise RecordError(
            f"{name}: got ratio {ratio:g}, factor {factor:g}, elsewhere {elsewhere:g}, expected a ratio above 0, "
            f"1 < factor < {TWICE:g} (twice as slow has to be seen), elsewhere not below it"
        )
    return Bound(ratio, factor if known else elsewhere, known)
