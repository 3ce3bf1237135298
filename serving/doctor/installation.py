"""What several checks need, found out once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from serving.doctor.aside import aside
from serving.repository.making import DEFAULT, IN_PROCESS, Making
from serving.repository.repository import Repository
from serving.settings import Settings

T = TypeVar("T")


class Installation:
    """The settings of a gateway, and what was found out with them. All on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = Path(settings.model_repo)
        self.missing_kernel = _once(self._missing_kernel)
        """The first kernel that is not kept and would be compiled; empty when all are."""
        self.models = _once(self._models)
        """The repository, loaded as a gateway would load it, by backends in this process alone."""

    async def _missing_kernel(self) -> str:
        settings = self.settings

        def find() -> str:
            from serving.jit import NotKept, look_only
            from serving.warm import warm

            look_only()
            try:
                warm(store=bool(settings.redis_url), csv=False, listener=settings.listener != "grpc_aio")
            except NotKept as missing:
                return str(missing)
            return ""

        return await aside(find)

    async def _models(self) -> Repository:
        settings = self.settings
        making = Making(order=self._in_process, threads=settings.intra_op_num_threads, device=settings.device)
        repository = Repository(self.root, making)
        await aside(repository.scan)
        return repository

    def _in_process(self, model: str) -> tuple[str, ...]:
        chosen = tuple(name for name in self.settings.chosen("backends", model) if name in IN_PROCESS)
        return chosen or DEFAULT


def _once(find: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """Whoever asks first has it found out, and all get the same; one who gives up takes it from nobody."""
    task: asyncio.Future[T] | None = None

    async def found() -> T:
        nonlocal task
        if task is None:
            task = asyncio.ensure_future(find())
        return await asyncio.shield(task)

    return found
