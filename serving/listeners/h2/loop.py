"""One loop: its memory, its socket, its thread."""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.listeners.h2 import count_kernels, library, methods
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import nghttp2_kernels as h2
from serving.listeners.h2.rings import FromLoop, ToLoop
from serving.settings import Settings

log = logging.getLogger("epm.grpc")

BUFFER = 1 << 18
MOST_EVENTS = 256
MAX_HEADERS = 16384
WINDOW = 1 << 18
"""Bytes of a stream that may be unread."""
SECOND = 1_000_000_000
SLOW_SECONDS, PING_SECONDS = 20.0, 60.0


@dataclass(frozen=True, slots=True)
class MethodOf:
    """A method as loops know it."""

    path: bytes
    kind: int
    codec: int


class Loop:
    """Lives from `start` to the end of its thread."""

    def __init__(
        self,
        number: int,
        settings: Settings,
        known: Sequence[MethodOf],
        shared: NDArray[np.int64],
        notify: int,
        store: int = 0,
    ) -> None:
        """shared: int64[2], which models there are; notify: an eventfd, written to when something is handed over.

        store: address of the online store's words, 0 for none.
        """
        self._kept: list[Any] = [shared]
        self.words = np.zeros(at.LOOP, np.int64)
        self.address = self.words.ctypes.data
        self.wake_descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        connections, streams = settings.max_connections, settings.max_open_calls
        self.from_loop = FromLoop(2 * settings.max_message_bytes + (1 << 20))
        self.to_loop = ToLoop(4 * settings.max_message_bytes + (1 << 20))
        self.counts = self._array(count_kernels.COUNTS)
        table = self._array(connections * at.CONNECTION).reshape(connections, at.CONNECTION)
        table[:, at.FD] = -1
        kept: list[NDArray[np.uint8]] = []
        self._kept.append(kept)
        said = methods.sentences(settings.max_message_bytes, MAX_HEADERS)
        sentences = [np.frombuffer(bytearray(text), np.uint8) for text in said]
        kept += sentences
        paths = [np.frombuffer(bytearray(method.path), np.uint8) for method in known]
        kept += paths
        rows = [
            [path.ctypes.data, path.size, 0, method.kind, method.codec, 0, 0, 0]
            for path, method in zip(paths, known, strict=True)
        ]
        window = np.array(
            [
                h2.MAX_CONCURRENT_STREAMS,
                settings.max_streams,
                h2.INITIAL_WINDOW_SIZE,
                WINDOW,
                h2.MAX_HEADER_LIST_SIZE,
                MAX_HEADERS,
            ],
            np.int32,
        )
        answer = ((b":status", b"200"), (b"content-type", b"application/grpc"))
        values = {
            at.LISTENER: -1,
            at.WAKE: self.wake_descriptor,
            at.CALLBACKS: library.callbacks(),
            at.OPTIONS: library.options(settings.max_streams),
            at.CONNECTIONS: self._keep(table),
            at.CONNECTION_COUNT: connections,
            at.FREE_CONNECTIONS: self._keep(np.arange(connections)[::-1].astype(np.int64)),
            at.FREE_CONNECTION_COUNT: connections,
            at.STREAMS: self._keep(self._array(streams * at.STREAM)),
            at.STREAM_COUNT: streams,
            at.FREE_STREAMS: self._keep(np.arange(streams)[::-1].astype(np.int64)),
            at.FREE_STREAM_COUNT: streams,
            at.BUFFER: self._keep(np.empty(BUFFER, np.uint8)),
            at.BUFFER_SIZE: BUFFER,
            at.SENDING: self._keep(np.empty(BUFFER, np.uint8)),
            at.SENDING_SIZE: BUFFER,
            at.EVENTS: self._keep(np.zeros(3 * MOST_EVENTS, np.int32)),
            at.EVENT_COUNT: MOST_EVENTS,
            at.SMALL: self._keep(self._array(64)),
            at.MEMORY_LIMIT: settings.message_memory_bytes // settings.loop_threads,
            at.READY: self._keep(self._array(streams)),
            at.DIRTY: self._keep(self._array(connections)),
            at.METHODS: self._keep(np.array(rows, np.int64)),
            at.METHOD_COUNT: len(rows),
            at.HEADERS_OK: self._keep(methods.nghttp2_pairs(answer, kept)),
            at.TRAILERS_OK: self._keep(methods.nghttp2_pairs(((b"grpc-status", b"0"),), kept)),
            at.HEADERS_REFUSED: self._keep(methods.nghttp2_pairs(((b":status", b"415"),), kept)),
            at.PROVIDER: self._keep(np.array([0, library.data_reader()], np.int64)),
            at.SETTINGS: self._keep(window),
            at.SETTINGS_COUNT: 3,
            at.MAX_MESSAGE: settings.max_message_bytes,
            at.MAX_HEADERS: MAX_HEADERS,
            at.WINDOW: WINDOW,
            at.MESSAGES: settings.stream_window,
            at.IDLE: int(settings.idle_seconds * SECOND),
            at.SLOW: int(SLOW_SECONDS * SECOND),
            at.PING_AFTER: int(PING_SECONDS * SECOND),
            at.AGE: int(settings.max_connection_age_seconds * SECOND),
            at.TO_PYTHON: self.from_loop.ring.address,
            at.FROM_PYTHON: self.to_loop.ring.address,
            at.NOTIFY: notify,
            at.NUMBER: number,
            at.COUNTED: self.counts.ctypes.data,
            at.TABLE_ADDRESS: shared.ctypes.data,
            at.HAND_ALL: settings.listener == "h2_python",
            at.METRICS: settings.metrics == "on",
            at.SAID: self._keep(np.array([[text.ctypes.data, text.size] for text in sentences], np.int64)),
            at.SELF: self.address,
            at.STORE: store,
            at.STUCK_AT: -1,
            **library.steps(),
        }
        for word, value in values.items():
            self.words[word] = value
        self._thread: threading.Thread | None = None

    def start(self, listener: socket.socket) -> None:
        """Serve the socket, which belongs to the loop from now on."""
        descriptor = listener.detach()
        epoll = select.epoll()
        self._kept.append(epoll)
        self.words[at.EPOLL], self.words[at.LISTENER] = epoll.fileno(), descriptor
        for number, fd in ((-1, descriptor), (-2, self.wake_descriptor)):
            _watch(epoll.fileno(), fd, number)
        self._thread = threading.Thread(target=self._run, name=f"epm-loop-{self.words[at.NUMBER]}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Have it look at its ring, and at what is shared."""
        os.eventfd_write(self.wake_descriptor, 1)

    def stop(self, seconds: float) -> None:
        """Have it drain, for at most so long."""
        self.words[at.DRAIN_UNTIL] = time.monotonic_ns() + int(seconds * SECOND)
        self.words[at.STOP] = 1
        self.wake()

    def join(self, seconds: float) -> None:
        """Wait for its end; after so many seconds have it end at once."""
        if self._thread is not None:
            self._thread.join(seconds)
            self.words[at.STOP] = 2
            self.wake()
            self._thread.join(5.0)

    @property
    def left(self) -> bool:
        """Whether all clients have heard that it drains: no new call comes any more."""
        return bool(self.words[at.DRAINING] == at.LEAVING) or self._thread is None or not self._thread.is_alive()

    @property
    def calls(self) -> int:
        """Calls that are open."""
        return int(self.words[at.STREAM_COUNT] - self.words[at.FREE_STREAM_COUNT])

    @property
    def seen(self) -> int:
        """The epoch of the models that it has reached."""
        return int(self.words[at.SEEN])

    def _run(self) -> None:
        from serving.listeners.h2.loop_kernels import run

        try:
            cut = run(self.address)
        except BaseException:
            log.exception("a loop ended: the process ends, too")
            os._exit(70)
        if cut:
            log.info("%d connections were cut off with calls on them", cut)

    def _array(self, count: int) -> NDArray[np.int64]:
        made = np.zeros(count, np.int64)
        self._kept.append(made)
        return made

    def _keep(self, array: NDArray[Any]) -> int:
        self._kept.append(array)
        return int(array.ctypes.data)


def _watch(epoll: int, descriptor: int, number: int) -> None:
    """epoll_ctl with a number that tells who it is, where select.epoll only takes the descriptor."""
    import ctypes

    event = np.array([select.EPOLLIN, number, 0], np.int32)
    if ctypes.CDLL(None, use_errno=True).epoll_ctl(epoll, 1, descriptor, ctypes.c_void_p(event.ctypes.data)):
        raise OSError(ctypes.get_errno(), "epoll_ctl")
