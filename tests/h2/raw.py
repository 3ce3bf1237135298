"""A client that says any bytes: frames of HTTP/2 over a socket, right ones and wrong ones."""

import contextlib
import socket
import struct
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import hpack

from loadtest.h2 import frames

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR = range(
    7
)
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(7, 12)
PATIENCE = 15.0
"""Seconds to wait for anything at all."""
LIVE = "/inference.GRPCInferenceService/ServerLive"
STREAM = "/epm.v1.PredictionService/StreamPredict"
IS_LIVE = b"\x08\x01"
"""What `LIVE` answers."""


@dataclass
class Frame:
    """One frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """Of RST_STREAM and GOAWAY."""
        return frames.word(self.payload, 4 if self.kind == frames.GOAWAY else 0)


@dataclass
class Outcome:
    """What came back on a stream: headers, trailers, data; how it was reset, if it was."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    ended: bool = False
    sizes: list[int] = field(default_factory=list)
    """Of the DATA frames."""

    @property
    def status(self) -> int:
        """grpc-status; -1 where there is none."""
        return int(self.headers.get("grpc-status", -1))

    @property
    def messages(self) -> list[bytes]:
        """The messages of the answer, without their prefixes."""
        found, place = [], 0
        while place < len(self.data):
            (size,) = struct.unpack_from(">I", self.data, place + 1)
            found.append(self.data[place + 5 : place + 5 + size])
            place += 5 + size
        return found


class Closed(Exception):
    """The server has closed the connection."""


class Raw:
    """A connection. It says nothing by itself but acknowledgements of SETTINGS and PING, when it reads them."""

    def __init__(
        self, address: str, greet: bool = True, settings: dict[int, int] | None = None, buffer: int = 0
    ) -> None:
        """buffer: bytes of the socket's receive buffer, where it is not to be the usual one."""
        host, _, port = address.rpartition(":")
        self.authority = address
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.streams: defaultdict[int, Outcome] = defaultdict(Outcome)
        self.goaway: Frame | None = None
        self.ended = False
        """Whether the server has closed it."""
        self.settings: dict[int, int] = {}
        self.pings: list[Frame] = []
        self.asked, self.lives = 0, True
        """Times that the server asked for a sign of life; whether it gets one."""
        self.acknowledged = 0
        """SETTINGS of ours that the server has acknowledged."""
        self.credit: dict[int, int] = {}
        """Bytes that the server has let us send beyond the first window, by stream; 0: the connection."""
        self._decoder = hpack.Decoder()
        self._encoder = hpack.Encoder()
        self._encoder.header_table_size = 0
        self._came = b""
        self._block = b""
        if greet:
            self.send(frames.PREFACE + frames.settings(settings or {}))

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Bytes, as they are. Raises Closed, after all that the server said before has been read."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            self.end()
            raise Closed from None

    def block(self, fields: list[tuple[str, str]]) -> bytes:
        """A header block that enters nothing into a table."""
        return self._encoder.encode(fields, huffman=False)

    def fields(self, path: str = LIVE, **others: str) -> list[tuple[str, str]]:
        """Those of a gRPC call; names of others with _ for -."""
        return [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", self.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *((name.replace("_", "-"), value) for name, value in others.items()),
        ]

    def headers(self, stream: int, fields: list[tuple[str, str]], end: bool = False) -> bytes:
        """A HEADERS frame."""
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return frames.frame(frames.HEADERS, flags, stream, self.block(fields))

    def call(self, stream: int, body: bytes = b"", path: str = LIVE, **others: str) -> bytes:
        """The frames of a whole unary call, its message in frames of at most 16 KiB."""
        return self.headers(stream, self.fields(path, **others)) + data(stream, frames.message(body), end=True)

    def ask(self, stream: int, body: bytes = b"", path: str = LIVE, **others: str) -> Outcome:
        """Call and wait for the end of the answer."""
        self.send(self.call(stream, body, path, **others))
        return self.outcome(stream)

    def outcome(self, stream: int) -> Outcome:
        """Wait for the end of a stream. Raises Closed."""
        found = self.streams[stream]
        self.until(lambda: found.ended)
        return found

    def until(self, holds: Callable[[], object]) -> None:
        """Read frames until something holds. Raises Closed, TimeoutError."""
        while not holds():
            self.read()

    def settle(self) -> None:
        """Wait until the server has read everything sent so far: it answers a PING after it."""
        mark = struct.pack(">Q", len(self.pings) + 1)
        self.send(frames.frame(frames.PING, 0, 0, mark))
        self.until(lambda: any(ping.payload == mark for ping in self.pings))

    def end(self) -> int | None:
        """Read until the server closes the connection; the code of its GOAWAY, None where there was none."""
        try:
            while True:
                self.read()
        except Closed:
            return self.goaway.code if self.goaway else None

    def read(self) -> Frame:
        """The next frame. Raises Closed."""
        while len(self._came) < 9 or len(self._came) < 9 + int.from_bytes(self._came[:3], "big"):
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                more = b""
            if not more:
                self.ended = True
                raise Closed
            self._came += more
        size = int.from_bytes(self._came[:3], "big")
        kind, flags, stream = self._came[3], self._came[4], frames.word(self._came, 5)
        frame = Frame(kind, flags, stream, self._came[9 : 9 + size])
        self._came = self._came[9 + size :]
        self._take(frame)
        return frame

    def _take(self, frame: Frame) -> None:
        outcome = self.streams[frame.stream] if frame.stream else Outcome()
        if frame.kind == frames.SETTINGS and frame.flags & frames.ACK:
            self.acknowledged += 1
        elif frame.kind == frames.SETTINGS:
            self.settings |= frames.read_settings(frame.payload)
            with contextlib.suppress(ConnectionError):  # what it has said before it closed is read all the same
                self.socket.sendall(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif frame.kind == frames.PING and frame.flags & frames.ACK:
            self.pings.append(frame)
        elif frame.kind == frames.PING:
            self.asked += 1
            if self.lives:
                self.send(frames.frame(frames.PING, frames.ACK, 0, frame.payload))
        elif frame.kind == frames.GOAWAY:
            self.goaway = frame
        elif frame.kind == frames.WINDOW_UPDATE:
            self.credit[frame.stream] = self.credit.get(frame.stream, 0) + frames.word(frame.payload)
        elif frame.kind == frames.RST_STREAM:
            if not outcome.ended:
                outcome.reset = frame.code
            outcome.ended = True
        elif frame.kind in (frames.HEADERS, frames.CONTINUATION):
            self._block += frame.payload
            if frame.flags & frames.END_HEADERS:
                outcome.headers |= dict(self._decoder.decode(self._block))
                self._block = b""
            outcome.ended |= bool(frame.flags & frames.END_STREAM)
        elif frame.kind == frames.DATA:
            outcome.data += frame.payload
            outcome.sizes.append(len(frame.payload))
            outcome.ended |= bool(frame.flags & frames.END_STREAM)


def data(stream: int, body: bytes, end: bool = False, size: int = frames.DEFAULT_FRAME) -> bytes:
    """DATA frames of at most `size` bytes each."""
    parts = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    return b"".join(
        frames.frame(frames.DATA, frames.END_STREAM if end and i == len(parts) - 1 else 0, stream, part)
        for i, part in enumerate(parts)
    )


def padded(stream: int, body: bytes, pad: int, end: bool = False) -> bytes:
    """A DATA frame with padding."""
    flags = frames.PADDED | (frames.END_STREAM if end else 0)
    return frames.frame(frames.DATA, flags, stream, bytes((pad,)) + body + bytes(pad))


def filler(size: int) -> bytes:
    """A message of about so many bytes that every reader of protocol buffers takes: a field that it does not know."""
    length = bytearray()
    rest = size
    while rest >= 128:
        length.append(rest & 127 | 128)
        rest >>= 7
    return b"\xfa\x7f" + bytes((*length, rest)) + b"x" * size
