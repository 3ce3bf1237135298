"""A second backend that is asked for a sample of what was computed, beside the callers, and compared."""

import asyncio
import random
import time
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors, check_promised, rows_of
from serving.repository.golden import TOLERANCE
from serving.repository.served import ServedModel
from serving.telemetry.backends import BackendCounts

MOST_RUNNING = 2
SECONDS = 5.0


class Shadow:
    """Compares. Nothing that goes wrong here reaches a caller; what there is no room for is not compared."""

    def __init__(self, served: ServedModel, fraction: float, counts: BackendCounts) -> None:
        assert served.shadow is not None  # noqa: S101 (whoever makes one has looked)
        self._served, self._backend = ref(served), served.shadow
        self._name, self._version = served.name, served.version
        self._fraction, self._counts = fraction, counts
        self._loop = asyncio.get_running_loop()
        self._random = random.Random()
        self._running: set[asyncio.Task[None]] = set()

    def offer(self, tensors: Tensors, outputs: Tensors) -> None:
        """What a backend made of n rows; some of it is compared. From any thread."""
        if self._random.random() < self._fraction and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin, tensors, outputs)

    def _begin(self, tensors: Tensors, outputs: Tensors) -> None:
        if len(self._running) >= MOST_RUNNING:
            self._count("dropped", rows_of(tensors))
            return
        task = self._loop.create_task(self._compare(tensors, outputs))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _compare(self, tensors: Tensors, outputs: Tensors) -> None:
        served = self._served()
        if served is None:  # it was replaced just now
            return
        try:
            theirs = await self._backend.infer(tensors, time.monotonic() + SECONDS)
            check_promised(theirs, served.contract.graph_outputs(), rows_of(tensors))
            wrong = _differ(served, outputs, theirs)
        except Exception:  # of whatever kind: nobody waits for it
            self._count("failed", rows_of(tensors))
            return
        self._count("disagreed", int(wrong.sum()))
        self._count("agreed", int((~wrong).sum()))

    def _count(self, outcome: str, rows: int) -> None:
        self._counts.shadowed(self._name, self._version, self._backend.name, outcome, rows)


def _differ(served: ServedModel, ours: Tensors, theirs: Tensors) -> NDArray[np.bool_]:
    """Which rows are answered otherwise, as golden rows are compared: bool[n].

    A label may differ where the decision is closer than the tolerance.
    """
    n = rows_of(ours)
    wrong, margin = np.zeros(n, np.bool_), served.margin(ours)
    for name in served.graph_outputs:
        if served.decision is not None and name == served.decision.label and margin is not None:
            wrong |= (ours[name] != theirs[name]) & (margin > TOLERANCE)
            continue
        close = np.isclose(ours[name], theirs[name], rtol=0, atol=TOLERANCE)
        wrong |= ~close.reshape(n, -1).all(axis=1)
    return wrong
