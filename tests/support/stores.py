"""Online stores on a real Redis, and facts that tell whose they are and how new."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import numpy as np

from serving import warm
from serving.store.facts import FactsEvent, Months, Stamp, StoredFacts
from serving.store.fetched import FOUND, Fetched
from serving.store.keys import HashKey
from serving.store.records import decode
from serving.store.redis_store import OnlineStore

KEY = HashKey(b"0123456789abcdef")
TIMEOUT = 0.25
KIND = "employee"


@contextlib.asynccontextmanager
async def online(
    url: str, replica_bytes: int = 1 << 22, seconds: float = TIMEOUT, most_stale: float = 86_400, key: HashKey = KEY
) -> AsyncIterator[OnlineStore]:
    """A store that has been started. seconds: of the timeout."""
    warm.PARTS["store"]()  # as a gateway does, so that no call waits for the compiler
    store = OnlineStore(url, key, replica_bytes, seconds, most_stale)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def event(entity: str, sequence: int = 1, source: str = "hr", **facts: float | str | None) -> FactsEvent:
    """Facts of an entity; `whose` and `sequence` are always among them, and two years of two monthly facts."""
    whose = float(int.from_bytes(entity.encode()[-6:], "big"))
    months = {name: Months(600, np.arange(24) + whose) for name in ("hours", "leave")}
    said = {"whose": whose, "sequence": float(sequence), **facts}
    return FactsEvent(KIND, entity, Stamp(1000 + sequence, sequence, source), said, months)


def stored(fetched: Fetched, row: int) -> StoredFacts | None:
    """What was fetched of one row, None unless it was found."""
    if fetched.state[row] != FOUND:
        return None
    return decode(fetched.buffer[fetched.starts[row] : fetched.ends[row]].tobytes())


def sequence_of(fetched: Fetched, row: int, entity: str) -> int | None:
    """Which event of `entity` was fetched, None unless one was. Fails if it is of anybody else."""
    facts = stored(fetched, row)
    if facts is None:
        return None
    expected = event(entity)
    assert facts.facts["whose"][0] == expected.facts["whose"]
    assert facts.series["hours"].months.values.tolist() == expected.series["hours"].values.tolist()
    return int(facts.facts["sequence"][0])


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> float:
    """Wait until it holds; returns how many seconds that took. Fails after `seconds`."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not come to pass"
        await asyncio.sleep(0.001)
    return time.monotonic() - begin
