"""A gateway in this process, with the compiled listener, so that tests can look at what its loop holds."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.gateway import Gateway
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop
from serving.listeners.h2 import loop_state_kernels as at
from serving.settings import Settings
from tests.support.metrics import until


class Inside:
    """A gateway that answers, seen from within."""

    def __init__(self, gateway: Gateway, events: asyncio.AbstractEventLoop) -> None:
        self._gateway, self._events = gateway, events
        self.grpc = f"127.0.0.1:{gateway.grpc_port}"
        self.http = f"127.0.0.1:{gateway.http_port}"
        (self.loop,) = gateway._grpc._loops
        (self.handed,) = gateway._grpc._handed

    def word(self, number: int) -> int:
        """A word of the loop's (`loop_state_kernels`), as it is now."""
        return int(self.loop.words[number])

    def counted(self, number: int) -> int:
        """What the loop has counted (`count_kernels`)."""
        return int(self.loop.counts[number])

    @property
    def calls(self) -> int:
        """Rows of streams that are in use."""
        return self.word(at.STREAM_COUNT) - self.word(at.FREE_STREAM_COUNT)

    @property
    def connections(self) -> int:
        """Rows of connections that are in use."""
        return self.word(at.CONNECTION_COUNT) - self.word(at.FREE_CONNECTION_COUNT)

    def is_at_rest(self) -> bool:
        """Whether nothing is held for anybody: every row is free, Python has no call, and what rows keep is little."""
        opened = self.counted(count.STREAMS_OPENED) - self.counted(count.STREAMS_CLOSED)
        return (
            self.calls == self.connections == opened == self.handed.running == 0
            and self.word(at.READY_COUNT) == 0
            and 0 <= self.word(at.MEMORY) <= max(self.word(at.MEMORY_LIMIT) // 4, 1 << 15)
        )

    def comes_to_rest(self) -> bool:
        """Wait for it, not for ever."""
        return until(self.is_at_rest, 60)

    def state(self) -> dict[str, int]:
        """For messages of tests."""
        return {
            "calls": self.calls,
            "connections": self.connections,
            "handed": self.handed.running,
            "memory": self.word(at.MEMORY),
            "ready": self.word(at.READY_COUNT),
        }

    def run(self, coroutine) -> object:
        """Run a coroutine on the gateway's event loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._events).result(120)


@contextlib.contextmanager
def inside(repository: Path, slow: float = 0.0, ping: float = 0.0, **settings: object) -> Iterator[Inside]:
    """Start a gateway on `repository`. slow, ping: seconds instead of `loop.SLOW_SECONDS`, `loop.PING_SECONDS`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SLOW_SECONDS", slow or loop.SLOW_SECONDS)
        patch.setattr(loop, "PING_SECONDS", ping or loop.PING_SECONDS)
        made = {"grpc_port": 0, "http_port": 0, "listener": "h2", "drain_seconds": 5.0, **settings}
        gateway = Gateway(Settings(model_repo=str(repository), **made))
        events = asyncio.new_event_loop()
        thread = threading.Thread(target=events.run_forever, daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(gateway.start(), events).result(280)
            yield Inside(gateway, events)
        finally:
            asyncio.run_coroutine_threadsafe(gateway.close(), events).result(120)
            events.call_soon_threadsafe(events.stop)
            thread.join(30)
            events.close()


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
