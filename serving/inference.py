"""From the graph's inputs to its outputs, for one served version: cache, batches, backends in order, shadow."""

import asyncio
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from serving.backends.backend import InProcess, Tensors, rows_of
from serving.backends.batching import Batcher, Execute, Limits, Priority
from serving.backends.chain import Chain
from serving.cache.layout import OutputLayout
from serving.cache.policy import Policy, choice
from serving.cache.prediction_cache import PredictionCache
from serving.cache.row_keys import RowKeys
from serving.cache.table import Table
from serving.hash_key import HashKey
from serving.repository.served import ServedModel
from serving.settings import Settings
from serving.shadow import Shadow
from serving.stages import BACKEND, CACHE, UNTIMED, Stopwatch
from serving.telemetry.backends import BackendCounts

if TYPE_CHECKING:
    from serving.cache.redis_cache import RedisCache

CHEAP_ROW_SECONDS = 1.5e-6
"""A row that costs less is computed sooner than it is looked up, a few times."""
SLOW_SECONDS = 0.002
"""What would hold up the event loop for longer goes to a worker thread."""


LOOKED_UP = 256
"""Rows that are looked up at a time on the event loop, which takes a millisecond where Redis is asked."""


class Inference:
    """What computes, or remembers, outputs of one version. On one event loop; `run` in any thread.

    Nothing that it has refers to it, or to the version: their memory is given back as soon as nobody uses them.
    """

    def __init__(
        self,
        served: ServedModel,
        settings: Settings,
        counts: BackendCounts,
        workers: Executor | None,
        keeping: "Keeping",
    ) -> None:
        self.cache = keeping.cache(served, settings)
        self._redis = self.cache is not None and self.cache.asks_redis
        self._others = None if self._redis else keeping.redis
        self.row_keys = keeping.row_keys(served)
        self.name, self.version = served.name, served.version
        self._cost = served.cost
        self._batch_rows = settings.batch_rows
        for backend in served.backends:
            if isinstance(backend, InProcess):
                backend.workers = workers
        self.chain = Chain(served.backends, counts.observer(served.name, served.version))
        self._shadow = Shadow(served, settings.shadow_fraction, counts) if served.shadow is not None else None
        self._compute_later = _later(self.chain, self._shadow)
        (batching,) = settings.chosen("batching", served.name)
        slow = self._seconds(1) > SLOW_SECONDS
        at_server = any(not isinstance(backend, InProcess) for backend in served.backends)
        self._forced = batching == "on"
        self._together = self._forced or (batching == "auto" and (slow or at_server))
        self.batcher = Batcher(
            self._compute_later,
            Limits(
                rows=settings.batch_rows,
                bytes=settings.batch_bytes,
                queue_rows=queue_limit(settings),
                running=settings.batches_running if at_server else settings.worker_threads,
            ),
            partial(counts.batched, served.name, served.version),
        )

    def _seconds(self, rows: int) -> float:
        """About how long so many rows take in this process."""
        return self._cost[0] + self._cost[1] * rows

    @property
    def plain(self) -> bool:
        """Whether a row is simply computed: nothing is kept, compared or batched."""
        return self.cache is None and self._shadow is None and not self._forced

    def quick(self, rows: int) -> bool:
        """Whether so many rows can be answered on the event loop, at once."""
        return not self._forced and self.here(rows) and self._seconds(rows) <= SLOW_SECONDS

    def here(self, rows: int) -> bool:
        """Whether so many rows can be answered without waiting for anything outside this thread."""
        return self.chain.here and not self._redis

    @property
    def generation(self) -> int | None:
        """To be asked before facts are read, and handed to `run` and `infer`: what is erased meanwhile is not kept."""
        return None if self.cache is None else self.cache.table.generation

    def run(self, tensors: Tensors, watch: Stopwatch = UNTIMED, since: int | None = None) -> Tensors:
        """Outputs of n rows, remembered or computed in this thread. since: a `generation`. Raises BackendFailed."""
        compute = partial(self._compute_now, watch)
        if self.cache is None:
            return compute(tensors)
        outputs = self.cache.run(tensors, compute, since)
        watch.lap(CACHE)
        return outputs

    async def infer(
        self,
        tensors: Tensors,
        deadline: float | None,
        priority: Priority,
        watch: Stopwatch = UNTIMED,
        since: int | None = None,
    ) -> Tensors:
        """Outputs of n rows, remembered or computed. since: as in `run`. Raises TooLate, Overloaded, BackendFailed."""
        compute = partial(self._compute, priority, watch)
        if self.cache is None:
            return await compute(tensors, deadline)
        one = partial(self.cache.infer, compute=compute, since=since)
        if rows_of(tensors) <= LOOKED_UP:
            outputs = await one(tensors, deadline)
        else:
            outputs = await _by_pieces(one, tensors, deadline, LOOKED_UP)
        watch.lap(CACHE)
        return outputs

    async def forget(self, tensors: Tensors) -> None:
        """Drop what is kept of n rows, in all gateways. Raises NotReady when Redis cannot be told.

        Other gateways may keep in Redis what this one, which measures for itself, does not.
        """
        if self.cache is not None:
            await self.cache.drop(tensors)
        if self._others is not None:
            await self._others.drop(self.row_keys(tensors))

    async def _compute(self, priority: Priority, watch: Stopwatch, tensors: Tensors, deadline: float | None) -> Tensors:
        """At once where that is quick, else in shared batches or alone; many rows in pieces that a server takes."""
        if not self._forced and self.chain.here and self._seconds(rows_of(tensors)) <= SLOW_SECONDS:
            return self._compute_now(watch, tensors)
        if self.cache is not None:
            watch.lap(CACHE)
        one = partial(self.batcher.submit, priority=priority, watch=watch) if self._together else self._compute_later
        if rows_of(tensors) <= self._batch_rows:
            outputs = await one(tensors, deadline)
        else:
            outputs = await _by_pieces(one, tensors, deadline, self._batch_rows)
        watch.lap(BACKEND)
        return outputs

    def _compute_now(self, watch: Stopwatch, tensors: Tensors) -> Tensors:
        if self.cache is not None:
            watch.lap(CACHE)
        outputs = self.chain.run(tensors)
        watch.lap(BACKEND)
        if self._shadow is not None:
            self._shadow.offer(tensors, outputs)
        return outputs


def queue_limit(settings: Settings) -> int:
    """Rows of one model that may wait for a batch: what one call may bring has room."""
    return max(settings.batch_queue_rows, settings.max_rows)


class Keeping:
    """What predictions are kept with: the gateway's key, and its Redis where it has one for them."""

    def __init__(self, hash_key: HashKey | None = None, redis: "RedisCache | None" = None) -> None:
        """hash_key: None for one that nobody else has."""
        self.hash_key = hash_key or HashKey(secrets.token_bytes(16))
        self.redis = redis

    def row_keys(self, served: ServedModel) -> RowKeys:
        """The keys under which rows of one version are kept."""
        return RowKeys(self.hash_key, served.digest, tuple(served.graph_inputs))

    def cache(self, served: ServedModel, settings: Settings) -> PredictionCache | None:
        """The cache of one version; None where its predictions are not kept."""
        policy = Policy(*settings.chosen("cache", served.name))
        # compiled loops answer a forest's row sooner than Python finds it
        compiled = settings.listener == "h2" and served.backend.name == "forest"
        cheap = compiled or (served.cost[1] < CHEAP_ROW_SECONDS and isinstance(served.backend, InProcess))
        if policy is Policy.OFF or (policy is Policy.AUTO and cheap):
            return None
        redis = None if policy is Policy.LOCAL else self.redis
        layout = OutputLayout(served.contract.graph_outputs())
        return PredictionCache(
            layout,
            self.row_keys(served),
            Table(settings.cache_bytes, layout.width),
            redis,
            settings.cache_ttl_seconds,
            choice=choice(policy, redis is not None),
        )


class Inferences:
    """The inference of each served version, made when it is first asked and gone with it."""

    def __init__(self, settings: Settings, counts: BackendCounts | None = None, keeping: Keeping | None = None) -> None:
        self._settings = settings
        self._keeping = keeping or Keeping()
        self.counts = counts or BackendCounts()
        self.workers: Executor | None = None
        self._made: WeakSet[Inference] = WeakSet()

    def of(self, served: ServedModel) -> Inference:
        """Its inference."""
        found: Inference | None = served.attached.get(self)
        if found is None:
            found = served.attached[self] = Inference(served, self._settings, self.counts, self.workers, self._keeping)
            self._made.add(found)
        return found

    async def forget_everything(self) -> None:
        """Drop all that is kept, in all gateways. Raises NotReady when Redis cannot be told."""
        for inference in list(self._made):
            if inference.cache is not None:
                inference.cache.clear()
        if self._keeping.redis is not None:
            await self._keeping.redis.flush()

    def caches(self, served_now: Iterable[ServedModel]) -> Iterator[tuple[str, int, PredictionCache]]:
        """Model, version and cache of those that keep predictions."""
        for inference in self._attached(served_now):
            if inference.cache is not None:
                yield inference.name, inference.version, inference.cache

    def waiting(self, served_now: Iterable[ServedModel]) -> Iterator[tuple[str, int, int]]:
        """Model, version and rows that wait for a batch."""
        for inference in self._attached(served_now):
            yield inference.name, inference.version, inference.batcher.waiting_rows

    def _attached(self, served_now: Iterable[ServedModel]) -> Iterator[Inference]:
        """Those of what is served now and was asked already.

        Not of what was served before, under the same version number perhaps, and may still be answering.
        """
        for served in served_now:
            inference: Inference | None = served.attached.get(self)
            if inference is not None:
                yield inference

    def close(self) -> None:
        """Calls that wait for a batch end."""
        for inference in list(self._made):
            inference.batcher.close()


def _later(chain: Chain, shadow: Shadow | None) -> Execute:
    """Asks the backends in order, and offers what they say to the shadow."""

    async def compute(tensors: Tensors, deadline: float | None) -> Tensors:
        outputs = await chain.infer(tensors, deadline)
        if shadow is not None:
            shadow.offer(tensors, outputs)
        return outputs

    return compute


async def _by_pieces(one: Execute, tensors: Tensors, deadline: float | None, rows: int) -> Tensors:
    """What `one` makes of so many rows at a time, together. Other calls have their turn in between."""
    pieces: list[asyncio.Future[Tensors]] = []
    try:
        for start in range(0, rows_of(tensors), rows):
            piece = {name: values[start : start + rows] for name, values in tensors.items()}
            pieces.append(asyncio.ensure_future(one(piece, deadline)))
            await asyncio.sleep(0)
        outputs = await asyncio.gather(*pieces)
    finally:
        for future in pieces:
            future.cancel()
    return {name: np.concatenate([piece[name] for piece in outputs]) for name in outputs[0]}
