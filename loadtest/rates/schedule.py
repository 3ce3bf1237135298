"""When calls are due: evenly spaced or as a Poisson process, at rates that stay or rise.

Both are one idea: the integral of the rate counts the calls that are due up to a moment. Evenly spaced calls are due
where it is 0, 1, 2, ...; those of a Poisson process where the gaps of the integral are exponential with mean 1.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.measure import MeasurementError

_CHUNK = 4096
_PIECE = re.compile(r"(?P<first>[\d.]+)(?:-(?P<last>[\d.]+))?:(?P<seconds>[\d.]+)")


@dataclass(frozen=True)
class Segment:
    """Some seconds of a schedule, whose rate goes straight from `first` to `last` calls a second."""

    first: float
    last: float
    seconds: float

    @property
    def calls(self) -> float:
        """Due in it, on average."""
        return (self.first + self.last) / 2 * self.seconds

    def when(self, calls: NDArray[np.float64]) -> NDArray[np.float64]:
        """Seconds from its beginning until so many calls were due; calls: float64[n] within 0..`calls`."""
        slope = (self.last - self.first) / self.seconds
        root = np.sqrt(np.maximum(self.first**2 + 2 * slope * calls, 0))
        return 2 * calls / np.maximum(self.first + root, 1e-300)  # the stable root of calls = first t + slope t^2 / 2


def constant(rate: float, seconds: float) -> list[Segment]:
    """The same rate all the time."""
    return [Segment(rate, rate, seconds)]


def steps(rates: Iterable[float], seconds: float) -> list[Segment]:
    """One rate after the other, each for `seconds`."""
    return [Segment(rate, rate, seconds) for rate in rates]


def read(text: str) -> list[Segment]:
    """`RATE:SECONDS` or `FROM-TO:SECONDS`, joined by commas: `100-2000:20,2000:10`. Raises MeasurementError."""
    found = [_PIECE.fullmatch(piece.strip()) for piece in text.split(",")]
    try:
        made = [_segment(piece) for piece in found]
    except (TypeError, ValueError):
        made = []
    if not made or any(one.seconds <= 0 or one.calls <= 0 for one in made):
        raise MeasurementError(f"schedule {text!r}: expected RATE:SECONDS or FROM-TO:SECONDS, joined by commas")
    return made


def seconds(segments: Sequence[Segment]) -> float:
    """Of the whole schedule."""
    return sum(segment.seconds for segment in segments)


def due(segments: Sequence[Segment], poisson: bool, seed: int) -> Iterator[int]:
    """Nanoseconds from the start at which each call is due, never falling. The same seed gives the same times."""
    ends = np.cumsum([0.0, *(segment.calls for segment in segments)])
    starts = np.cumsum([0.0, *(segment.seconds for segment in segments)])
    reached = -1.0 if not poisson else 0.0
    random = np.random.default_rng(seed)
    while reached < ends[-1]:
        gaps = random.exponential(size=_CHUNK) if poisson else np.ones(_CHUNK)
        calls = reached + np.cumsum(gaps)
        reached = calls[-1]
        calls = calls[calls < ends[-1]]
        places = np.searchsorted(ends, calls, side="right") - 1
        times = np.empty_like(calls)
        for place in np.unique(places):
            mine = places == place
            times[mine] = starts[place] + segments[place].when(calls[mine] - ends[place])
        yield from (times * 1e9).astype(np.int64).tolist()


def _segment(piece: "re.Match[str] | None") -> Segment:
    """Raises TypeError, ValueError."""
    if piece is None:
        raise TypeError
    first = float(piece["first"])
    return Segment(first, float(piece["last"] or first), float(piece["seconds"]))
