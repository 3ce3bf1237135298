"""Counting put off: a call leaves a note, and notes are counted many at a time.

Counting takes a few microseconds in a loop, and several times as much once between the code of a call and that of the
next one, where the processor has to fetch all of it anew.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

MOST = 64

N = TypeVar("N")


class Notes(Generic[N]):
    """What is to be counted. From any thread; one at a time counts."""

    def __init__(self, count: Callable[[list[N]], None]) -> None:
        """count: counts notes, in their order."""
        self._count = count
        self._notes: deque[N] = deque()
        self._lock = threading.Lock()

    def add(self, note: N) -> None:
        """Leave a note; who leaves the last of many counts them."""
        self._notes.append(note)
        if len(self._notes) >= MOST:
            self.settle()

    def settle(self) -> None:
        """Count all there are."""
        with self._lock:
            self._count([self._notes.popleft() for _ in range(len(self._notes))])
