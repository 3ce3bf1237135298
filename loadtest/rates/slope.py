"""The slope of a series with a confidence interval that knows that neighbouring samples resemble each other.

Samples are averaged over blocks, a line is fitted to the blocks by least squares, and what is left of the resemblance
of neighbouring blocks is taken from their number: with a lag-1 correlation r of the residuals n blocks are worth
n (1 - r) / (1 + r) (Santer et al. 2000, doi:10.1029/1999JD901105), in the variance and in the degrees of freedom.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from loadtest.measure import MeasurementError

LEAST_BLOCKS = 5


@dataclass(frozen=True)
class Slope:
    """A line through a series. Slopes are units of the series a minute."""

    per_minute: float
    low: float
    high: float
    """Ends of the interval."""
    start: float
    """The line's value at the first sample."""
    blocks: int
    correlation: float
    """Of neighbouring blocks, without the line."""
    worth: float
    """How many independent blocks they are worth."""

    @property
    def includes_zero(self) -> bool:
        """Whether the series may as well be flat."""
        return self.low <= 0 <= self.high

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def fit(seconds: ArrayLike, values: ArrayLike, block: float = 20.0, confidence: float = 0.95) -> Slope:
    """The slope of values[n] at seconds[n], which rise. Raises MeasurementError with fewer than 5 blocks."""
    from scipy import stats

    x, y = _blocks(np.asarray(seconds, np.float64), np.asarray(values, np.float64), block)
    n = len(x)
    if n < LEAST_BLOCKS:
        raise MeasurementError(f"{n} blocks of {block:g} s, at least {LEAST_BLOCKS} are needed for a slope")
    spread = x - x.mean()
    slope = float(spread @ y / (spread @ spread))
    residuals = y - y.mean() - slope * spread
    square = float(residuals @ residuals)
    correlation, worth = _worth(residuals, square)
    freedom = max(worth - 2, 1.0)
    error = np.sqrt(square / freedom / (spread @ spread))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom) * error)
    start = float(y.mean() + slope * (np.asarray(seconds)[0] - x.mean()))
    return Slope(slope * 60, (slope - half) * 60, (slope + half) * 60, start, n, correlation, worth)


def _worth(residuals: "np.ndarray[Any, Any]", square: float) -> tuple[float, float]:
    """(lag-1 correlation, blocks they are worth). Taking a line out makes the correlation too small: that is put back.

    A line explains its last two blocks by itself, so no fewer than 3 are assumed.
    """
    n = len(residuals)
    scale = float(np.max(np.abs(residuals)))
    if square <= 1e-20 or scale == 0:
        return 0.0, float(n)
    found = float(residuals[1:] @ residuals[:-1]) / square
    correlation = min(max(found + (1 + 4 * found) / n, 0.0), 0.95)
    return correlation, max(n * (1 - correlation) / (1 + correlation), 3.0)


def _blocks(
    seconds: "np.ndarray[Any, Any]", values: "np.ndarray[Any, Any]", block: float
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Means of time and value of each block that is at least half full."""
    if not len(seconds):
        return seconds, values
    numbers = ((seconds - seconds[0]) // block).astype(np.int64)
    counts = np.bincount(numbers)
    full = counts >= np.median(counts[counts > 0]) / 2
    with np.errstate(invalid="ignore"):
        means = [np.bincount(numbers, weights=one) / counts for one in (seconds, values)]
    return means[0][full], means[1][full]
