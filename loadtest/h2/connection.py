"""One HTTP/2 client connection as a state machine over bytes: calls go in, bytes come out, and the other way round.

It touches no socket and no clock. Fast where every call passes (a request that fits the windows, responses of three
frames), and plain everywhere else. Rules: RFC 9113, sections 5.1 (streams), 5.2 (flow control), 6 (frames).
"""

from loadtest.h2 import frames
from loadtest.h2.headers import HeaderError, HeaderReader

OK = 0
Outcome = int | str
"""How a call ended: its grpc-status, or in words why there is none."""


class ConnectionFailed(Exception):
    """The peer broke the protocol or the connection: nothing more can be asked of it."""


class Call:
    """One call: its number, when it began (ns), what has come back so far, and how it ended."""

    __slots__ = ("began", "body", "consumed", "http", "number", "outcome", "prefix", "received", "rest", "window")

    def __init__(self, number: int, began: int, keep: bool) -> None:
        self.number = number
        self.began = began
        self.body: bytearray | None = bytearray() if keep else None
        """The gRPC message with its prefix, when it was asked to be kept."""
        self.outcome: Outcome = "unanswered"
        self.http: int | None = None
        self.prefix = b""
        self.received = 0
        self.consumed = 0
        self.rest = memoryview(b"")
        self.window = 0

    def answer(self) -> bytes:
        """The message without its prefix, of a call that was kept and is answered."""
        return bytes(self.body[5:]) if self.body is not None else b""


class Connection:
    """Calls of one path on one connection.

    window: bytes the peer may send before an update, per stream and for the connection together; it is renewed at half.
    """

    def __init__(self, authority: str, path: str, window: int = frames.LARGEST_WINDOW) -> None:
        self.headers = HeaderReader()
        self.calls: dict[int, Call] = {}
        self.most_calls = frames.LARGEST_STREAM
        self.greeted = False
        self.closing = ""
        """Why no further call can begin, empty while one can."""
        self.next_stream = 1
        self.peer_window = frames.DEFAULT_WINDOW
        self.updates = 0
        """WINDOW_UPDATE frames sent after the first."""
        self._block = frames.header_block(authority, path)
        self._stream_window, self._window = window, max(window, frames.DEFAULT_WINDOW)
        self._consumed = 0
        self._peer_stream_window = frames.DEFAULT_WINDOW
        self._peer_frame = frames.DEFAULT_FRAME
        self._unsent: dict[int, Call] = {}
        self._partial = b""
        self._unfinished_block: tuple[int, int, bytes] | None = None
        wanted = {frames.HEADER_TABLE_SIZE: 0, frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: window}
        self._out = [frames.PREFACE, frames.settings(wanted)]
        if window > frames.DEFAULT_WINDOW:
            self._out.append(frames.window_update(0, window - frames.DEFAULT_WINDOW))

    @property
    def stateless(self) -> bool:
        """Whether the peer has entered nothing into a header table so far."""
        return self.headers.stateless

    def can_call(self) -> bool:
        """Whether one more call may begin now: the peer has said its settings and is not closing."""
        return self.greeted and not self.closing and len(self.calls) < self.most_calls

    def call(self, number: int, began: int, message: bytes, keep: bool = False, block: bytes = b"") -> None:
        """Begin a call. message: with its gRPC prefix; block: request fields, where they are not those of the path.

        Raises ConnectionFailed when the stream ids are used up.
        """
        stream = self.next_stream
        if stream > frames.LARGEST_STREAM:
            raise ConnectionFailed("all 2^30 stream ids of the connection are used: open another one")
        self.next_stream = stream + 2
        call = self.calls[stream] = Call(number, began, keep)
        size, block = len(message), block or self._block
        self._out.append(frames.HEAD.pack(len(block) << 8 | frames.HEADERS, frames.END_HEADERS, stream) + block)
        if (
            size <= self._peer_frame
            and size <= self._peer_stream_window
            and size <= self.peer_window
            and not self._unsent
        ):
            self.peer_window -= size
            self._out.append(frames.HEAD.pack(size << 8, frames.END_STREAM, stream) + message)
        else:
            call.rest, call.window = memoryview(message), self._peer_stream_window
            self._unsent[stream] = call
            self._send_rests()

    def output(self) -> bytes:
        """Bytes to send now; they are given once."""
        out = self._out
        if not out:
            return b""
        data = b"".join(out)
        out.clear()
        return data

    def receive(self, data: bytes) -> list[Call]:
        """Take bytes of the peer, return the calls they ended. Raises ConnectionFailed."""
        ended: list[Call] = []
        if self._partial:
            data = self._partial + data
        head = frames.HEAD.unpack_from
        position, end = 0, len(data)
        while end - position >= 9:
            length, flags, stream = head(data, position)
            kind = length & 0xFF
            start = position + 9
            position = start + (length >> 8)
            if position > end:
                if length >> 8 > frames.DEFAULT_FRAME:
                    raise ConnectionFailed(f"a frame of {length >> 8} bytes, {frames.DEFAULT_FRAME} were allowed")
                position = start - 9
                break
            payload = data[start:position]
            stream &= frames.LARGEST_STREAM
            if self._unfinished_block is not None and kind != frames.CONTINUATION:
                raise ConnectionFailed("a header block was interrupted")
            if kind == frames.DATA:
                self._on_data(stream, flags, payload, ended)
            elif kind == frames.HEADERS:
                if flags & (frames.PADDED | frames.PRIORITISED):
                    payload = frames.without_padding(flags, payload)
                if flags & frames.END_HEADERS:
                    self._on_headers(stream, flags, payload, ended)
                else:
                    self._unfinished_block = stream, flags, payload
            else:
                self._on_other(kind, stream, flags, payload, ended)
        self._partial = data[position:]
        return ended

    def abandon(self, reason: str) -> list[Call]:
        """End everything that is still open as `reason`: the connection is gone."""
        self.closing = self.closing or reason
        lost = list(self.calls.values())
        for call in lost:
            call.outcome = reason
        self.calls.clear()
        self._unsent.clear()
        return lost

    def _on_data(self, stream: int, flags: int, payload: bytes, ended: list[Call]) -> None:
        size = len(payload)  # padding counts in flow control
        self._consumed += size
        if self._consumed >= self._window >> 1:
            self._renew(0, self._consumed)
            self._consumed = 0
        call = self.calls.get(stream)
        if call is None:
            return
        call.consumed += size
        if flags & frames.PADDED:
            payload = frames.without_padding(flags, payload)
        call.received += len(payload)
        if len(call.prefix) < 5:
            call.prefix += payload[: 5 - len(call.prefix)]
        if call.body is not None:
            call.body += payload
        if flags & frames.END_STREAM:
            self._end(stream, "no trailers", ended)
        elif call.consumed >= self._stream_window >> 1:
            self._renew(stream, call.consumed)
            call.consumed = 0

    def _on_headers(self, stream: int, flags: int, block: bytes, ended: list[Call]) -> None:
        try:
            http, grpc = self.headers.read(block)
        except HeaderError as error:
            raise ConnectionFailed(str(error)) from error
        call = self.calls.get(stream)
        if call is None:
            return
        if http is not None:
            call.http = http
        if not flags & frames.END_STREAM:
            return
        if call.http != 200:
            self._end(stream, f"HTTP {call.http}", ended)
        elif grpc is None:
            self._end(stream, "no grpc-status", ended)
        elif grpc == OK and (
            len(call.prefix) != 5 or call.prefix[0] or int.from_bytes(call.prefix[1:]) != call.received - 5
        ):
            self._end(stream, "grpc-status 0 without exactly one message", ended)
        else:
            self._end(stream, grpc, ended)

    def _on_other(self, kind: int, stream: int, flags: int, payload: bytes, ended: list[Call]) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._on_window(stream, frames.word(payload) & frames.LARGEST_WINDOW)
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._on_settings(frames.read_settings(payload))
        elif kind == frames.RST_STREAM:
            self._unsent.pop(stream, None)
            self._end(stream, f"RST_STREAM {frames.word(payload)}", ended)
        elif kind == frames.GOAWAY:
            self._on_goaway(frames.word(payload) & frames.LARGEST_STREAM, frames.word(payload, 4), ended)
        elif kind == frames.CONTINUATION:
            if self._unfinished_block is None or self._unfinished_block[0] != stream:
                raise ConnectionFailed("a continuation of nothing")
            _, first_flags, block = self._unfinished_block
            self._unfinished_block = stream, first_flags, block + payload
            if flags & frames.END_HEADERS:
                self._unfinished_block = None
                self._on_headers(stream, first_flags, block + payload, ended)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFailed("a push, which was not allowed")

    def _on_window(self, stream: int, increment: int) -> None:
        if stream == 0:
            self.peer_window += increment
        elif stream in self._unsent:
            self._unsent[stream].window += increment
        if max(self.peer_window, *(call.window for call in self._unsent.values()), 0) > frames.LARGEST_WINDOW:
            raise ConnectionFailed("a flow-control window above 2^31 - 1")
        if self._unsent:
            self._send_rests()

    def _on_settings(self, values: dict[int, int]) -> None:
        self._peer_frame = values.get(frames.MAX_FRAME_SIZE, self._peer_frame)
        self.most_calls = values.get(frames.MAX_CONCURRENT_STREAMS, self.most_calls)
        window = values.get(frames.INITIAL_WINDOW_SIZE, self._peer_stream_window)
        for call in self._unsent.values():
            call.window += window - self._peer_stream_window  # may become negative: RFC 9113, section 6.9.2
        self._peer_stream_window = window
        self.greeted = True
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._send_rests()

    def _on_goaway(self, last: int, code: int, ended: list[Call]) -> None:
        self.closing = f"GOAWAY {code}"
        for stream in [stream for stream in self.calls if stream > last]:
            self._end(stream, self.closing, ended)

    def _send_rests(self) -> None:
        """Send what the windows allow of the messages that did not fit, oldest first."""
        for stream, call in list(self._unsent.items()):
            while call.rest and (size := min(len(call.rest), self._peer_frame, call.window, self.peer_window)) > 0:
                last = size == len(call.rest)
                self._out.append(frames.frame(frames.DATA, frames.END_STREAM * last, stream, call.rest[:size]))
                call.rest = call.rest[size:]
                call.window -= size
                self.peer_window -= size
            if not call.rest:
                del self._unsent[stream]
            if self.peer_window <= 0:
                return

    def _renew(self, stream: int, size: int) -> None:
        self._out.append(frames.window_update(stream, size))
        self.updates += 1

    def _end(self, stream: int, outcome: Outcome, ended: list[Call]) -> None:
        call = self.calls.pop(stream, None)
        if call is None:
            return
        if self._unsent.pop(stream, None) is not None:
            self._out.append(
                frames.reset(stream, frames.CANCEL)
            )  # answered before it was asked: our half is still open
        call.outcome = outcome
        ended.append(call)
