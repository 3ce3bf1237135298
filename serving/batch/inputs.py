"""Lines of a file become rows to score: an id and raw columns of each, as the contract names them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.batch.lines import Kind, Lines, Read, Reason, Rows, Source
from serving.contract import CategoryInput, Contract, DateInput, HistoryInput, NumberInput, RawInput, TextInput
from serving.csv_text.columns import Names
from serving.errors import InvalidInput
from serving.features.cells import Cells, reader
from serving.features.histories import MonthlyCells

MOST_KNOWN = 1 << 16
"""Different texts of a column whose meaning is remembered."""
LONGEST_KNOWN = 256
"""Longer texts are read each time: remembered, they would fill the memory."""
NOT_A_NUMBER = ("no number", "a number, or nothing")
NOT_A_DAY = ("no date", "a date as in 2026-03-31, or days since 1970-01-01")


@dataclass
class Batch:
    """n rows on their way. places: the line of each; wrong: why rows have no answer, each under its first reason;
    hashes: see `seen`, of rows that have histories.
    """

    ids: list[str]
    places: Rows
    columns: dict[str, Cells | MonthlyCells] = field(default_factory=dict)
    wrong: dict[int, Reason] = field(default_factory=dict)
    hashes: bytes = b""

    def __len__(self) -> int:
        return len(self.places)

    def refuse(self, rows: Iterable[int], places: Rows, name: str, said: tuple[str, str]) -> None:
        """Note what is wrong with cells of a column, where nothing was wrong before."""
        for row in rows:
            self.wrong.setdefault(row, Reason(int(places[row]), name, *said))


@dataclass(frozen=True)
class Layout:
    """What stands where. id: the column that is kept, empty for the number of the line; month: see `histories`."""

    id: str
    month: str = ""


class Inputs:
    """Which columns of a file a model takes, and how its cells are read."""

    def __init__(self, contract: Contract, source: Source, layout: Layout) -> None:
        """Raises InvalidInput when there is nothing to read, or a column is there twice or holds the wrong kind."""
        self._place = source.place
        self._layout = layout
        header, inputs = source.header, {raw.name: raw for raw in contract.inputs}
        _check_header(header, inputs, contract.model, layout)
        self.ignored = [name for name in header if name not in inputs and name not in (layout.id, layout.month)]
        named = [inputs[name] for name in header if name in inputs]
        self.monthly = [raw for raw in named if isinstance(raw, HistoryInput)]
        self.not_sent = [] if layout.month else [raw.name for raw in self.monthly]
        if not layout.month:
            self.monthly = []
        single = [raw for raw in named if not isinstance(raw, HistoryInput)]
        if not single and not self.monthly:
            raise InvalidInput(f"all columns of {contract.model} are monthly, and --month names no column of months")
        self._readers = [_Reader(raw, source.kind(raw.name)) for raw in single]
        for raw in self.monthly:
            _check_kind(raw, source.kind(raw.name))
        if layout.id and source.kind(layout.id) == "fraction":
            raise InvalidInput.cell(layout.id, "a column of fractions", "one of texts or whole numbers")
        read = {raw.name for raw in (*single, *self.monthly)}
        _check_required(contract, read)
        kept = (name for name in (layout.id, layout.month) if name)
        source.want(list(dict.fromkeys([*kept, *(raw.name for raw in single), *(raw.name for raw in self.monthly)])))

    def read(self, lines: Lines, rows: Rows | None = None) -> Batch:
        """All that is no history, of some lines or of all."""
        places = lines.places if rows is None else lines.places[rows]
        batch = Batch(self._ids(lines, rows), places)
        for row in _of(lines.wrong, rows, len(lines)).tolist():
            batch.wrong[row] = Reason(int(places[row]), "", "a line", "as many cells as the header has")
        for one in self._readers:
            values, wrong = one.read(lines)
            batch.columns[one.name] = values if rows is None else values[rows]
            batch.refuse(_of(wrong, rows, len(lines)).tolist(), places, one.name, one.refusal)
        return batch

    def _ids(self, lines: Lines, rows: Rows | None) -> list[str]:
        if not self._layout.id:
            return list(map(str, lines.places.tolist()))
        ids = lines.texts(self._layout.id)
        return ids if rows is None else [ids[row] for row in rows.tolist()]


class _Reader:
    """One column."""

    def __init__(self, raw: RawInput, kind: Kind) -> None:
        _check_kind(raw, kind)
        self.name = raw.name
        self.refusal = NOT_A_DAY if isinstance(raw, DateInput) else NOT_A_NUMBER
        self._numbers = (
            isinstance(raw, NumberInput) or kind == "fraction" or (isinstance(raw, DateInput) and kind == "whole")
        )
        self._known = Names(raw.categories if isinstance(raw, CategoryInput) else ())
        self._read = _remembering(raw)

    def read(self, lines: Lines) -> tuple[NDArray[np.float64], Rows]:
        if self._numbers:
            return lines.numbers(self.name)
        return lines.names(self.name, self._known, self._read)


def _remembering(raw: RawInput) -> Read:
    """The gateway's reading of one text, which remembers the last ones."""
    base, known = reader(raw), dict[str, float | None]()

    def once(text: str) -> float | None:
        with suppress(InvalidInput):
            return float(base(raw.name, [text.strip()])[0])
        return None

    def read(text: str) -> float | None:
        if len(text) > LONGEST_KNOWN:
            return once(text)
        if text not in known:
            if len(known) >= MOST_KNOWN:
                known.clear()
            known[text] = once(text)
        return known[text]

    return read


def _of(wrong: Rows, rows: Rows | None, n: int) -> Rows:
    """Rows among those that are wanted, by their place among these."""
    if rows is None or not wrong.size:
        return wrong
    marks = np.zeros(n, np.bool_)
    marks[wrong] = True
    return np.flatnonzero(marks[rows])


def _check_header(header: Sequence[str], inputs: dict[str, Any], model: str, layout: Layout) -> None:
    if not any(name in inputs for name in header):
        raise InvalidInput(f"no column of {model} in the header; it takes {', '.join(inputs)}")
    for column, option in ((layout.id, "--id"), (layout.month, "--month")):
        if column and column not in header:
            raise InvalidInput(f"no column {column!r} (see {option}); the file has {', '.join(header)}")
    for name in header:
        if name and (name in inputs or name in (layout.id, layout.month)) and header.count(name) > 1:
            raise InvalidInput.cell(name, "the same column twice", "each once")


def _check_kind(raw: RawInput, kind: Kind) -> None:
    """Raises InvalidInput where a column of this kind cannot be meant. Codes of categories are the model's own."""
    allowed: tuple[Kind, ...] = ("text", "whole", "fraction")
    expected = "one of numbers"
    if isinstance(raw, CategoryInput):
        allowed, expected = ("text",), "one of texts"
    elif isinstance(raw, TextInput):
        allowed, expected = ("text", "whole"), "one of texts or whole numbers"
    elif isinstance(raw, DateInput):
        allowed, expected = ("text", "whole", "fraction", "day"), "one of days"
    if kind not in allowed:
        came = {"text": "texts", "whole": "whole numbers", "fraction": "fractions", "day": "days"}[kind]
        raise InvalidInput.cell(raw.name, f"a column of {came}", expected)


def _check_required(contract: Contract, read: set[str]) -> None:
    for raw in contract.inputs:
        if raw.required and raw.name not in read:
            raise InvalidInput.cell(raw.name, "no such column", "one: it is required")
