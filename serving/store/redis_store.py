"""The online store: facts of entities in Redis, and in a replica in this process that Redis keeps right."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.errors import NotReady, PreconditionFailed
from serving.redis.connection import Command, Handle, Late, Refused
from serving.redis.link import PING_SECONDS
from serving.store.facts import FactsEvent, StoredFacts
from serving.store.fetched import CORRUPT, FOUND, NOT_FOUND, UNAVAILABLE, Fetched
from serving.store.keys import HashKey
from serving.store.link import CALLED, StoreLink
from serving.store.records import REVISION, CorruptRecord, decode, find_corrupt, merge
from serving.store.replica import Collected, Replica

MOST_WRITTEN = 256
"""Entities written by one command."""
_WRITERS = 4
"""Writing commands of this gateway at a time: more would only make what is read wait behind them."""
_ATTEMPTS = 32
MOST_READ = 256
"""Records read by one command: Redis says nothing while it makes one answer, and others wait while it is taken in."""
OPEN_SECONDS = 3 * PING_SECONDS
"""How long after the last proof others may take records from the replica."""
_LONGEST_TURN = 0.001
"""Seconds of merging, at 20 to 600 us an event, before the event loop has its turn again."""

_WRITE = """
local lost = {}
for i = 1, #KEYS do
  if redis.call('GETRANGE', KEYS[i], 8, 15) == ARGV[2 * i - 1] then
    redis.call('SET', KEYS[i], ARGV[2 * i])
  else
    lost[#lost + 1] = i
  end
end
return lost
"""
"""Writes records whose revision (none: no record) is still the one that was read; says which are not."""


_REVISIONS = """
local revisions = {}
for i = 1, #KEYS do
  revisions[i] = redis.call('GETRANGE', KEYS[i], 8, 15)
end
return revisions
"""


@dataclass(frozen=True, slots=True, repr=False)
class _Received:
    """What Redis has of m keys, as in `Fetched`."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    state: NDArray[np.uint8]


class OnlineStore:
    """Facts of entities by id. Everything on one event loop.

    While Redis is away, what the replica has is answered and marked stale, the rest is UNAVAILABLE, and writing raises
    NotReady; all of that at once, or after `timeout_seconds` for those who were waiting when it went away. When it has
    been away for more than `most_stale_seconds`, the replica is emptied: what was erased meanwhile must not live on.
    """

    def __init__(
        self,
        url: str,
        hash_key: HashKey,
        replica_bytes: int,
        timeout_seconds: float,
        most_stale_seconds: float = 86_400.0,
    ) -> None:
        """Raises SettingsError for a URL that cannot be understood."""
        self.hash_key = hash_key
        self.most_stale_seconds = most_stale_seconds
        self.replica = Replica(replica_bytes)
        self.link = StoreLink(
            url, hash_key, timeout_seconds, self._connected, self._proved, self._lost, self._changed, self.replica.clear
        )
        self._verifying: asyncio.Task[None] | None = None
        self._writers = asyncio.Semaphore(_WRITERS)
        self.rows = dict.fromkeys(("replica", "stale", "redis", "not_found", "unavailable", "corrupt"), 0)
        """Rows fetched, by where their record came from, or why there is none."""
        self.corrupt = 0
        """Corrupt records that came from Redis."""

    async def start(self) -> None:
        """Connect. Returns also when Redis is away: it is tried again until it is there."""
        await self.link.start()

    async def close(self) -> None:
        """Disconnect."""
        await self.link.close()
        if self._verifying is not None:
            self._verifying.cancel()
            await asyncio.wait({self._verifying})

    async def fetch(self, entity_type: str, ids: Sequence[str], deadline: float | None) -> Fetched:
        """The records of n entities, from the replica, or else all in one round trip.

        deadline: a value of time.monotonic(); what has not come by then, or within the timeout, is UNAVAILABLE.
        """
        keys = self.hash_key.keys(entity_type, ids)
        self._forget_what_is_too_old()
        kept = self.replica.collect(keys, self.link.epoch, unverified=not self.link.up)
        if kept.missing and self.link.up:
            asked = np.flatnonzero((kept.state == NOT_FOUND) & (kept.first == np.arange(len(keys))))
            calls: list[tuple[Command, Handle]] = []
            for at in range(0, len(asked), MOST_READ):
                part = keys[asked[at : at + MOST_READ]]
                calls.append((("MGET", *HashKey.names(part)), partial(self._received, part)))
            try:
                received = await self.link.call_all(calls, deadline)
            except NotReady:
                self._forget_what_is_too_old()
                kept = self.replica.collect(keys, self.link.epoch, unverified=True)
            else:
                return self._joined(kept, asked, received)
        lacking = kept.state != FOUND
        kept.state[lacking] = UNAVAILABLE
        self._count(kept, unavailable=int(lacking.sum()))
        return Fetched(kept.buffer, kept.starts, kept.ends, kept.state, kept.stale)

    def _forget_what_is_too_old(self) -> None:
        if not self.link.up and self.link.age_seconds > self.most_stale_seconds and self.replica.entries:
            self.replica.clear()

    def _received(self, keys: NDArray[np.uint64], values: list[bytes | None]) -> _Received:
        """Check and keep what Redis has of m keys, uint64[m, 2], at the moment when it said so."""
        buffer = np.frombuffer(bytearray().join([value for value in values if value is not None]), np.uint8)
        lengths = np.array([-1 if value is None else len(value) for value in values], np.int64)
        state = np.where(lengths < 0, NOT_FOUND, FOUND).astype(np.uint8)
        ends = np.maximum(lengths, 0).cumsum()
        starts = ends - np.maximum(lengths, 0)
        self.corrupt += find_corrupt(buffer, starts, ends, state)
        self.replica.insert(keys, buffer, starts, np.where(state == FOUND, ends, starts), self.link.epoch)
        return _Received(buffer, starts, ends, state)

    def _joined(self, kept: Collected, asked: NDArray[np.int64], received: list[_Received]) -> Fetched:
        """What the replica had, and what came for the rows that were asked for and for those with the same keys."""
        buffers = [kept.buffer, *(part.buffer for part in received)]
        offsets = np.cumsum([len(buffer) for buffer in buffers])
        starts = np.concatenate([part.starts + at for part, at in zip(received, offsets, strict=False)])
        ends = np.concatenate([part.ends + at for part, at in zip(received, offsets, strict=False)])
        state = np.concatenate([part.state for part in received])
        missing = kept.state != FOUND
        places = np.empty(len(missing), np.int64)
        places[asked] = np.arange(len(asked))
        places = places[kept.first[missing]]
        kept.starts[missing] = starts[places]
        kept.ends[missing] = ends[places]
        kept.state[missing] = state[places]
        came = np.bincount(state[places], minlength=4)
        self._count(kept, redis=int(came[FOUND]), not_found=int(came[NOT_FOUND]), corrupt=int(came[CORRUPT]))
        buffer = np.concatenate(buffers) if len(kept.buffer) or len(received) > 1 else received[0].buffer
        return Fetched(buffer, kept.starts, kept.ends, kept.state, kept.stale)

    def _count(self, kept: Collected, **others: int) -> None:
        """Count rows: `others` as they are, and the rest, which are from the replica."""
        stale = int(kept.stale.sum())
        self.rows["stale"] += stale
        self.rows["replica"] += len(kept.state) - stale - sum(others.values())
        for outcome, count in others.items():
            self.rows[outcome] += count

    async def put(self, events: Sequence[FactsEvent], deadline: float | None) -> int:
        """Write events; returns how many changed something. Afterwards this gateway answers nothing older.

        Raises InvalidInput for an event that would give its entity more than it may have, NotReady when Redis is away,
        late or full: then some may have been written, and all may be given again.
        """
        by_type: dict[str, dict[str, list[FactsEvent]]] = {}
        for event in events:
            by_type.setdefault(event.entity_type, {}).setdefault(event.entity, []).append(event)
        writes = []
        for entity_type, entities in by_type.items():
            keys, changes = self.hash_key.keys(entity_type, list(entities)), list(entities.values())
            for at in range(0, len(changes), MOST_WRITTEN):
                part = slice(at, at + MOST_WRITTEN)
                writes.append(self._write(keys[part], changes[part], deadline))
        applied = await asyncio.gather(*writes, return_exceptions=True)
        for outcome in applied:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome for outcome in applied if isinstance(outcome, int))

    async def _write(self, keys: NDArray[np.uint64], changes: list[list[FactsEvent]], deadline: float | None) -> int:
        """Events of up to MOST_WRITTEN entities: read, merge, write where nobody else has written, and again."""
        names, applied = HashKey.names(keys), 0
        left = list(range(len(names)))
        async with _Turn(self._writers, deadline):
            for attempt in range(_ATTEMPTS):
                if attempt:
                    await asyncio.sleep(random.uniform(0, 0.001 * attempt))
                olds = await self.link.call(("MGET", *(names[i] for i in left)), deadline)
                rows, counts, arguments = [], [], []
                turns = _Turns()
                for i, old in zip(left, olds, strict=True):
                    record, count = await self._merged(old, changes[i], turns)
                    if record is not None:
                        rows.append(i)
                        counts.append(count)
                        arguments += [old[REVISION] if old else b"", record]
                if not rows:
                    return applied
                command = ("EVAL", _WRITE, len(rows), *(names[i] for i in rows), *arguments)
                lost = await self.link.call(command, deadline, partial(self._drop, keys[rows]))
                left = [rows[i - 1] for i in lost]
                applied += sum(counts) - sum(counts[i - 1] for i in lost)
                if not left:
                    return applied
        raise NotReady("others write to the same entities all the time: try again")

    async def _merged(self, old: bytes | None, events: list[FactsEvent], turns: "_Turns") -> tuple[bytes | None, int]:
        """The record after events, None if they change nothing; and how many change something."""
        record, applied = old, 0
        for event in events:
            await turns.share()
            try:
                merged = merge(record, [event])
            except CorruptRecord:
                self.corrupt += 1
                merged = merge(None, [event])
            if merged is not None:
                record, applied = merged, applied + 1
        return (record if applied else None), applied

    async def get(self, entity_type: str, entity: str, deadline: float | None) -> StoredFacts | None:
        """Everything that Redis has of an entity, None when nothing. Raises NotReady, PreconditionFailed."""
        (name,) = HashKey.names(self.hash_key.keys(entity_type, [entity]))
        record = await self.link.call(("GET", name), deadline)
        if record is None:
            return None
        try:
            return decode(record)
        except CorruptRecord:
            self.corrupt += 1
            raise PreconditionFailed("what is stored of this entity is damaged: write its facts again") from None

    async def delete(self, entity_type: str, entity: str, deadline: float | None) -> bool:
        """Erase an entity, in Redis and in the replica; whether there was something. Raises NotReady.

        Its record in the replica is gone in any case; Redis tells the other gateways to forget theirs.
        """
        keys = self.hash_key.keys(entity_type, [entity])
        self.replica.drop(keys)
        return bool(await self.link.call(("DEL", *HashKey.names(keys)), deadline, partial(self._drop, keys)))

    def _drop(self, keys: NDArray[np.uint64], answer: Any) -> Any:
        """Forget what was changed by us: the invalidation comes only after the answer."""
        self.replica.drop(keys)
        return answer

    def _connected(self) -> None:
        """Look again at what is kept from before: changes and erasures in the meantime were not heard of."""
        self._forget_what_is_too_old()
        self._proved()
        if self._verifying is not None:
            self._verifying.cancel()
        self._verifying = asyncio.create_task(self._verify())

    def _proved(self) -> None:
        """What is kept is right until somebody says otherwise: as long as this event loop has its turns to hear it."""
        self.replica.open_in(self.link.epoch, OPEN_SECONDS)

    def _lost(self) -> None:
        """What is kept may have changed unseen: only `fetch` knows how to answer with it."""
        self.replica.open_in(0)

    async def _verify(self) -> None:
        """Ask for the revisions of records kept from before, until none is left. What is not the same is forgotten."""
        at, found = 0, False
        while self.link.up and self.replica.entries:
            keys, at = self.replica.unverified(self.link.epoch, at)
            found |= len(keys) > 0
            if len(keys):
                command: Command = ("EVAL", _REVISIONS, len(keys), *HashKey.names(keys))
                try:
                    await self.link.call(command, None, partial(self._verified, keys))
                except Refused:  # so nobody knows what became of them
                    self.replica.clear()
                except NotReady:
                    await asyncio.sleep(PING_SECONDS)
            else:
                await asyncio.sleep(0)
            if at == 0 and not found:
                return
            found &= at > 0

    def _verified(self, keys: NDArray[np.uint64], answers: list[bytes]) -> None:
        """Take over what Redis says of the revisions of n keys, uint64[n, 2]; empty: there is no record."""
        there = np.array([len(answer) == 8 for answer in answers], np.bool_)
        revisions = np.frombuffer(b"".join(answer for answer in answers if len(answer) == 8), "<i8").astype(np.int64)
        self.replica.drop(keys[~there])
        self.replica.verify(keys[there], revisions, self.link.epoch)

    def _changed(self, names: list[bytes] | None) -> None:
        """Forget what somebody has changed; names of Redis keys, None for all of them."""
        if names is None:
            self.replica.clear()
        else:
            self.replica.drop(HashKey.parse(names))


class _Turns:
    """Long work on the event loop, cut into turns."""

    def __init__(self) -> None:
        self._end = time.perf_counter() + _LONGEST_TURN

    async def share(self) -> None:
        """Let others have theirs, if this one has been long enough."""
        if time.perf_counter() >= self._end:
            await asyncio.sleep(0)
            self._end = time.perf_counter() + _LONGEST_TURN


class _Turn:
    """A place at a semaphore, waited for until `deadline`. Raises Late."""

    def __init__(self, semaphore: asyncio.Semaphore, deadline: float | None) -> None:
        self._semaphore = semaphore
        self._deadline = deadline

    async def __aenter__(self) -> None:
        rest = None if self._deadline is None else self._deadline - time.monotonic()
        try:
            async with asyncio.timeout(rest):
                await self._semaphore.acquire()
        except TimeoutError:
            raise Late(CALLED) from None

    async def __aexit__(self, *_: object) -> None:
        self._semaphore.release()
