"""A server of plain sockets that answers as a test tells it to, also against the protocol."""

import contextlib
import socket
import threading

from loadtest.h2 import frames

HEADERS = b"\x88\x0f\x10\x10application/grpc"
"""`:status` 200 and the content type, entering no table."""
TRAILERS = b"\x00\x0bgrpc-status\x010"


def answer(stream, first=b"\x20" + HEADERS, body=b"answer", last=TRAILERS):
    """A whole unary answer; header blocks as bytes."""
    return (
        frames.frame(frames.HEADERS, frames.END_HEADERS, stream, first)
        + frames.frame(frames.DATA, 0, stream, frames.message(body))
        + frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, last)
    )


class FakeServer:
    """Accepts one connection, sends SETTINGS, then what `respond(stream)` gives for each finished request.

    When that is None the connection is closed. `settings` are those of the server, `window` is added to what it
    takes on the whole connection.
    """

    def __init__(self, respond, settings=None, window=0):
        self._respond = respond
        self._window = frames.window_update(0, window) if window else b""
        self._settings = settings or {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(10)

    def _serve(self):
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection:
                self._talk(connection)

    def _talk(self, connection):
        connection.sendall(frames.settings(self._settings) + self._window)
        data = _exactly(connection, len(frames.PREFACE))
        while data is not None:
            head = _exactly(connection, 9)
            if head is None:
                return
            length, flags, stream = frames.HEAD.unpack(head)
            data = _exactly(connection, length >> 8)
            if length & 0xFF == frames.DATA and flags & frames.END_STREAM:
                out = self._respond(stream)
                if out is None:
                    return
                connection.sendall(out)


def _exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            return None
        data += more
    return data
