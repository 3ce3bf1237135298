"""Cells of a CSV file: each is read as what its column means, or refused by line and column."""

import math
import re
from collections.abc import Collection

import numpy as np

from exporters.data import sheet as sheets
from exporters.data.meanings import ColumnMeaning, Meanings
from exporters.data.schema import Column
from exporters.data.sheet import Sheet
from exporters.data.table import Cells
from exporters.errors import DataError
from serving.contract import Text

_LARGEST = float(np.finfo(np.float32).max)
"""Models reckon in float32."""
_MOSTLY = 0.9
"""Share of numbers among the cells given from which on a column of an inferred kind is meant to be one of numbers."""
_MEANT_AS_NUMBER = re.compile(r"\s*[+-]?[$€£¥]?\s*(\d{1,3}([,' ]\d{3})+|\d+)([.,]\d+)?\s*[%$€£¥]?\s*", re.ASCII)
"""A number as people write it, with a percent sign, a currency or a mark of thousands; no date."""


def column(name: str, texts: list[str], meaning: ColumnMeaning) -> Column:
    """What is known of an input; its kind is inferred where it is not said: a number where all cells are."""
    kind = meaning.type or ("number" if sheets.all_numbers(texts) else "category")
    title = meaning.title or Text(name, name)
    return Column(name, kind, title, meaning.unit or "", meaning.low, meaning.high, bool(meaning.required))


def check_kinds(said: Meanings, of_rows: Collection[str | None], sheet: Sheet) -> None:
    """Refuse inputs whose kind is inferred and which are all but numbers: one odd cell would make them categories.

    of_rows: columns that say what a row is. Raises DataError for the first cell that is no number.
    """
    for name, texts in sheet.columns.items():
        if name not in of_rows and name not in said.left_out and said.meaning(name).type is None:
            _check_kind(name, texts, sheet.lines)


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


def _check_kind(name: str, texts: list[str], lines: list[int]) -> None:
    given = [text for text in texts if text]
    odd = {text for text in set(given) if not sheets.NUMBER.fullmatch(text)}
    meant = {text for text in odd if _MEANT_AS_NUMBER.fullmatch(text)}
    numbers = sum(text not in odd or text in meant for text in given)
    if not odd or numbers < _MOSTLY * len(given):
        return
    row = next(row for row, text in enumerate(texts) if text in odd)
    raise DataError.cell(
        lines[row],
        name,
        came(texts[row]),
        f"a number, as {numbers} of {len(given)} cells of this column are meant to be (plain digits, as in 52310 or "
        '0.45; nothing where it is not known); or say in the mapping\'s columns that its type = "category"',
    )


def _number(text: str, line: int, of: Column) -> float:
    if text == "":
        return math.nan
    value = float(text) if sheets.NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):  # also 1e999
        raise DataError.cell(line, of.name, came(text), "a number")
    if abs(value) > _LARGEST:
        raise DataError.cell(line, of.name, came(text), f"a number no further from 0 than {_LARGEST:.2g}")
    low = -math.inf if of.low is None else of.low
    high = math.inf if of.high is None else of.high
    if not low <= value <= high:
        raise DataError.cell(line, of.name, text, f"{low:g} to {high:g} {of.unit}".rstrip())
    return value
