"""Somebody's own CSV file as a dataset: a cell is read as what its column means, or refused by line and column."""

import math
import re
from pathlib import Path

import numpy as np

from exporters.data import mapping as mappings
from exporters.data import sheet as sheets
from exporters.data.dataset import Dataset
from exporters.data.mapping import Mapping
from exporters.data.schema import Column, Kind
from exporters.data.sheet import Sheet
from exporters.data.table import Cells, Table
from exporters.errors import DataError
from serving.contract import Text

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


def load(path: Path, mapping_path: Path | None) -> Dataset:
    """Read a table; without a mapping its columns bear the schema's names. Raises DataError naming line and column."""
    sheet = sheets.read(path)
    mapping = mappings.of_schema(sheet, path) if mapping_path is None else mappings.load(mapping_path)
    try:
        return build(sheet, mapping, path)
    except DataError as error:
        if str(path) in error.message:
            raise
        raise DataError(f"{path}: {error.message}", field=error.field) from error


def build(sheet: Sheet, mapping: Mapping, path: Path) -> Dataset:
    """A dataset of all columns of `sheet`, read as `mapping` says. Raises DataError."""
    mappings.check(mapping, sheet, path)
    mapping = mappings.completed(mapping, sheet)
    apart = {mapping.target.column, mapping.id, *mapping.left_out}
    inputs = tuple(_column(name, texts, mapping) for name, texts in sheet.columns.items() if name not in apart)
    if not inputs:
        raise DataError("no input column is left: everything is the target, the id or left out")
    target, classes = _target(sheet, mapping)
    groups = sheet.columns[mapping.id] if mapping.id else [str(line) for line in sheet.lines]
    attributes = {name: _attribute(name, sheet, mapping) for name in mapping.left_out}
    table = Table(
        {column.name: _cells(column, sheet) for column in inputs}, target, classes, np.array(groups), attributes
    )
    return Dataset(
        title=mapping.title,
        table=table,
        inputs=inputs,
        left_out=mapping.left_out,
        description=mapping.description or f"{len(table)} rows of {path.name}",
        sha256=sheet.sha256,
        synthetic=False,
        groups=mapping.groups,
        entity_type=mapping.entity_type,
    )


def inferred_kind(texts: list[str]) -> Kind:
    """A column is a number when every cell that is not empty is one, and there is one."""
    given = [text for text in texts if text != ""]
    return "number" if given and all(_NUMBER.fullmatch(text) for text in given) else "category"


def _column(name: str, texts: list[str], mapping: Mapping) -> Column:
    meaning = mapping.meaning(name)
    kind = meaning.type or inferred_kind(texts)
    title = meaning.title or Text(name, name)
    return Column(name, kind, title, meaning.unit or "", meaning.low, meaning.high, bool(meaning.required))


def _target(sheet: Sheet, mapping: Mapping) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], tuple[str, ...]]:
    """The target as positions int64[n] in the classes, which are in the order in which the mapping names them."""
    column, values = mapping.target.column, mapping.target.values
    classes = tuple(dict.fromkeys(values.values()))
    target = []
    for line, text in zip(sheet.lines, sheet.columns[column], strict=True):
        if text not in values:
            raise DataError.cell(line, column, _came(text), f"one of {', '.join(values)}")
        target.append(classes.index(values[text]))
    return np.array(target, np.int64), classes


def _cells(column: Column, sheet: Sheet) -> Cells:
    """One input: float64[n] within its physical range, or str[n]."""
    texts = sheet.columns[column.name]
    if column.required and "" in texts:
        raise DataError.cell(sheet.lines[texts.index("")], column.name, _came(""), "a value: this column is required")
    if column.kind == "category":
        return np.array(texts)
    return np.array([_number(text, line, column) for text, line in zip(texts, sheet.lines, strict=True)])


def _number(text: str, line: int, column: Column) -> float:
    if text == "":
        return math.nan
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):  # also 1e999
        raise DataError.cell(line, column.name, _came(text), "a number")
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    if not low <= value <= high:
        raise DataError.cell(line, column.name, text, f"{low:g} to {high:g} {column.unit}".rstrip())
    return value


def _attribute(name: str, sheet: Sheet, mapping: Mapping) -> Cells:
    """A column that is left out: numbers where all its cells are. Bands ask for a number."""
    kind: Kind = "number" if mapping.groups.get(name) else inferred_kind(sheet.columns[name])
    return _cells(Column(name, kind, Text(name, name)), sheet)


def _came(text: str) -> str:
    return f"the text {text[:40]!r}" if text else "an empty cell"
