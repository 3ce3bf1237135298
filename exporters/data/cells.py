"""Cells of a CSV file: each is read as what its column means, or refused by line and column."""

import math

import numpy as np

from exporters.data import sheet as sheets
from exporters.data.meanings import ColumnMeaning
from exporters.data.schema import Column
from exporters.data.sheet import Sheet
from exporters.data.table import Cells
from exporters.errors import DataError
from serving.contract import Text


def column(name: str, texts: list[str], meaning: ColumnMeaning) -> Column:
    """What is known of an input; its kind is inferred where it is not said: a number where all cells are."""
    kind = meaning.type or ("number" if sheets.all_numbers(texts) else "category")
    title = meaning.title or Text(name, name)
    return Column(name, kind, title, meaning.unit or "", meaning.low, meaning.high, bool(meaning.required))


def inputs(of: Column, sheet: Sheet) -> Cells:
    """The cells of an input: float64[n] within its physical range (also of a history), or str[n]. Raises DataError."""
    texts = sheet.columns[of.name]
    if of.required and "" in texts:
        raise DataError.cell(sheet.lines[texts.index("")], of.name, came(""), "a value: this column is required")
    if of.kind == "category":
        return np.array(texts)
    known: dict[str, float] = {}  # texts repeat: each is read once
    for text, line in zip(texts, sheet.lines, strict=True):
        if text not in known:
            known[text] = _number(text, line, of)
    return np.array([known[text] for text in texts])


def attribute(name: str, sheet: Sheet, *, banded: bool) -> Cells:
    """The cells of a column that is left out: numbers where all are; bands ask for numbers. Raises DataError."""
    is_number = banded or sheets.all_numbers(sheet.columns[name])
    return inputs(Column(name, "number" if is_number else "category", Text(name, name)), sheet)


def came(text: str) -> str:
    """What stands in a cell, for a refusal."""
    return f"the text {text[:40]!r}" if text else "an empty cell"


def _number(text: str, line: int, of: Column) -> float:
    if text == "":
        return math.nan
    value = float(text) if sheets.NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):  # also 1e999
        raise DataError.cell(line, of.name, came(text), "a number")
    low = -math.inf if of.low is None else of.low
    high = math.inf if of.high is None else of.high
    if not low <= value <= high:
        raise DataError.cell(line, of.name, text, f"{low:g} to {high:g} {of.unit}".rstrip())
    return value
