"""CSV and Parquet files of facts, read a chunk at a time into messages of epm.v1.FeatureService.

Without a month column a row is what is known of one entity; with one it is one month of one entity. A column holds
numbers unless it is named as one of texts (Parquet says itself which hold texts). An empty cell is a fact that is
missing; in a month it says nothing.
"""

import calendar
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, islice
from math import inf, isinf, nan
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from serving.contract import MOST_MONTHS
from serving.errors import InvalidInput, SettingsError, one_of
from serving.protocols.features import ENTITY_TYPE, year_and_month
from serving.store.facts import LONGEST_NAME
from serving.stubs.epm.v1 import features_pb2 as v1

ROWS = 512
"""In one chunk, small enough for the garbage collector to leave alone; an entity's months are kept together."""
MOST_BYTES = 1 << 20
"""About as many in one message."""
MOST_KNOWN = 1 << 16
"""Different months or times whose meaning is remembered."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_YEAR_MONTH = re.compile(r"(\d{4})-?(\d{2})")


@dataclass(frozen=True)
class Layout:
    """What a file holds. month: its column, empty when a row is a whole entity. columns: those to load, none: all."""

    id: str
    month: str
    as_of: str
    """A column, or a point in time as in 2026-03-31T18:00:00+08:00; empty: when the file was last changed."""
    entity_type: str
    source: str
    sequence: int = 0
    columns: Sequence[str] = ()
    ignore: Sequence[str] = ()
    texts: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not ENTITY_TYPE.fullmatch(self.entity_type):
            raise SettingsError("--entity-type: expected a-z first, then a-z, 0-9 and _, at most 32 characters")
        try:
            size = len(self.source.encode())
        except UnicodeEncodeError:
            raise SettingsError("--source: got bytes that are not UTF-8, expected text") from None
        if not 0 < size <= LONGEST_NAME:
            raise SettingsError(f"--source: got {size} bytes, expected 1 to {LONGEST_NAME}")
        if not 0 <= self.sequence < 1 << 64:
            raise SettingsError(f"--sequence: got {self.sequence}, expected 0 to 2**64 - 1")


@dataclass
class Message:
    """A message to send, and where its events stand in the file."""

    request: v1.PutFactsRequest = field(default_factory=v1.PutFactsRequest)
    places: list[str] = field(default_factory=list)
    rows: int = 0

    def events(self) -> "Iterator[Message]":
        """Each event as a message of its own."""
        for event, place in zip(self.request.events, self.places, strict=True):
            yield Message(v1.PutFactsRequest(events=[event]), [place])


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Rows by columns. places: lines or rows in the file; months: since January 1970; as_of: milliseconds."""

    places: list[int]
    ids: list[str]
    months: list[int]
    as_of: list[int]
    numbers: dict[str, list[float]]
    texts: dict[str, list[str]]

    def part(self, start: int, stop: int) -> "_Chunk":
        return _Chunk(
            self.places[start:stop],
            self.ids[start:stop],
            self.months[start:stop],
            self.as_of[start:stop],
            {name: cells[start:stop] for name, cells in self.numbers.items()},
            {name: cells[start:stop] for name, cells in self.texts.items()},
        )

    def __add__(self, other: "_Chunk") -> "_Chunk":
        return _Chunk(
            self.places + other.places,
            self.ids + other.ids,
            self.months + other.months,
            self.as_of + other.as_of,
            {name: cells + other.numbers[name] for name, cells in self.numbers.items()},
            {name: cells + other.texts[name] for name, cells in self.texts.items()},
        )


class FactsFile:
    """One file. Everything that is wrong with it raises InvalidInput, which names the place, not what stands there."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._path = path
        self._layout = layout
        self._parquet = path.suffix.lower() in (".parquet", ".pq")
        self._place = "row" if self._parquet else "line"
        self._months: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._as_of, self._as_of_column = 0, ""
        self.read = 0.0
        """How much of the file has been read, 0 to 1."""

    def messages(self, events: int) -> Iterator[Message]:
        """Its events, at most so many in one message."""
        chunks = self._read_parquet() if self._parquet else self._read_csv()
        message, size = Message(), 0
        for chunk in _whole_entities(chunks) if self._layout.month else chunks:
            start = 0
            while start < len(chunk.ids):
                stop = self._end(chunk, start)
                event = self._add(message.request, chunk, start, stop)
                message.places.append(self._where(chunk, start))
                message.rows += stop - start
                size += event.ByteSize()
                if len(message.places) == events or size > MOST_BYTES:
                    yield message
                    message, size = Message(), 0
                start = stop
        if message.places:
            yield message

    def _end(self, chunk: _Chunk, start: int) -> int:
        """Where the rows end that make one event with row `start`."""
        stop = start + 1
        if self._layout.month:
            entity, as_of = chunk.ids[start], chunk.as_of[start]
            while stop < len(chunk.ids) and chunk.ids[stop] == entity and chunk.as_of[stop] == as_of:
                stop += 1
        return stop

    def _add(self, request: v1.PutFactsRequest, chunk: _Chunk, start: int, stop: int) -> v1.FactsEvent:
        """The rows from start to stop as one event."""
        layout, (seconds, milliseconds) = self._layout, divmod(chunk.as_of[start], 1000)
        event = request.events.add(
            entity_type=layout.entity_type,
            entity_id=chunk.ids[start],
            source=layout.source,
            sequence=layout.sequence,
            as_of=Timestamp(seconds=seconds, nanos=milliseconds * 1_000_000),
        )
        if layout.month:
            self._add_months(event, chunk, start, stop, seconds)
            return event
        for name, cells in chunk.numbers.items():
            if (number := cells[start]) == number:
                event.facts.add(name=name, number=number)
            else:
                event.facts.add(name=name)
        for name, texts in chunk.texts.items():
            if text := texts[start]:
                event.facts.add(name=name, text=text)
            else:
                event.facts.add(name=name)
        return event

    def _add_months(self, event: v1.FactsEvent, chunk: _Chunk, start: int, stop: int, seconds: int) -> None:
        """Monthly facts: the newest 36 months, no more are stored."""
        months = chunk.months[start:stop]
        last, now = max(months), datetime.fromtimestamp(seconds, UTC)
        if last > (now.year - 1970) * 12 + now.month - 1:
            place = self._where(chunk, start + months.index(last))
            raise InvalidInput(f"{place}: the month lies after {now:%Y-%m}, as of which the file is read (--as-of)")
        rows = {month: row for row, month in enumerate(months, start)}
        if len(rows) < len(months):
            twice = next(row for row, month in enumerate(months, start) if rows[month] != row)
            raise InvalidInput(f"{self._where(chunk, twice)}: a month that the entity has twice")
        first = max(min(months), last - MOST_MONTHS + 1)
        named = year_and_month(first)
        if months[-1] == last and last - first == stop - start - 1 and months == sorted(months):
            for name, cells in chunk.numbers.items():
                event.monthly_facts.add(name=name, first_month=named, values=cells[start:stop])
            return
        chosen = [rows.get(month, -1) for month in range(first, last + 1)]
        for name, cells in chunk.numbers.items():
            values = [nan if row < 0 else cells[row] for row in chosen]
            event.monthly_facts.add(name=name, first_month=named, values=values)

    def _read_csv(self) -> Iterator[_Chunk]:
        size = self._path.stat().st_size or 1
        with self._path.open("rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            try:
                header = next(reader, [])
                names, before = self._names(header), reader.line_num
                while rows := list(islice(reader, ROWS)):
                    self.read = binary.tell() / size
                    places = _lines(rows, before, reader.line_num)
                    before = reader.line_num
                    yield from self._chunks(places, header, rows, names)
            except UnicodeDecodeError:
                raise InvalidInput(f"{self._path} is not UTF-8: save it as CSV UTF-8") from None
            except csv.Error as error:
                raise InvalidInput(f"{self._path}, line {reader.line_num}: {error}") from None

    def _chunks(
        self, places: list[int], header: list[str], rows: list[list[str]], names: list[str]
    ) -> Iterator[_Chunk]:
        """One chunk; none when all rows are blank."""
        layout = self._layout
        if [] in rows:
            places = [place for place, row in zip(places, rows, strict=True) if row]
            rows = [row for row in rows if row]
        for place, row in zip(places, rows, strict=True):
            if len(row) != len(header):
                raise InvalidInput(f"{self._path}, line {place}: not as many cells as the header has")
        if not rows:
            return
        columns = dict(zip(header, zip(*rows, strict=True), strict=True))
        yield _Chunk(
            places,
            self._ids(places, columns[layout.id]),
            self._all_months(places, columns[layout.month]) if layout.month else [],
            self._all_times(places, columns[self._as_of_column] if self._as_of_column else None),
            {name: self._numbers(places, name, columns[name]) for name in names if name not in layout.texts},
            {name: [cell.strip() for cell in columns[name]] for name in names if name in layout.texts},
        )

    def _numbers(self, places: list[int], name: str, cells: Sequence[str]) -> list[float]:
        with suppress(ValueError):
            values = [float(cell) if cell else nan for cell in cells] if "" in cells else list(map(float, cells))
            if "_" not in "".join(cells) and inf not in values and -inf not in values:
                return values
        values = []
        for place, cell in zip(places, cells, strict=True):
            try:
                values.append(float(cell.strip().replace("_", "?") or "nan"))  # 1_0 is no number in a file
            except ValueError:
                values.append(inf)
            if isinf(values[-1]):
                hint = "--ignore" if self._layout.month else "--text or --ignore"
                raise InvalidInput.cell(name, f"no finite number in line {place}", f"one, or nothing (see {hint})")
        return values

    def _read_parquet(self) -> Iterator[_Chunk]:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise InvalidInput(f"{self._path}: for Parquet, pip install epm-serving[parquet]") from None
        try:
            with pq.ParquetFile(self._path) as file:
                schema, begun = file.schema_arrow, 0
                names = self._names(schema.names)
                texts = {name for name in names if self._holds_texts(pa, name, schema.field(name).type)}
                layout = self._layout
                if pa.types.is_floating(schema.field(layout.id).type):
                    raise InvalidInput.cell(layout.id, "a column of fractions", "one of texts or whole numbers")
                about = (name for name in (layout.id, layout.month, self._as_of_column) if name)
                for batch in file.iter_batches(ROWS, columns=[*about, *names]):
                    places = list(range(begun + 1, begun + 1 + len(batch)))
                    begun += len(batch)
                    if places:
                        self.read = begun / file.metadata.num_rows
                        yield self._arrow_chunk(pa, places, batch, names, texts)
        except pa.ArrowException as error:
            raise InvalidInput(f"{self._path} cannot be read as Parquet: {type(error).__name__}") from None

    def _holds_texts(self, pa: Any, name: str, kind: Any) -> bool:
        """Whether a column holds texts (or dates, stored as texts). Raises InvalidInput if it holds no facts at all."""
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_date(kind)
        number = any(getattr(pa.types, f"is_{one}")(kind) for one in ("integer", "floating", "decimal", "boolean"))
        if not text and not number:
            raise InvalidInput(f"{self._path}: {name} holds {kind}, which is no fact (see --ignore)")
        if text and self._layout.month:
            raise InvalidInput(f"{self._path}: {name} holds texts, which are no monthly facts (see --ignore)")
        return text or name in self._layout.texts

    def _arrow_chunk(self, pa: Any, places: list[int], batch: Any, names: list[str], texts: set[str]) -> _Chunk:
        layout = self._layout

        def cells(name: str) -> list[str]:
            column = batch.column(name)
            return ["" if cell is None else cell for cell in column.cast(pa.string()).to_pylist()]

        numbers = {}
        for name in names:
            if name in texts:
                continue
            column = batch.column(name).cast(pa.float64(), safe=False)
            values = numbers[name] = column.fill_null(nan).to_pylist()
            if inf in values or -inf in values:
                place = next(place for place, value in zip(places, values, strict=True) if isinf(value))
                raise InvalidInput.cell(name, f"infinity in row {place}", "a finite number, or nothing")
        return _Chunk(
            places,
            self._ids(places, cells(layout.id)),
            self._all_months(places, cells(layout.month)) if layout.month else [],
            self._all_times(places, cells(self._as_of_column) if self._as_of_column else None),
            numbers,
            {name: cells(name) for name in names if name in texts},
        )

    def _names(self, header: list[str]) -> list[str]:
        """The columns that hold facts; what the layout names must be there, once."""
        layout, listed = self._layout, one_of(header) if header else "nothing"
        named = {"--id": [layout.id], "--columns": layout.columns, "--ignore": layout.ignore, "--text": layout.texts}
        named["--month"] = [layout.month] if layout.month else []
        for option, names in named.items():
            for name in names:
                if name not in header:
                    raise InvalidInput(f"{self._path}: no column {name!r} ({option}); the file has {listed}")
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise InvalidInput(f"{self._path}: column {twice!r} is there twice")
        if layout.as_of and layout.as_of in header:
            self._as_of_column = layout.as_of
        else:
            self._as_of = self._fixed_time()
        about = {name for name in (layout.id, layout.month, self._as_of_column) if name}.union(layout.ignore)
        chosen = [name for name in header if name not in about and (not layout.columns or name in layout.columns)]
        for name in chosen:
            if not 0 < len(name.encode()) <= LONGEST_NAME:
                raise InvalidInput(f"{self._path}: a column with a name of {len(name.encode())} bytes (see --ignore)")
        if not chosen:
            raise InvalidInput(f"{self._path}: no column is left to load; the file has {listed}")
        return chosen

    def _fixed_time(self) -> int:
        if not self._layout.as_of:
            return self._path.stat().st_mtime_ns // 1_000_000
        try:
            return _milliseconds(self._layout.as_of)
        except ValueError:
            expected = "a column of the file, or a time as in 2026-03-31T18:00:00+08:00"
            raise InvalidInput(f"{self._path}: --as-of: got {self._layout.as_of!r}, expected {expected}") from None

    def _ids(self, places: list[int], cells: Sequence[str]) -> list[str]:
        ids = [cell.strip() for cell in cells]
        if "" in ids:
            raise InvalidInput.cell(self._layout.id, f"nothing in {self._place} {places[ids.index('')]}", "an id")
        return ids

    def _all_months(self, places: list[int], cells: Sequence[str]) -> list[int]:
        expected = "a month as in 2026-03 or 202603, or a date"
        return self._parsed(self._layout.month, places, cells, self._months, month_number, expected)

    def _all_times(self, places: list[int], cells: Sequence[str] | None) -> list[int]:
        if cells is None:
            return [self._as_of] * len(places)
        return self._parsed(self._layout.as_of, places, cells, self._times, _milliseconds, "a date, or date and time")

    def _parsed(
        self,
        name: str,
        places: list[int],
        cells: Sequence[str],
        known: dict[str, int],
        parse: Callable[[str], int],
        expected: str,
    ) -> list[int]:
        """Cells of which most occur again and again."""
        fresh = set(cells).difference(known)
        if len(known) + len(fresh) > MOST_KNOWN:
            known.clear()
            fresh = set(cells)
        for cell in fresh:
            try:
                known[cell] = parse(cell.strip())
            except ValueError:
                came = f"another thing in {self._place} {places[cells.index(cell)]}"
                raise InvalidInput.cell(name, came, expected) from None
        return [known[cell] for cell in cells]

    def _where(self, chunk: _Chunk, row: int) -> str:
        return f"{self._path}, {self._place} {chunk.places[row]}"


def _whole_entities(chunks: Iterator[_Chunk]) -> Iterator[_Chunk]:
    """The same rows, cut only between entities."""
    rest: _Chunk | None = None
    for chunk in chunks:
        whole = chunk if rest is None else rest + chunk
        cut = len(whole.ids) - 1
        while cut > 0 and whole.ids[cut - 1] == whole.ids[-1]:
            cut -= 1
        cut = cut or len(whole.ids)  # thousands of rows of one entity are not gathered without end
        yield whole.part(0, cut)
        rest = whole.part(cut, len(whole.ids)) if cut < len(whole.ids) else None
    if rest is not None:
        yield rest


def _lines(rows: list[list[str]], before: int, after: int) -> list[int]:
    """The lines on which rows begin, when the last one before them was `before`: a quoted cell may have several."""
    if after - before == len(rows):
        return list(range(before + 1, after + 1))
    sizes = [1 + sum(len(_LINE_END.findall(cell)) for cell in row) for row in rows]
    return list(accumulate(sizes[:-1], initial=before + 1))


def month_number(text: str) -> int:
    """Months from January 1970 to one as in 2026-03, 202603 or a date. Raises ValueError."""
    if match := _YEAR_MONTH.fullmatch(text):
        day = datetime(int(match[1]), int(match[2]), 1)
    else:
        day = datetime.fromisoformat(text)
    if day.year < 1970:
        raise ValueError
    return (day.year - 1970) * 12 + day.month - 1


def _milliseconds(text: str) -> int:
    """Since 1970-01-01 UTC; a time without a zone is in UTC. Raises ValueError."""
    time = datetime.fromisoformat(text)
    try:
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:  # in UTC it would lie before the year 1 or after 9999
        raise ValueError from None
    return calendar.timegm(time.utctimetuple()) * 1000 + time.microsecond // 1000
