"""Concurrent calls for one model share a batch: sent at once while the backend is idle, filled while it is busy."""

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable

import numpy as np

from serving.backends.backend import Tensors, rows_of
from serving.backends.batch_queue import BatchQueue, Call, Limits, Priority
from serving.backends.estimate import Estimate
from serving.errors import BackendFailed, BackendRefused, EpmError, NotReady, TooLate
from serving.stages import QUEUE, UNTIMED, Stopwatch

__all__ = ["Batcher", "Execute", "Limits", "Priority"]

Execute = Callable[[Tensors, float | None], Awaitable[Tensors]]
"""Computes a batch, as `Backend.infer` does."""

_TIMER = 0.001
"""Seconds: the steps in which uvloop's timers count; they may also be early by so much."""


class Batcher:
    """The calls for one model, on one event loop. Each ends exactly once, whatever becomes of its neighbours.

    A batch is executed in a task of its own, which no caller awaits: a caller that is cancelled or too late leaves, and
    neither the batch nor its other members notice.
    """

    def __init__(
        self,
        execute: Execute,
        limits: Limits,
        observe: Callable[[int, int, float], None] = lambda rows, calls, waited: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """observe: told of each batch, when it has ended, its rows, its calls and the seconds its oldest call waited.

        Not before: what it takes would be on the way of the callers.

        clock: what deadlines are given in. Not the loop's: uvloop's is late by up to a millisecond.
        """
        self._execute = execute
        self._limits = limits
        self._observe = observe
        self._clock = clock
        self._estimate = Estimate()
        self._queue = BatchQueue(limits)
        self._running: dict[asyncio.Task[None], list[Call]] = {}
        self._closed = False

    @property
    def waiting_rows(self) -> int:
        """Rows of calls that are in no batch yet."""
        return self._queue.rows

    async def submit(
        self,
        tensors: Tensors,
        deadline: float | None,
        priority: Priority = Priority.NORMAL,
        watch: Stopwatch = UNTIMED,
    ) -> Tensors:
        """Outputs of n rows, views of those of the batch; of a call alone in its batch, what the backend gave.

        Raises Overloaded or NotReady at once; TooLate when the deadline passes; else what `execute` raises:
        BackendRefused only where it refuses this call alone.
        """
        now = self._clock()
        if self._closed:
            raise NotReady("the model is shutting down")
        if deadline is not None and deadline <= now:
            raise TooLate("the deadline passed before work began")
        loop = asyncio.get_running_loop()
        rows = rows_of(tensors)
        call = Call(tensors, rows, deadline, priority, now, loop.create_future())
        if len(self._running) < self._limits.running:
            self._start([call], rows, 0.0)
        else:
            self._queue.put(call)
        if deadline is not None:
            call.timer = loop.call_later(deadline - now, self._expire, call)
        try:
            return await call.answer
        finally:
            watch.lap_until(QUEUE, call.began or self._clock())
            if call.timer is not None:
                call.timer.cancel()
            self._queue.remove(call)

    def close(self) -> None:
        """Take no more calls, end those that wait; what is being executed is answered."""
        self._closed = True
        for call in self._queue.empty():
            call.fail(NotReady("the model is shutting down"))

    def _expire(self, call: Call) -> None:
        assert call.deadline is not None  # noqa: S101 (only such a call has a timer)
        rest = call.deadline - self._clock()
        if rest > 1e-6:
            call.timer = asyncio.get_running_loop().call_later(max(rest, _TIMER), self._expire, call)
        else:
            call.expire()

    def _start(self, calls: list[Call], rows: int, waited: float) -> None:
        task = asyncio.get_running_loop().create_task(self._run(calls))
        self._running[task] = calls
        task.add_done_callback(self._end)  # a task that is cancelled before its first step never runs
        task.add_done_callback(lambda _: self._observe(rows, len(calls), waited))

    def _end(self, task: asyncio.Task[None]) -> None:
        """Its place is free: whoever still waits for it is told, and the next batch is sent."""
        for call in self._running.pop(task, ()):
            if not call.answer.done():
                call.fail(BackendFailed("the batch was given up"))
        while self._queue and len(self._running) < self._limits.running:
            now = self._clock()
            if calls := self._queue.take(now, self._estimate.seconds):
                self._start(calls, _rows(calls), now - min(call.since for call in calls))

    async def _run(self, calls: list[Call]) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        try:
            await self._answer(calls)
        finally:
            self._end(task)

    async def _answer(self, calls: list[Call]) -> None:
        """Execute those of the calls that somebody waits for, and end each of them."""
        calls = [call for call in calls if not call.answer.done()]
        if not calls:
            return
        rows, began, refused = _rows(calls), self._clock(), False
        for call in calls:
            call.began = call.began or began
        try:
            outputs = await self._execute(*_joined(calls))
            _check_rows(outputs, rows)
        except Exception as error:  # whatever it is, nobody may be left waiting
            if isinstance(error, TooLate):
                self._estimate.learn_at_least(rows, self._clock() - began)
            refused = isinstance(error, BackendRefused) and len(calls) > 1
            if not refused:
                for call in calls:
                    call.fail(_own(error))
        else:
            self._estimate.learn(rows, self._clock() - began)
            _hand_out(outputs, calls)
        if refused:
            half = len(calls) // 2
            await self._answer(calls[:half])
            await self._answer(calls[half:])


def _rows(calls: list[Call]) -> int:
    return sum([call.rows for call in calls])


def _joined(calls: list[Call]) -> tuple[Tensors, float | None]:
    """The inputs of all, in order, and when nobody waits for them any longer; None when somebody waits for ever.

    They were checked against one contract: names, types and shapes agree.
    """
    first = calls[0]
    if len(calls) == 1:
        return first.tensors, first.deadline
    assert all(call.tensors.keys() == first.tensors.keys() for call in calls)  # noqa: S101
    tensors = {
        name: np.concatenate([call.tensors[name] for call in calls], dtype=array.dtype, casting="no")
        for name, array in first.tensors.items()
    }
    deadlines = [call.deadline for call in calls if call.deadline is not None]
    return tensors, max(deadlines) if len(deadlines) == len(calls) else None


def _check_rows(outputs: Tensors, rows: int) -> None:
    for name, array in outputs.items():
        if array.shape[:1] != (rows,):
            raise BackendFailed(f"output {name}: got {list(array.shape)} for {rows} rows")


def _hand_out(outputs: Tensors, calls: list[Call]) -> None:
    """Each caller its rows."""
    start = 0
    for call in calls:
        end = start + call.rows
        if not call.answer.done():
            alone = len(calls) == 1
            call.answer.set_result(outputs if alone else {name: array[start:end] for name, array in outputs.items()})
        start = end


def _own(error: Exception) -> Exception:
    """A copy for one caller: raised in many tasks, one object would gather the traceback of each."""
    if not isinstance(error, EpmError):
        return error
    own = copy.copy(error)
    own.__cause__ = error.__cause__
    return own
