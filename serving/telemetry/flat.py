"""Counters and histograms in flat arrays: counting is one addition to a cell, names and texts are for who reads.

A family has a row of cells for each set of label values, made when it is first asked for. Rows are written by one
thread (the event loop) and read on the same one. Python writes cells through a memoryview of the array, which takes a
fifth of the time of indexing the array itself; compiled code may write the array.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]
_FIRST_ROWS = 16


class _Rows:
    """Which row is whose."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.of: dict[Labels, int] = {}

    def row(self, labels: Labels) -> int:
        found = self.of.get(labels)
        if found is None:
            if len(labels) != len(self.names):
                raise ValueError(f"{len(labels)} labels, expected {', '.join(self.names)}")
            found = self.of[labels] = len(self.of)
        return found


class Counters(Collector):
    """A family of counters: int64[rows]."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text = name, text
        self._rows = _Rows(labels)
        self._cells = _cells(np.zeros(_FIRST_ROWS, np.int64))

    def row(self, labels: Labels) -> int:
        """The row of these label values; made when there is none."""
        row = self._rows.row(labels)
        if row >= len(self._cells):
            self._cells = _grown(self._cells)
        return row

    def add(self, row: int, count: int = 1) -> None:
        """Count."""
        self._cells[row] += count

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The family."""
        family = CounterMetricFamily(self._name, self._text, labels=self._rows.names)
        for labels, row in self._rows.of.items():
            family.add_metric(labels, self._cells[row])
        yield family


class Histograms(Collector):
    """A family of histograms: int64[rows x (buckets + 1)] and, for the sums, float64[rows]."""

    def __init__(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        """buckets: upper bounds, ascending, in the family's unit; what is above the last one is counted, too."""
        self._name, self._text = name, text
        self._rows = _Rows(labels)
        self._bounds = tuple(buckets)
        self._width = len(self._bounds) + 1
        self._counts = _cells(np.zeros(_FIRST_ROWS * self._width, np.int64))
        self._sums = _cells(np.zeros(_FIRST_ROWS, np.float64))

    def row(self, labels: Labels) -> int:
        """The row of these label values; made when there is none."""
        row = self._rows.row(labels)
        if row >= len(self._sums):
            self._counts, self._sums = _grown(self._counts), _grown(self._sums)
        return row

    def observe(self, row: int, value: float) -> None:
        """Count one value into its bucket."""
        self._counts[row * self._width + bisect_left(self._bounds, value)] += 1
        self._sums[row] += value

    def add(self, row: int, buckets: Sequence[int], total: float) -> None:
        """Count values of which `buckets` says how many fell into each, the one above all bounds last."""
        start = row * self._width
        for bucket, count in enumerate(buckets):
            self._counts[start + bucket] += count
        self._sums[row] += total

    def observe_each(self, rows: Sequence[int], values: Sequence[float]) -> None:
        """Count values, each into a row of its own; a value of 0 is none."""
        counts, sums, bounds, width = self._counts, self._sums, self._bounds, self._width
        for row, value in zip(rows, values, strict=True):
            if value:
                counts[row * width + bisect_left(bounds, value)] += 1
                sums[row] += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family; a bucket of the exposition counts those below it, too."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._rows.names)
        names = [floatToGoString(bound) for bound in (*self._bounds, float("inf"))]
        for labels, row in self._rows.of.items():
            counts = np.cumsum(self._counts[row * self._width : (row + 1) * self._width]).tolist()
            family.add_metric(labels, list(zip(names, counts, strict=True)), self._sums[row])
        yield family


def _cells(array: NDArray[Any]) -> Any:
    """A memoryview of the array, whose cells are its numbers."""
    return array.data


def _grown(cells: Any) -> Any:
    """The same cells, and as many more."""
    old = np.asarray(cells)
    return _cells(np.concatenate([old, np.zeros_like(old)]))
