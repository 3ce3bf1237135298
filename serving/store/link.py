"""The online store's link to Redis: proves that the data is what it was, and hears what others change."""

import logging
import secrets
from collections.abc import Callable
from typing import Any

from serving.redis.connection import Away, Connection, Refused
from serving.redis.link import LEAST_CONNECT_SECONDS, Link
from serving.store.keys import PREFIX, HashKey

log = logging.getLogger("epm.store")

MARKER = b"epm:store"
"""Holds the fingerprint of the key under which ids are hashed, a colon, and a random id of the data: gone, or another
one, when Redis came back empty or is another Redis."""
CALLED = "the online store"
_TAKES_NOTHING_NOW = ("OOM", "MISCONF", "NOREPLICAS")
"""Answers to writing by a Redis that can still be read."""
_OTHER_KEY = "it belongs to gateways with another EPM_HASH_KEY_FILE"


class StoreLink(Link):
    """A link that is up while the data is that of this store.

    While `up`, whatever Redis says of keys below PREFIX reaches on_changed in order: names of keys, or None for all of
    them. on_connected: Redis is there, for the first time or again, and `age_seconds` still says how long it was away;
    on_reset, before it: the data is not what it was. on_proved: it
    has just been found to be there, again and again; on_lost: Redis is away.
    """

    def __init__(
        self,
        url: str,
        hash_key: HashKey,
        timeout_seconds: float,
        on_connected: Callable[[], None],
        on_proved: Callable[[], None],
        on_lost: Callable[[], None],
        on_changed: Callable[[list[bytes] | None], None],
        on_reset: Callable[[], None],
    ) -> None:
        """hash_key: under which ids are hashed; data under another one is not used."""
        super().__init__(url, "EPM_REDIS_URL", CALLED, log, timeout_seconds)
        self._hash_key = hash_key
        self._fingerprint = b""
        self._on_changed = on_changed
        self._on_reset = on_reset
        self._marker: bytes | None = None
        self._evicts = False
        self._on_connected = on_connected
        self._on_proved = on_proved
        self._on_lost = on_lost
        self.resets = 0
        """How often Redis came back empty, was emptied, or was another one."""

    async def begin(self, connection: Connection) -> None:
        """Ask for invalidations, before anybody looks whether the data is what it was."""
        self._fingerprint = self._hash_key.fingerprint()
        command = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", PREFIX)
        await connection.call(command, LEAST_CONNECT_SECONDS)

    async def prove(self, connection: Connection) -> None:
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
            raise refused or Away(CALLED, "its data vanishes")
        if marker.partition(b":")[0] != self._fingerprint:
            raise Away(CALLED, _OTHER_KEY)
        if marker != self._marker and self._marker is not None:
            self.resets += 1
            self._on_reset()
            log.warning("the online store has lost its data, or is another one")
        self._marker = marker

    async def look_around(self, connection: Connection) -> None:
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

    def connected(self) -> None:
        """Hand it on."""
        self._on_connected()

    def proved(self) -> None:
        """Hand it on."""
        self._on_proved()

    def lost(self) -> None:
        """Hand it on."""
        self._on_lost()

    def pushed(self, message: list[Any]) -> None:
        """Hand on what was changed."""
        if message[0] == b"invalidate":
            self._on_changed(message[1])
            if message[1] is None:
                self.nudge()  # everything is gone: the marker, too?
