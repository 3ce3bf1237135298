"""Which backends a version gets where all of them are at servers."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from serving.errors import BackendFailed
from serving.repository.making import Making

pytestmark = pytest.mark.unit


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The event loop of a gateway, in a thread of its own."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


class Ending:
    """A backend whose proof is cancelled, as all tasks are when a gateway ends."""

    name = "triton"

    async def prove(self) -> None:
        raise asyncio.CancelledError


def test_a_proof_that_is_broken_off_because_the_gateway_ends_is_no_defect(loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(BackendFailed, match="triton does not answer"):
        Making(loop=loop)._prove_one([Ending()])
