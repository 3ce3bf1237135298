"""HTTP/2 frames and gRPC messages as bytes: only what a client of unary calls sends and reads.

Frame layout and codes: RFC 9113, sections 4.1, 6 and 7. Header fields without a dynamic table: RFC 7541, section 6.2.2.
Message prefix: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from struct import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x1, 0x4, 0x8, 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5

NO_ERROR, CANCEL = 0x0, 0x8
DEFAULT_WINDOW, DEFAULT_FRAME = 65_535, 16_384
LARGEST_WINDOW = LARGEST_STREAM = 2**31 - 1

HEAD = Struct(">IBI")
"""The 9 bytes before every payload: length (24 bits) and type (8), flags, stream (the top bit is reserved)."""

_SETTING = Struct(">HI")
_WORD = Struct(">I")
_PREFIX = Struct(">BI")


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """One whole frame."""
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame: identifier -> value (RFC 9113, section 6.5.1)."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def read_settings(payload: bytes) -> dict[int, int]:
    """Identifier -> value of a SETTINGS payload; the last of a repeated identifier counts."""
    return dict(_SETTING.iter_unpack(payload))


def word(payload: bytes, start: int = 0) -> int:
    """The 32 bits at `start`: an error code, or a window increment, or a stream with its reserved bit."""
    (value,) = _WORD.unpack_from(payload, start)
    return int(value)


def window_update(stream: int, increment: int) -> bytes:
    """Let the peer send `increment` more bytes on `stream`, or on the connection when it is 0."""
    return frame(WINDOW_UPDATE, 0, stream, _WORD.pack(increment))


def reset(stream: int, code: int) -> bytes:
    """End `stream` at once."""
    return frame(RST_STREAM, 0, stream, _WORD.pack(code))


def without_padding(flags: int, payload: bytes) -> bytes:
    """What is left of a DATA or HEADERS payload without padding and priority (RFC 9113, sections 6.1 and 6.2)."""
    end = len(payload)
    start = 0
    if flags & PADDED:
        start, end = 1, end - payload[0]
    if flags & PRIORITISED:
        start += 5
    return payload[start:end]


def message(body: bytes) -> bytes:
    """A gRPC message, not compressed: flag, length, body."""
    return _PREFIX.pack(0, len(body)) + body


def header_block(authority: str, path: str) -> bytes:
    """The request fields of a unary call as literals that enter no table: the same bytes in every call."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "epm-loadtest"),
    )
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    """A string literal without Huffman coding; its length is an integer with a 7-bit prefix (RFC 7541, 5.1 and 5.2)."""
    raw = text.encode("ascii")
    length = len(raw)
    if length < 127:
        return bytes((length,)) + raw
    rest, coded = length - 127, bytearray((127,))
    while rest >= 128:
        coded.append(rest & 127 | 128)
        rest >>= 7
    coded.append(rest)
    return bytes(coded) + raw
