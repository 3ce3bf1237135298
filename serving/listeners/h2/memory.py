"""Arrays that live as long as somebody may use their addresses."""

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

A = TypeVar("A", bound=NDArray[Any])


class Memory:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self._kept: list[NDArray[Any]] = []

    def array(self, array: A) -> A:
        """Keep an array as it is."""
        self._kept.append(array)
        return array

    def address(self, array: A, aligned: int = 1) -> int:
        """Keep an array; its address, or the next one that is a multiple of `aligned`."""
        if not array.flags.c_contiguous:
            raise ValueError("an array that does not lie in one piece")
        address = int(self.array(array).ctypes.data)
        return -(-address // aligned) * aligned

    def text(self, text: bytes) -> tuple[int, int]:
        """Address and size of a text."""
        return self.address(np.frombuffer(bytearray(text + b"\0"), np.uint8)), len(text)

    def texts(self, texts: Iterable[bytes]) -> int:
        """The address of int64[n, 2], addresses and sizes of texts."""
        return self.address(np.array([self.text(text) for text in texts] or [(0, 0)], np.int64))
