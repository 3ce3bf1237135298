"""The portable gRPC listener: grpc.aio. All protocols on one port, with health and reflection."""

import asyncio
import logging
import time

import grpc
import grpc.aio

from serving.listeners.handlers import Handlers
from serving.protocols.method import Service
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

# A caller that left before its answer was written is none of grpc's exceptions to log with a traceback.
logging.getLogger("grpc._cython.cygrpc").addFilter(
    lambda record: not (record.exc_info and isinstance(record.exc_info[1], grpc.aio.InternalError))
)

LINGER_SECONDS = 0.1
"""Between the last answer and the end of connections: one that is reset takes with it what its client has not read."""
_NEVER = 2**31 - 1
"""What gRPC takes for no bound of a time."""


class GrpcListener:
    """Registers the services of all protocols on one port. Raises SettingsError when the token's file is no good."""

    def __init__(self, services: list[Service], settings: Settings, metrics: Metrics) -> None:
        self._handlers = Handlers(services, settings, metrics)
        self.set_ready = self._handlers.set_ready
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", settings.max_streams),
                ("grpc.so_reuseport", int(bool(settings.worker))),
                ("grpc.keepalive_time_ms", 60_000),  # a peer that vanished does not hold its streams for ever
                ("grpc.max_connection_age_ms", int(settings.max_connection_age_seconds * 1000) or _NEVER),
            ]
        )
        for service, handlers in self._handlers.of.items():
            self._server.add_registered_method_handlers(service, handlers)
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound. Raises OSError when it cannot be."""
        try:
            bound = self._server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen for gRPC on {host}:{port}: {error}") from error
        await self._server.start()
        return bound

    async def drain(self, seconds: float) -> None:
        """Refuse new calls and new messages, let running ones finish for at most so long, then leave.

        A server that is stopping cancels new calls, and a client does not try a cancelled call elsewhere. So it is
        stopped only when nothing runs any more, and until then new calls are UNAVAILABLE.
        """
        self._handlers.stop_taking()
        give_up = time.monotonic() + seconds
        while self._handlers.busy and time.monotonic() < give_up:  # noqa: ASYNC110 (an event would cost every call something)
            await asyncio.sleep(0.01)
        await asyncio.sleep(min(LINGER_SECONDS, seconds))
        await self._server.stop(min(2.0, seconds))  # answers on their way out; an open reflection stream has no more
