"""A backend for batching tests: its answers tell whose rows they are, and it does to each batch what the test says."""

import asyncio
from collections.abc import Callable

import numpy as np

from serving.backends.backend import Tensors
from serving.errors import BackendFailed, BackendRefused, TooLate

POISON = -1.0
"""A row that begins with it is refused, and with it every batch that it is in."""
ROW_BYTES = 8


def rows(*numbers: int, poison: bool = False) -> Tensors:
    """float32[n, 2]: the numbers by which the rows are known, up to 2**24; poison: of rows that are refused."""
    return {"features": np.array([[POISON if poison else 1, number] for number in numbers], np.float32)}


def numbers_of(tensors: Tensors) -> list[int]:
    """The numbers of the rows in a batch."""
    return tensors["features"][:, 1].astype(int).tolist()


def answer(tensors: Tensors) -> Tensors:
    """What is right for these rows: float32[n, 3] and int32[n]."""
    number = tensors["features"][:, 1]
    return {"scores": number[:, None] * 2 + np.arange(3, dtype=np.float32), "label": number.astype(np.int32)}


def check_answer(got: Tensors, asked: Tensors) -> None:
    """Raises AssertionError unless `got` is the answer to `asked`: names, types, shapes and every number."""
    right = answer(asked)
    if got.keys() != right.keys():
        raise AssertionError(f"got {list(got)}")
    for name, array in right.items():
        if got[name].dtype != array.dtype:
            raise AssertionError(f"{name} is {got[name].dtype}")
        np.testing.assert_array_equal(got[name], array, strict=True)


class SlowBackend:
    """Takes fixed + per_row * n simulated seconds. `batches`: the rows of each; `most_at_once`: batches at one time."""

    def __init__(self, fixed: float = 1.0, per_row: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self.deadlines: list[float | None] = []
        self.tensors: list[Tensors] = []
        self.given: list[Tensors] = []
        self.running = 0
        self.most_at_once = 0
        self._fixed, self._per_row = fixed, per_row

    async def execute(self, tensors: Tensors, deadline: float | None) -> Tensors:
        """Raises BackendRefused when a row is poisoned. Minds no deadline."""
        self.batches.append(numbers_of(tensors))
        self.deadlines.append(deadline)
        self.tensors.append(tensors)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await asyncio.sleep(self._fixed + self._per_row * len(self.batches[-1]))
        finally:
            self.running -= 1
        if (tensors["features"][:, 0] == POISON).any():
            raise BackendRefused("a row is poisoned")
        self.given.append(answer(tensors))
        return self.given[-1]


async def fail(tensors: Tensors) -> Tensors:
    """What a batch may meet, besides an answer."""
    raise BackendFailed("out of order")


async def crash(tensors: Tensors) -> Tensors:
    """A mistake in the backend."""
    raise ZeroDivisionError("a mistake")


async def cut(tensors: Tensors) -> Tensors:
    """One row too few."""
    return {name: array[:-1] for name, array in answer(tensors).items()}


async def late(tensors: Tensors) -> Tensors:
    """A time limit of its own."""
    raise TooLate("the backend gave up")


async def stop(tensors: Tensors) -> Tensors:
    """Its threads are being shut down."""
    raise asyncio.CancelledError


FAULTS: dict[str, Callable[[Tensors], object]] = {f.__name__: f for f in (fail, crash, cut, late, stop)}
