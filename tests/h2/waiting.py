"""A backend that answers when the test lets it, as a server would that takes its time; and how a version gets it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from serving.backends.backend import Backend, Tensors, rows_of
from serving.errors import EpmError
from serving.repository.repository import ModelState
from serving.repository.served import ServedModel
from tests.h2.inside import SECONDS, Inside


class Waiting(Backend):
    """Computes what the version's own backend computes. `batches`: rows of each that it was asked for."""

    name = "waiting"

    def __init__(self, served: ServedModel) -> None:
        self._run = served.run
        self._open = asyncio.Event()
        self._asked = asyncio.Condition()
        self.batches: list[int] = []
        self.fault: Callable[[Tensors], EpmError | None] = lambda tensors: None

    async def infer(self, tensors: Tensors, deadline: float | None) -> Tensors:
        self.batches.append(rows_of(tensors))
        async with self._asked:
            self._asked.notify_all()
        await self._open.wait()
        if (error := self.fault(tensors)) is not None:
            raise error
        return self._run(tensors)

    async def open(self) -> None:
        """All are answered from now on."""
        self._open.set()

    async def close(self) -> None:
        """Who asks from now on waits."""
        self._open.clear()

    async def asked(self, count: int) -> None:
        """Wait until it was asked so often."""
        async with asyncio.timeout(SECONDS), self._asked:
            await self._asked.wait_for(lambda: len(self.batches) >= count)


def serve(at: Inside, *states: ModelState) -> None:
    """Have a gateway serve this, as if it had found it in its repository."""
    at.gateway.repository._models = {state.name: state for state in states}

    async def show() -> None:
        at.listener.set_ready(True)

    at.run(show())


def made_to_wait(served: ServedModel) -> tuple[ServedModel, Waiting]:
    """The version with such a backend instead of its own."""
    backend = Waiting(served)
    return replace(served, backends=(backend,)), backend
