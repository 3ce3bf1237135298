"""How a model is asked in one protocol: tensors <-> bytes. What is shared by all of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from serving.backends.backend import Promised, Tensors
from serving.errors import ContractError

Part = bytes | memoryview
"""Of a message: of bytes, not of other items."""


class Codec(ABC):
    """One protocol. Has no state."""

    name: str
    """As settings, metrics and logs call servers that speak it."""
    method: str
    """The path of the gRPC method."""

    @abstractmethod
    def encode(self, model: str, version: int, tensors: Tensors, promised: Promised) -> bytes:
        """The question: n rows for exactly this version, and which outputs are wanted."""

    @abstractmethod
    def decode(self, answer: bytes, model: str, version: int, promised: Promised, rows: int) -> Tensors:
        """The promised outputs in an answer, in arrays of their own. Raises ContractError, also when it is no answer,
        or one of another model or version.
        """


def content_of(values: NDArray[Any]) -> memoryview:
    """The bytes of numbers as float32, not copied where they are that already."""
    return np.ascontiguousarray(values, np.float32).data.cast("B")


def field(number: int, parts: Sequence[Part]) -> list[Part]:
    """The parts of a field of bytes, or of a message, in protobuf's wire format.

    Messages are written up to their numbers by protobuf and joined with these: so the numbers are copied once.
    """
    return [_varint(number << 3 | 2) + _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def array_of(
    name: str,
    values: ArrayLike | bytes,
    kind: str,
    shape: Sequence[int],
    promised: tuple[int, ...],
    rows: int,
    repeat: bool = False,
) -> NDArray[Any]:
    """An output of the promised shape, writable. [n, 1] is taken for [n] where that is promised.

    values: as many numbers as the shape says, or their bytes (little-endian). kind: their type, which is the array's.
    repeat: where there are fewer numbers, the last stands for the rest. Raises ContractError.
    """
    wanted = (rows, *promised)
    if tuple(shape) != wanted and (promised or tuple(shape) != (rows, 1)):
        raise ContractError(f"output {name}: got {list(shape)[:8]} for {rows} rows, contract.json says {list(wanted)}")
    try:
        if isinstance(values, bytes):
            return np.frombuffer(values, kind).reshape(wanted).copy()
        flat = np.array(values, kind)
        missing = math.prod(wanted) - flat.size
        if repeat and flat.size and missing > 0:
            flat = np.pad(flat, (0, missing), "edge")
        return flat.reshape(wanted)
    except ValueError:
        raise ContractError(f"output {name}: its numbers do not fill {list(wanted)}") from None
