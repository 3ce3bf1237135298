"""The link to Redis: connects, proves that the data is what it was, notices when it is not, and comes back."""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from serving.store.address import Address
from serving.store.connection import Away, Command, Connection, Handle, Late, Refused
from serving.store.keys import PREFIX

log = logging.getLogger("epm.store")

MARKER = b"epm:store"
"""Holds the fingerprint of the key under which ids are hashed, a colon, and a random id of the data: gone, or another
one, when Redis came back empty or is another Redis."""
PING_SECONDS = 0.5
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_LEAST_CONNECT_SECONDS = 1.0
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
_TAKES_NOTHING_NOW = ("OOM", "MISCONF", "NOREPLICAS")
"""Answers to writing by a Redis that can still be read."""
_OTHER_KEY = "it belongs to gateways with another EPM_HASH_KEY_FILE"


class Link:
    """One connection to Redis at a time, kept up in the background. All on one event loop.

    While `up`, whatever Redis says of keys below PREFIX reaches on_changed in order: names of keys, or None for all of
    them. `epoch` is another one after every loss: what was known before may have changed unseen. on_connected: Redis is
    there, for the first time or again, and `age_seconds` still says how long it was away; on_reset, before it: the data
    is not what it was.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float,
        on_connected: Callable[[], None],
        on_changed: Callable[[list[bytes] | None], None],
        on_reset: Callable[[], None],
    ) -> None:
        self._address = Address(url)
        self._fingerprint = b""
        self._timeout = timeout_seconds
        self._on_connected = on_connected
        self._on_changed = on_changed
        self._on_reset = on_reset
        self._connection: Connection | None = None
        self._marker: bytes | None = None
        self._run: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._nudge = asyncio.Event()
        self._said = ""
        self._evicts = False
        self._heard = time.monotonic()
        self.epoch = 1
        self.resets = 0
        """How often Redis came back empty, was emptied, or was another one."""
        self.reconnects = 0
        self.round_trips = {"ok": 0, "timeout": 0, "error": 0}
        """Calls by outcome; those not tried because the link is down are not among them."""

    async def start(self, fingerprint: bytes) -> None:
        """Begin; returns when Redis answers, or after the first try without it.

        fingerprint: of the key under which ids are hashed; data under another one is not used.
        """
        self._fingerprint = fingerprint
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
    def age_seconds(self) -> float:
        """How long ago Redis last said something: since then, what the replica says may be out of date."""
        connection = self._connection
        return time.monotonic() - (self._heard if connection is None else connection.heard)

    async def call(self, command: Command, deadline: float | None, handle: Handle | None = None) -> Any:
        """One command and its answer, as `Connection.call`; otherwise as `call_all`."""
        (answer,) = await self.call_all([(command, handle)], deadline)
        return answer

    async def call_all(self, calls: Sequence[tuple[Command, Handle | None]], deadline: float | None) -> list[Any]:
        """Commands and their answers in one round trip, as `Connection.call_all`.

        Waits for the timeout at most, and not beyond `deadline`, a value of time.monotonic(). Raises Away at once while
        the link is down, Late, Refused.
        """
        connection = self._connection
        if connection is None:
            raise Away("not connected")
        wait = self._timeout if deadline is None else min(self._timeout, deadline - time.monotonic())
        if wait <= 0:
            raise Late
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
                connection.lose(_reason(error))
            raise
        self.round_trips["ok"] += 1
        return answers

    async def _keep_up(self) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            connection = Connection(self._timeout, self._pushed, self._lost)
            try:
                async with asyncio.timeout(max(_LEAST_CONNECT_SECONDS, self._timeout)):
                    await self._connect(connection)
                while True:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(PING_SECONDS):  # wait_for might swallow that we are cancelled
                            await self._nudge.wait()
                    self._nudge.clear()
                    with contextlib.suppress(Late):  # busy; were it silent, the connection would be lost
                        await self._prove(connection)
                        pause = _SHORTEST_PAUSE
            except Exception as error:  # of whatever kind: the next try may go better
                reason = _reason(error)
                connection.lose(reason)
                if reason != self._said:
                    log.warning("the online store cannot be used: %s", reason)
                    self._said = reason
            finally:
                connection.lose(_CLOSED)
            self._tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _connect(self, connection: Connection) -> None:
        """Connect, ask for invalidations, and only then look whether the data is what it was; then the link is up."""
        await self._address.open(connection)
        for command in (
            *self._address.greetings(),
            ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", PREFIX),
        ):
            await connection.call(command, _LEAST_CONNECT_SECONDS)
        again = self._marker is not None
        await self._prove(connection)
        await self._look_for_eviction(connection)
        if connection.lost:
            raise Away(connection.lost)
        self._on_connected()
        self._connection, self._said = connection, ""
        self.reconnects += again
        log.info("the online store is %s", "back" if again else "connected")
        self._tried.set()

    async def _prove(self, connection: Connection) -> None:
        """Write the marker if there is none, and read it: Redis takes writes, and its data is ours and that of before.

        A Redis that is full takes none; it is good enough if it has the marker.
        """
        refused = None
        try:
            command = ("SET", MARKER, self._fingerprint + b":" + secrets.token_bytes(16).hex().encode("ascii"), "NX")
            await connection.call(command, self._timeout)
        except Refused as error:
            if error.code not in _TAKES_NOTHING_NOW:
                raise
            refused = error
        marker = await connection.call(("GET", MARKER), self._timeout)
        if marker is None:
            raise refused or Away("its data vanishes")
        if marker.partition(b":")[0] != self._fingerprint:
            raise Away(_OTHER_KEY)
        if marker != self._marker and self._marker is not None:
            self.resets += 1
            self._on_reset()
            log.warning("the online store has lost its data, or is another one")
        self._marker = marker

    async def _look_for_eviction(self, connection: Connection) -> None:
        """Warn, once, of a Redis that throws away records when it is full: their people would not be found."""
        try:
            lines = (await connection.call(("INFO", "memory"), self._timeout)).splitlines()
        except Refused:  # not everybody may ask
            return
        said = dict(line.split(b":", 1) for line in lines if b":" in line)
        evicts = said.get(b"maxmemory", b"0") != b"0" and said.get(b"maxmemory_policy") != b"noeviction"
        if evicts and not self._evicts:
            log.warning("the online store may evict records, whose people are then not found: set noeviction")
        self._evicts = evicts

    def _pushed(self, message: list[Any]) -> None:
        if message[0] == b"invalidate":
            self._on_changed(message[1])
            if message[1] is None:
                self._nudge.set()  # everything is gone: the marker, too?

    def _lost(self, reason: str) -> None:
        if self._connection is None:
            return
        self._heard = self._connection.heard
        self._connection = None
        self.epoch += 1
        self._nudge.set()
        if reason != _CLOSED:
            log.warning("the online store is away: %s", reason)
        self._said = reason


def _reason(error: Exception) -> str:
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
