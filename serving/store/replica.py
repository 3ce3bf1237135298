"""The in-process replica of the online store: records in flat arrays, bounded, without a Python object an entity."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SLOT = 32
"""Bytes of a slot of the table."""
_LARGEST_SHARE = 4
_CLOCK, _EPOCH, _UNTIL = 8, 6, 7
_VERIFIED_AT_ONCE = 256
_SLOTS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, repr=False)
class Collected:
    """What the replica has of n keys. starts, ends, state, stale: as in `Fetched`, state is FOUND or NOT_FOUND."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    state: NDArray[np.uint8]
    stale: NDArray[np.bool_]
    """Found, and not known to be right in the epoch that was asked for. Shape [n]."""
    first: NDArray[np.int64]
    """The first row with the same key. Shape [n]."""
    missing: int
    """Keys not found, each counted once."""


class Replica:
    """At most `most_bytes` of memory for records by 128-bit key; what was not used lately makes room for what comes.

    At most an eighth of the bytes is a table of 32 bytes a slot, three quarters of which are used at most; the rest is
    a ring of records, 24 bytes of header each. A record that would take more than a quarter of the ring is not kept.
    Every record is kept with the epoch in which it was last known to be right. Whatever is dropped is overwritten with
    zeros at once. One thread at a time; others may `replica_kernels.take` records from `arrays` in the epoch `open_in`.
    """

    def __init__(self, most_bytes: int) -> None:
        slots = 1 << ((most_bytes // 8 // _SLOT).bit_length() - 1)
        words = (most_bytes - slots * _SLOT) // 8
        self._slots = np.zeros((slots, 4), np.int64)
        self._ring = np.zeros(words, np.int64)
        self._clock = np.zeros(_CLOCK, np.int64)
        self._most = slots * 3 // 4
        self._largest = words * 8 // _LARGEST_SHARE
        self.clear()

    @property
    def entries(self) -> int:
        """Records kept."""
        return int(self._clock[1])

    @property
    def bytes_used(self) -> int:
        """Bytes of the records kept, with their headers and slots."""
        return int(self._clock[2]) * 8 + self.entries * _SLOT

    @property
    def bytes_at_most(self) -> int:
        """Bytes of the table and the ring."""
        return self._slots.nbytes + self._ring.nbytes

    @property
    def evictions(self) -> int:
        """Records that made room for others."""
        return int(self._clock[3])

    @property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Slots, ring and clock, as `replica_kernels` has them. They stay the same arrays."""
        return self._slots, self._ring, self._clock

    def open_in(self, epoch: int, seconds: float = 3600.0) -> None:
        """Other threads may take what was last right in this epoch, for so long; 0: nothing."""
        self._clock[_UNTIL] = time.monotonic_ns() + int(seconds * 1e9)
        self._clock[_EPOCH] = epoch

    def collect(self, keys: NDArray[np.uint64], epoch: int, unverified: bool) -> Collected:
        """What is kept of `keys`, uint64[n, 2], copied. unverified: also what was last right in another epoch."""
        from serving.store import replica_kernels

        places = np.empty((3, len(keys)), np.int64)
        state = np.empty(len(keys), np.uint8)
        stale = np.empty(len(keys), np.bool_)
        buffer, missing = replica_kernels.collect(
            self._slots, self._ring, keys.view(np.int64), epoch, unverified, places, state, stale
        )
        return Collected(buffer, places[0], places[1], state, stale, places[2], missing)

    def insert(
        self,
        keys: NDArray[np.uint64],
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        epoch: int,
    ) -> None:
        """Keep n records, known to be right in `epoch`; record i is buffer[starts[i]:ends[i]]. keys: uint64[n, 2].

        Where it is empty, or too large to be kept, the one from before is forgotten.
        """
        from serving.store import replica_kernels

        state = self._slots, self._ring, self._clock
        replica_kernels.insert(*state, keys.view(np.int64), buffer, starts, ends, epoch, self._most, self._largest)

    def drop(self, keys: NDArray[np.uint64]) -> None:
        """Forget the records of `keys`, uint64[n, 2]."""
        from serving.store import replica_kernels

        replica_kernels.drop(self._slots, self._ring, self._clock, keys.view(np.int64))

    def unverified(self, epoch: int, at: int) -> tuple[NDArray[np.uint64], int]:
        """Keys of some records last right in another epoch, uint64[k, 2], and where to go on; 0: that was the end.

        at: 0 to begin with. A record that moves in the meantime may be passed over: it is found when all begins anew.
        """
        from serving.store import replica_kernels

        keys = np.empty((_VERIFIED_AT_ONCE, 2), np.int64)
        count, at = replica_kernels.unverified(self._slots, epoch, at, _SLOTS_AT_ONCE, keys)
        return keys[:count].view(np.uint64), at % len(self._slots)

    def verify(self, keys: NDArray[np.uint64], revisions: NDArray[np.int64], epoch: int) -> None:
        """Records whose bytes 8 to 15 are these revisions, little-endian int64[n], are right in `epoch`; the other ones
        of `keys`, uint64[n, 2], are forgotten, unless they are already known to be right in it.
        """
        from serving.store import replica_kernels

        replica_kernels.verify(self._slots, self._ring, self._clock, keys.view(np.int64), revisions, epoch)

    def clear(self) -> None:
        """Forget everything."""
        from serving.store import replica_kernels

        replica_kernels.clear(self._slots, self._ring, self._clock)
