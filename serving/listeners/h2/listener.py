"""The compiled listener: loops in threads, and in Python what they do not answer themselves."""

import asyncio
import errno
import logging
import os
import socket
import time
from functools import partial

import grpc

from serving.listeners.defects import defect
from serving.listeners.h2 import library
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.counted import METHODS, Counted, counts_of
from serving.listeners.h2.featured import Featured
from serving.listeners.h2.handed import CallContext, Ended, HandedCalls
from serving.listeners.h2.loop import Loop, MethodOf
from serving.listeners.h2.methods import CODECS, kind
from serving.listeners.h2.models import Models
from serving.listeners.h2.rings import Record
from serving.listeners.h2.stored import Stored
from serving.listeners.handlers import SHUTTING_DOWN, Handlers, cut_off
from serving.pipeline import Pipeline, Store
from serving.protocols.method import Service
from serving.settings import Settings
from serving.store.redis_store import OnlineStore
from serving.telemetry.metrics import Metrics

log = logging.getLogger("epm.grpc")

BACKLOG = 1024
AGAIN_SECONDS = 0.001
JOIN_SECONDS = 1.0
"""How long a loop may take to end after its time for draining."""


class H2Listener:
    """As `GrpcListener`, on loops without the GIL. Raises SettingsError also where libnghttp2 is not there."""

    def __init__(self, services: list[Service], settings: Settings, metrics: Metrics, pipeline: Pipeline) -> None:
        library.library()
        self._settings = settings
        self._handlers = Handlers(services, settings, metrics)
        self._notify = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._metrics = metrics
        self._counted = Counted(metrics)
        self._models = Models(pipeline, settings.loop_threads, self._counted)
        self._featured = Featured(pipeline, self._models.of, settings.batch_rows)
        self._stored = None if pipeline.store is None else _stored(pipeline.store)
        self._loops: list[Loop] = []
        self._handed: list[HandedCalls] = []
        self._to_wake: set[int] = set()
        self._codecs: list[int] = []
        """By number of the method."""
        metrics.watch_loops(lambda: counts_of(self._loops), self._settle)

    def set_ready(self, ready: bool) -> None:
        """Tell health checkers; and show the loops what is served now."""
        self._handlers.set_ready(ready)
        self._models.show(self._loops)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound. Raises OSError when it cannot be."""
        found = {
            f"/{service}/{name}": handler
            for service, methods in self._handlers.of.items()
            for name, handler in methods.items()
        }
        known = [MethodOf(path.encode(), kind(handler), CODECS.get(path, 0)) for path, handler in found.items()]
        self._codecs = [method.codec for method in known]
        by_number = dict(enumerate(found.values()))
        await asyncio.to_thread(library.compile_loop)
        sockets = _listen(host, port, self._settings.loop_threads, shared=bool(self._settings.worker))
        for number in range(len(sockets)):
            store = self._stored.address if self._stored is not None else 0
            shared = self._models.shared
            loop = await asyncio.to_thread(Loop, number, self._settings, known, shared, self._notify, store)
            self._loops.append(loop)
            self._handed.append(HandedCalls(by_number, partial(self._say, number), self._settings.max_message_bytes))
        bound = int(sockets[0].getsockname()[1])
        asyncio.get_running_loop().add_reader(self._notify, self._look)
        for loop, listening in zip(self._loops, sockets, strict=True):
            loop.start(listening)
        return bound

    async def drain(self, seconds: float) -> None:
        """Tell clients to call elsewhere, let running calls finish for at most so long, then leave.

        All calls are finished that clients made before they knew; streams end once all clients know.
        """
        give_up = time.monotonic() + seconds
        self._handlers.end_health()
        for loop in self._loops:
            loop.stop(seconds)
        while not all(loop.left for loop in self._loops) and time.monotonic() < give_up - seconds / 2:  # noqa: ASYNC110 (as below)
            await asyncio.sleep(0.01)
        self._take_all()
        await asyncio.sleep(0)  # streams that had come have begun
        self._handlers.end_streams()
        while self._busy and time.monotonic() < give_up:  # noqa: ASYNC110 (as in GrpcListener)
            await asyncio.sleep(0.01)
        for handed in self._handed:
            handed.end_all(Ended(grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN))
        left = max(give_up - time.monotonic(), 0.0) + JOIN_SECONDS
        await asyncio.gather(*(asyncio.to_thread(loop.join, left) for loop in self._loops))
        asyncio.get_running_loop().remove_reader(self._notify)

    @property
    def _busy(self) -> bool:
        """Whether anything is being answered; an open reflection stream has no more answers."""
        waits = sum(loop.calls for loop in self._loops) > sum(handed.running for handed in self._handed)
        return self._handlers.busy or waits

    def _look(self) -> None:
        """Take what the loops have handed over."""
        os.eventfd_read(self._notify)
        self._take_all()

    def _take_all(self) -> None:
        for loop, handed in zip(self._loops, self._handed, strict=True):
            for record in loop.from_loop.records():
                try:
                    self._take(loop, handed, record)
                except Exception:  # of whatever kind: the records behind it are others'
                    defect(log, "a call that was handed over")
        self._featured.run()

    def _take(self, loop: Loop, handed: HandedCalls, record: Record) -> None:
        """One record of a loop."""
        number = int(loop.words[at.NUMBER])
        if record.kind == ring.FEATURED:
            self._featured.take(number, record, partial(self._reply, number))
            return
        if record.kind == ring.CALL:
            self._featured.left(number, record)
        elif record.kind == ring.GONE and (model := self._featured.gone(number, record)) is not None:
            self._count_gone(record, model)
            return
        handed.take(record)

    def _say(
        self, number: int, record: int, call: CallContext, status: int, message: bytes | None, trailers: bytes
    ) -> None:
        """The answer of a handler, or a part of it."""
        if call.generation < 0:
            return
        if not self._put(number, record, call.stream, call.generation, status, message, trailers):
            call.cut_off(Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, "the answer is too large"))
            call.generation = -1

    def _reply(self, number: int, kind: int, record: Record, serial: int, outputs: bytes | None) -> None:
        """What a model says of featured rows."""
        self._put(number, kind, record.stream, record.generation, serial, outputs, b"")

    def _put(
        self,
        number: int,
        record: int,
        stream: int,
        generation: int,
        status: int,
        message: bytes | None,
        trailers: bytes,
    ) -> bool:
        """Put a record into a loop's ring, and wake the loop a little later; False if it is too large."""
        taken = self._loops[number].to_loop.say(record, stream, generation, status, message, trailers)
        if number not in self._to_wake:
            self._to_wake.add(number)
            asyncio.get_running_loop().call_soon(self._wake, number)
        return taken

    def _count_gone(self, record: Record, model: tuple[str, int]) -> None:
        """Count a call whose caller has left before the model answered."""
        deadline = record.deadline / 1e9 if record.deadline else None
        method = METHODS[self._codecs[record.method] - 1]
        watch = self._metrics.begun(method)
        status = cut_off(deadline, record.began / 1e9)
        self._metrics.finished(method, model, status, watch)

    def _settle(self) -> None:
        """Bring what was counted to the metrics."""
        self._models.tidy(self._loops)
        self._counted.settle(self._models.flats())
        if self._stored is not None:
            self._stored.settle(self._loops)

    def _wake(self, number: int) -> None:
        loop = self._loops[number]
        settled = loop.to_loop.settle()
        loop.wake()
        if settled:
            self._to_wake.discard(number)
        else:
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._wake, number)


def _stored(store: Store) -> Stored | None:
    """The replica of an online store that has one."""
    return Stored(store) if isinstance(store, OnlineStore) else None


def _listen(host: str, port: int, count: int, shared: bool) -> list[socket.socket]:
    """So many sockets that listen on one port. Raises OSError, also when somebody else listens there.

    shared: other processes may listen there as well.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise OSError(f"cannot listen for gRPC on {host}:{port}: {error.strerror}") from error
    made: list[socket.socket] = []
    try:
        if port and not shared:
            with socket.socket(family, socket.SOCK_STREAM) as alone:  # a port that others share would be ours as well
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(address)
        for _ in range(count):
            listening = socket.socket(family, socket.SOCK_STREAM)
            made.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.setblocking(False)
            listening.bind(address)
            address = (address[0], listening.getsockname()[1], *address[2:])
        for listening in made:
            listening.listen(BACKLOG)
    except OSError as error:
        for listening in made:
            listening.close()
        why = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
        raise OSError(f"cannot listen for gRPC on {host}:{port}: {why}") from error
    return made
