"""Calls that wait for a batch, and which of them go into the next one."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from serving.backends.backend import Tensors
from serving.errors import Overloaded, TooLate

LOW_EVERY = 8
"""One batch of so many begins with calls of low priority."""


class Priority(IntEnum):
    """Who goes first. Low waits longer, but not for ever."""

    NORMAL = 0
    LOW = 1


@dataclass(frozen=True)
class Limits:
    """rows, bytes: of the inputs in one batch of several calls; queue_rows: waiting; running: batches at a time."""

    rows: int
    bytes: int
    queue_rows: int
    running: int


@dataclass(slots=True, eq=False, repr=False)
class Call:
    """One caller's rows, and the future on which it waits. Whoever ends the future first has ended the call."""

    tensors: Tensors
    rows: int
    deadline: float | None
    priority: Priority
    since: float
    answer: asyncio.Future[Tensors]
    timer: asyncio.TimerHandle | None = None
    bytes: int = 0
    began: float = 0.0
    """When its batch was sent; 0 while it waits."""

    def fail(self, error: BaseException) -> None:
        """End it with `error`, unless it has ended."""
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self) -> None:
        """End it because its deadline has passed."""
        self.fail(TooLate("the deadline passed before the answer came"))


class BatchQueue:
    """First come, first served within a priority; a call leaves it at any time, with its rows."""

    def __init__(self, limits: Limits) -> None:
        self.rows = 0
        self._limits = limits
        self._queues: tuple[OrderedDict[Call, None], ...] = tuple(OrderedDict() for _ in Priority)
        self._batches = 0

    def __bool__(self) -> bool:
        return any(self._queues)

    def put(self, call: Call) -> None:
        """Let it wait. Raises Overloaded."""
        if self.rows + call.rows > self._limits.queue_rows:
            raise Overloaded(
                f"{self.rows} rows wait for this model already; "
                f"with the {call.rows} of this call they would be more than {self._limits.queue_rows}"
            )
        call.bytes = sum(array.nbytes for array in call.tensors.values())
        self._queues[call.priority][call] = None
        self.rows += call.rows

    def remove(self, call: Call) -> None:
        """It waits no longer; nothing happens when it did not."""
        queue = self._queues[call.priority]
        if call in queue:
            del queue[call]
            self.rows -= call.rows

    def empty(self) -> list[Call]:
        """All that wait; nothing waits afterwards."""
        calls = [call for queue in self._queues for call in queue]
        for call in calls:
            self.remove(call)
        return calls

    def take(self, now: float, seconds: Callable[[int], float]) -> list[Call]:
        """The calls of the next batch; none when none waits. seconds: what so many rows are expected to take.

        Filling stops at the first call with which the batch would be too large, or would end after the deadline of a
        call in it. A call that is late in this batch by expectation does not bound it: in the next it would be later.
        """
        self._batches += 1
        low_first = self._batches % LOW_EVERY == 0
        batch: list[Call] = []
        rows = size = 0
        earliest = math.inf
        for queue in reversed(self._queues) if low_first else self._queues:
            while queue:
                call = next(iter(queue))
                if call.deadline is not None and call.deadline <= now:
                    call.expire()
                if call.answer.done():
                    self.remove(call)
                    continue
                end = now + seconds(rows + call.rows)
                too_large = rows + call.rows > self._limits.rows or size + call.bytes > self._limits.bytes
                if batch and (too_large or end > earliest):
                    return batch
                self.remove(call)
                batch.append(call)
                rows, size = rows + call.rows, size + call.bytes
                if call.deadline is not None and end <= call.deadline:
                    earliest = min(earliest, call.deadline)
        return batch
