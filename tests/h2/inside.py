"""A gateway on the compiled listener inside this process: tests see its loops, its tables and its pipeline."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from serving.gateway import Gateway
from serving.listeners.h2.counted import counts_of
from serving.settings import Settings

T = TypeVar("T")
SECONDS, START_SECONDS = 60, 280
"""For whatever is awaited: the machine may be busy. The first start may have to compile everything."""


class Inside:
    """Runs on an event loop in a thread of its own. The repository is looked at when `scan` is called."""

    def __init__(self, repository: Path, **settings: object) -> None:
        made = {"listener": "h2", "drain_seconds": 5.0, **settings}
        self.settings = Settings(
            model_repo=str(repository), grpc_port=0, http_port=0, repository_poll_seconds=0.0, **made
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway", daemon=True)
        self.gateway: Gateway

    def __enter__(self) -> "Inside":
        self._thread.start()

        async def start() -> None:
            self.gateway = Gateway(self.settings)
            await self.gateway.start()

        self.run(start(), START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.gateway.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)  # the loop is not closed: gRPC tells all loops that there ever were of its events

    @property
    def grpc(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.gateway.grpc_port}"

    @property
    def listener(self) -> Any:
        """Its gRPC listener."""
        return self.gateway._grpc

    def run(self, work: Coroutine[Any, Any, T], seconds: float = SECONDS) -> T:
        """What becomes of some work on the gateway's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def scan(self) -> None:
        """Look at the repository, and show what is served now."""
        self.gateway.repository.scan()

        async def show() -> None:
            self.listener.set_ready(True)

        self.run(show())

    def messages(self) -> dict[str, int]:
        """How many messages were answered, by whom."""
        return dict(counts_of(self.listener._loops).messages)

    def samples(self) -> list[Sample]:
        """All metrics of this moment."""
        text = self.run(self.gateway.metrics.text()).decode()
        return [one for family in text_string_to_metric_families(text) for one in family.samples]


@contextlib.contextmanager
def answered_by(at: Inside, **expected: int) -> Iterator[None]:
    """Check that so many messages are answered meanwhile, by these and nobody else."""
    before = at.messages()
    yield
    grown = {who: count - before[who] for who, count in at.messages().items() if count > before[who]}
    assert grown == {who: count for who, count in expected.items() if count}
