"""grpc.health.v1 (https://github.com/grpc/grpc/blob/master/doc/health-checking.md) for grpc.aio.

Not the servicer of grpcio-health-checking: there the first watcher of a service that leaves cuts off the others, and a
watcher holds up a draining server for its whole grace time.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
from grpc_health.v1 import health_pb2

SERVICE = "grpc.health.v1.Health"
_States = health_pb2.HealthCheckResponse


class Health:
    """Check and Watch. All services share one state, since they share one core."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", SERVICE, *services}
        self._state = _States.NOT_SERVING
        self._closing = False
        self.watchers = 0
        """Watch calls that have not ended."""
        self._changed = asyncio.Event()

    def set(self, ready: bool) -> None:
        """Change the state and tell all watchers."""
        self._state = _States.SERVING if ready else _States.NOT_SERVING
        self._tell()

    def close(self) -> None:
        """Tell all watchers NOT_SERVING, then end their streams."""
        self._closing = True
        self.set(False)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler]:
        """For registration under SERVICE."""
        codec = health_pb2.HealthCheckRequest.FromString, _States.SerializeToString
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, *codec),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, *codec),
        }

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _States(status=self._state)

    async def _watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        known, last = request.service in self._services, None
        self.watchers += 1
        try:
            while True:
                changed = self._changed
                state = self._state if known else _States.SERVICE_UNKNOWN
                if state != last:
                    last = state
                    yield _States(status=state)
                    continue  # while that was being written it may have changed again
                if self._closing:
                    return
                await changed.wait()
        finally:
            self.watchers -= 1
