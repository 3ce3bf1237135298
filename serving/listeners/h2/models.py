"""Which models the loops see, and when what they saw before may go.

A new table is shown first, then a new epoch. A loop reads the epoch and then the table whenever it wakes up, says which
epoch it has reached, and looks at no table of before from then on. So a table is nobody's as soon as all loops have
reached a later epoch: no loop ever waits for a loader, and a loader frees nothing that a loop may still read.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from serving.listeners.h2.counted import Counted
from serving.listeners.h2.flat import MOST_ROWS, Flat, flatten
from serving.listeners.h2.loop import Loop
from serving.listeners.h2.table import Table
from serving.listeners.h2.table_kernels import show_table
from serving.pipeline import Pipeline
from serving.repository.repository import ModelState
from serving.repository.served import ServedModel


class Models:
    """The tables of one listener. On the event loop."""

    def __init__(self, pipeline: Pipeline, loops: int, counted: Counted) -> None:
        self.shared = np.zeros(2, np.int64)
        """What loops read: see `loop_state_kernels.SHARED_TABLE`."""
        self._pipeline, self._loops, self._counted = pipeline, loops, counted
        self._most_rows = min(MOST_ROWS, pipeline.max_rows)
        self._shown: Mapping[str, ModelState] = {}
        self._epoch = 0
        self._table: Table | None = None
        self._retired: deque[tuple[int, Table]] = deque()
        self._flats: dict[ServedModel, Flat] = {}
        """Of every version in the tables above, and of no other: nothing else keeps a version alive."""

    def show(self, loops: Sequence[Loop]) -> None:
        """Show the loops what is served now, if it is something else than before."""
        models = self._pipeline.repository.models
        if models != self._shown or self._table is None:
            former, self._table = self._table, Table(models, self._flat, self._loops, self._most_rows)
            self._shown = models
            self._epoch += 1
            show_table(self.shared.ctypes.data, self._table.address, self._epoch)
            if former is not None:
                self._retired.append((self._epoch, former))
            for loop in loops:
                loop.wake()
        self.tidy(loops)

    def tidy(self, loops: Sequence[Loop]) -> None:
        """Let go what no loop can see any more."""
        seen = min((loop.seen for loop in loops), default=self._epoch)
        while self._retired and self._retired[0][0] <= seen:
            _, table = self._retired.popleft()
            self._counted.settle(table.flats)
        self._flats = {flat.served: flat for flat in self.flats()}

    def flats(self) -> list[Flat]:
        """All versions that loops may be answering."""
        tables = [table for _, table in self._retired] + ([self._table] if self._table else [])
        return list(dict.fromkeys(flat for table in tables for flat in table.flats))

    def of(self, serial: int) -> ServedModel | None:
        """The version of this serial number."""
        return next((served for served, flat in self._flats.items() if flat.serial == serial), None)

    def _flat(self, served: ServedModel) -> Flat:
        found = self._flats.get(served)
        if found is None:
            inference = self._pipeline.inferences.of(served)
            store = self._pipeline.store is not None
            found = self._flats[served] = flatten(served, inference, self._loops, store)
        return found
