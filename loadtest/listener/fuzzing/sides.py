"""What a listener answers to bodies, and what the handlers say in this process, which no listener touches."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio

from loadtest.h2.client import LoadError
from loadtest.listener.fuzzing.requests import Method
from loadtest.listener.generator import Load, run
from loadtest.listener.trailers import TrailerReader
from serving.gateway import Gateway
from serving.listeners.handlers import Handlers
from serving.settings import Settings
from serving.store.facts import FactsEvent
from serving.warm import warm

STREAMS, MESSAGES = 8, 16
KEPT_BYTES = 1 << 18


@dataclass(frozen=True)
class Answer:
    """Of one call: grpc-status, its message, its details (`grpc-status-details-bin`), and the message that came."""

    status: int
    said: str
    details: bytes
    body: bytes | None


class Aborted(Exception):
    """A handler has ended its call."""


class _Context:
    """What handlers use of a call's context."""

    def __init__(self, bodies: Iterable[bytes] = ()) -> None:
        self.answer = Answer(0, "", b"", None)
        self.written: list[bytes] = []
        self._bodies = iter(bodies)

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> None:
        return None

    async def abort(self, code: Any, said: str = "", trailing: Any = ()) -> NoReturn:
        details = dict(trailing).get("grpc-status-details-bin", b"")
        self.answer = Answer(code.value[0], said, details, None)
        raise Aborted

    async def read(self) -> Any:
        return next(self._bodies, grpc.aio.EOF)

    async def write(self, message: bytes) -> None:
        self.written.append(message)


class Handled:
    """The gateway's handlers in this process, with everything behind them and no listener before them."""

    def __init__(self, model_repo: Path, cache: str = "off", **more: Any) -> None:
        """more: settings of its online store."""
        settings = Settings(
            model_repo=str(model_repo), cache=cache, log_level="error", repository_poll_seconds=0, **more
        )
        warm(store=bool(more), csv=False)
        asyncio.set_event_loop(asyncio.new_event_loop())  # gRPC's server asks for one; asyncio.run leaves none behind
        self.gateway = Gateway(settings)
        self.gateway.repository.scan()
        self.gateway.pipeline.starting = False
        listener: Any = self.gateway._grpc
        handlers: Handlers = listener._handlers
        self._of = handlers.of

    async def put(self, events: Iterable[FactsEvent]) -> None:
        """Connect to the online store and write facts into it, all that are there."""
        store: Any = self.gateway.store
        await store.start()
        await store.put(list(events), None)

    async def answers(self, method: Method, bodies: Sequence[bytes]) -> list[Answer]:
        """To each body."""
        handler = self._of[method.service][method.name]
        if method.streaming:
            context = _Context(bodies)
            await handler.stream_stream(None, context)
            return [Answer(0, "", b"", message) for message in context.written]
        return [await self._unary(handler, body) for body in bodies]

    async def _unary(self, handler: Any, body: bytes) -> Answer:
        context = _Context()
        try:
            return Answer(0, "", b"", await handler.unary_unary(body, context))
        except Aborted:
            return context.answer

    def close(self) -> None:
        """Let its threads end."""
        self.gateway.pipeline.close()


class Listener:
    """A gateway behind a listener of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._reader = TrailerReader()
        self._known: dict[bytes, tuple[int, str, bytes]] = {}

    async def answers(self, method: Method, bodies: Sequence[bytes]) -> list[Answer]:
        """To each body. Raises LoadError where not every one was answered."""
        load = Load(
            address=self._address,
            path=method.path,
            bodies=bodies,
            streams=1 if method.streaming else STREAMS,
            messages=MESSAGES if method.streaming else 0,
            seconds=300.0,
            calls=len(bodies),
            keep=len(bodies),
            keep_bytes=KEPT_BYTES,
            grace=60.0,
            distinct=1,
        )
        result = await asyncio.to_thread(run, load)
        if method.streaming:
            if set(result.statuses) != {0} or len(result.kept) != len(bodies):
                raise LoadError(
                    f"{method.path}: {len(result.kept)} answers to {len(bodies)} messages, "
                    f"statuses {dict(result.statuses)}, {dict(result.errors)}"
                )
            return [Answer(0, "", b"", result.kept[number]) for number in range(len(bodies))]
        if not all(result.trailers) or len(result.trailers) != len(bodies):
            unanswered = sum(not block for block in result.trailers)
            raise LoadError(f"{method.path}: {unanswered} of {len(bodies)} without trailers: {dict(result.errors)}")
        return [Answer(*self._said(block), result.kept.get(number)) for number, block in enumerate(result.trailers)]

    def _said(self, block: bytes) -> tuple[int, str, bytes]:
        """What trailers say; the same ones are read once."""
        found = self._known.get(block)
        if found is None:
            if len(self._known) > 50_000:
                self._known.clear()
            found = self._known[block] = self._reader.said(block)
        return found
