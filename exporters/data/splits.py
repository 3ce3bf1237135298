"""What is trained on and what is held out: other people, and later months where the data has months."""

import re

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells, Table
from exporters.errors import DataError

MONTH = "month"
NEWEST = 0.1
"""Least share of the rows that the months held out have together."""
_YEAR_MONTH = re.compile(r"(\d{4})-?(0[1-9]|1[0-2])(-\d\d)?(\.0)?")

Mask = NDArray[np.bool_]


def split(table: Table, held_out: float, seed: int, newest: float = NEWEST) -> tuple[Mask, Mask]:
    """Masks of training and held-out rows, bool[n]. No group stands in both, and what is held out is later.

    With more than one month (attribute "month") the rows held out are those of the held-out groups in the newest
    months, as many of them as together have the share `newest` of all rows; training rows are those of the other
    groups whose answers were known when the first of these months had come. Rows in neither are left aside. Without
    months all rows are on one side or the other.

    Raises DataError when a class is lost.
    """
    tested = split_groups(table.groups, held_out, seed)
    training, held = ~tested, tested.copy()
    months = month_numbers(table)
    if months is not None:
        begins = _first_held_out(months, newest)
        training &= months + max(table.horizon, 1) <= begins
        held &= months >= begins
    for part, mask in (("training", training), ("held-out", held)):
        for number, name in enumerate(table.classes):
            if not (table.target[mask] == number).any():
                raise DataError(
                    f"class {name!r} has no row in the {part} part: more rows{_more(months)} (or another seed) are "
                    "needed"
                )
    return training, held


def split_groups(groups: Cells, share: float, seed: int) -> Mask:
    """The rows of a random share of the groups (at least one of them): bool[n]. groups: [n]."""
    names, owner = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    return np.isin(owner, shuffled[: max(1, round(share * len(names)))])


def month_numbers(table: Table) -> NDArray[np.int64] | None:
    """Months since year 0 of each row, int64[n]; None for a table without months, or with one only.

    Raises DataError for a cell of "month" that is no month.
    """
    if MONTH not in table.attributes:
        return None
    cells, of_row = np.unique(table.attributes[MONTH], return_inverse=True)
    if len(cells) < 2:
        return None
    return np.array([month_number(cell) for cell in cells.tolist()])[of_row]


def month_number(cell: str | float) -> int:
    """Months since year 0 of a month as in 2024-06 or 202406. Raises DataError for any other cell."""
    text = str(cell)
    found = _YEAR_MONTH.fullmatch(text)
    if not found:
        raise DataError(
            f"column {MONTH!r}: got {text[:40]!r}, expected a month as in 2024-06: models are tested on later months "
            "than they are trained on",
            field=MONTH,
        )
    return int(found[1]) * 12 + int(found[2]) - 1


def month_name(number: int) -> str:
    """The month as in 2024-06. number: months since year 0."""
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _first_held_out(months: NDArray[np.int64], newest: float) -> int:
    """The newest month from which on a share `newest` of the rows stands; never the oldest month of all."""
    numbers, rows = np.unique(months, return_counts=True)
    later = rows[::-1].cumsum()[::-1]
    return int(numbers[max(1, np.flatnonzero(later >= newest * len(months))[-1])])


def _more(months: NDArray[np.int64] | None) -> str:
    return "" if months is None else " and months"
