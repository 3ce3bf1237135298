"""How sure a figure is: 95 % intervals by drawing employees again, all rows of each together.

Percentile bootstrap of clusters (Efron & Tibshirani 1993, chapter 13; Davison & Hinkley 1997, section 3.8). The rows of
one person are alike: drawn one by one they would make every figure look surer than it is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.quality import measures
from exporters.quality.measures import Measure

DRAWS = 400
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A figure of all rows, and the bounds between which it lies in 95 % of the draws."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Draws:
    """A figure of all rows, and of each draw of them: float64[draws]."""

    value: float
    drawn: NDArray[np.float64]

    def __sub__(self, other: "Draws") -> "Draws":
        """Difference draw by draw; paired where both come from one `Bootstrap`."""
        return Draws(self.value - other.value, self.drawn - other.drawn)

    def interval(self) -> Interval:
        """Bounds from the draws in which the figure could be told; NaN where there are none."""
        told = self.drawn[~np.isnan(self.drawn)]
        if not len(told):
            return Interval(self.value, np.nan, np.nan)
        low, high = np.quantile(told, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
        return Interval(self.value, low, high)


class Bootstrap:
    """Draws of as many groups as there are, with replacement: the same ones for everything that is measured."""

    def __init__(self, groups: NDArray[np.generic], seed: int, draws: int = DRAWS) -> None:
        """groups[n]: to whom each row belongs."""
        names, self._owner = np.unique(groups, return_inverse=True)
        rng, self._groups = np.random.default_rng(seed), len(names)
        drawn = rng.integers(0, self._groups, (draws, self._groups))
        self._times = np.stack([np.bincount(draw, minlength=self._groups) for draw in drawn])

    def measure(self, measure: Measure) -> Draws:
        """The figure of all rows and of every draw."""
        drawn = [measure(weights[self._owner]) for weights in self._times.astype(np.float64)]
        return Draws(measure(None), np.array(drawn))

    def share(self, event: NDArray[np.bool_], among: NDArray[np.bool_]) -> Draws:
        """Of the rows `among`, the share in which the event holds (bool[n] both): counted for all draws at once."""
        hits, rows = (self._counted(event & among), self._counted(among))
        drawn = np.divide(hits, rows, out=np.full(len(rows), np.nan), where=rows > 0)
        return Draws(measures.share(event, among), drawn)

    def _counted(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """int64[draws]: how many of the rows each draw has."""
        per_group = np.bincount(self._owner[rows], minlength=self._groups)
        return np.asarray(np.einsum("dg,g->d", self._times, per_group))
