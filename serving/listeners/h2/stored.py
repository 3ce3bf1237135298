"""The online store's replica, as loops read it (`stored_kernels`)."""

from collections.abc import Sequence

import numpy as np

from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import stored_kernels as to
from serving.listeners.h2.loop import Loop
from serving.store.redis_store import OnlineStore


class Stored:
    """The addresses of its arrays, and how many rows loops took from it."""

    def __init__(self, store: OnlineStore) -> None:
        slots, ring, clock = store.replica.arrays
        self._store, self._settled = store, 0
        self._words = np.zeros(to.STORE, np.int64)
        self._words[to.SLOTS], self._words[to.SLOT_COUNT] = slots.ctypes.data, len(slots)
        self._words[to.RING], self._words[to.RING_WORDS] = ring.ctypes.data, len(ring)
        self._words[to.CLOCK] = clock.ctypes.data
        self._words[to.K0 : to.K1 + 1] = np.array(store.hash_key.halves, np.uint64).view(np.int64)

    @property
    def address(self) -> int:
        """Of int64[STORE]."""
        return int(self._words.ctypes.data)

    def settle(self, loops: Sequence[Loop]) -> None:
        """Bring what was counted since to the store."""
        now = sum(int(loop.counts[count.STORED_ROWS]) for loop in loops)
        self._store.rows["replica"] += now - self._settled
        self._settled = now
