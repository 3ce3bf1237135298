"""Records of a CSV file, so many at a time, in memory that does not grow with the file."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedIOBase, RawIOBase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.csv_text.columns import Cells
from serving.csv_text.cut_kernels import CR, LF, ODD, WRONG, cut, longest
from serving.errors import InvalidInput

BOM = b"\xef\xbb\xbf"
BLOCK = 1 << 20
MOST_BYTES = 32 << 20
"""Of the records that are looked at together. What is longer by itself is no record: a quote is not closed."""
LONGEST_CELL = 131_072
"""As in Python's csv module: a longer cell is a quote that is not closed."""


@dataclass(frozen=True)
class Place:
    """Between two records: bytes before it, and lines."""

    offset: int = 0
    line: int = 0


@dataclass(frozen=True)
class Records:
    """Records as cells. lines: int64[n], the line each ends on; wrong: those with another number of cells than the
    header; stops: int64[n], bytes of the file before what follows each; last: whether the file ends with them."""

    cells: Cells
    lines: NDArray[np.int64]
    wrong: NDArray[np.int64]
    stops: NDArray[np.int64]
    last: bool


class RecordReader:
    """Reads a file from its header on. Raises InvalidInput, which names a line and nothing that stands there."""

    def __init__(self, file: RawIOBase | BufferedIOBase, name: str) -> None:
        self._file, self._name = file, name
        self._buffer = np.empty(4 * BLOCK, np.uint8)
        self._begin = self._end = 0
        self._last = False
        self.place = Place()
        self._places: dict[str, int] = {}
        self.header = self._header()
        self._wanted = np.full(len(self.header), -1, np.int64)

    def want(self, names: Sequence[str]) -> None:
        """Say which columns are to be read."""
        self._places = {name: place for place, name in enumerate(names)}
        for name, place in self._places.items():
            self._wanted[self.header.index(name)] = place

    def go_to(self, place: Place) -> None:
        """Go on from a place behind the header. The file can seek."""
        self._file.seek(place.offset)
        self._begin = self._end = 0
        self._last = False
        self.place = place

    def look(self, most: int) -> Records | None:
        """The next records; the same ones again until they are taken. None at the end of the file."""
        cut = self._cut(most, self._wanted)
        if cut is None:
            return None
        (starts, ends, spans, lines, states), last = cut
        self._check_text(self._begin, int(spans[-1, 2]))
        wrong, odd, buffer = states == WRONG, states == ODD, self._buffer
        starts[wrong] = ends[wrong] = 0
        if longest(starts, ends) > LONGEST_CELL:
            raise self._too_long(int(lines[np.argmax((ends - starts).max(axis=1))]))
        if odd.any():
            buffer = self._buffer[: int(spans[-1, 2])].copy()
            for row in np.flatnonzero(odd).tolist():
                wrong[row] = not self._cut_odd(buffer, starts[row], ends[row], spans[row], int(lines[row]))
            starts[wrong] = ends[wrong] = 0
        stops = spans[:, 2].astype(np.int64) + (self.place.offset - self._begin)
        return Records(Cells(buffer, starts, ends, self._places), lines, np.flatnonzero(wrong), stops, last)

    def _cut(self, most: int, wanted: NDArray[np.int64]) -> tuple[tuple[NDArray[Any], ...], bool] | None:
        """Starts, ends, records, lines and states of the next records, as the kernel writes them; and whether the file
        ends with them."""
        starts = np.zeros((most, max(1, len(self._places))), np.int32)
        ends = np.zeros_like(starts)
        spans, lines, states = np.empty((most, 3), np.int32), np.empty(most, np.int64), np.empty(most, np.uint8)
        while True:
            stop = min(self._end, self._begin + MOST_BYTES)
            last = self._last and stop == self._end
            known = (len(wanted), wanted, self.place.line)
            n, _, line = cut(self._buffer, self._begin, stop, last, *known, starts, ends, spans, lines, states)
            full = stop - self._begin == MOST_BYTES
            if n == most or last or (n and full):
                break
            if full:
                raise self._too_long(line + 1)
            self._read()
        if n and spans[n - 1, 1] == spans[n - 1, 2] and self._buffer[spans[n - 1, 2] - 1] in (LF, CR):
            lines[n - 1] -= 1  # the file ends within quotes, behind a line and not in one
        return ((starts[:n], ends[:n], spans[:n], lines[:n], states[:n]), last and n < most) if n else None

    def take(self, records: Records, count: int) -> None:
        """The first `count` of the records that were looked at have been dealt with."""
        offset = int(records.stops[count - 1])
        self._begin += offset - self.place.offset
        self.place = Place(offset, int(records.lines[count - 1]))

    def _cut_odd(
        self,
        buffer: NDArray[np.uint8],
        starts: NDArray[np.int32],
        ends: NDArray[np.int32],
        span: NDArray[np.int32],
        line: int,
    ) -> bool:
        """Cut one record as the csv module does and put its wanted cells where it stood; False if there are other
        cells than the header has."""
        begin = int(span[0])
        cells = self._parse(buffer[begin : int(span[1])].tobytes().decode(), line)
        if len(cells) != len(self.header):
            return False
        for cell, place in zip(cells, self._wanted.tolist(), strict=True):
            if place >= 0:
                data = np.frombuffer(cell.encode(), np.uint8)
                buffer[begin : begin + len(data)] = data
                starts[place], ends[place] = begin, begin + len(data)
                begin += len(data)
        return True

    def _parse(self, text: str, line: int) -> list[str]:
        try:
            return next(csv.reader(io.StringIO(text, newline="")), [])
        except csv.Error:
            raise self._too_long(line) from None

    def _header(self) -> list[str]:
        """The cells of the first record; none in a file without one."""
        while self._end < len(BOM) and not self._last:
            self._read()  # a pipe gives as little as it likes
        if self._buffer[: self._end].tobytes().startswith(BOM):
            self._begin, self.place = len(BOM), Place(len(BOM))
        cut = self._cut(1, np.empty(0, np.int64))
        if cut is None:
            return []
        _, _, spans, lines, _ = cut[0]
        begin, end, stop = spans[0].tolist()
        self._check_text(begin, end)
        self.place = Place(self.place.offset + stop - self._begin, int(lines[0]))
        self._begin = stop
        return self._parse(self._buffer[begin:end].tobytes().decode(), self.place.line)

    def _read(self) -> None:
        """One block more; what has been dealt with makes room."""
        if self._begin:
            rest = self._end - self._begin
            self._buffer[:rest] = self._buffer[self._begin : self._end].copy()
            self._begin, self._end = 0, rest
        if self._end + BLOCK > len(self._buffer):
            grown = np.empty(2 * len(self._buffer), np.uint8)
            grown[: self._end] = self._buffer[: self._end]
            self._buffer = grown
        room = self._buffer.data[self._end : self._end + BLOCK]
        got = self._file.readinto(room)
        self._end += got
        self._last = got == 0

    def _check_text(self, begin: int, end: int) -> None:
        try:
            str(self._buffer.data[begin:end], "utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(f"{self._name} is not UTF-8: save it as CSV UTF-8") from None

    def _too_long(self, line: int) -> InvalidInput:
        return InvalidInput(f"{self._name}, line {line}: a cell without end: is a quote not closed?")
