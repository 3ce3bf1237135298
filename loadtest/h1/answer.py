"""One HTTP/1.1 answer put together from the packets it comes in: RFC 9112, sections 4 to 7."""

import re

from loadtest.h2.connection import ConnectionFailed

LARGEST_HEAD = 1 << 16
"""Bytes of status line and header fields."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r", re.IGNORECASE)
_CHUNK = re.compile(rb"[0-9a-fA-F]{1,8}[ \t]*(;|$)")


class Answer:
    """Feed it bytes until it is complete. Every fault of the server is a ConnectionFailed."""

    def __init__(self) -> None:
        self.status = 0
        """0 until the head has come."""
        self.closes = False
        """Whether the server closes the connection after this answer."""
        self.body = bytearray()
        """Complete when `feed` says so."""
        self._length: int | None = None
        self._data = bytearray()

    def feed(self, data: bytes) -> bool:
        """Whether the answer is complete now. Raises ConnectionFailed."""
        self._data += data
        while not self.status:
            if not self._read_head():
                return False
        if self._length is None:
            return self._read_chunks()
        if len(self._data) > self._length:
            raise ConnectionFailed(f"{len(self._data) - self._length} bytes more than the answer has")
        self.body = self._data
        return len(self._data) == self._length

    def _read_head(self) -> bool:
        """Whether a head, also one of an interim answer (1xx), was there to take."""
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > LARGEST_HEAD:
                raise ConnectionFailed(f"no end of the head in {LARGEST_HEAD} bytes")
            return False
        head = bytes(self._data[: end + 2])
        del self._data[: end + 4]
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if not status:
            raise ConnectionFailed(f"no HTTP/1 answer: {head[:40]!r}")
        if status[1].startswith(b"1"):
            return True
        self.status, self.closes = int(status[1]), bool(_CLOSE.search(head))
        if _CHUNKED.search(head):
            return True
        if not length:
            raise ConnectionFailed(f"HTTP {self.status} neither with Content-Length nor chunked: its end is not known")
        self._length = int(length[1])
        return True

    def _read_chunks(self) -> bool:
        """Move whole chunks from what has come to the body."""
        at, data = 0, self._data
        while (line := data.find(b"\r\n", at)) >= 0:
            if not _CHUNK.match(data[at:line]):
                raise ConnectionFailed(f"no size of a chunk: {bytes(data[at:line][:20])!r}")
            size = int(data[at:line].partition(b";")[0], 16)
            if not size:
                return self._read_trailers(line)
            end = line + 2 + size
            if len(data) < end + 2:
                break
            if data[end : end + 2] != b"\r\n":
                raise ConnectionFailed("a chunk longer than its size")
            self.body += data[line + 2 : end]
            at = end + 2
        del data[:at]
        return False

    def _read_trailers(self, line: int) -> bool:
        """Whether the empty line that ends a chunked answer has come; `line`: where its last size ends."""
        end = self._data.find(b"\r\n\r\n", line)
        if end >= 0 and end + 4 != len(self._data):
            raise ConnectionFailed(f"{len(self._data) - end - 4} bytes more than the answer has")
        return end >= 0
