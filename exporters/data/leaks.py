"""Leaks: rows or months on both sides of a split, and inputs that tell the answer too well to be known in time."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exporters.data.associations import auc, binned
from exporters.data.dataset import Dataset
from exporters.data.splits import MONTH, month_number
from exporters.data.table import Cells, Table
from exporters.errors import DataError

TOO_GOOD = 0.98
"""Area under the ROC curve of one input alone, for one class against the others, from which on it is suspected."""
_ROWS = 20_000  # rows looked at, drawn from larger tables
_LEAST = 10  # rows of a class and of the others, below which nothing is suspected
_BY_CHANCE = 0.01  # training rows equal to a held-out one, beyond which two people may just be alike
_LUCK = 1e-6  # how rarely chance alone may pick leavers only


@dataclass(frozen=True)
class Suspect:
    """An input that alone tells a class from the others."""

    column: str
    area: float
    """Area under the ROC curve."""
    tells: str
    """The class."""

    def __str__(self) -> str:
        return f"{self.column!r} tells {self.tells!r} with an area under the curve of {self.area:.3f}"


def check_split(training: Table, held_out: Table) -> None:
    """Hold a split to what it promises. Raises DataError for whatever both parts share: groups, months, rows."""
    shared = np.intersect1d(training.groups, held_out.groups)
    if len(shared):
        raise DataError(
            f"{len(shared)} of {len(np.unique(held_out.groups))} groups of the held-out rows are trained on as well"
        )
    _check_months(training, held_out)
    copies = _copies(training, held_out)
    if copies:
        raise DataError(
            f"{copies} held-out rows are equal to training rows in every input, more than can be chance: "
            "drop the duplicates before the split"
        )


def suspects(table: Table) -> list[Suspect]:
    """Inputs that alone tell a class with an area of TOO_GOOD or more, the worst first.

    A number counts by what is usual around it (so that no order is asked of it), a category by what is usual in it, a
    missing cell as a category of its own, a history by its most telling month. What is usual is taken from one half of
    the groups and held to the other.
    """
    rng = np.random.default_rng(len(table))
    if len(table) > _ROWS:
        table = table.rows(np.sort(rng.choice(len(table), _ROWS, replace=False)))
    names, owner = np.unique(table.groups, return_inverse=True)
    half = (rng.permutation(len(names)) % 2 == 0)[owner]
    worst = [_worst(name, cells, table, half) for name, cells in table.columns.items()]
    found = [suspect for suspect in worst if suspect.area >= TOO_GOOD]
    return sorted(found, key=lambda suspect: -suspect.area)


def check_inputs(dataset: Dataset) -> None:
    """Refuse to learn from what is probably known too late.

    Raises DataError naming the suspects, save those of which somebody has said that they are known in time.
    """
    _refuse(_said(suspects(dataset.table)), dataset)


def check_leavers(dataset: Dataset, ever: NDArray[np.bool_]) -> None:
    """Refuse to learn from what is known of leavers only. Raises DataError as `check_inputs` does.

    What stands in every row of a leaver hides among all months: at earlier ones who leaves much later counts as
    staying. So inputs are held to who leaves at all, and in the newest month to who leaves within the horizon.

    ever: whether the file knows a month of leaving, bool[n]. The last class of the table is that of staying.
    """
    table = dataset.table
    months = table.attributes[MONTH]
    newest = max(months.tolist())
    soon = table.rows(months == newest)
    within = f"leaves within {table.horizon} months of {newest}"
    found = _of_leavers_only(table, ever)
    found |= _said(suspects(_of_two(soon, soon.target < len(table.classes) - 1, within)))
    found |= _said(suspects(_of_two(table, ever, "leaves at any time")))
    _refuse(found, dataset)


def _of_two(table: Table, truth: NDArray[np.bool_], tells: str) -> Table:
    """The table with two classes: what is true of a row, and that it is not."""
    return replace(table, target=np.where(truth, 0, 1), classes=(tells, f"not: {tells}"))


def _of_leavers_only(table: Table, ever: NDArray[np.bool_]) -> dict[str, str]:
    """Columns that have a cell for some leavers and for nobody else, more of them than can be chance -> a sentence."""
    share = len(np.unique(table.groups[ever])) / len(np.unique(table.groups))
    found = {}
    for name, cells in table.columns.items():
        known = cells != "" if cells.dtype.kind == "U" else ~np.isnan(cells)
        known = known if known.ndim == 1 else known.any(axis=1)
        people = len(np.unique(table.groups[known]))
        if people >= _LEAST and ever[known].all() and share**people < _LUCK:
            found[name] = f"{name!r} is known of {people} who leave and of nobody who stays"
    return found


def _said(found: list[Suspect]) -> dict[str, str]:
    """Column -> a sentence."""
    return {suspect.column: str(suspect) for suspect in found}


def _refuse(suspected: dict[str, str], dataset: Dataset) -> None:
    """Raise DataError naming the suspects of which nobody has said that they are known in time."""
    found = {column: says for column, says in suspected.items() if column not in dataset.known_in_time}
    if found:
        raise DataError(
            f"too good to be known in time: {'; '.join(found.values())}. Leave out what is known only with the "
            f"answer; if it is known before, name it in the mapping: known_in_time = [{', '.join(map(repr, found))}]",
            field=next(iter(found)),
        )


def _check_months(training: Table, held_out: Table) -> None:
    if MONTH not in training.attributes or MONTH not in held_out.attributes:
        return
    known, tested = (sorted({month_number(cell) for cell in part.attributes[MONTH]}) for part in (training, held_out))
    if not known or not tested or known == tested == known[:1]:  # one month alone: no time to split by
        return
    ahead = tested[0] - known[-1]
    if ahead < max(training.horizon, 1):
        raise DataError(
            f"the first held-out month comes {ahead} months after the last one trained on, expected at least "
            f"{max(training.horizon, 1)}: the answers trained on were not known before",
            field=MONTH,
        )


def _copies(training: Table, held_out: Table) -> int:
    """Held-out rows whose inputs and answer are those of a training row, where the columns are too fine for chance."""
    columns = {name: (cells, held_out.columns[name]) for name, cells in training.columns.items()}
    columns[""] = (training.target, held_out.target)
    codes, alike = [], float(len(training))
    for known, tested in columns.values():
        for of_known, of_tested in zip(_months(known), _months(tested), strict=True):
            _, code, count = np.unique(np.concatenate([of_known, of_tested]), return_inverse=True, return_counts=True)
            codes.append(code)
            alike *= float(((count / len(code)) ** 2).sum())
    if alike > _BY_CHANCE:
        return 0
    rows = np.ascontiguousarray(np.stack(codes, axis=1))
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return int(np.isin(keys[len(training) :], keys[: len(training)]).sum())


def _months(cells: Cells) -> list[Cells]:
    """A column as it is, or each month of a history, the newest first."""
    return [cells] if cells.ndim == 1 else list(cells.T[::-1])


def _worst(name: str, cells: Cells, table: Table, half: NDArray[np.bool_]) -> Suspect:
    """The class that a column tells best, and how well."""
    best = Suspect(name, 0.0, "")
    for values in _months(cells):
        bins = binned(values)
        for number, tells in enumerate(table.classes):
            truth = table.target == number
            if _LEAST <= truth.sum() <= len(truth) - _LEAST:
                area = auc(_usual(bins, truth, half), truth)
                best = max(best, Suspect(name, area, tells), key=lambda suspect: suspect.area)
    return best


def _usual(bins: NDArray[np.int64], truth: NDArray[np.bool_], half: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of `truth` in the bin of each row, among the rows of the other half: float64[n]."""
    size = int(bins.max()) + 1
    share = np.empty(len(bins))
    for part in (half, ~half):
        true, all_ = (np.bincount(bins[chosen], minlength=size) for chosen in (part & truth, part))
        share[~part] = ((true + truth.mean()) / (all_ + 1.0))[bins[~part]]
    return share
