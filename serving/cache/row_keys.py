"""Keys of rows: what a model version would be given, hashed under a secret key."""

from collections.abc import Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Tensors
from serving.hash_key import HashKey

_NOTHING: NDArray[np.uint8] = np.empty((0, 0), np.uint8)


class RowKeys:
    """Keys of the rows of one model version. Two rows have the same key when all their bytes are the same.

    Another artifact or other names of tensors give other keys, so that what one artifact answered is never found for
    another one, whatever its version number.
    """

    def __init__(self, hash_key: HashKey, digest: str, names: Sequence[str]) -> None:
        """digest: of all files of the version; names: of the graph's inputs, in the order of the contract."""
        if not names:
            raise ValueError("a graph without inputs")
        self.names = tuple(names)
        parts = ["prediction", digest, *names]
        self.k0, self.k1 = hash_key.derive(b"".join(part.encode() + b"\0" for part in parts))

    def bytes_of(self, tensors: Tensors) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What is hashed of n rows, in two parts: uint8[n, A], uint8[n, B].

        tensors: float32[n, ...] by name, all of `names`, of the same shapes in all calls.
        """
        first, *others = [_flat(tensors[name]) for name in self.names]
        if not others:
            return first, _NOTHING
        return first, others[0] if len(others) == 1 else np.concatenate(others, axis=1)

    def __call__(self, tensors: Tensors) -> NDArray[np.uint64]:
        """uint64[n, 2]; tensors as in `bytes_of`."""
        from serving.cache import cache_kernels

        first, second = self.bytes_of(tensors)
        keys = np.empty((len(first), 2), np.int64)
        cache_kernels.row_keys(first, second, self.k0, self.k1, keys)
        return keys.view(np.uint64)


def _flat(tensor: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The bytes of each row: uint8[n, bytes]. As in all arrays of kernels: contiguous, aligned, not read-only."""
    if not tensor.flags.carray or tensor.dtype != np.float32:
        tensor = np.require(tensor, np.float32, ("C", "A", "W"))
    if tensor.ndim != 2:
        tensor = tensor.reshape(len(tensor), prod(tensor.shape[1:]))
    return tensor.view(np.uint8)
