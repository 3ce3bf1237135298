"""Two ways to do the same, in short turns, by the processor time of this thread: a ratio that noise leaves alone.

Processor time does not count while another process has the processor; short turns one after the other meet the same
caches, clock and neighbours; and of many turns of a side a low one counts, which nothing disturbed.
"""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Call = Callable[[int], object]
"""Do it once, with the rows of this number."""

LOW = 25
"""The percentile of a side's turns that counts."""


@dataclass(frozen=True)
class Pair:
    """Ours and another way to do the same; both were found to answer alike."""

    ours: Call
    other: Call


@dataclass(frozen=True)
class Effort:
    """turns: of each side; seconds: of a turn, in processor time."""

    turns: int = 50
    seconds: float = 0.005


def times_as_fast(pair: Pair, effort: Effort) -> float:
    """Processor time of the other way over that of ours, for as many calls."""
    many = [_calls(call, effort.seconds) for call in (pair.ours, pair.other)]
    took: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    try:
        for turn in range(effort.turns):
            for side, call in enumerate((pair.ours, pair.other)):
                took[side].append(_turn(call, turn * many[side], many[side]))
    finally:
        gc.enable()
    ours, other = (float(np.percentile(side, LOW)) for side in took)
    return other / ours


def _calls(call: Call, seconds: float) -> int:
    """How many calls a turn takes; at least two."""
    return max(2, round(seconds / min(_turn(call, 0, 8) for _ in range(5))))


def _turn(call: Call, first: int, count: int) -> float:
    """Seconds of a call. One call before is not counted: whoever had the turn before left other data in the caches."""
    call(first)
    begin = time.thread_time_ns()
    for number in range(first + 1, first + 1 + count):
        call(number)
    return (time.thread_time_ns() - begin) / count / 1e9
