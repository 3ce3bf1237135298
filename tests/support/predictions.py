"""A model that counts what it computes, and caches in front of it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from serving import warm
from serving.backends.backend import Tensors
from serving.cache.layout import OutputLayout
from serving.cache.prediction_cache import PredictionCache
from serving.cache.redis_cache import RedisCache
from serving.cache.row_keys import RowKeys
from serving.cache.table import Found, Table
from serving.hash_key import HashKey
from tests.support.stores import eventually

KEY = HashKey(b"0123456789abcdef")
TIMEOUT = 0.02
LAYOUT = OutputLayout({"double": ("float32", (2,)), "label": ("int32", ())})


def rows_of_numbers(*numbers: int) -> dict[str, np.ndarray]:
    """Two tensors, [n, 2] and [n, 2, 2], that tell each row by its number."""
    column = np.array(numbers, np.float32).reshape(-1, 1)
    return {"features": np.hstack([column, -column]), "history": np.ones((len(numbers), 2, 2), np.float32)}


def answers(*numbers: int) -> dict[str, np.ndarray]:
    """What the model answers to them."""
    return Model().run(rows_of_numbers(*numbers))


class Model:
    """Doubles numbers; `calls` says which, call by call. `gate`: what `infer` waits for; `fault`: what it raises."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate: asyncio.Event | None = None
        self.fault: BaseException | None = None

    @property
    def computed(self) -> list[int]:
        """All numbers, in order."""
        return sorted(number for call in self.calls for number in call)

    def run(self, tensors: Tensors) -> dict[str, Any]:
        numbers = tensors["features"][:, 0]
        self.calls.append(numbers.astype(int).tolist())
        if self.fault is not None:
            raise self.fault
        return self._answers(numbers)

    async def infer(self, tensors: Tensors, deadline: float | None) -> dict[str, Any]:
        """As `run`; a fault is that of the moment when it began."""
        numbers, fault = tensors["features"][:, 0], self.fault
        self.calls.append(numbers.astype(int).tolist())
        if self.gate is None:
            await asyncio.sleep(0)
        else:
            await self.gate.wait()
        if fault is not None:
            raise fault
        return self._answers(numbers)

    @staticmethod
    def _answers(numbers: np.ndarray) -> dict[str, Any]:
        return {
            "double": np.stack([numbers * 2, numbers * 3], axis=1),
            "label": numbers.astype(np.int32),
            "unasked": numbers,
        }


def cache(digest: str = "digest", redis: Any = None, entries: int = 1024, **options: Any) -> PredictionCache:
    """A cache of its own. options: of PredictionCache."""
    table = Table(Table.bytes_for(entries, LAYOUT.width), LAYOUT.width)
    row_keys = RowKeys(KEY, digest, ("features", "history"))
    return PredictionCache(LAYOUT, row_keys, table, redis, **{"ttl_seconds": 3600.0, **options})


def known(cached: PredictionCache, tensors: Tensors) -> Found:
    """What its table has of n rows; nothing is computed."""
    return cached.table.look_up(cached._row_keys, tensors, time.monotonic())


def check(outputs: Tensors, *numbers: int) -> None:
    """These are the model's answers to these numbers, bit by bit."""
    expected = answers(*numbers)
    assert set(outputs) >= {"double", "label"}
    for name in ("double", "label"):
        assert outputs[name].dtype == expected[name].dtype
        assert np.array_equal(outputs[name], expected[name])
        assert outputs[name].flags.c_contiguous


@contextlib.asynccontextmanager
async def shared(url: str, key: HashKey = KEY, seconds: float = TIMEOUT) -> AsyncIterator[RedisCache]:
    """What one gateway has of a Redis, started. seconds: of the timeout."""
    warm.PARTS["cache"]()  # as a gateway does, so that no call waits for the compiler
    redis = RedisCache(url, key, seconds)
    await redis.start()
    try:
        yield redis
    finally:
        await redis.close()


@contextlib.asynccontextmanager
async def gateways(
    url: str, count: int = 2, seconds: float = TIMEOUT, **options: Any
) -> AsyncIterator[list[PredictionCache]]:
    """Caches of as many gateways for the same artifact. seconds: of the timeout; options: of each cache."""
    async with contextlib.AsyncExitStack() as stack:
        found = [await stack.enter_async_context(shared(url, seconds=seconds)) for _ in range(count)]
        yield [cache(redis=redis, **options) for redis in found]


async def written(cached: PredictionCache) -> None:
    """Wait until Redis has answered all writes."""
    await eventually(lambda: cached._redis._unanswered == 0, 5)
