"""The portable gRPC listener: grpc.aio. All protocols on one port, with health and reflection."""

import asyncio
import logging
import time
from typing import Any, NoReturn

import grpc
import grpc.aio

from serving.errors import EpmError, NotReady
from serving.listeners.defects import defect
from serving.listeners.health import SERVICE as HEALTH
from serving.listeners.health import Health
from serving.listeners.reflection import reflection_service
from serving.protocols.details import status as rpc_status
from serving.protocols.method import Call, Service, Stream, Unary
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

log = logging.getLogger("epm.grpc")
# A caller that left before its answer was written is none of grpc's exceptions to log with a traceback.
logging.getLogger("grpc._cython.cygrpc").addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))
)

SHUTTING_DOWN = "this gateway is shutting down: ask another one"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcListener:
    """Registers the services of all protocols on one port."""

    def __init__(self, services: list[Service], settings: Settings, metrics: Metrics) -> None:
        self._window = settings.stream_window
        self._metrics = metrics
        self._readers: set[asyncio.Task[None]] = set()
        self._draining = False
        self._running = 0
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", settings.max_streams),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),  # a peer that vanished does not hold its streams for ever
            ]
        )
        names = [service.name for service in services]
        self._health = Health(names)
        for service in services:
            methods = service.methods.items()
            self._register(service.name, {name: self._handler(service, name, method) for name, method in methods})
        self._register(HEALTH, self._health.handlers())
        self._register(*reflection_service([*names, HEALTH]))

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound. Raises OSError when it cannot be."""
        try:
            bound = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen for gRPC on {host}:{port}: {error}") from error
        await self._server.start()
        return bound

    def set_ready(self, ready: bool) -> None:
        """Tell health checkers."""
        self._health.set(ready)

    async def drain(self, seconds: float) -> None:
        """Refuse new calls and new messages, let running ones finish for at most so long, then leave.

        A server that is stopping cancels new calls, and a client does not try a cancelled call elsewhere. So it is
        stopped only when nothing runs any more, and until then new calls are UNAVAILABLE.
        """
        self._draining = True
        self._health.close()
        for reader in self._readers:
            reader.cancel()
        give_up = time.monotonic() + seconds
        while self._running and time.monotonic() < give_up:  # noqa: ASYNC110 (an event would cost every call something)
            await asyncio.sleep(0.01)
        await self._server.stop(min(2.0, seconds))  # answers on their way out; an open reflection stream has no more

    def _register(self, service: str, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        self._server.add_registered_method_handlers(service, handlers)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def _handler(self, service: Service, name: str, method: Unary | Stream) -> grpc.RpcMethodHandler:
        if isinstance(method, Stream):
            return grpc.stream_stream_rpc_method_handler(self._stream(service.protocol, name, method))
        return grpc.unary_unary_rpc_method_handler(self._unary(service.protocol, name, method))

    def _unary(self, protocol: str, name: str, method: Unary) -> Any:
        answer, finished = method.answer, self._metrics.finished

        async def handle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
            began = time.perf_counter()
            remaining = context.time_remaining()
            call = Call(None if remaining is None else time.monotonic() + remaining)
            outcome = "CANCELLED"
            self._running += 1
            try:
                if self._draining:
                    raise NotReady(SHUTTING_DOWN)
                response = await answer(body, call)
                outcome = "OK"
                return response
            except EpmError as error:
                outcome = error.status.name
                await _abort(context, error)
            except Exception:
                outcome = "INTERNAL"
                await _abort(context, defect(log, name))
            finally:
                self._running -= 1
                finished((protocol, name), call.model, outcome, time.perf_counter() - began)

        return handle

    def _stream(self, protocol: str, name: str, method: Stream) -> Any:
        async def handle(_: Any, context: grpc.aio.ServicerContext) -> None:
            remaining = context.time_remaining()
            deadline = None if remaining is None else time.monotonic() + remaining
            permits = asyncio.Semaphore(self._window)
            answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()

            async def read() -> None:
                try:
                    while True:
                        await permits.acquire()
                        body = await context.read()
                        if body is grpc.aio.EOF:
                            return
                        message = self._message(protocol, name, method, body, deadline)
                        answers.put_nowait(asyncio.ensure_future(message))
                finally:
                    answers.put_nowait(None)

            if self._draining:
                await _abort(context, NotReady(SHUTTING_DOWN))
            reader = asyncio.ensure_future(read())
            self._readers.add(reader)
            self._running += 1
            try:
                while (answer := await answers.get()) is not None:
                    await context.write(await answer)
                    permits.release()
                told_to_stop = reader.cancelled()  # by `drain`, and not because the caller had sent everything
            except grpc.aio.InternalError:  # the caller left while an answer was being written
                return
            finally:
                self._running -= 1
                self._readers.discard(reader)
                reader.cancel()
                while not answers.empty():
                    if (answer := answers.get_nowait()) is not None:
                        answer.cancel()
            if told_to_stop:
                await _abort(context, NotReady(SHUTTING_DOWN))

        return handle

    async def _message(self, protocol: str, name: str, method: Stream, body: bytes, deadline: float | None) -> bytes:
        began, call, outcome = time.perf_counter(), Call(deadline), "CANCELLED"
        try:
            response = await method.answer(body, call)
            outcome = "OK"
            return response
        except EpmError as error:
            outcome = error.status.name
            return method.failure(body, error)
        except Exception:
            outcome = "INTERNAL"
            return method.failure(body, defect(log, name))
        finally:
            self._metrics.finished((protocol, name), call.model, outcome, time.perf_counter() - began)


async def _abort(context: grpc.aio.ServicerContext, error: EpmError) -> NoReturn:
    details = (("grpc-status-details-bin", rpc_status(error).SerializeToString()),) if error.field else ()
    await context.abort(_CODES[error.status], error.message, details)
    raise AssertionError("abort always raises")
