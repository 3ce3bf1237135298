"""One kernel at one size, the other ways to do the same, and how all are timed: in turns, in one process."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Call = Callable[[int], object]
"""Do it once, with the rows of this number."""


class DifferentError(Exception):
    """Two ways gave different results for the same rows."""


@dataclass(frozen=True)
class Effort:
    """rounds: turns of each way; seconds: of a turn, in processor time, but two calls at least."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Case:
    """What is called, by way; the first is ours. All were found to give the same before the case was made.

    bytes: what a call of ours has to read and write at least (`counted` says what). without: ways whose time is less
    that of another one, because they contain it; one whose name begins with an underscore is only there for that.
    """

    kernel: str
    name: str
    rows: int
    calls: Mapping[str, Call]
    bytes: int
    without: Mapping[str, str] = field(default_factory=dict)

    def measure(self, effort: Effort) -> dict[str, Any]:
        """Everything of this case as plain values: of each way the microseconds of a call, round by round."""
        times = take_turns(self.calls, effort)
        for way, contained in self.without.items():
            times[way] = [whole - part for whole, part in zip(times[way], times[contained], strict=True)]
        shown = {way: found for way, found in times.items() if not way.startswith("_")}
        return {"kernel": self.kernel, "name": self.name, "rows": self.rows, "bytes": self.bytes, "us": shown}


def take_turns(calls: Mapping[str, Call], effort: Effort) -> dict[str, list[float]]:
    """Microseconds of a call of each way, in processor time of all threads, one figure a round."""
    many = {way: _calls(call, effort.seconds) for way, call in calls.items()}
    times: dict[str, list[float]] = {way: [] for way in calls}
    gc.collect()
    gc.disable()
    try:
        for number in range(effort.rounds):
            for way, call in calls.items():
                times[way].append(_turn(call, number * many[way], many[way]))
    finally:
        gc.enable()
    return times


def over(do: Callable[..., object], sets: Sequence[Any]) -> Call:
    """`do` with one set of rows after the other, for ever."""
    count = len(sets)
    return lambda number: do(sets[number % count])


def _calls(call: Call, seconds: float) -> int:
    """Of a turn."""
    return max(2, round(seconds * 1e6 / min(_turn(call, 0, 2) for _ in range(3))))


def _turn(call: Call, first: int, count: int) -> float:
    """Microseconds of a call. One before is not counted: whoever had the turn before left other data in the caches."""
    call(first)
    begin = time.process_time_ns()
    for number in range(first + 1, first + 1 + count):
        call(number)
    return (time.process_time_ns() - begin) / count / 1e3
