"""A model's outputs of one row, as bytes."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.backends.backend import Promised, Tensors, check_promised
from serving.errors import ContractError


class OutputLayout:
    """Where each promised output stands in the `width` bytes of a row. All are of numbers of 4 bytes."""

    def __init__(self, promised: Promised) -> None:
        self._promised = promised
        self._outputs: list[tuple[str, np.dtype[Any], tuple[int, ...], int, int]] = []
        words = 0
        for name, (kind, shape) in promised.items():
            dtype = np.dtype(kind)
            if dtype.itemsize != 4:
                raise ValueError(f"output {name}: {kind}, expected float32 or int32")
            self._outputs.append((name, dtype, shape, words, words + prod(shape)))
            words += prod(shape)
        self.width = 4 * words
        self._floats = np.array([kind.kind == "f" for _, kind, _, a, b in self._outputs for _ in range(a, b)], np.bool_)

    def pack(self, outputs: Tensors, rows: int) -> NDArray[np.uint8]:
        """uint8[rows, width] from outputs, [rows, ...] by name; what is not promised is left out.

        Raises ContractError, as `check_promised`, for what is not as promised.
        """
        from serving.cache import cache_kernels

        words = np.empty((rows, self.width // 4), np.int32)
        for name, dtype, shape, start, end in self._outputs:
            part = outputs.get(name)
            if part is None or part.dtype != dtype or part.shape != (rows, *shape):
                check_promised(outputs, self._promised, rows)
                raise ContractError(f"output {name}: not in the bytes of this machine")
            part = np.ascontiguousarray(part).view(np.int32)
            if shape:
                words[:, start:end] = part.reshape(rows, end - start)
            else:
                words[:, start] = part
        if not cache_kernels.finite(words, self._floats):
            check_promised(outputs, self._promised, rows)
        return words.view(np.uint8)

    def unpack(self, packed: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """The outputs by name, contiguous, from uint8[n, width]."""
        words, outputs = packed.view(np.int32), {}
        for name, dtype, shape, start, end in self._outputs:
            if not shape:
                outputs[name] = words[:, start].copy().view(dtype)
            else:
                outputs[name] = words[:, start:end].copy().view(dtype).reshape(len(words), *shape)
        return outputs
