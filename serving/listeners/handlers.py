"""Calls of gRPC as coroutines: what a listener registers, whatever its transport is."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, TypeVar

import grpc
import grpc.aio

from serving.errors import EpmError, NotReady
from serving.listeners.defects import defect
from serving.listeners.health import SERVICE as HEALTH
from serving.listeners.health import Health
from serving.listeners.permission import Permission
from serving.listeners.reflection import reflection_service
from serving.pipeline import Priority
from serving.protocols.details import status as rpc_status
from serving.protocols.method import PRIORITY, Call, ClientStream, Intake, Method, Service, Stream, Unary, priority
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

log = logging.getLogger("epm.grpc")

SOONER_SECONDS, SOONER_SHARE = 0.02, 0.1
"""By how much, and by what share of the time it had, a caller may leave sooner than at its deadline."""
SHUTTING_DOWN = "this gateway is shutting down: ask another one"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Reading(Generic[T]):
    """A stream that is being read: what was begun for its messages, in order, None after the last one.

    A permit is taken for each message before it is read, and given back by who has done with it.
    """

    begun: "asyncio.Queue[asyncio.Task[T] | None]"
    permits: asyncio.Semaphore
    reader: "asyncio.Task[None]"

    @property
    def told_to_stop(self) -> bool:
        """After the None: whether it came from `drain`, and not because the caller had sent everything."""
        return self.reader.cancelled()


class Handlers:
    """The methods of all protocols, health and reflection. Raises SettingsError when the token's file is no good."""

    def __init__(self, services: list[Service], settings: Settings, metrics: Metrics) -> None:
        self._permission = Permission.load(settings.facts_token_file)
        self._window = settings.stream_window
        self._metrics = metrics
        self._readers: set[asyncio.Task[None]] = set()
        self._draining = self._streams_end = False
        self._running = 0
        names = [service.name for service in services]
        self._health = Health(names)
        self.of: dict[str, dict[str, grpc.RpcMethodHandler]] = {
            service.name: {name: self._handler(service, name, method) for name, method in service.methods.items()}
            for service in services
        }
        """By service and method."""
        self.of[HEALTH] = self._health.handlers()
        reflection, handlers = reflection_service([*names, HEALTH])
        self.of[reflection] = handlers

    def set_ready(self, ready: bool) -> None:
        """Tell health checkers."""
        self._health.set(ready)

    def stop_taking(self) -> None:
        """Refuse new calls and new messages from now on; what runs goes on."""
        self._draining = True
        self.end_health()
        self.end_streams()

    def end_health(self) -> None:
        """Tell health checkers that this server is about to leave."""
        self._health.close()

    def end_streams(self) -> None:
        """Take no more messages of streams, and no new streams; messages that have been read are answered."""
        self._streams_end = True
        for reader in self._readers:
            reader.cancel()

    @property
    def busy(self) -> bool:
        """Whether a call runs."""
        return self._running > 0 or self._health.watchers > 0

    def _handler(self, service: Service, name: str, method: Method) -> grpc.RpcMethodHandler:
        if isinstance(method, Stream):
            return grpc.stream_stream_rpc_method_handler(self._stream(service, name, method))
        if isinstance(method, ClientStream):
            return grpc.stream_unary_rpc_method_handler(self._client_stream(service, name, method))
        return grpc.unary_unary_rpc_method_handler(self._unary(service, name, method))

    def _unary(self, service: Service, name: str, method: Unary) -> Any:
        answer, measured, restricted = method.answer, (service.protocol, name), service.restricted
        begun, finished = self._metrics.begun, self._metrics.finished

        async def handle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            watch = begun(measured)
            call = Call(_deadline(context), watch=watch)
            outcome = "CANCELLED"
            runs = not self._draining  # one that is refused is not waited for: they may come without end
            self._running += runs
            try:
                self._admit(context, restricted, self._draining)
                call.priority = _priority(context)
                response = await answer(body, call)
                outcome = "OK"
                return response
            except EpmError as error:
                outcome = error.status.name
                await _abort(context, error)
            except asyncio.CancelledError:
                outcome = cut_off(call.deadline, watch.began)
                raise
            except Exception:
                outcome = "INTERNAL"
                await _abort(context, defect(log, name))
            finally:
                self._running -= runs
                finished(measured, call.model, outcome, watch)

        return handle

    def _stream(self, service: Service, name: str, method: Stream) -> Any:
        measured = (service.protocol, name)

        async def handle(_: Any, context: grpc.aio.ServicerContext) -> None:
            deadline, since = _deadline(context), time.monotonic()
            try:
                self._admit(context, service.restricted, self._streams_end)
                priority = _priority(context)
            except EpmError as error:
                self._metrics.finished(measured, None, error.status.name, self._metrics.begun(measured))
                await _abort(context, error)

            def begin(body: bytes) -> Coroutine[Any, Any, bytes]:
                return self._message(measured, method, body, Call(deadline, priority), since)

            with self._reading(context, self._window, begin) as stream:
                try:
                    while (answer := await stream.begun.get()) is not None:
                        await context.write(await answer)
                        stream.permits.release()
                except grpc.aio.InternalError:  # the caller left while an answer was being written
                    return
            if stream.told_to_stop:
                await _abort(context, NotReady(SHUTTING_DOWN))

        return handle

    def _client_stream(self, service: Service, name: str, method: ClientStream) -> Any:
        measured = (service.protocol, name)

        async def handle(_: Any, context: grpc.aio.ServicerContext) -> bytes:
            deadline, since = _deadline(context), time.monotonic()
            try:
                self._admit(context, service.restricted, self._streams_end)
                intake = method.open()
            except EpmError as error:
                self._metrics.finished(measured, None, error.status.name, self._metrics.begun(measured))
                await _abort(context, error)

            def begin(body: bytes) -> Coroutine[Any, Any, EpmError | None]:
                return self._taken(measured, intake, body, Call(deadline), since)

            received = 0
            try:
                with self._reading(context, min(method.window, self._window), begin) as stream:
                    while (taken := await stream.begun.get()) is not None:
                        if (wrong := await taken) is not None:
                            intake.failed(received, wrong)
                        received += 1
                        stream.permits.release()
                if stream.told_to_stop:
                    raise NotReady(SHUTTING_DOWN)
                return intake.answer(received)
            except EpmError as error:
                await _abort(context, error)
            except Exception:
                await _abort(context, defect(log, name))

        return handle

    def _admit(self, context: grpc.aio.ServicerContext, restricted: bool, leaving: bool) -> None:
        """Raises EpmError when the call must not begin."""
        if leaving:
            raise NotReady(SHUTTING_DOWN)
        if restricted:
            self._permission.check(context.invocation_metadata())

    @contextmanager
    def _reading(
        self, context: grpc.aio.ServicerContext, window: int, begin: Callable[[bytes], Coroutine[Any, Any, T]]
    ) -> Iterator[_Reading[T]]:
        """Read a stream: `begin` is called with each message, and `window` of what it began run at a time."""
        permits = asyncio.Semaphore(window)
        begun: asyncio.Queue[asyncio.Task[T] | None] = asyncio.Queue()

        async def read() -> None:
            while True:
                await permits.acquire()
                body = await context.read()
                if body is grpc.aio.EOF:
                    return
                begun.put_nowait(asyncio.ensure_future(begin(body)))

        reader = asyncio.ensure_future(read())
        reader.add_done_callback(lambda _: begun.put_nowait(None))  # one that is told to stop at once never runs
        self._readers.add(reader)
        self._running += 1
        try:
            yield _Reading(begun, permits, reader)
        finally:
            self._running -= 1
            self._readers.discard(reader)
            reader.cancel()
            while not begun.empty():
                if (task := begun.get_nowait()) is not None:
                    task.cancel()

    async def _message(self, measured: tuple[str, str], method: Stream, body: bytes, call: Call, since: float) -> bytes:
        """The answer to a message of a stream that began then."""
        watch, outcome = self._metrics.begun(measured), "CANCELLED"
        call.watch = watch
        try:
            response = await method.answer(body, call)
            outcome = "OK"
            return response
        except EpmError as error:
            outcome = error.status.name
            return method.failure(body, error)
        except asyncio.CancelledError:
            outcome = cut_off(call.deadline, since)
            raise
        except Exception:
            outcome = "INTERNAL"
            return method.failure(body, defect(log, measured[1]))
        finally:
            self._metrics.finished(measured, call.model, outcome, watch)

    async def _taken(
        self, measured: tuple[str, str], intake: Intake, body: bytes, call: Call, since: float
    ) -> EpmError | None:
        """What was wrong with a message of a client stream that began then; None when it was taken."""
        watch, outcome = self._metrics.begun(measured), "CANCELLED"
        try:
            await intake.take(body, call)
            outcome = "OK"
            return None
        except EpmError as error:
            outcome = error.status.name
            return error
        except asyncio.CancelledError:
            outcome = cut_off(call.deadline, since)
            raise
        except Exception:
            outcome = "INTERNAL"
            return defect(log, measured[1])
        finally:
            self._metrics.finished(measured, call.model, outcome, watch)


def _deadline(context: grpc.aio.ServicerContext) -> float | None:
    """As `time.monotonic()` counts; None when the caller set none."""
    remaining = context.time_remaining()
    return None if remaining is None else time.monotonic() + remaining


def cut_off(deadline: float | None, since: float) -> str:
    """The status of what is cancelled: its deadline has passed, or else its caller has left.

    At its deadline a client leaves. That is told here a moment before the deadline that was announced, which counts
    from when the call arrived, on a busy machine later than it was sent, and is rounded up by as much as 1 %.
    """
    now = time.monotonic()
    over = deadline is not None and now >= deadline - SOONER_SECONDS - SOONER_SHARE * (deadline - since)
    return "DEADLINE_EXCEEDED" if over else "CANCELLED"


def _priority(context: grpc.aio.ServicerContext) -> Priority:
    """As the metadata say. Raises InvalidInput."""
    for key, value in context.invocation_metadata() or ():
        if key == PRIORITY:
            return priority(value)
    return Priority.NORMAL


async def _abort(context: grpc.aio.ServicerContext, error: EpmError) -> NoReturn:
    details = (("grpc-status-details-bin", rpc_status(error).SerializeToString()),) if error.field else ()
    await context.abort(_CODES[error.status], error.message, details)
    raise AssertionError("abort always raises")
