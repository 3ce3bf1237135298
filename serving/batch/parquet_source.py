"""A Parquet file as a source of lines. Column by column the same meaning as in CSV; pyarrow is an extra."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.batch.lines import Kind, Position, Read, Rows
from serving.csv_text.columns import Names, number
from serving.errors import EpmError, InvalidInput


def pyarrow() -> Any:
    """The library. Raises EpmError that names what to install."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise EpmError("Parquet needs pyarrow: pip install epm-serving[parquet]") from None
    return pyarrow


class ArrowLines:
    """Rows of one Arrow table as `lines.Lines`."""

    def __init__(self, table: Any, first: int, last: bool) -> None:
        self.table, self.last = table, last
        self.places = np.arange(first, first + len(table), dtype=np.int64)
        self.wrong = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.places)

    def texts(self, name: str) -> list[str]:
        pa = pyarrow()
        column = self.table.column(name).cast(pa.string())
        return ["" if cell is None else cell for cell in column.to_pylist()]

    def numbers(self, name: str) -> tuple[NDArray[np.float64], Rows]:
        pa = pyarrow()
        column = self.table.column(name)
        if _is_text(pa, column.type):
            return self._distinct(column, _number)
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.string())  # as in CSV, read to the nearest number; cast at once they are not
        values = np.array(column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(), np.float64)
        return values, np.empty(0, np.int64)

    def names(self, name: str, known: Names, read: Read) -> tuple[NDArray[np.float64], Rows]:
        pa = pyarrow()
        column = self.table.column(name)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.date32(), safe=False)
        if not _is_text(pa, column.type):
            column = column.cast(pa.string())
        return self._distinct(column, read)

    def _distinct(self, column: Any, read: Read) -> tuple[NDArray[np.float64], Rows]:
        """Texts, each different one read once."""
        pa = pyarrow()
        if pa.types.is_null(column.type):
            column = column.cast(pa.string())
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
        if not pa.types.is_dictionary(column.type):
            column = pa.compute.dictionary_encode(column)
        found = [np.nan if text is None else read(text) for text in column.dictionary.to_pylist()]
        refused = np.array([value is None for value in found] + [False])
        codes = np.array([np.nan if value is None else value for value in found] + [np.nan])
        indices = np.array(column.indices.fill_null(len(found)).to_numpy(zero_copy_only=False), np.int64)
        return codes[indices], np.flatnonzero(refused[indices])


class ParquetSource:
    """See `lines.Source`. Its positions are rows."""

    place = "row"

    def __init__(self, path: Path) -> None:
        pa = pyarrow()
        self._path = path
        try:
            self._file = pa.parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
            self.header: Sequence[str] = self._file.schema_arrow.names
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise self._unreadable(error) from None
        self.size = self._file.metadata.num_rows
        self.done = 0
        self._names: list[str] = []
        self._batches: Iterator[Any] = iter(())
        self._table: Any = None

    @property
    def position(self) -> Position:
        return {"row": self.done}

    def want(self, names: Sequence[str]) -> None:
        pa = pyarrow()
        for name in names:
            kind = self._file.schema_arrow.field(name).type
            if not (_is_text(pa, kind) or _is_plain(pa, kind)):
                raise InvalidInput.cell(name, f"a column of {kind}", "one of numbers, texts or days")
        self._names = list(names)
        self.go_to({"row": 0})

    def kind(self, name: str) -> Kind:
        """What a column holds."""
        pa = pyarrow()
        kind = self._file.schema_arrow.field(name).type
        if _is_text(pa, kind):
            return "text"
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            return "day"
        return "whole" if pa.types.is_integer(kind) else "fraction"

    def go_to(self, position: Position) -> None:
        """Row groups before it are not read."""
        self.done = row = position["row"]
        groups, metadata = self._file.num_row_groups, self._file.metadata
        group = 0
        while group < groups and row >= metadata.row_group(group).num_rows:
            row -= metadata.row_group(group).num_rows
            group += 1
        self._batches = self._read(list(range(group, groups)), row)
        self._table = None

    def look(self, most: int) -> ArrowLines | None:
        pa = pyarrow()
        have = 0 if self._table is None else len(self._table)
        pieces = [] if self._table is None else [self._table]
        while have < most:
            piece = next(self._batches, None)
            if piece is None:
                break
            pieces.append(piece)
            have += len(piece)
        if not have:
            return None
        self._table = pa.concat_tables(pieces, promote_options="none")
        return ArrowLines(self._table.slice(0, most), self.done + 1, have < most)

    def take(self, lines: ArrowLines, count: int) -> None:
        self._table = self._table.slice(count)
        self.done += count

    def _read(self, groups: list[int], skip: int) -> Iterator[Any]:
        pa = pyarrow()
        try:
            for batch in self._file.iter_batches(8192, row_groups=groups, columns=self._names, use_threads=False):
                batch.validate(full=True)  # texts are UTF-8
                if skip < len(batch):
                    yield pa.Table.from_batches([batch.slice(skip)])
                skip = max(0, skip - len(batch))
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> InvalidInput:
        return InvalidInput(f"{self._path} cannot be read as Parquet: {type(error).__name__}")


def _number(text: str) -> float | None:
    try:
        return number(text)
    except ValueError:
        return None


def _is_text(pa: Any, kind: Any) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _is_plain(pa: Any, kind: Any) -> bool:
    tests = ("integer", "floating", "decimal", "boolean", "date", "timestamp")
    return any(getattr(pa.types, f"is_{test}")(kind) for test in tests)
