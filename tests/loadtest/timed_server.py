"""A server that answers one call in a fixed time, at most: what it can do is known."""

import contextlib
import socket
import threading
import time

from loadtest.h2 import frames
from tests.loadtest.fake_server import answer


class TimedServer:
    """Leaves `seconds` between two answers, and takes connections one after the other.

    An idle one answers at once. What a sleep takes longer is not lost: as long as calls wait, 1 / seconds of them are
    answered a second.
    """

    def __init__(self, seconds):
        self._service = seconds
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.sendall(frames.settings({}) + frames.window_update(0, 1 << 30))
                    self._talk(connection, connection.makefile("rb"))

    def _talk(self, connection, stream):
        stream.read(len(frames.PREFACE))
        free = 0.0
        while len(head := stream.read(9)) == 9:
            length, flags, number = frames.HEAD.unpack(head)
            stream.read(length >> 8)
            if length & 0xFF == frames.DATA and flags & frames.END_STREAM:
                now = time.monotonic()
                free = max(free + self._service, now - self._service)
                time.sleep(max(0.0, free - now))
                connection.sendall(answer(number))
