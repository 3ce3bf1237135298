"""Does it happen as often as the model says: reliability in bins of equal mass, and the error that sums them up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15
_Z = 1.959964  # 97.5 % of a normal distribution lie below


@dataclass(frozen=True)
class Reliability:
    """B bins of rows, from the lowest probability up: arrays [B]."""

    rows: NDArray[np.int64]
    predicted: NDArray[np.float64]
    """Mean probability said."""
    observed: NDArray[np.float64]
    """Share of rows in which the event happened."""

    def error(self) -> float:
        """Expected calibration error: mean distance of what was said from what happened, 0 .. 1."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.rows))

    def by_chance(self) -> float:
        """The error that a perfectly calibrated model would show in as many rows: luck is never quite even.

        Mean of |x| over bins, x normal with the variance p (1 - p) / rows of a share: sqrt(2 / pi) of its deviation.
        """
        deviation = np.sqrt(self.predicted * (1 - self.predicted) / self.rows)
        return float(np.sqrt(2 / np.pi) * np.average(deviation, weights=self.rows))

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """95 % interval of each observed share (Wilson 1927): lower and upper bounds, [B] each."""
        n, share = self.rows, self.observed
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        return middle - half, middle + half


def reliability(p: NDArray[np.floating], y: NDArray[np.generic], bins: int = BINS) -> Reliability:
    """Rows in bins of equal mass. p[n]: probabilities of an event; y[n]: whether it happened, 0 or 1.

    Rows with the same probability stand in the same bin, so bins may be fewer and of unequal mass where many are equal.
    """
    said = np.asarray(p, np.float64)
    rank = np.searchsorted(np.sort(said), said)  # of the first row with this probability
    place = rank * bins // len(said)
    rows = np.bincount(place, minlength=bins)
    there = rows > 0
    predicted, observed = (np.bincount(place, values, bins)[there] / rows[there] for values in (said, y))
    return Reliability(rows[there], predicted, observed)


def expected_calibration_error(p: NDArray[np.floating], y: NDArray[np.generic], bins: int = BINS) -> float:
    """Mean distance of probability and frequency over bins of equal mass, 0 .. 1 (Naeini et al. 2015). p, y: [n]."""
    return reliability(p, y, bins).error()
