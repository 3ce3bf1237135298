"""What all workers count, as one gateway: no counter ever goes down because a process has ended."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from serving.supervisor.exposition import ADDED, Exposition, together
from serving.supervisor.worker import Worker

REASONS = ("crash", "stuck", "ended")
"""Why a worker was started again: it ended by a signal or with an error; it did not answer; somebody told it to end."""


class Counts:
    """Of living workers what they said at last, of others what they had said until their end."""

    def __init__(self, configured: int, living: Callable[[], Iterable[Worker]]) -> None:
        self._configured = configured
        self._living = living
        self._ended = Exposition()
        self._restarts: Counter[str] = Counter()
        self._one = asyncio.Lock()

    def ended(self, worker: Worker) -> None:
        """It no longer lives, from this moment on."""
        self._ended.join(worker.counted, ADDED)

    def restarted(self, reason: str) -> None:
        """Another one takes its place."""
        self._restarts[reason] += 1

    async def text(self) -> bytes:
        """The exposition. Who does not answer now is not up; what it counted before is in it."""
        async with self._one:
            asked = list(self._living())
            answered = await asyncio.gather(*(worker.collect() for worker in asked))
            living = list(self._living())
            up = [worker for worker, good in zip(asked, answered, strict=True) if good and worker.up]
            whole = together([self._ended, *(worker.counted for worker in living)], [worker.counted for worker in up])
        if not up:
            whole.add("epm_ready", "gauge", "Whether calls should be sent here, as /readyz says.", {"": 0.0})
        whole.add("epm_workers", "gauge", "Processes that are to serve.", {"": float(self._configured)})
        whole.add("epm_workers_up", "gauge", "Processes that serve, and answer.", {"": float(len(up))})
        restarts = {f'{{reason="{reason}"}}': float(self._restarts[reason]) for reason in REASONS}
        text = "Processes that took the place of one that had ended."
        whole.add("epm_worker_restarts_total", "counter", text, restarts)
        return whole.text().encode()
