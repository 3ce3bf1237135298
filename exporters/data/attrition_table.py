"""Somebody's own CSV file of who left as a dataset: from one row an employee and month to windows and answers.

Everyone who is there is looked at in marks half a year apart, the newest one half a year before the file ends: so all
answers are known. The oldest one has twelve months to look back on, so that a short window always means a newcomer.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.data import attrition_mapping as mappings
from exporters.data import cells, leaks, meanings
from exporters.data import sheet as sheets
from exporters.data.attrition_mapping import AttritionMapping
from exporters.data.attrition_panel import CLASSES, HORIZON, WINDOW
from exporters.data.dataset import Dataset
from exporters.data.proxies import without_proxies
from exporters.data.schema import Column
from exporters.data.sheet import Sheet
from exporters.data.splits import MONTH, month_name, month_number
from exporters.data.table import Cells, Table
from exporters.errors import DataError

_NEVER = np.iinfo(np.int64).max
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class _Spell:
    """Who was there when, of the n rows of a file and its e employees."""

    names: Cells
    """str[e], in the order of the file."""
    person: Whole
    """int64[n]: positions in `names`."""
    month: Whole
    """int64[n]: months since year 0."""
    left: Whole
    """int64[e]: months since year 0, _NEVER for whoever is still there."""

    def marks(self) -> list[int]:
        """The months in which everyone is looked at, the oldest first. Raises DataError when there is none."""
        begins, ends = int(self.month.min()), int(self.month.max())
        marks = range(ends - HORIZON, begins + WINDOW - 2, -HORIZON)
        if not marks:
            raise DataError(
                f"the file has the months {month_name(begins)} to {month_name(ends)}: at least {WINDOW + HORIZON} are "
                f"needed, {WINDOW} to look back on and {HORIZON} to see who leaves",
                field=MONTH,
            )
        return list(reversed(marks))

    def there(self, mark: int) -> Whole:
        """The rows of the file at a mark, of everyone who has not left, in the order of `names`: int64[r]."""
        rows = np.flatnonzero((self.month == mark) & (self.left[self.person] > mark))
        return rows[self.person[rows].argsort(kind="stable")]

    def answers(self, rows: Whole) -> Whole:
        """Positions in CLASSES of rows at a mark: int64[r]."""
        ahead = self.left[self.person[rows]] - self.month[rows]
        return np.searchsorted([3, HORIZON], ahead)


def load(path: Path, mapping_path: Path | None) -> Dataset:
    """Read a table; without a mapping its columns bear the schema's names. Raises DataError naming line and column."""
    sheet = sheets.read(path)
    mapping = mappings.of_schema(sheet, path) if mapping_path is None else mappings.load(mapping_path)
    with sheets.named(path):
        return build(sheet, mapping, path)


def build(sheet: Sheet, mapping: AttritionMapping, path: Path) -> Dataset:
    """A dataset of all columns of `sheet`, read as `mapping` says, but for protected attributes and their proxies.

    Raises DataError, also for an input that is known of leavers only.
    """
    meanings.check(mapping, mapping.of_rows, sheet, path)
    mapping = mappings.completed(mapping, sheet)
    apart = {*mapping.of_rows, *mapping.left_out}
    inputs = tuple(
        cells.column(name, texts, mapping.meaning(name)) for name, texts in sheet.columns.items() if name not in apart
    )
    if not inputs:
        raise DataError("no input column is left: everything says what a row is or is left out")
    spell = _spell(sheet, mapping)
    marks = spell.marks()
    rows = np.concatenate([spell.there(mark) for mark in marks])
    table = _table(sheet, mapping, inputs, spell, rows)
    dataset = Dataset(
        title=mapping.title,
        table=table,
        inputs=inputs,
        left_out=mapping.left_out,
        description=mapping.description
        or f"{len(table)} rows of {path.name}: {len(spell.names)} employees, looked at in "
        f"{', '.join(map(month_name, marks))}",
        sha256=sheet.sha256,
        synthetic=False,
        groups=mapping.groups,
        entity_type=mapping.entity_type,
        known_in_time=mapping.known_in_time,
    )
    dataset = without_proxies(dataset, mapping.columns)
    leaks.check_leavers(dataset, spell.left[spell.person[rows]] != _NEVER)
    return dataset


def _table(sheet: Sheet, mapping: AttritionMapping, inputs: tuple[Column, ...], spell: _Spell, rows: Whole) -> Table:
    """One row for each of `rows`: of each mark, everyone then there."""
    columns = {}
    for column in inputs:
        values = cells.inputs(column, sheet)
        columns[column.name] = _windows(values, spell, rows) if column.kind == "history" else values[rows]
    months = np.array([month_name(month) for month in spell.month[rows].tolist()])
    attributes = {
        name: cells.attribute(name, sheet, banded=bool(mapping.groups.get(name)))[rows] for name in mapping.left_out
    }
    return Table(
        columns,
        spell.answers(rows),
        CLASSES,
        spell.names[spell.person[rows]],
        {MONTH: months} | attributes,
        horizon=HORIZON,
    )


def _windows(values: NDArray[np.float64], spell: _Spell, rows: Whole) -> NDArray[np.float64]:
    """The twelve months that end with each of `rows`, NaN where the file has none: float64[r, 12]. values: [n]."""
    begins = int(spell.month.min())
    months = np.full((len(spell.names), int(spell.month.max()) - begins + 1), np.nan)
    months[spell.person, spell.month - begins] = values
    back = np.arange(1 - WINDOW, 1)
    return months[spell.person[rows][:, None], (spell.month[rows] - begins)[:, None] + back]


def _spell(sheet: Sheet, mapping: AttritionMapping) -> _Spell:
    """Who was there when. Raises DataError by line for what contradicts itself."""
    texts, lines = sheet.columns[mapping.employee], sheet.lines
    if "" in texts:
        raise DataError.cell(lines[texts.index("")], mapping.employee, cells.came(""), "who the row belongs to")
    places = {name: place for place, name in enumerate(dict.fromkeys(texts))}
    person = np.array([places[name] for name in texts])
    month = _months(sheet, mapping.month)
    left_of_row = _months(sheet, mapping.left, or_empty=True)
    left = np.full(len(places), _NEVER)
    left[person] = left_of_row
    _refuse(sheet, mapping.left, left_of_row != left[person], "the same in all rows of the employee")
    _refuse(sheet, mapping.month, _again(person, month), "each month of an employee once")
    _refuse(sheet, mapping.month, month > left[person], "no month after that of leaving")
    newest = np.zeros(len(places), np.int64)
    np.maximum.at(newest, person, month)
    lost = (left[person] == _NEVER) & (month == newest[person]) & (month < month.max())
    _refuse(sheet, mapping.left, lost, "a month of leaving: the employee has no later row")
    return _Spell(np.array(list(places)), person, month, left)


def _months(sheet: Sheet, column: str, *, or_empty: bool = False) -> Whole:
    """Months since year 0 of a column, _NEVER for an empty cell where there may be one: int64[n]."""
    known: dict[str, int] = {"": _NEVER} if or_empty else {}
    for line, text in zip(sheet.lines, sheet.columns[column], strict=True):
        if text not in known:
            try:
                known[text] = month_number(text)
            except DataError:
                raise DataError.cell(line, column, cells.came(text), "a month as in 2024-06") from None
    return np.array([known[text] for text in sheet.columns[column]])


def _again(person: Whole, month: Whole) -> NDArray[np.bool_]:
    """Rows whose employee and month have stood in a row before: bool[n]."""
    _, first = np.unique(person * (month.max() + 1) + month, return_index=True)
    again = np.ones(len(person), bool)
    again[first] = False
    return again


def _refuse(sheet: Sheet, column: str, wrong: NDArray[np.bool_], expected: str) -> None:
    """Raise DataError for the first row that is wrong."""
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError.cell(sheet.lines[row], column, cells.came(sheet.columns[column][row]), expected)
