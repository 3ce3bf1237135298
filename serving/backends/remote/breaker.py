"""Whether one address is asked for one version of a model: only while it answers as the model does."""

import random
import time
from collections.abc import Callable
from enum import StrEnum

FAILURES = 3
"""In a row, after which nothing is sent any more."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds from the opening to the next proof; doubled from one to the next."""
UNREACHED_PAUSE = 1.0
"""The longest where no server was reached: that costs nobody anything, and it may be back any moment."""
AGAIN_SECONDS = 10.0
"""From one proof to the next of an address that is asked."""
SUSPECT_SECONDS = 0.5
"""The least time between two proofs of an address that is asked."""


class State(StrEnum):
    """What the breaker lets through."""

    CLOSED = "closed"
    """Calls; now and then it is proven again."""
    HALF_OPEN = "half_open"
    """One proof, and nothing else."""
    OPEN = "open"
    """Nothing, until the pause is over."""


class Breaker:
    """The state of one address and version.

    Closed by a right answer to the golden rows and by nothing else; a fresh one waits for its first. Opened by a wrong
    answer, by FAILURES in a row, by a proof that fails. As good as fresh when the connection is lost: it may be another
    server that answers next. What is told of a call bears the `ticket` there was when it began: what belongs to a time
    before the last opening, closing or loss counts for nothing.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        """clock: seconds; draw: a number between two, for the jitter of the pauses."""
        self._clock = clock
        self._draw = draw
        self.state = State.HALF_OPEN
        self.fresh = True
        """Whether no proof has judged yet who stands there now."""
        self.proving = False
        self.reason = "it is not proven yet"
        """Why it is not closed."""
        self.ticket = 0
        self._failures = 0
        self._pause = SHORTEST_PAUSE
        self._next = self._soonest = clock()

    @property
    def due(self) -> bool:
        """Whether a proof should begin now."""
        return not self.proving and self._clock() >= self._next

    def begin_proof(self) -> int:
        """The ticket of a proof, which then ends in `proven` or `disproved`."""
        self.proving = True
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
        return self.ticket

    def proven(self, ticket: int) -> None:
        """The golden rows were answered rightly."""
        if ticket == self.ticket:
            if self.state is State.CLOSED:
                self._pause = SHORTEST_PAUSE
            else:
                self.state, self.reason, self.ticket, self._failures = State.CLOSED, "", ticket + 1, 0
        self._end_proof()

    def disproved(self, ticket: int, reason: str, longest: float = LONGEST_PAUSE) -> None:
        """They were not, or not answered at all. longest: seconds that the pause may have now."""
        if ticket == self.ticket:
            self._open(reason, longest)
        self._end_proof()

    def unsettled(self) -> None:
        """The proof has ended without showing anything of an address that is asked."""
        self._end_proof()

    def succeeded(self, ticket: int) -> None:
        """A call was answered as promised."""
        if ticket == self.ticket:
            self._failures, self._pause = 0, SHORTEST_PAUSE

    def failed(self, ticket: int, reason: str) -> None:
        """A call was not answered, and it is not the fault of its rows."""
        if ticket == self.ticket and self.state is State.CLOSED:
            self._failures += 1
            if self._failures >= FAILURES:
                self._open(reason)

    def wrong(self, ticket: int, reason: str) -> None:
        """A call was answered as the model never would."""
        if ticket == self.ticket and self.state is State.CLOSED:
            self._open(reason)

    def lost(self) -> None:
        """There is another connection, or none: what was proven was proven of a server that may be gone."""
        if self.state is State.CLOSED:
            self.state, self.fresh, self.ticket = State.HALF_OPEN, True, self.ticket + 1
            self.reason, self._failures, self._next = "its connection was lost", 0, self._clock()

    def suspect(self, ticket: int) -> None:
        """A call ended in a way that tells nothing, and would if it went on: the next proof is brought forward."""
        if ticket == self.ticket and self.state is State.CLOSED:
            self._next = min(self._next, self._soonest)

    def _open(self, reason: str, longest: float = LONGEST_PAUSE) -> None:
        self.state, self.reason, self.ticket = State.OPEN, reason, self.ticket + 1
        self._next = self._clock() + min(self._pause, longest) * self._draw(0.5, 1.0)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _end_proof(self) -> None:
        """The next one, as long as nothing opens the breaker; at once if this one has judged a former connection."""
        self.proving = False
        now = self._clock()
        if self.state is State.HALF_OPEN:
            self._next = now
        else:
            self.fresh = False
        if self.state is State.CLOSED:
            self._next = now + AGAIN_SECONDS * self._draw(0.8, 1.2)
        self._soonest = now + SUSPECT_SECONDS
