"""Rows that loops have featured, answered in Python: once for many calls, not once for each."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors, rows_of
from serving.backends.batching import Priority
from serving.cache.layout import OutputLayout
from serving.errors import EpmError, Overloaded
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
class _Asked:
    """Rows of one call. gone: nobody waits for an answer any more."""

    key: tuple[int, int, int]
    """Loop, stream, generation."""
    reply: Reply
    record: Record
    admitted: AbstractContextManager[None]
    """Entered: its rows are in flight until they are answered."""
    gone: bool = False


@dataclass(eq=False, slots=True)
class _Model:
    """One version: what waits for it."""

    served: ServedModel
    layout: OutputLayout
    waiting: deque[_Asked] = field(default_factory=deque)
    running: int = 0


class Featured:
    """On the event loop."""

    def __init__(self, pipeline: Pipeline, served: Callable[[int], ServedModel | None], batch_rows: int) -> None:
        """served: the version of a serial number."""
        self._pipeline, self._served, self._batch_rows = pipeline, served, batch_rows
        self._models: dict[int, _Model] = {}
        """Those that something waits for, or that are being asked."""
        self._asked: dict[tuple[int, int, int], _Asked] = {}
        """Calls without an answer, by their keys."""
        self._latest: dict[tuple[int, int], tuple[int, tuple[str, int]]] = {}
        """By loop and stream: generation and model of the last call there; its answer may meet with its caller gone."""
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, loop: int, record: Record, reply: Reply) -> None:
        """Rows of one call of a loop. Where too many wait already, it goes the whole way, which refuses it."""
        serial = record.method
        model = self._models.get(serial)
        served = self._served(serial) if model is None else model.served
        if served is None:
            reply(ring.LEAVE_ALL, record, serial, None)
            return
        admitted = self._pipeline.admitted(record.rows)
        try:
            admitted.__enter__()
        except Overloaded:
            reply(ring.LEAVE_ALL, record, serial, None)
            return
        if model is None:
            model = self._models[serial] = _Model(served, self._layout(served))
        key = (loop, record.stream, record.generation)
        asked = self._asked[key] = _Asked(key, reply, record, admitted)
        model.waiting.append(asked)
        self._latest[loop, record.stream] = (record.generation, (served.name, served.version))

    def gone(self, loop: int, record: Record) -> tuple[str, int] | None:
        """Nobody waits for the answer to a call any more, and no loop has counted one.

        Name and version of what was asked; None for no call of these.
        """
        asked = self._asked.pop((loop, record.stream, record.generation), None)
        if asked is not None:
            asked.gone = True
        generation, model = self._latest.pop((loop, record.stream), (-1, None))
        return model if generation == record.generation else None

    def left(self, loop: int, record: Record) -> None:
        """A call goes the whole way: who answers it there counts it."""
        self._latest.pop((loop, record.stream), None)

    def run(self) -> None:
        """Begin what can be begun."""
        for serial, model in list(self._models.items()):
            while model.waiting and model.running < RUNNING:
                self._begin(serial, model)
            if not model.waiting and not model.running:
                del self._models[serial]

    def _layout(self, served: ServedModel) -> OutputLayout:
        found: OutputLayout | None = served.attached.get(self)
        if found is None:
            found = served.attached[self] = OutputLayout(served.contract.graph_outputs())
        return found

    def _begin(self, serial: int, model: _Model) -> None:
        batch: list[_Asked] = []
        rows, now = 0, time.monotonic_ns()
        priority = model.waiting[0].record.priority
        while model.waiting and model.waiting[0].record.priority == priority:
            asked = model.waiting[0]
            record = asked.record
            if batch and rows + record.rows > self._batch_rows:
                break
            model.waiting.popleft()
            if asked.gone or (record.deadline and record.deadline <= now):
                self._reply([asked], ring.LEAVE_ALL, serial)  # the whole way says what is to be said
                continue
            batch.append(asked)
            rows += record.rows
        if not batch:
            return
        inference = self._pipeline.inferences.of(model.served)
        since = min((asked.record.flags - 1 for asked in batch if asked.record.flags), default=None)
        tensors = _tensors(model.served, [asked.record for asked in batch])
        if inference.quick(rows):
            try:
                self._tell(batch, serial, model.layout.pack(inference.run(tensors, since=since), rows))
            except Exception as error:  # of whatever kind: others wait
                self._leave(batch, serial, error)
            return
        model.running += 1
        task = asyncio.ensure_future(self._infer(serial, model, batch, tensors, priority, since))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _infer(
        self, serial: int, model: _Model, batch: list[_Asked], tensors: Tensors, priority: int, since: int | None
    ) -> None:
        deadlines = [asked.record.deadline for asked in batch]
        last = max(deadlines) / 1e9 if all(deadlines) else None
        low = Priority.LOW if priority == at.SAID_LOW else Priority.NORMAL
        try:
            outputs = await self._pipeline.inferences.of(model.served).infer(tensors, last, low, since=since)
            self._tell(batch, serial, model.layout.pack(outputs, rows_of(tensors)))
        except Exception as error:
            self._leave(batch, serial, error)
        finally:
            model.running -= 1
            self.run()

    def _tell(self, batch: list[_Asked], serial: int, packed: NDArray[np.uint8]) -> None:
        first = 0
        for asked in batch:
            end = first + asked.record.rows
            self._reply([asked], ring.OUTPUTS, serial, packed[first:end])
            first = end

    def _leave(self, batch: list[_Asked], serial: int, error: Exception) -> None:
        """Each call by itself, the usual way: it says what is wrong, or answers after all."""
        if not isinstance(error, EpmError):
            defect(log, "a batch of featured rows")
        self._reply(batch, ring.LEAVE_ALL, serial)

    def _reply(self, batch: list[_Asked], kind: int, serial: int, packed: NDArray[np.uint8] | None = None) -> None:
        for asked in batch:
            asked.admitted.__exit__(None, None, None)
            if not asked.gone:
                del self._asked[asked.key]
                asked.reply(kind, asked.record, serial, None if packed is None else packed.tobytes())


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
