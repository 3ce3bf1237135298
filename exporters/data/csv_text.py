"""Columns as CSV text."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from exporters.data.table import Cells


def csv_text(columns: Mapping[str, Cells | Sequence[str]]) -> str:
    """A header and one line a row; missing cells are empty, numbers have six digits at most."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_cell, cells) for cells in columns.values()), strict=True))
    return text.getvalue()


def _cell(value: str | np.float64) -> str:
    if isinstance(value, str):
        return str(value)
    return "" if np.isnan(value) else f"{value:g}"
