"""Which models the loops see, and when what they saw before may go.

A new table is shown first, then a new epoch. A loop reads the epoch and then the table whenever it wakes up, says which
epoch it has reached, and looks at no table of before from then on. So a table is nobody's as soon as all loops have
reached a later epoch: no loop ever waits for a loader, and a loader frees nothing that a loop may still read.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2.counted import Counted
from serving.listeners.h2.loop import Loop
from serving.listeners.h2.table import Flat, Table, flatten
from serving.pipeline import Pipeline
from serving.repository.served import ServedModel


class Models:
    """The tables of one listener. On the event loop."""

    def __init__(self, pipeline: Pipeline, loops: int, counted: Counted) -> None:
        self.shared = np.zeros(2, np.int64)
        """What loops read: see `loop_state_kernels.SHARED_TABLE`."""
        self._pipeline, self._loops, self._counted = pipeline, loops, counted
        self._shown: object = None
        self._table: Table | None = None
        self._retired: deque[tuple[int, Table]] = deque()
        self._by_serial: dict[int, Flat] = {}

    def show(self, loops: Sequence[Loop]) -> None:
        """Show the loops what is served now, if it is something else than before."""
        models = self._pipeline.repository.models
        if models is self._shown:
            return
        self._shown = models
        table = Table(models, self._flat, self._loops)
        former, self._table = self._table, table
        self.shared[at.SHARED_TABLE] = table.address
        self.shared[at.SHARED_EPOCH] += 1
        if former is not None:
            self._retired.append((int(self.shared[at.SHARED_EPOCH]), former))
        for loop in loops:
            loop.wake()
        self.tidy(loops)

    def tidy(self, loops: Sequence[Loop]) -> None:
        """Let go what no loop can see any more."""
        seen = min((loop.seen for loop in loops), default=int(self.shared[at.SHARED_EPOCH]))
        while self._retired and self._retired[0][0] <= seen:
            _, table = self._retired.popleft()
            self._counted.settle(table.flats)
        self._by_serial = {flat.serial: flat for flat in self.flats()}

    def flats(self) -> list[Flat]:
        """All versions that loops may be answering."""
        tables = [table for _, table in self._retired] + ([self._table] if self._table else [])
        return list(dict.fromkeys(flat for table in tables for flat in table.flats))

    def of(self, serial: int) -> ServedModel | None:
        """The version of this serial number."""
        flat = self._by_serial.get(serial)
        return None if flat is None else flat.served

    def _flat(self, served: ServedModel) -> Flat:
        found: Flat | None = served.attached.get(self)
        if found is None:
            inference = self._pipeline.inferences.of(served)
            found = served.attached[self] = flatten(served, inference, self._loops)
        return found
