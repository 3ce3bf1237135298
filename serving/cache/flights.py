"""Rows that are being computed now: whoever wants one of them, too, waits for it instead of computing it again."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serving.errors import TooLate


class Flight:
    """Rows that one call computes, and their values when it is done."""

    def __init__(self, names: Sequence[bytes]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._landed: asyncio.Future[NDArray[np.uint8] | None] = asyncio.get_running_loop().create_future()

    async def values(self, names: Sequence[bytes], deadline: float | None) -> NDArray[np.uint8] | None:
        """uint8[m, W] of m of its rows; None when it came to nothing, for whatever reason.

        Waits for it until `deadline`, as time.monotonic() counts. Raises TooLate.
        """
        if not self._landed.done():
            await asyncio.wait((self._landed,), timeout=None if deadline is None else deadline - time.monotonic())
            if not self._landed.done():
                raise TooLate("the deadline passed while the row was being computed")
        landed = self._landed.result()
        return None if landed is None else landed[[self._places[name] for name in names]]

    def land(self, values: NDArray[np.uint8] | None) -> None:
        """It is over: values of all its rows, or None."""
        self._landed.set_result(values)


class Flights:
    """All flights of one model version, by row. On one event loop."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def of(self, name: bytes) -> Flight | None:
        """The flight on which this row is."""
        return self._by_name.get(name)

    def begin(self, names: Sequence[bytes]) -> Flight:
        """A flight with these rows; those that are on another one stay there, too."""
        flight = Flight(names)
        for name in names:
            self._by_name.setdefault(name, flight)
        return flight

    def end(self, flight: Flight, names: Sequence[bytes], values: NDArray[np.uint8] | None) -> None:
        """It is over, as in `land`: nobody joins it any more, and who waits for it goes on."""
        for name in names:
            if self._by_name.get(name) is flight:
                del self._by_name[name]
        flight.land(values)
