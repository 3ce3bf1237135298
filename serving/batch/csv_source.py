"""A CSV file, or standard input, as a source of lines."""

import os
import stat
from collections.abc import Sequence
from io import BufferedIOBase, RawIOBase

from serving.batch.lines import Kind, Position
from serving.csv_text.records import Place, RecordReader, Records


class CsvLines:
    """Records as `lines.Lines`."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.places, self.wrong, self.last = records.lines, records.wrong, records.last
        self.texts, self.numbers, self.names = records.cells.texts, records.cells.numbers, records.cells.names

    def __len__(self) -> int:
        return len(self.places)


class CsvSource:
    """See `lines.Source`."""

    place = "line"

    def __init__(self, file: RawIOBase | BufferedIOBase, name: str) -> None:
        state = os.fstat(file.fileno())
        self.size = state.st_size if stat.S_ISREG(state.st_mode) else 0
        self._reader = RecordReader(file, name)
        self.header: Sequence[str] = self._reader.header

    @property
    def done(self) -> int:
        return self._reader.place.offset

    @property
    def position(self) -> Position:
        return {"offset": self._reader.place.offset, "line": self._reader.place.line}

    def kind(self, name: str) -> Kind:
        return "text"

    def want(self, names: Sequence[str]) -> None:
        self._reader.want(names)

    def go_to(self, position: Position) -> None:
        self._reader.go_to(Place(position["offset"], position["line"]))

    def look(self, most: int) -> CsvLines | None:
        records = self._reader.look(most)
        return None if records is None else CsvLines(records)

    def take(self, lines: CsvLines, count: int) -> None:
        self._reader.take(lines.records, count)
