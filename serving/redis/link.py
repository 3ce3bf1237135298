"""The link to Redis: connects, proves that it can be used, notices when it cannot, and comes back."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from serving.redis.address import Address
from serving.redis.connection import Away, Command, Connection, Handle, Late, Refused

PING_SECONDS = 0.5
LEAST_CONNECT_SECONDS = 1.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_CLOSED = "closed"
_REASONS = {
    "NOAUTH": "it wants a password",
    "WRONGPASS": "wrong user or password",
    "NOPERM": "the user may not do what is needed",
    "NOPROTO": "it does not speak RESP3: Redis 6 or later is needed",
    "LOADING": "it is loading its data",
    "READONLY": "it is a read-only replica",
    "MASTERDOWN": "it is a replica that has lost its master",
    "OOM": "it is full",
}
_SAID_BY_ANOTHER = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH")
"""Answers of a Redis that is not, or no longer, the one to ask: perhaps another one has its name by now."""


class Link:
    """One connection to Redis at a time, kept up in the background. All on one event loop.

    `epoch` is another one after every loss: what was known before may have changed unseen. Who builds on it says how a
    connection begins, how it is proved, and what push messages mean.
    """

    def __init__(
        self,
        url: str,
        setting: str,
        called: str,
        log: logging.Logger,
        timeout_seconds: float,
        silence_seconds: float | None = None,
    ) -> None:
        """setting: where the URL comes from; called: what this Redis is for, in errors and in the log.

        timeout_seconds: of one round trip; silence_seconds: without any answer, after which a connection is given up,
        the timeout where it is None. Raises SettingsError for a URL that cannot be understood.
        """
        self._address = Address(url, setting)
        self.called = called
        self._log = log
        self._timeout = timeout_seconds
        self._silence = timeout_seconds if silence_seconds is None else silence_seconds
        self._connection: Connection | None = None
        self._proved = False
        self._run: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._nudge = asyncio.Event()
        self._said = ""
        self._heard = time.monotonic()
        self.epoch = 1
        self.reconnects = 0
        self.round_trips = {"ok": 0, "timeout": 0, "error": 0}
        """Calls by outcome; those not tried because the link is down are not among them."""

    async def begin(self, connection: Connection) -> None:
        """Say what is said first on a new connection, after the greetings. Raises Away, Late, Refused."""

    async def prove(self, connection: Connection) -> None:
        """Find out whether it can be used: at its beginning, and then every PING_SECONDS. Raises as `begin`.

        Late means that it is busy: if it says nothing at all, it is given up soon.
        """
        await connection.call(("PING",), self._silence)

    async def look_around(self, connection: Connection) -> None:
        """Look at whatever else is worth a warning, after the first proof. Raises as `begin`."""

    def connected(self) -> None:
        """Redis is there, for the first time or again; `age_seconds` still says how long it was away."""

    def proved(self) -> None:
        """It was found out, once more, that Redis can be used."""

    def lost(self) -> None:
        """Redis is away."""

    def pushed(self, message: list[Any]) -> None:
        """A push message came, in the order of answers."""

    async def start(self) -> None:
        """Begin; returns when Redis answers, or after the first try without it."""
        self._run = asyncio.create_task(self._keep_up())
        await self._tried.wait()

    async def close(self) -> None:
        """End it; calls that wait fail."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait({self._run})
        if self._connection is not None:
            self._connection.lose(_CLOSED)

    @property
    def up(self) -> bool:
        """Whether Redis answers, as far as we know."""
        return self._connection is not None

    @property
    def heard(self) -> float:
        """When Redis last said something, as time.monotonic() counts."""
        return self._heard if self._connection is None else self._connection.heard

    @property
    def age_seconds(self) -> float:
        """How long ago Redis last said something: since then, what is known of it may be out of date."""
        return time.monotonic() - self.heard

    async def call(
        self, command: Command, deadline: float | None, handle: Handle | None = None, wait: float | None = None
    ) -> Any:
        """One command and its answer, as `Connection.call`; otherwise as `call_all`."""
        (answer,) = await self.call_all([(command, handle)], deadline, wait)
        return answer

    async def call_all(
        self,
        calls: Sequence[tuple[Command, Handle | None]],
        deadline: float | None,
        wait: float | None = None,
    ) -> list[Any]:
        """Commands and their answers in one round trip, as `Connection.call_all`.

        Waits for `wait` seconds at most, those of the link if it is None, and not beyond `deadline`, a value of
        time.monotonic(). Raises Away at once while the link is down, Late, Refused.
        """
        connection = self._connection
        if connection is None:
            raise Away(self.called, "not connected")
        wait = self._timeout if wait is None else wait
        wait = wait if deadline is None else min(wait, deadline - time.monotonic())
        if wait <= 0:
            raise Late(self.called)
        try:
            answers = await connection.call_all(calls, wait)
        except Late:
            self.round_trips["timeout"] += 1
            raise
        except Away as error:
            self.round_trips["timeout" if error.reason == "no answer" else "error"] += 1
            raise
        except Refused as error:
            self.round_trips["error"] += 1
            if error.code in _SAID_BY_ANOTHER:
                connection.lose(reason_of(error))
            raise
        self.round_trips["ok"] += 1
        return answers

    def nudge(self) -> None:
        """Have it proved now."""
        self._nudge.set()

    async def _keep_up(self) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            connection = Connection(self.called, self._silence, self.pushed, self._lost)
            try:
                async with asyncio.timeout(max(LEAST_CONNECT_SECONDS, self._silence)):
                    await self._connect(connection)
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PING_SECONDS):  # wait_for might swallow that we are cancelled
                            await self._nudge.wait()
                    self._nudge.clear()
                    with contextlib.suppress(Late):  # busy; were it silent, the connection would be lost
                        await self.prove(connection)
                        self.proved()
                        pause = _SHORTEST_PAUSE
            except Exception as error:  # of whatever kind: the next try may go better
                reason = reason_of(error)
                connection.lose(reason)
                if reason != self._said:
                    self._log.warning("%s cannot be used: %s", self.called, reason)
                    self._said = reason
            finally:
                connection.lose(_CLOSED)
            self._tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _connect(self, connection: Connection) -> None:
        """Connect and begin; when it is proved that it can be used, the link is up."""
        await self._address.open(connection)
        for command in self._address.greetings():
            await connection.call(command, LEAST_CONNECT_SECONDS)
        await self.begin(connection)
        again = self._proved
        await self.prove(connection)
        self._proved = True
        await self.look_around(connection)
        if connection.lost:
            raise Away(self.called, connection.lost)
        self.connected()
        self._connection, self._said = connection, ""
        self.reconnects += again
        self._log.info("%s is %s", self.called, "back" if again else "connected")
        self._tried.set()

    def _lost(self, reason: str) -> None:
        if self._connection is None:
            return
        self._heard = self._connection.heard
        self._connection = None
        self.epoch += 1
        self.lost()
        self._nudge.set()
        if reason != _CLOSED:
            self._log.warning("%s is away: %s", self.called, reason)
        self._said = reason


def reason_of(error: Exception) -> str:
    """Why there is no connection, in words that hold nothing of what was sent."""
    match error:
        case Refused():
            return _REASONS.get(error.code, f"it answers {error.code}")
        case Away():
            return error.reason
        case Late() | TimeoutError():
            return "no answer"
        case OSError(strerror=str(words)):
            return words
    return type(error).__name__
