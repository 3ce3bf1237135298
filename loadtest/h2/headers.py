"""Response header blocks of one connection -> (`:status`, `grpc-status`), decoded once each when the server allows it.

The client asks for a dynamic table of size 0. A server that honours it says so at the start of a block (a size update,
RFC 7541, section 4.2); from then on equal blocks mean equal headers, which are looked up and not decoded. Until a
server has said so, every block goes through one stateful decoder, in order, and nothing is remembered.
"""

from collections.abc import Iterable
from typing import Any

import hpack

Meaning = tuple[int | None, int | None]
"""`:status` and `grpc-status`, None where absent."""

_SIZE_UPDATE_TO_0 = 0x20
_MOST_REMEMBERED = 4096
_LARGEST_BLOCK = 1 << 20


class HeaderError(Exception):
    """A header block that cannot be read, or that uses a table the server was asked not to use."""


class HeaderReader:
    """Reads the header blocks of one connection. `stateless` tells whether the server honours table size 0."""

    def __init__(self) -> None:
        self.stateless = False
        self._stateful = hpack.Decoder(max_header_list_size=_LARGEST_BLOCK)
        self._known: dict[bytes, Meaning] = {}

    def read(self, block: bytes) -> Meaning:
        """The meaning of one block. Raises HeaderError."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            return self._decode(block)
        except (hpack.HPACKError, ValueError) as error:
            raise HeaderError(f"{type(error).__name__}: {error}") from error

    def _decode(self, block: bytes) -> Meaning:
        if not self.stateless and block[:1] == bytes((_SIZE_UPDATE_TO_0,)):
            self.stateless = True
        if not self.stateless:
            return _meaning(self._stateful.decode(block, raw=True))
        decoder = hpack.Decoder(max_header_list_size=_LARGEST_BLOCK)
        decoder.header_table_size = decoder.max_allowed_table_size = 0
        meaning = _meaning(decoder.decode(block, raw=True))
        if decoder.header_table_size:
            raise HeaderError("the server took a dynamic table after it had given it up")
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[block] = meaning
        return meaning


def _meaning(fields: Iterable[tuple[Any, Any]]) -> Meaning:
    """Raises ValueError when a status is no number."""
    values = dict(fields)
    http, grpc = values.get(b":status"), values.get(b"grpc-status")
    return (None if http is None else int(http)), (None if grpc is None else int(grpc))
