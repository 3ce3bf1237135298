"""What a store answers: one record an entity, found or not, in one buffer of bytes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOUND, NOT_FOUND, UNAVAILABLE, CORRUPT = range(4)


@dataclass(frozen=True, slots=True, repr=False)
class Fetched:
    """Records of n entities in the order in which they were asked for."""

    buffer: NDArray[np.uint8]
    """Contiguous and not read-only: kernels are compiled for such arrays."""
    starts: NDArray[np.int64]
    """Where the record of each begins in `buffer`; anything where none was found. Shape [n]."""
    ends: NDArray[np.int64]
    state: NDArray[np.uint8]
    """FOUND; NOT_FOUND; UNAVAILABLE: the store is away and the replica does not have it; CORRUPT. Shape [n]."""
    stale: NDArray[np.bool_]
    """Found in the replica while the store is away. Shape [n]."""
