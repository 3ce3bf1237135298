"""Which ids have stood in a file: eight bytes of each are remembered."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

SIZE = 8
_RECENT = 1 << 16


class Seen:
    """Hashes of 64 bits: of ten million ids, two are taken for one in one file out of 370,000."""

    def __init__(self) -> None:
        self._older = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def add(self, ids: Sequence[str]) -> tuple[int, bytes]:
        """The place of the first id that has stood before, or -1; and what is remembered of all, for `restore`."""
        hashes = b"".join(blake2b(id_.encode(), digest_size=SIZE).digest() for id_ in ids)
        numbers = np.frombuffer(hashes, np.uint64)
        places = np.searchsorted(self._older, numbers)
        older = places < len(self._older)
        older[older] = self._older[places[older]] == numbers[older]
        for place, number in enumerate(numbers.tolist()):
            if older[place] or number in self._recent:
                return place, hashes
            self._recent.add(number)
        if len(self._recent) > _RECENT:
            self._settle()
        return -1, hashes

    def restore(self, hashes: bytes) -> None:
        """Remember what an earlier run had seen."""
        self._older = np.concatenate([self._older, np.frombuffer(hashes, np.uint64)])
        self._settle()

    def _settle(self) -> None:
        recent = np.fromiter(self._recent, np.uint64, len(self._recent))
        self._older = np.sort(np.concatenate([self._older, recent]))
        self._recent.clear()
