"""The in-process table of predictions: bounded memory, no Python object an entry."""

from contextlib import suppress
from dataclasses import dataclass
from mmap import MADV_DONTNEED, MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_PRIVATE, mmap
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors
from serving.cache.row_keys import RowKeys

_WAYS = 8
_CLOCK = 8
_ENTRIES, _HITS, _MISSES, _EVICTIONS = range(1, 5)
_GENERATION = 6
_HEADER = 32
"""Bytes of a slot besides its value: key, end of its life, when it was last used."""
_MOST_SETS = 1 << 32
_HUGE = 1 << 22
"""Bytes from which on memory comes in huge pages, as NumPy's does."""


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What the table has of n rows, m different ones of which are missing."""

    keys: NDArray[np.uint64]
    """[n, 2]."""
    values: NDArray[np.uint8]
    """[n, W]; anything where there is no hit."""
    missing: int
    """m."""
    generation: int
    """At which the table was: whenever anything is dropped it goes to another one."""
    _places: NDArray[np.int64]

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Rows whose value was found. [n]."""
        return self._places[0] < 0

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Where each of the different missing rows stands first. [m]."""
        return self._places[1, : self.missing]

    def fill(self, computed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The values of all n rows, given those of the m missing ones: uint8[m, W]."""
        from serving.cache import cache_kernels

        cache_kernels.fill(self.values, self._places, computed)
        return self.values


class Table:
    """Values of `value_bytes` by 128-bit key, in at most `bytes_at_most` bytes. For any number of threads.

    Others may `cache_kernels.take` values from its `arrays`; they wait for nobody.

    A key has its place in one of the sets of 8 slots. What has expired makes room first, then what was used least
    lately in its set. Times are seconds above 0, to the millisecond, on the same clock in all calls. Memory that was
    never written to is not resident.
    """

    def __init__(self, bytes_at_most: int, value_bytes: int) -> None:
        """Raises ValueError where there is no room for one set."""
        sets = (bytes_at_most - _CLOCK * 8) // (_WAYS * _slot_bytes(value_bytes))
        if not 1 <= sets < _MOST_SETS:
            raise ValueError(f"{bytes_at_most} bytes, expected at least {self.bytes_for(1, value_bytes)}")
        self.slots = sets * _WAYS
        self.value_bytes = value_bytes
        size = self.slots * _slot_bytes(value_bytes)
        self._memory = mmap(-1, size, flags=MAP_PRIVATE | MAP_ANONYMOUS)
        if size >= _HUGE:
            with suppress(OSError):  # a kernel without them
                self._memory.madvise(MADV_HUGEPAGE)
        self._slots = np.frombuffer(self._memory, np.int64).reshape(self.slots, -1)
        self._clock = np.zeros(_CLOCK, np.int64)
        self._lock = Lock()
        self.taken = 0
        """Rows that others found with `cache_kernels.take`, as far as they have said so."""

    @staticmethod
    def bytes_for(entries: int, value_bytes: int) -> int:
        """Bytes of a table of `entries` slots, in whole sets: 32 and the value in whole words for each, and 64."""
        return -(-entries // _WAYS) * _WAYS * _slot_bytes(value_bytes) + _CLOCK * 8

    @property
    def bytes(self) -> int:
        """Bytes of all arrays."""
        return self._slots.nbytes + self._clock.nbytes

    @property
    def entries(self) -> int:
        """Entries kept; what has expired is among them until somebody asks for it or needs its slot."""
        return int(self._clock[_ENTRIES])

    @property
    def hits(self) -> int:
        """Rows found."""
        return int(self._clock[_HITS]) + self.taken

    @property
    def generation(self) -> int:
        """Another one after anything was dropped: what is being computed then may be what should be forgotten."""
        return int(self._clock[_GENERATION])

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slots and clock, as `cache_kernels` has them. They stay the same arrays."""
        return self._slots, self._clock

    @property
    def misses(self) -> int:
        """Rows not found, each as often as it was asked for."""
        return int(self._clock[_MISSES])

    @property
    def evictions(self) -> int:
        """Entries that made room for others before their time."""
        return int(self._clock[_EVICTIONS])

    def look_up(self, row_keys: RowKeys, tensors: Tensors, now: float) -> Found:
        """What is kept of n rows and has not expired. tensors: as in `RowKeys`."""
        from serving.cache import cache_kernels

        first, second = row_keys.bytes_of(tensors)
        n = len(first)
        keys, values = np.empty((n, 2), np.int64), np.empty((n, self.value_bytes), np.uint8)
        places, moment = np.empty((2, n), np.int64), int(now * 1000)
        with self._lock:
            generation = self.generation
            missing = cache_kernels.look_up_rows(
                self._slots, self._clock, first, second, row_keys.k0, row_keys.k1, moment, keys, values, places
            )
        return Found(keys.view(np.uint64), values, missing, generation, places)

    def find(self, keys: NDArray[np.uint64], now: float) -> Found:
        """As `look_up`, by keys: uint64[n, 2]."""
        from serving.cache import cache_kernels

        n = len(keys)
        values, places = np.empty((n, self.value_bytes), np.uint8), np.empty((2, n), np.int64)
        with self._lock:
            generation = self.generation
            missing = cache_kernels.look_up(
                self._slots, self._clock, keys.view(np.int64), int(now * 1000), values, places
            )
        return Found(keys, values, missing, generation, places)

    def put(
        self,
        keys: NDArray[np.uint64],
        values: NDArray[np.uint8],
        expires: NDArray[np.float64],
        now: float,
        generation: int | None = None,
    ) -> bool:
        """Keep n values, uint8[n, W], until `expires`, float64[n]. keys: uint64[n, 2].

        generation: of the look-up after which they were computed; where the table is at another one, nothing is kept.
        Returns whether it was at this one.
        """
        from serving.cache import cache_kernels

        with self._lock:
            if generation is not None and generation != self.generation:
                return False
            cache_kernels.put(self._slots, self._clock, keys.view(np.int64), values, expires, int(now * 1000))
            return True

    def drop(self, keys: NDArray[np.uint64]) -> None:
        """Forget `keys`, uint64[n, 2]; what is being computed now is not kept."""
        from serving.cache import cache_kernels

        with self._lock:
            self._clock[_GENERATION] += 1
            cache_kernels.drop(self._slots, self._clock, keys.view(np.int64))

    def clear(self) -> None:
        """Forget everything, and give the memory back; what is being computed now is not kept."""
        from serving.cache import cache_kernels

        with self._lock:
            self._clock[_GENERATION] += 1
            cache_kernels.begin(self._clock)
            try:
                self._memory.madvise(MADV_DONTNEED)  # of memory that is only ours: zeros from now on
                self._clock[_ENTRIES] = 0
            finally:
                cache_kernels.end(self._clock)


def _slot_bytes(value_bytes: int) -> int:
    return _HEADER + -(-value_bytes // 8) * 8
