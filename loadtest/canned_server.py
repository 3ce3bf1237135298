"""A server that does nothing: every call gets one answer, unread. It shows what the load generator itself can reach.

`python -m loadtest.canned_server` prints `ready grpc=HOST:PORT`. It looks only for the last frame of each request.
"""

import socketserver

from loadtest.h2 import frames

_RENEW_AT = 1 << 29
_FIRST = b"\x20" + b"\x88" + b"\x0f\x10\x10application/grpc"
"""Table size 0; `:status` 200 (static 8); content-type (static 31) as a literal that enters no table."""
_LAST = b"\x00\x0bgrpc-status\x010"


class _Canned(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Answer the calls of one connection until it is closed."""
        wanted = {frames.INITIAL_WINDOW_SIZE: frames.LARGEST_WINDOW, frames.HEADER_TABLE_SIZE: 0}
        update = frames.window_update(0, frames.LARGEST_WINDOW - frames.DEFAULT_WINDOW)
        self.request.sendall(frames.settings(wanted) + update)
        left, skip, taken = b"", len(frames.PREFACE), 0
        while data := self.request.recv(1 << 18):
            data = left + data
            if len(data) < skip:
                left = data
                continue
            position, out, skip = skip, [], 0
            while len(data) - position >= 9:
                length, flags, stream = frames.HEAD.unpack_from(data, position)
                if position + 9 + (length >> 8) > len(data):
                    break
                position += 9 + (length >> 8)
                if length & 0xFF == frames.DATA:
                    taken += length >> 8
                    if flags & frames.END_STREAM:
                        out.append(_answer(stream))
            left = data[position:]
            if taken > _RENEW_AT:
                out.append(frames.window_update(0, taken))
                taken = 0
            self.request.sendall(b"".join(out))


def _answer(stream: int) -> bytes:
    return (
        frames.frame(frames.HEADERS, frames.END_HEADERS, stream, _FIRST)
        + frames.frame(frames.DATA, 0, stream, frames.message(b"canned"))
        + frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, _LAST)
    )


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


def serve() -> None:
    """Listen on a free port of 127.0.0.1 until the process is ended."""
    with _Server(("127.0.0.1", 0), _Canned) as server:
        print(f"ready grpc=127.0.0.1:{server.server_address[1]}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve()
