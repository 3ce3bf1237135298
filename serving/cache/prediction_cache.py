"""The prediction cache of one model version: only rows that nobody knows are computed, each once."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakMethod

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors, rows_of
from serving.cache.flights import Flight, Flights
from serving.cache.layout import OutputLayout
from serving.cache.policy import Choice
from serving.cache.row_keys import RowKeys
from serving.cache.table import Found, Table
from serving.errors import BackendFailed, ContractError

if TYPE_CHECKING:
    from serving.cache.redis_cache import RedisCache

Compute = Callable[[Tensors], Tensors]
ComputeLater = Callable[[Tensors, float | None], Awaitable[Tensors]]

_JITTER_BITS = np.uint64(0xFFFF)
_MOST_WAITS = 2
"""How often a call waits for others that come to nothing before it computes whatever it still lacks."""


class PredictionCache:
    """Answers rows of one model version that it has seen, and has the others computed.

    `run` may be called from any thread, all else on one event loop.
    """

    def __init__(
        self,
        layout: OutputLayout,
        row_keys: RowKeys,
        table: Table,
        redis: "RedisCache | None",
        ttl_seconds: float,
        jitter: float = 0.1,
        choice: Choice | None = None,
    ) -> None:
        """jitter: by which share a life may be shorter than the TTL, so that what was kept together does not end so.

        choice: None for always, both of them. Raises ValueError for a table whose values are of another width.
        """
        if table.value_bytes != layout.width:
            raise ValueError(f"a table for values of {table.value_bytes} bytes, expected {layout.width}")
        self.table = table
        self._layout = layout
        self._row_keys = row_keys
        self._redis = redis
        self._ttl = ttl_seconds
        self._jitter = jitter
        self._choice = Choice(True, redis is not None) if choice is None else choice
        self._flights = Flights()
        self.rows = {"redis": 0, "shared": 0}
        """Rows that the table did not have and that were not computed: Redis had them, or another call computed them.
        What the table had and had not, it counts itself."""
        if redis is not None:
            redis.listeners.add(WeakMethod(self._dropped_elsewhere, redis.listeners.discard))

    @property
    def asks_redis(self) -> bool:
        """Whether rows that are not in the table may be asked of Redis."""
        return self._redis is not None

    @property
    def outcomes(self) -> dict[str, int]:
        """Rows by where they were found: in the table, not there, and of those in Redis or with another call."""
        return {"table": self.table.hits, "missed": self.table.misses, **self.rows}

    def clear(self) -> None:
        """Forget everything that is kept here."""
        self.table.clear()

    def run(self, tensors: Tensors, compute: Compute, since: int | None = None) -> Tensors:
        """Outputs of n rows, from the table and from one call of `compute` for those that it does not have.

        since: the table's generation when their facts were read; if anything was dropped after that, nothing is kept.
        Equal rows are computed once. Redis has no part in it. Raises what `compute` raises, BackendFailed for an answer
        that is not what was promised; then nothing is kept.
        """
        begin, model = time.perf_counter(), 0.0
        found = self._look_up(tensors, since)
        if found is None:
            outputs = compute(tensors)
            self._choice.computed(rows_of(tensors), time.perf_counter() - begin)
            return outputs
        if found.missing:
            asked, asks = _part(tensors, found.firsts), time.perf_counter()
            outputs = compute(asked)
            model = time.perf_counter() - asks
            self._choice.computed(found.missing, model)
            values = self._packed(outputs, found.missing)
            self._keep(found.keys[found.firsts], values, found.generation)
            found.fill(values)
        outputs = self._layout.unpack(found.values)
        self._choice.looked_up(rows_of(tensors), time.perf_counter() - begin - model)
        return outputs

    async def infer(
        self, tensors: Tensors, deadline: float | None, compute: ComputeLater, since: int | None = None
    ) -> Tensors:
        """Outputs of n rows, from the table, other calls that compute them now, Redis, and one call of `compute`.

        deadline: as time.monotonic() counts; since: as in `run`. Raises what `compute` raises, and as `run`; TooLate
        when the deadline passes while another call computes a row. What goes wrong with others is no concern of this
        one.
        """
        begin, others = time.perf_counter(), 0.0
        found = self._look_up(tensors, since)
        if found is None:
            outputs = await compute(tensors, deadline)
            self._choice.computed(rows_of(tensors), time.perf_counter() - begin)
            return outputs
        if found.missing:
            wanted, asks = _Wanted(tensors, found, deadline, compute), time.perf_counter()
            values = await self._obtain(wanted)
            others = time.perf_counter() - asks - wanted.kept_seconds
            found.fill(values)
        outputs = self._layout.unpack(found.values)
        self._choice.looked_up(rows_of(tensors), time.perf_counter() - begin - others)
        return outputs

    async def drop(self, tensors: Tensors) -> None:
        """Forget the answers to n rows, here, in Redis, and in all gateways that use it.

        Raises NotReady when Redis cannot be told; they are forgotten here in any case.
        """
        keys = self._row_keys(tensors)
        self.table.drop(keys)
        if self._redis is not None:
            await self._redis.drop(keys)

    def _look_up(self, tensors: Tensors, since: int | None) -> Found | None:
        """What the table has, None where it is not to be used."""
        rows = rows_of(tensors)
        if not self._choice.use_local(rows):
            return None
        found = self.table.look_up(self._row_keys, tensors, time.monotonic())
        return found if since is None else replace(found, generation=since)

    async def _obtain(self, wanted: "_Wanted") -> NDArray[np.uint8]:
        """The values of the m missing rows, uint8[m, W].

        What this call leads is computed before it waits for others, so that two calls cannot wait for each other.
        """
        values = np.empty((len(wanted.keys), self._layout.width), np.uint8)
        left, waits = list(range(len(values))), 0
        while left:
            led, others = self._shared_out(wanted, left, waits >= _MOST_WAITS)
            if led:
                values[led] = await self._led(wanted, led)
            left = []
            for flight, rows in others.items():
                came = await flight.values([wanted.names[i] for i in rows], wanted.deadline)
                if came is None:
                    left += rows
                else:
                    values[rows] = came
                    self.rows["shared"] += len(rows)
            if left:
                left = self._found_meanwhile(wanted, left, values)
            waits += 1
        return values

    def _found_meanwhile(self, wanted: "_Wanted", rows: list[int], values: NDArray[np.uint8]) -> list[int]:
        """The rows that are still missing; values of the others, which somebody computed meanwhile, are written."""
        found = self.table.find(wanted.keys[rows], time.monotonic())
        hits = [i for i, hit in zip(rows, found.hits, strict=True) if hit]
        values[hits] = found.values[found.hits]
        return [i for i, hit in zip(rows, found.hits, strict=True) if not hit]

    def _shared_out(self, wanted: "_Wanted", rows: list[int], alone: bool) -> tuple[list[int], dict[Flight, list[int]]]:
        """Which rows this call computes, and for which it waits, by flight. alone: for none."""
        led: list[int] = []
        others: dict[Flight, list[int]] = {}
        for i in rows:
            flight = None if alone else self._flights.of(wanted.names[i])
            if flight is None:
                led.append(i)
            else:
                others.setdefault(flight, []).append(i)
        return led, others

    async def _led(self, wanted: "_Wanted", rows: list[int]) -> NDArray[np.uint8]:
        """The values of k rows, uint8[k, W], for whoever waits for them, too."""
        names, values = [wanted.names[i] for i in rows], None
        flight = self._flights.begin(names)
        try:
            values = await self._asked(wanted, rows)
            return values
        finally:
            self._flights.end(flight, names, values)

    async def _asked(self, wanted: "_Wanted", rows: list[int]) -> NDArray[np.uint8]:
        """The values of k rows, uint8[k, W], from Redis, and what it does not have from the model."""
        keys = wanted.keys[rows]
        values, unknown = np.empty((len(rows), self._layout.width), np.uint8), np.arange(len(rows))
        redis = self._redis if self._choice.ask_redis(len(rows)) else None
        if redis is not None and redis.there:
            begin = time.perf_counter()
            received = await redis.get(keys, self._layout.width, wanted.deadline)
            self._choice.asked(len(rows), time.perf_counter() - begin)
            hits, now = received.hits, time.monotonic()
            if hits.any():
                values[hits], unknown = received.values[hits], np.flatnonzero(~hits)
                self.rows["redis"] += len(rows) - len(unknown)
                expires = now + np.minimum(received.seconds[hits], self._ttl)
                self.table.put(keys[hits], values[hits], expires, now, wanted.found.generation)
        if len(unknown):
            asked, begin = _part(wanted.tensors, wanted.found.firsts[rows][unknown]), time.perf_counter()
            outputs = await wanted.compute(asked, wanted.deadline)
            came = time.perf_counter()
            self._choice.computed(len(unknown), came - begin)
            values[unknown] = self._packed(outputs, len(unknown))
            lives = self._keep(keys[unknown], values[unknown], wanted.found.generation)
            wanted.kept_seconds += time.perf_counter() - came
            if redis is not None and lives is not None:
                redis.put(keys[unknown], values[unknown], lives)
        return values

    def _packed(self, outputs: Tensors, rows: int) -> NDArray[np.uint8]:
        """uint8[rows, W]. Raises BackendFailed for what is not as promised: it must not be kept."""
        try:
            return self._layout.pack(outputs, rows)
        except ContractError as error:
            raise BackendFailed(error.message) from error

    def _keep(self, keys: NDArray[np.uint64], values: NDArray[np.uint8], generation: int) -> NDArray[np.float64] | None:
        """Put values into the table; how many seconds each of them lives, None when something was dropped meanwhile.

        A life is shorter than the TTL by a part of the jitter that the key tells.
        """
        lives = self._ttl - (keys[:, 1] & _JITTER_BITS) * (self._ttl * self._jitter / _JITTER_BITS)
        now = time.monotonic()
        return lives if self.table.put(keys, values, now + lives, now, generation) else None

    def _dropped_elsewhere(self, keys: NDArray[np.uint64] | None) -> None:
        if keys is None:
            self.table.clear()
        else:
            self.table.drop(keys)


class _Wanted:
    """What one call asks for and lacks: m different rows."""

    def __init__(self, tensors: Tensors, found: Found, deadline: float | None, compute: ComputeLater) -> None:
        self.tensors = tensors
        self.found = found
        self.deadline = deadline
        self.compute = compute
        self.kept_seconds = 0.0
        """What it took to keep what was computed."""
        self.keys = found.keys[found.firsts]
        named = self.keys.tobytes()
        self.names = [named[at : at + 16] for at in range(0, len(named), 16)]


def _part(tensors: Tensors, rows: NDArray[np.int64]) -> Tensors:
    """Some rows, ascending; the tensors themselves when those are all."""
    if len(rows) == rows_of(tensors):
        return tensors
    return {name: tensor.take(rows, axis=0) for name, tensor in tensors.items()}
