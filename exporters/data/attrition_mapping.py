"""What the columns of a table of who left means: one row an employee and month."""

from collections.abc import Mapping as Names
from pathlib import Path
from typing import ClassVar

from exporters.data import cells, meanings, schema
from exporters.data.meanings import Meanings
from exporters.data.schema import Column
from exporters.data.sheet import Sheet
from serving.contract import Text

_EMPLOYEE, _MONTH = "employee", "month"


class AttritionMapping(Meanings, frozen=True, kw_only=True):
    """The meaning of a table. A column of type "history" counts for twelve months, any other in the newest one."""

    of_schema: ClassVar[Names[str, Column]] = {column.name: column for column in schema.ATTRITION_COLUMNS}

    title: Text = schema.RISK
    employee: str = _EMPLOYEE
    """The column that says whose row it is."""
    month: str = _MONTH
    """The column with the month of the row, as in 2024-06."""
    left: str = schema.LEFT
    """The column with the month of leaving, the same in all rows of an employee; empty for whoever is still there."""

    @property
    def of_rows(self) -> list[str]:
        """Columns that say what a row is."""
        return [self.employee, self.month, self.left]


def load(path: Path) -> AttritionMapping:
    """Read a TOML file. Raises DataError with the path of the first field that is wrong."""
    return meanings.load(path, AttritionMapping)


def completed(mapping: AttritionMapping, sheet: Sheet) -> AttritionMapping:
    """The mapping with the schema's attributes and protected ones set apart.

    Raises DataError for an input of which it cannot be inferred whether it is a number.
    """
    mapping = meanings.set_apart(mapping, schema.LEFT_OUT, set(mapping.of_rows), sheet)
    cells.check_kinds(mapping, mapping.of_rows, sheet)
    return mapping


def of_schema(sheet: Sheet, where: Path) -> AttritionMapping:
    """The mapping of a table whose columns bear the schema's names; inputs may be absent, and are none of the model.

    Raises DataError for a column that is unknown, and when one is missing that says what a row is.
    """
    mapping = AttritionMapping()
    meanings.check_names(AttritionMapping.of_schema, mapping.of_rows, sheet, where)
    return mapping
