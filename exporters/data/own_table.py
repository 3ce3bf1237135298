"""Somebody's own CSV file of grades (or other classes) as a dataset, one row of the file being one row of the table."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.data import cells
from exporters.data import mapping as mappings
from exporters.data import sheet as sheets
from exporters.data.dataset import Dataset
from exporters.data.mapping import Mapping
from exporters.data.proxies import without_proxies
from exporters.data.sheet import Sheet
from exporters.data.splits import MONTH, month_name, month_number
from exporters.data.table import Cells, Table
from exporters.errors import DataError


def load(path: Path, mapping_path: Path | None) -> Dataset:
    """Read a table; without a mapping its columns bear the schema's names. Raises DataError naming line and column."""
    sheet = sheets.read(path)
    mapping = mappings.of_schema(sheet, path) if mapping_path is None else mappings.load(mapping_path)
    with sheets.named(path):
        return build(sheet, mapping, path)


def build(sheet: Sheet, mapping: Mapping, path: Path) -> Dataset:
    """A dataset of all columns of `sheet`, read as `mapping` says, but for protected attributes and their proxies.

    Raises DataError.
    """
    mappings.check(mapping, sheet, path)
    mapping = mappings.completed(mapping, sheet)
    apart = {mapping.target.column, mapping.id, *mapping.left_out}
    inputs = tuple(
        cells.column(name, texts, mapping.meaning(name)) for name, texts in sheet.columns.items() if name not in apart
    )
    if not inputs:
        raise DataError("no input column is left: everything is the target, the id or left out")
    target, classes = _target(sheet, mapping)
    months = _months(sheet, mapping)
    groups = sheet.columns[mapping.id] if mapping.id else [str(line) for line in sheet.lines]
    attributes = {
        name: cells.attribute(name, sheet, banded=bool(mapping.groups.get(name))) for name in mapping.left_out
    }
    columns = {column.name: cells.inputs(column, sheet) for column in inputs}
    table = Table(columns, target, classes, np.array(groups), attributes | months)
    dataset = Dataset(
        title=mapping.title,
        table=table,
        inputs=inputs,
        left_out=mapping.left_out,
        description=mapping.description or f"{len(table)} rows of {path.name}",
        sha256=sheet.sha256,
        synthetic=False,
        groups=mapping.groups,
        entity_type=mapping.entity_type,
        known_in_time=mapping.known_in_time,
        output=mapping.target.output,
        owners_known=mapping.id is not None,
    )
    return without_proxies(dataset, mapping.columns)


def _months(sheet: Sheet, mapping: Mapping) -> dict[str, Cells]:
    """The months of the rows as the attribute by which splits go forward in time; none where all rows are of one.

    Raises DataError for a cell that is no month, and where the rows of one person cannot be known for such.
    """
    if mapping.month is None or len(set(sheet.columns[mapping.month])) < 2:
        return {}
    texts = sheet.columns[mapping.month]
    known: dict[str, str] = {}
    for line, text in zip(sheet.lines, texts, strict=True):
        if text not in known:
            known[text] = _month(text, line, mapping.month)
    different = len(set(known.values()))
    if mapping.id is None and different > 1:
        raise DataError(
            f"column {mapping.month!r}: rows of {different} months, and nothing says whose they are: the same person "
            "would be trained on and tested on; name the column with the person in the mapping, as `id`",
            field="id",
        )
    return {MONTH: np.array([known[text] for text in texts])}


def _month(text: str, line: int, column: str) -> str:
    try:
        return month_name(month_number(text))
    except DataError:
        raise DataError.cell(line, column, cells.came(text), "a month as in 2024-06") from None


def _target(sheet: Sheet, mapping: Mapping) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The target as positions int64[n] in the classes, which are in the order in which the mapping names them."""
    column, values = mapping.target.column, mapping.target.values
    classes = tuple(dict.fromkeys(values.values()))
    target = []
    for line, text in zip(sheet.lines, sheet.columns[column], strict=True):
        if text not in values:
            raise DataError.cell(line, column, cells.came(text), f"one of {', '.join(values)}")
        target.append(classes.index(values[text]))
    return np.array(target, np.int64), classes
