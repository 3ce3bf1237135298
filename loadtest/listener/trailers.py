"""Trailers from their bytes, by libnghttp2: status, message, details; ten times as fast as Python reads them."""

import base64
import ctypes
import functools
from typing import Any
from urllib.parse import unquote

from loadtest.h2.client import LoadError

NAME = "libnghttp2.so.14"
SIZE_UPDATE_TO_0 = b"\x20"
"""Said before each block, so that none can use what another one has put into the table (RFC 7541, section 4.2)."""
FINAL, EMITTED = 1, 2
"""NGHTTP2_HD_INFLATE_FINAL: there are no more; NGHTTP2_HD_INFLATE_EMIT: a header is there."""


class _Header(ctypes.Structure):
    """nghttp2_nv."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("value", ctypes.c_void_p),
        ("name_size", ctypes.c_size_t),
        ("value_size", ctypes.c_size_t),
        ("flags", ctypes.c_uint8),
    )


@functools.cache
def _library() -> Any:
    """Raises LoadError where it is not there."""
    try:
        library = ctypes.CDLL(NAME)
    except OSError:
        raise LoadError(f"{NAME} is not here: apt-get install libnghttp2-14") from None
    library.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t
    library.nghttp2_hd_inflate_hd2.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
    return library


class TrailerReader:
    """Reads trailers that use no dynamic table."""

    def __init__(self) -> None:
        self._library = _library()
        self._inflater = ctypes.c_void_p()
        self._library.nghttp2_hd_inflate_new(ctypes.byref(self._inflater))

    def fields(self, block: bytes) -> dict[bytes, bytes]:
        """Names and values; of a repeated name the last one. Raises LoadError."""
        header, flags, at = _Header(), ctypes.c_int(), 0
        block = SIZE_UPDATE_TO_0 + block
        found: dict[bytes, bytes] = {}
        while True:
            read = self._library.nghttp2_hd_inflate_hd2(
                self._inflater, ctypes.byref(header), ctypes.byref(flags), block[at:], len(block) - at, 1
            )
            if read < 0:
                raise LoadError(f"trailers that cannot be read without a table: {block.hex()}")
            at += read
            if flags.value & EMITTED:
                name = ctypes.string_at(header.name, header.name_size)
                found[name] = ctypes.string_at(header.value, header.value_size)
            if flags.value & FINAL:
                self._library.nghttp2_hd_inflate_end_headers(self._inflater)
                return found

    def said(self, block: bytes) -> tuple[int, str, bytes]:
        """grpc-status, its message, `grpc-status-details-bin`. Raises LoadError."""
        fields = self.fields(block)
        status = fields.get(b"grpc-status", b"")
        if not status.isdigit():
            raise LoadError(f"trailers without a status: {fields}")
        message = unquote(fields.get(b"grpc-message", b"").decode("latin-1"), errors="surrogateescape")
        details = fields.get(b"grpc-status-details-bin", b"")
        return int(status), message, base64.b64decode(details + b"=" * (-len(details) % 4))
