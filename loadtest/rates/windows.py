"""Latencies by window of time in bounded memory: a histogram a window, however many calls there were."""

from array import array
from collections.abc import Iterable
from math import ceil, exp, log
from typing import Any

from loadtest.h2.connection import OK, Call

_FINENESS = 100
"""Buckets for each factor of e: each is a hundredth wide, and so is the error of a percentile."""
_BUCKETS = 1 + ceil(log(1e9) * _FINENESS)
"""From 1 us to 1,000 s."""


class Windows:
    """Calls by the window in which they were due. `observe` is for `Load.observe`.

    seconds: length of a window. most: windows at most; what is due later is counted in the last one.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds = seconds
        self._most = most
        self._counts: list[array[int]] = []
        self._failed: list[int] = []
        self._first = 0

    def observe(self, call: Call, now: int) -> None:
        """Count a call that ended at `now` (ns)."""
        if not self._first:
            self._first = call.began
        number = max(0, min(int((call.began - self._first) / 1e9 / self.seconds), self._most - 1))
        while len(self._counts) <= number:
            self._counts.append(array("Q", bytes(8 * _BUCKETS)))
            self._failed.append(0)
        if call.outcome == OK:
            micros = (now - call.began) / 1e3
            bucket = int(log(micros) * _FINENESS) if micros > 1 else 0
            self._counts[number][min(bucket, _BUCKETS - 1)] += 1
        else:
            self._failed[number] += 1

    def percentile_us(self, percent: float, windows: Iterable[int]) -> float:
        """Of the answered calls of some windows, to a hundredth. NaN without any."""
        counts = [sum(column) for column in zip(*(self._counts[number] for number in windows), strict=True)]
        left = percent / 100 * sum(counts)
        for bucket, count in enumerate(counts):
            left -= count
            if left <= 0 and count:
                return exp((bucket + 0.5) / _FINENESS)
        return float("nan")

    def between(self, start: float, end: float) -> range:
        """The windows that lie within some seconds from the first call."""
        return range(ceil(start / self.seconds - 1e-9), min(int(end / self.seconds + 1e-9), len(self._counts)))

    def as_dicts(self) -> list[dict[str, Any]]:
        """For JSON: a window each."""
        return [
            {
                "start": number * self.seconds,
                "calls": sum(self._counts[number]),
                "failed": self._failed[number],
                "p50_us": self.percentile_us(50, [number]),
                "p99_us": self.percentile_us(99, [number]),
            }
            for number in range(len(self._counts))
        ]
