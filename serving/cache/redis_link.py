"""The prediction cache's link to Redis: hears which predictions other gateways drop."""

import logging
from collections.abc import Callable
from typing import Any

from serving.redis.connection import Connection, Refused
from serving.redis.link import Link

log = logging.getLogger("epm.cache")

PREFIX = b"epm:p:"
"""What the names of kept predictions begin with."""
CHANNEL = b"epm:predictions"
"""Where drops are published: 16 bytes for each key, nothing for all of them."""
CALLED = "the prediction cache"
_LEAST_SILENCE_SECONDS = 1.0
_NOBODY = PREFIX + b"-"
"""A name that no prediction has."""


class CacheLink(Link):
    """A link that hands every message of the channel to on_message, and says on_connected whenever it is up again.

    A Redis that is slow is asked no more, by whoever uses this, but the connection is given up only after a second
    without any answer: with it, all that was known locally.
    """

    def __init__(
        self,
        url: str,
        setting: str,
        timeout_seconds: float,
        on_connected: Callable[[], None],
        on_message: Callable[[bytes], None],
    ) -> None:
        silence = max(_LEAST_SILENCE_SECONDS, timeout_seconds)
        super().__init__(url, setting, CALLED, log, timeout_seconds, silence)
        self._on_connected = on_connected
        self._on_message = on_message

    async def begin(self, connection: Connection) -> None:
        """Listen. Whether that is allowed shows in the answer to the first proof."""
        connection.tell(("SUBSCRIBE", CHANNEL))

    async def prove(self, connection: Connection) -> None:
        """Find out, too, whether it takes writes at all: a replica refuses also to forget what it does not have.

        One that takes none now, as it is full or its disk is, can be read.
        """
        await super().prove(connection)
        try:
            await connection.call(("UNLINK", _NOBODY), self._silence)
        except Refused as error:
            if error.code == "READONLY":
                raise

    def connected(self) -> None:
        """Hand it on."""
        self._on_connected()

    def pushed(self, message: list[Any]) -> None:
        """Hand on what was published."""
        if message[0] == b"message":
            self._on_message(message[2])
