"""Rows that loops have featured, answered in Python: once for many calls, not once for each."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors
from serving.backends.batching import Priority
from serving.cache.layout import OutputLayout
from serving.errors import EpmError
from serving.listeners.defects import defect
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.rings import Record
from serving.pipeline import Pipeline
from serving.repository.served import ServedModel

log = logging.getLogger("epm.grpc")

Reply = Callable[[int, Record, int, bytes | None], None]
"""(kind, the record it is about, serial number of the model, outputs of its rows)"""
RUNNING = 2
"""Batches of one version at a time; what comes meanwhile is the next one."""


@dataclass(eq=False, slots=True)
class _Model:
    """One version: what waits for it."""

    served: ServedModel
    layout: OutputLayout
    waiting: deque[tuple[Reply, Record]] = field(default_factory=deque)
    running: int = 0


class Featured:
    """On the event loop."""

    def __init__(self, pipeline: Pipeline, served: Callable[[int], ServedModel | None], batch_rows: int) -> None:
        """served: the version of a serial number."""
        self._pipeline, self._served, self._batch_rows = pipeline, served, batch_rows
        self._models: dict[int, _Model] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, record: Record, reply: Reply) -> None:
        """Rows of one call."""
        serial = record.method
        model = self._models.get(serial)
        if model is None:
            served = self._served(serial)
            if served is None:
                reply(ring.LEAVE_ALL, record, serial, None)
                return
            model = self._models[serial] = _Model(served, OutputLayout(served.contract.graph_outputs()))
        model.waiting.append((reply, record))

    def run(self) -> None:
        """Begin what can be begun."""
        for serial, model in list(self._models.items()):
            while model.waiting and model.running < RUNNING:
                self._begin(serial, model)
            if not model.waiting and not model.running and self._served(serial) is None:
                del self._models[serial]

    def _begin(self, serial: int, model: _Model) -> None:
        batch: list[tuple[Reply, Record]] = []
        rows, now = 0, time.monotonic_ns()
        priority = model.waiting[0][1].priority
        while model.waiting and model.waiting[0][1].priority == priority:
            reply, record = model.waiting[0]
            if batch and rows + record.rows > self._batch_rows:
                break
            model.waiting.popleft()
            if record.deadline and record.deadline <= now:
                reply(ring.LEAVE_ALL, record, serial, None)  # the whole way says what is to be said
                continue
            batch.append((reply, record))
            rows += record.rows
        if not batch:
            return
        inference = self._pipeline.inferences.of(model.served)
        tensors = _tensors(model.served, [record for _, record in batch])
        if inference.quick(rows):
            try:
                _tell(batch, serial, model.layout.pack(inference.run(tensors), rows))
            except Exception as error:  # of whatever kind: others wait
                _leave(batch, serial, error)
            return
        model.running += 1
        task = asyncio.ensure_future(self._infer(serial, model, batch, tensors, rows, priority))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _infer(
        self, serial: int, model: _Model, batch: list[tuple[Reply, Record]], tensors: Tensors, rows: int, priority: int
    ) -> None:
        deadlines = [record.deadline for _, record in batch]
        last = max(deadlines) / 1e9 if all(deadlines) else None
        low = Priority.LOW if priority == at.SAID_LOW else Priority.NORMAL
        try:
            with self._pipeline.admitted(rows):
                outputs = await self._pipeline.inferences.of(model.served).infer(tensors, last, low)
            _tell(batch, serial, model.layout.pack(outputs, rows))
        except Exception as error:
            _leave(batch, serial, error)
        finally:
            model.running -= 1
            self.run()


def _tensors(served: ServedModel, records: list[Record]) -> dict[str, NDArray[np.float32]]:
    """The graph's inputs for the rows of many calls."""
    features, months = len(served.contract.program.features), served.contract.months
    columns = len(served.contract.program.window)
    first, second = [], []
    for record in records:
        cells, edge = np.frombuffer(record.body, np.float32), record.rows * features
        first.append(cells[:edge].reshape(record.rows, features))
        second.append(cells[edge:].reshape(record.rows, months, columns) if columns else cells[edge:])
    tensors = {}
    if served.features_input is not None:
        tensors[served.features_input] = np.concatenate(first)
    if served.window_input is not None:
        tensors[served.window_input] = np.concatenate(second)
    return tensors


def _tell(batch: list[tuple[Reply, Record]], serial: int, packed: NDArray[np.uint8]) -> None:
    first = 0
    for reply, record in batch:
        reply(ring.OUTPUTS, record, serial, packed[first : first + record.rows].tobytes())
        first += record.rows


def _leave(batch: list[tuple[Reply, Record]], serial: int, error: Exception) -> None:
    """Each call by itself, the usual way: it says what is wrong, or answers after all."""
    if not isinstance(error, EpmError):
        defect(log, "a batch of featured rows")
    for reply, record in batch:
        reply(ring.LEAVE_ALL, record, serial, None)
