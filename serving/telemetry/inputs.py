"""What became of the raw inputs of each served model: how many cells were missing, unknown, out of range or stale."""

import threading
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from serving.telemetry.notes import Notes

STATES = ("missing", "unknown", "out_of_training_range", "stale")

Model = tuple[str, str]
"""Name and version: what is served, and so bounded."""


class InputStates(Collector):
    """Counters in arrays: a batch costs one addition, whatever the number of columns. Called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[Model, Sequence[str]] = {}
        self._cells: dict[Model, NDArray[np.int64]] = {}
        self._rows: dict[Model, list[int]] = {}
        self._notes = Notes(self._count)

    def add(self, model: Model, names: Sequence[str], counts: NDArray[np.int64] | None, rows: int, low: int) -> None:
        """counts: int64[4, inputs], how often each state was seen of each input, None for never; low: rows of low
        coverage.
        """
        self._notes.add((model, names, counts, rows, low))

    def _count(self, notes: list[tuple[Model, Sequence[str], NDArray[np.int64] | None, int, int]]) -> None:
        with self._lock:
            for model, names, counts, rows, low in notes:
                if self._names.get(model) is not names:  # the first time, or another artifact under the same version
                    self._names[model], self._cells[model] = names, np.zeros((len(STATES), len(names)), np.int64)
                    self._rows.setdefault(model, [0, 0])
                if counts is not None:
                    self._cells[model] += counts
                self._rows[model][0] += rows
                self._rows[model][1] += low

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Cells in a state that was seen at least once, and rows."""
        self._notes.settle()
        labels = ["model", "version"]
        cells = CounterMetricFamily("epm_input_cells", "Cells of raw inputs.", labels=[*labels, "column", "state"])
        rows = CounterMetricFamily("epm_rows", "Rows made of raw inputs that were answered.", labels=labels)
        low = CounterMetricFamily("epm_low_coverage_rows", "Rows answered below the coverage bound.", labels=labels)
        with self._lock:
            for model, counted in self._rows.items():
                rows.add_metric(model, counted[0])
                low.add_metric(model, counted[1])
                for state, number in np.argwhere(self._cells[model]).tolist():
                    value = float(self._cells[model][state, number])
                    cells.add_metric([*model, self._names[model][number], STATES[state]], value)
        yield from (cells, rows, low)
