"""One connection to Redis in RESP3: commands go out as they come, answers are handled in the order of the bytes.

Redis writes answers and invalidations of one connection in the order in which they happened. Whoever handles them in
that order, at once, never keeps a value that was invalidated while it was on its way.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from serving.errors import NotReady

Command = tuple[str | int | bytes, ...]
Handle = Callable[[Any], Any]


class Away(NotReady):
    """Redis cannot be reached, or says nothing. called: what it is for, in words for the caller."""

    def __init__(self, called: str, reason: str) -> None:
        super().__init__(f"{called} is away: {reason}")
        self.reason = reason


class Late(NotReady):
    """Redis did not answer this command in time. The connection may be good."""

    def __init__(self, called: str) -> None:
        super().__init__(f"{called} did not answer in time")


class Refused(NotReady):
    """Redis answered with an error. Only its first word is kept: the rest may quote what was sent."""

    def __init__(self, called: str, message: str) -> None:
        word = message.split(" ", 1)[0]
        self.code = word if word.isalpha() and word.isupper() and len(word) <= 20 else "ERR"
        super().__init__(f"{called} refuses the command: {self.code}")


@dataclass(slots=True, repr=False)
class _Together:
    """Commands sent in one go: what has come of the answers, and who waits for all of them."""

    left: int
    came: list[Any]
    answers: asyncio.Future[list[Any]]


@dataclass(slots=True, repr=False)
class _Waiting:
    """A command that was sent and not yet answered."""

    since: float
    handle: Handle | None
    together: _Together


_NOTHING = object()


class Connection(asyncio.Protocol):
    """A connection that is lost when Redis says nothing for `silence` seconds while a command waits.

    called: what Redis is for, in errors. on_push: called with each push message; on_lost: called once with the reason,
    when the connection is gone.
    """

    def __init__(
        self, called: str, silence: float, on_push: Callable[[list[Any]], None], on_lost: Callable[[str], None]
    ) -> None:
        self._called = called
        self._silence = silence
        self._on_push = on_push
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._waiting: deque[_Waiting] = deque()
        self._transport: asyncio.Transport | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self.lost = ""
        """Why the connection is gone; empty while it is not."""
        self.heard = time.monotonic()
        """When Redis last said something."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose("connection closed" if exc is None else f"connection broken ({type(exc).__name__})")

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        try:
            self._reader.feed(data)
            while not self.lost and (message := self._reader.gets()) is not _NOTHING:
                if isinstance(message, hiredis.PushNotification):
                    self._on_push(message)
                elif self._waiting:
                    self._answered(self._waiting.popleft(), message)
                else:
                    self.lose("an answer that nobody waits for")
        except hiredis.ProtocolError:
            self.lose("not the protocol of Redis")

    def _answered(self, waiting: _Waiting, message: Any) -> None:
        together = waiting.together
        answers = together.answers
        together.left -= 1
        try:
            if isinstance(message, hiredis.ReplyError):
                raise Refused(self._called, str(message))
            together.came.append(message if waiting.handle is None else waiting.handle(message))
        except Exception as error:  # of whatever kind: it is the caller's, the connection goes on
            if not answers.done():
                answers.set_exception(error)
        else:
            if not together.left and not answers.done():
                answers.set_result(together.came)

    async def call(self, command: Command, wait: float, handle: Handle | None = None) -> Any:
        """The answer to one command, or what `handle` makes of it. Raises Late after `wait` seconds, Away, Refused."""
        (answer,) = await self.call_all([(command, handle)], wait)
        return answer

    async def call_all(self, calls: Sequence[tuple[Command, Handle | None]], wait: float) -> list[Any]:
        """The answers to commands that are sent in one go, or what their handles make of them. Raises as `call` does.

        A handle is called as soon as its answer is there, before any later message is looked at, also for a caller who
        no longer waits; never when Redis refuses or the connection is lost.
        """
        if self.lost or self._transport is None:
            raise Away(self._called, self.lost)
        now = time.monotonic()
        # By the time of the last reading, not by now: while the event loop was busy, answers may have come unread.
        if self._waiting and self.heard - self._waiting[0].since > self._silence:
            raise Late(self._called)  # it is behind already: more would only make it later
        together = _Together(len(calls), [], self._loop.create_future())
        self._waiting.extend(_Waiting(now, handle, together) for _, handle in calls)
        packed = [hiredis.pack_command(command) for command, _ in calls]  # type: ignore[arg-type]
        self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._silence, self._watch)
        alarm = self._loop.call_later(max(wait, 0.0), self._give_up, together.answers)
        try:
            return await together.answers
        finally:
            alarm.cancel()

    def tell(self, command: Command) -> None:
        """Send a command to which the answer is a push message, as to SUBSCRIBE."""
        if self.lost or self._transport is None:
            raise Away(self._called, self.lost)
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]

    def _watch(self) -> None:
        """Lose a connection on which a command waits and nothing comes."""
        self._watchdog = None
        if not self._waiting:
            return
        rest = max(self._waiting[0].since, self.heard) + self._silence - time.monotonic()
        if rest <= 0:
            self.lose("no answer")
        else:
            self._watchdog = self._loop.call_later(rest, self._watch)

    def lose(self, reason: str) -> None:
        """End the connection; every command that waits fails."""
        if self.lost:
            return
        self.lost = reason
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._on_lost(reason)
        for waiting in self._waiting:
            if not waiting.together.answers.done():
                waiting.together.answers.set_exception(Away(self._called, reason))
        self._waiting.clear()

    def _give_up(self, answers: asyncio.Future[list[Any]]) -> None:
        if not answers.done():
            answers.set_exception(Late(self._called))
