"""Columns of a CSV table cut into cells, read by kernels where they can and by Python where they cannot."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.csv_text import cell_kernels
from serving.csv_text.cell_kernels import POWERS

Rows = NDArray[np.int64]


def number(text: str) -> float:
    """A cell as a number, NaN where it says nothing. Raises ValueError."""
    return float(text.strip().replace("_", "?") or "nan")  # 1_0 is no number in a table


class Cells:
    """n records: where each of their wanted cells stands in `buffer`, quotes taken off.

    buffer: uint8[...]; starts, ends: int32[n, W]; places: the columns of both by name.
    """

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int32],
        ends: NDArray[np.int32],
        places: dict[str, int],
    ) -> None:
        self._buffer, self._starts, self._ends, self._places = buffer, starts, ends, places

    def __len__(self) -> int:
        return len(self._starts)

    def text(self, name: str, row: int) -> str:
        """One cell."""
        column = self._places[name]
        return self._buffer[self._starts[row, column] : self._ends[row, column]].tobytes().decode()

    def texts(self, name: str) -> list[str]:
        """A column of texts, as they are."""
        column, buffer = self._places[name], memoryview(self._buffer.data)
        starts, ends = self._starts[:, column].tolist(), self._ends[:, column].tolist()
        return [str(buffer[start:end], "utf-8") for start, end in zip(starts, ends, strict=True)]

    def numbers(self, name: str) -> tuple[NDArray[np.float64], Rows]:
        """A column of numbers, NaN where nothing stands; and the rows that hold no number."""
        n = len(self)
        values, odd = np.empty(n), np.empty(n, np.int64)
        column = self._places[name]
        count = cell_kernels.numbers(self._buffer, self._starts, self._ends, column, POWERS, values, odd)
        wrong = []
        for row in odd[:count].tolist():
            try:
                values[row] = number(self.text(name, row))
            except ValueError:
                wrong.append(row)
        return values, np.array(wrong, np.int64)

    def names(self, name: str, known: "Names", read: Callable[[str], float | None]) -> tuple[NDArray[np.float64], Rows]:
        """A column of names by their codes, what `read` makes of all that are not known; and the rows it refuses."""
        n = len(self)
        values, odd = np.empty(n), np.empty(n, np.int64)
        column = self._places[name]
        count = cell_kernels.names(
            self._buffer, self._starts, self._ends, column, known.bytes, known.bounds, values, odd
        )
        wrong = []
        for row in odd[:count].tolist():
            code = read(self.text(name, row))
            if code is None:
                wrong.append(row)
            else:
                values[row] = code
        return values, np.array(wrong, np.int64)


class Names:
    """Names whose codes are their places, as `cell_kernels.names` takes them; those with spaces around are never met
    there, as cells are stripped before they are compared."""

    def __init__(self, names: Sequence[str]) -> None:
        encoded = [name.encode() if name == name.strip() else b"" for name in names]
        self.bytes = packed(encoded)
        self.bounds = bounds(encoded)


def packed(pieces: Sequence[bytes]) -> NDArray[np.uint8]:
    """Pieces one after the other, as kernels take them: an array that may be written to."""
    return np.frombuffer(bytearray(b"".join(pieces)), np.uint8)


def bounds(pieces: Sequence[bytes]) -> NDArray[np.int64]:
    """Where each piece begins, and where the last one ends."""
    made: Any = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum([len(piece) for piece in pieces], out=made[1:])
    return made
