"""A watcher hears of the end also when it comes while an earlier state is still being written."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from serving.listeners.health import Health

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("service", ["", "epm.v1.PredictionService"])
def test_not_serving_is_told_before_the_stream_ends(service: str) -> None:
    async def watch() -> list[int]:
        health = Health(["epm.v1.PredictionService"])
        health.set(True)
        states = []
        async for response in health._watch(health_pb2.HealthCheckRequest(service=service), None):
            states.append(response.status)
            if len(states) == 1:
                assert health.watchers == 1
                health.close()  # SIGTERM, before the caller of this generator asks it to go on
        assert health.watchers == 0
        return states

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert asyncio.run(watch()) == [serving, not_serving]
