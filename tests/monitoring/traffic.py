"""Steady load on an observed gateway, one thread for each kind of call, and what became of every call."""

import threading
import time
from dataclasses import dataclass, field

import numpy as np

from tests.monitoring.kinds import Kind

LONGEST = 900.0
"""Seconds after which callers give up, whoever has forgotten them."""


@dataclass(frozen=True)
class Answer:
    """by: the kind; sent: as time.monotonic() counts; expected: whether the status may be."""

    by: str
    sent: float
    status: str
    expected: bool
    right: bool


@dataclass
class Traffic:
    """Callers at work from the `with` until its end, which waits for their last calls."""

    kinds: list[Kind]
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(kind, seed), daemon=True) for seed, kind in enumerate(self.kinds)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a call does not end"

    def since(self, sent: float) -> list[Answer]:
        """Of calls that were sent after a time."""
        return [answer for answer in list(self.answers) if answer.sent > sent]

    def wrong(self) -> list[Answer]:
        """What should not have come back: another status, or another prediction."""
        return [answer for answer in self.answers if not (answer.expected and (answer.right or answer.status != "OK"))]

    def all_answered(self, sent: float) -> bool:
        """Whether calls of every kind were sent after a time, and have ended."""
        return {answer.by for answer in self.since(sent)} == {kind.name for kind in self.kinds}

    def _work(self, kind: Kind, seed: int) -> None:
        random, end = np.random.default_rng(seed), time.monotonic() + LONGEST
        while not self._stop.is_set() and time.monotonic() < end:
            sent = time.monotonic()
            try:
                status, right = kind.asked(random)
            except Exception as error:  # it is told with the answers that are wrong
                status, right = f"{type(error).__name__}: {error}", False
            self.answers.append(Answer(kind.name, sent, status, status in kind.statuses, right))
            self._stop.wait(kind.pause * random.uniform(0.7, 1.3))
