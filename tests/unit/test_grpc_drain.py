"""A stream that begins in the moment in which the gateway is told to end is told so, and holds nothing up."""

import asyncio

import pytest

from serving.listeners.handlers import Handlers
from serving.settings import Settings
from serving.telemetry.metrics import Metrics

pytestmark = pytest.mark.unit


class Silent:
    """A caller that sends nothing."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


async def _answer(body: bytes) -> bytes:
    return body


def test_a_stream_that_has_just_begun_is_told_to_stop() -> None:
    async def begin_and_drain() -> bool:
        handlers = Handlers([], Settings(), Metrics())
        with handlers._reading(Silent(), 1, _answer) as stream:
            assert handlers.busy
            handlers.stop_taking()  # before the reader has begun
            async with asyncio.timeout(30):
                assert await stream.begun.get() is None
            told = stream.told_to_stop
        assert not handlers.busy
        return told

    assert asyncio.run(begin_and_drain())
