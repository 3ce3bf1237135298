"""What the columns of a table of grades (or other classes) mean: one row, one cell a column."""

from collections.abc import Mapping as Names
from pathlib import Path
from typing import ClassVar

import msgspec

from exporters.data import cells, meanings, schema
from exporters.data.meanings import Meanings, Part
from exporters.data.schema import Column
from exporters.data.sheet import Sheet
from exporters.data.splits import MONTH
from exporters.errors import DataError
from serving.contract import Text

_ID, _OF_THE_ROW = "employee", "identifier of the row"
_NO_INPUT = {
    **schema.LEFT_OUT,
    MONTH: _OF_THE_ROW,
    _ID: "identifier of the employee",
    schema.TARGET: "bears the name of the answer: as an input it would tell the model what to say",
}


class Target(Part, frozen=True):
    """The column to learn, and its values -> classes. The class named first is the best one."""

    column: str
    values: dict[str, str]
    output: str = "grade"
    """What answers call it."""


class Mapping(Meanings, frozen=True, kw_only=True):
    """The meaning of a table. Columns that are not mentioned are inputs, save those that `completed` sets apart."""

    of_schema: ClassVar[Names[str, Column]] = {column.name: column for column in schema.COLUMNS}

    target: Target
    title: Text = Text("performance grade", "绩效等级")
    id: str | None = None
    """Who a row belongs to: rows of one never stand on both sides of a split."""
    month: str | None = None
    """The month of a row, as in 2024-06: where there are several, models are tested on the newest ones."""

    @property
    def of_rows(self) -> list[str]:
        """Columns that say what a row is."""
        return [name for name in (self.target.column, self.id, self.month) if name is not None]


def load(path: Path) -> Mapping:
    """Read a TOML file. Raises DataError with the path of the first field that is wrong."""
    mapping = meanings.load(path, Mapping)
    if len(set(mapping.target.values.values())) < 2:
        raise DataError(f"{path}: target.values: got one class, expected at least two")
    for name, meaning in mapping.columns.items():
        if meaning.type == "history":
            raise DataError(f"{path}: columns.{name}.type: got history, expected number or category: one row, one cell")
    if mapping.month is not None and mapping.month in {mapping.target.column, mapping.id, *mapping.columns}:
        raise DataError(
            f"{path}: month: {mapping.month!r} is the target, the id or an input as well: it is one of them"
        )
    return mapping


def check(mapping: Mapping, sheet: Sheet, where: Path) -> None:
    """Hold a mapping to its table. Raises DataError for another file than the one meant and for missing columns."""
    meanings.check(mapping, mapping.of_rows, sheet, where)


def completed(mapping: Mapping, sheet: Sheet) -> Mapping:
    """The mapping with identifiers of the schema and protected attributes set apart, and with the month of the row.

    Identifiers are inputs only where the mapping says so, protected attributes never. Raises DataError for an input of
    which it cannot be inferred whether it is a number.
    """
    mentioned = {mapping.target.column, mapping.id}
    if mapping.id is None and _ID in sheet.columns and _ID not in {*mentioned, *mapping.left_out, *mapping.columns}:
        mapping = msgspec.structs.replace(mapping, id=_ID)
    reasons = _NO_INPUT if mapping.month is None else {**_NO_INPUT, mapping.month: _OF_THE_ROW}
    mapping = meanings.set_apart(mapping, reasons, {*mentioned, mapping.id}, sheet)
    if mapping.month is None and MONTH in mapping.left_out:
        mapping = msgspec.structs.replace(mapping, month=MONTH)
    cells.check_kinds(mapping, mapping.of_rows, sheet)
    return mapping


def of_schema(sheet: Sheet, where: Path) -> Mapping:
    """The mapping of a table whose columns bear the schema's names; optional ones may be absent, and are no inputs.

    Raises DataError for a column that is unknown, and when a required one or the target is missing.
    """
    needed = [column.name for column in schema.INPUTS if column.required] + [schema.TARGET]
    meanings.check_names(Mapping.of_schema, needed, sheet, where)
    return Mapping(target=Target(column=schema.TARGET, values={grade: grade for grade in schema.GRADES}))
