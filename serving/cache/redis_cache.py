"""Predictions in a Redis that gateways share: asked for many rows at once, never waited for long, never needed."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from serving.cache.redis_link import CHANNEL, PREFIX, CacheLink
from serving.errors import NotReady
from serving.hash_key import HashKey, hexadecimal
from serving.redis.connection import Command, Handle, Late, Refused

MOST_READ = 256
"""Values read by one command: Redis says nothing while it makes one answer."""
_MOST_UNANSWERED = 4096
"""Values that are being written at any time; more are not."""
_SCANNED = 1000
_ERASING_SECONDS = 1.0
"""How long one round trip may take that is not to be given up lightly."""
_EXTRA = 16
"""Bytes of a value besides the prediction: until when it lives, in milliseconds since 1970, and a checksum."""


@dataclass(frozen=True, slots=True, repr=False)
class Received:
    """What Redis has of m rows."""

    values: NDArray[np.uint8]
    """[m, W]; zeros where there is no hit."""
    hits: NDArray[np.bool_]
    """[m]."""
    seconds: NDArray[np.float64]
    """How long each still lives, 0 where there is no hit. [m]."""


class RedisCache:
    """Values by 128-bit key. Everything on one event loop.

    `get` and `put` raise nothing but cancellation: when Redis is away, full, slow or wrong, nothing is found and
    nothing is kept. After one timeout it is not asked again until it has said something. Listeners, which are held
    weakly, are called with the keys, uint64[k, 2], that any gateway drops, and with None where all may have been
    dropped, also unheard; whoever adds one has it leave with its object.
    """

    def __init__(
        self, url: str, hash_key: HashKey, timeout_seconds: float = 0.02, setting: str = "EPM_CACHE_REDIS_URL"
    ) -> None:
        """setting: where the URL comes from. Raises SettingsError for one that cannot be understood."""
        self.link = CacheLink(url, setting, timeout_seconds, self._everything_may_be_gone, self._heard)
        self._timeout = timeout_seconds
        self._hash_key = hash_key
        self._checksum_key = (np.uint64(0), np.uint64(0))
        self._late = 0.0
        self._writes: set[asyncio.Task[None]] = set()
        self._unanswered = 0
        self.listeners: set[WeakMethod[Callable[[NDArray[np.uint64] | None], None]]] = set()
        self.rows = dict.fromkeys(("hit", "miss", "corrupt", "unanswered", "written", "refused", "unwritten"), 0)
        """Rows: found, not found, not right, asked for in vain; written, refused (Redis is full), not written."""

    async def start(self) -> None:
        """Connect. Returns also when Redis is away: it is tried again until it is there."""
        self._checksum_key = self._hash_key.derive(b"prediction checksum\0")
        await self.link.start()

    async def close(self) -> None:
        """Disconnect. What is being written may be lost."""
        await self.link.close()
        for write in self._writes:
            write.cancel()
        if self._writes:
            await asyncio.wait(self._writes)

    @property
    def there(self) -> bool:
        """Whether it is worth asking: the link is up, and Redis has said something since it last was late."""
        return self.link.up and self.link.heard >= self._late

    async def get(self, keys: NDArray[np.uint64], width: int, deadline: float | None) -> Received:
        """The values of m rows, `width` bytes each, in one round trip. keys: uint64[m, 2].

        Waits for the timeout at most, and not beyond `deadline`, a value of time.monotonic().
        """
        received = Received(np.zeros((len(keys), width), np.uint8), np.zeros(len(keys), np.bool_), np.zeros(len(keys)))
        names = _names(keys)
        calls: list[tuple[Command, Handle | None]] = [
            (("MGET", *names[at : at + MOST_READ]), None) for at in range(0, len(names), MOST_READ)
        ]
        answers = await self._asked(calls, deadline)
        if answers is None:
            self.rows["unanswered"] += len(keys)
        else:
            self._take_in(received, keys, names, [value for answer in answers for value in answer])
        return received

    def put(self, keys: NDArray[np.uint64], values: NDArray[np.uint8], seconds: NDArray[np.float64]) -> None:
        """Write m values, uint8[m, W], in the background; keys: uint64[m, 2]; seconds: how long each lives, float64[m].

        What Redis does not take, or not soon enough, is not written.
        """
        if not self.there or self._unanswered + len(keys) > _MOST_UNANSWERED:
            self.rows["unwritten"] += len(keys)
            return
        until = ((time.time() + seconds) * 1000).astype("<i8")
        given = np.concatenate([values, until[:, None].view(np.uint8)], axis=1)
        written = np.concatenate([given, self._checksums(keys, given)[:, None].view(np.uint8)], axis=1)
        size, data = written.shape[1], written.tobytes()
        calls: list[tuple[Command, Handle | None]] = [
            (("SET", name, data[i * size : (i + 1) * size], "PX", max(1, int(seconds[i] * 1000))), None)
            for i, name in enumerate(_names(keys))
        ]
        self._in_background(calls, "written")

    async def drop(self, keys: NDArray[np.uint64]) -> None:
        """Forget m values, uint64[m, 2], in Redis and in all gateways. Raises NotReady."""
        names = _names(keys)
        calls: list[tuple[Command, Handle | None]] = []
        for at in range(0, len(names), MOST_READ):
            told = keys[at : at + MOST_READ].astype("<u8").tobytes()
            calls += [(("UNLINK", *names[at : at + MOST_READ]), None), (("PUBLISH", CHANNEL, told), None)]
        await self.link.call_all(calls, None, _ERASING_SECONDS)

    async def flush(self) -> None:
        """Forget all values of all models, in Redis and in all gateways. Raises NotReady; then some may be left."""
        await self._erasing(("PUBLISH", CHANNEL, b""))
        cursor = b"0"
        while True:
            cursor, names = await self._erasing(("SCAN", cursor, "MATCH", PREFIX + b"*", "COUNT", _SCANNED))
            if names:
                await self._erasing(("UNLINK", *names))
            if cursor == b"0":
                return

    async def _erasing(self, command: Command) -> Any:
        return await self.link.call(command, None, wait=_ERASING_SECONDS)

    async def _asked(self, calls: list[tuple[Command, Handle | None]], deadline: float | None) -> list[Any] | None:
        """Answers, None where there are none."""
        begin = time.monotonic()
        if not self.there:
            return None
        try:
            return await self.link.call_all(calls, deadline)
        except Late:
            if time.monotonic() - begin >= self._timeout:  # not only for who was in a hurry
                self._late = time.monotonic()
        except NotReady:
            pass
        return None

    def _take_in(
        self, received: Received, keys: NDArray[np.uint64], names: list[bytes], answers: list[bytes | None]
    ) -> None:
        """Check what came of m rows, and have deleted what is not right."""
        width = received.values.shape[1]
        there = [i for i, value in enumerate(answers) if value is not None]
        sized = [i for i in there if len(answers[i] or b"") == width + _EXTRA]
        came = np.frombuffer(bytearray().join([answers[i] or b"" for i in sized]), np.uint8)
        came = came.reshape(len(sized), width + _EXTRA)
        given, checksums = np.ascontiguousarray(came[:, : width + 8]), came[:, width + 8 :].copy().view("<u8")[:, 0]
        right = self._checksums(keys[sized], given) == checksums
        until = given[:, width:].copy().view("<i8")[:, 0]
        seconds = np.maximum(until / 1000 - time.time(), 0)
        rows = np.array(sized, np.int64)[right]
        received.values[rows] = given[right, :width]
        received.seconds[rows] = seconds[right]
        received.hits[rows] = seconds[right] > 0
        good = set(rows.tolist())
        wrong = [names[i] for i in there if i not in good]
        hits = int(received.hits.sum())
        self.rows["hit"] += hits
        self.rows["corrupt"] += len(wrong)
        self.rows["miss"] += len(keys) - hits - len(wrong)
        if wrong:
            self._in_background([(("UNLINK", *wrong), None)], "")

    def _checksums(self, keys: NDArray[np.uint64], given: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """A keyed hash of each value, uint8[m, W + 8], and its key, uint64[m, 2]: uint64[m]."""
        from serving.cache import cache_kernels

        checksums = np.empty(len(keys), np.uint64)
        cache_kernels.checksums(keys.view(np.int64), given, *self._checksum_key, checksums)
        return checksums

    def _in_background(self, calls: list[tuple[Command, Handle | None]], outcome: str) -> None:
        task = asyncio.get_running_loop().create_task(self._written(calls, outcome))
        self._unanswered += len(calls)
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _written(self, calls: list[tuple[Command, Handle | None]], outcome: str) -> None:
        try:
            try:
                await self.link.call_all(calls, None)
            except Refused:
                outcome = outcome and "refused"
            except Late:
                self._late, outcome = time.monotonic(), outcome and "unwritten"
            except NotReady:
                outcome = outcome and "unwritten"
            if outcome:
                self.rows[outcome] += len(calls)
        finally:
            self._unanswered -= len(calls)

    def _everything_may_be_gone(self) -> None:
        """Messages were missed, or whoever was away may have missed ours."""
        self._tell(None)

    def _heard(self, told: bytes) -> None:
        """Some gateway, perhaps this one, has dropped something."""
        keys = np.frombuffer(bytearray(told), "<u8").astype(np.uint64).reshape(-1, 2) if len(told) % 16 == 0 else None
        self._tell(keys if told else None)

    def _tell(self, keys: NDArray[np.uint64] | None) -> None:
        for listener in self.listeners.copy():  # a version may go meanwhile
            if (heard := listener()) is not None:
                heard(keys)


def _names(keys: NDArray[np.uint64]) -> list[bytes]:
    """What m rows are called in Redis. keys: uint64[m, 2]."""
    digits = hexadecimal(keys)
    return [PREFIX + digits[at : at + 32] for at in range(0, len(digits), 32)]
