"""Protected attributes and what all but gives them away are never inputs of a model."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from exporters.data import protected
from exporters.data.associations import auc, binned, correlation_ratio, cramers_v, rank_correlation
from exporters.data.dataset import Dataset
from exporters.data.table import Cells
from exporters.errors import DataError

TOO_CLOSE = 0.95
"""Measure from which on a column is a near-perfect proxy of a protected attribute."""
_LEAST = 30  # rows in which both are known, below which nothing is concluded
_FEW = 20  # different numbers that may be codes of categories
_ROWS = 20_000  # rows looked at, drawn from larger tables


def without_proxies(dataset: Dataset, named: Collection[str] = ()) -> Dataset:
    """The dataset without inputs that are protected attributes, or near-perfect proxies of one in the data.

    Protected attributes are known by their names, gender also by its codes.

    They become attributes and stand in `left_out` with the reason. named: inputs that somebody asked for by name.
    Raises DataError where one of these would have to go, and when no input is left.
    """
    apart = _by_name(dataset)
    attributes = dataset.table.attributes | {name: dataset.table.columns[name] for name in apart}
    guarded = {
        name: attributes[name]
        for name, why in {**dataset.left_out, **apart}.items()
        if name in attributes and (why.startswith("protected attribute") or _meant(name, attributes[name]))
    }
    apart |= _near(dataset, apart, guarded)
    for name in named:
        if name in apart:
            raise DataError(
                f"column {name!r}: asked for as an input, but it is a {apart[name]}: it is never one; take it out of "
                "the mapping's columns",
                field=name,
            )
    if len(apart) == len(dataset.inputs):
        raise DataError("no input column is left: every one is a protected attribute or gives one away")
    columns = dataset.table.columns
    return replace(
        dataset,
        inputs=tuple(column for column in dataset.inputs if column.name not in apart),
        left_out=dataset.left_out | apart,
        table=replace(
            dataset.table,
            columns={name: cells for name, cells in columns.items() if name not in apart},
            attributes=dataset.table.attributes | {name: columns[name] for name in apart},
        ),
    )


def closeness(cells: Cells, attribute: Cells) -> tuple[float, str]:
    """How nearly a column determines an attribute, 0 .. 1, and the measure that says so.

    Of a number: rank correlation, and the correlation ratio of what may be codes. Of groups: Cramer's V, numbers
    in bins of equal mass; and the area under the curve for a number and two groups.
    """
    known = _known(cells) & _known(attribute)
    if known.sum() < _LEAST:
        return 0.0, ""
    cells, attribute = cells[known], attribute[known]
    is_number, groups = cells.dtype.kind == "f", np.unique(attribute)
    measures = []
    if attribute.dtype.kind == "f" and is_number:
        measures.append((rank_correlation(cells, attribute), "rank correlation"))
    if attribute.dtype.kind == "f" and _few(cells):
        measures.append((correlation_ratio(cells, attribute), "correlation ratio"))
    if is_number and len(groups) == 2:
        area = auc(cells, attribute == groups[1])
        measures.append((max(area, 1.0 - area), "area under the curve"))
    if _few(attribute):
        measures.append((cramers_v(binned(cells, _FEW), attribute), "Cramer's V"))
    return max(measures, default=(0.0, ""))


def _by_name(dataset: Dataset) -> dict[str, str]:
    """Inputs that are protected attributes themselves -> the reason."""
    meant = {column.name: _meant(column.name, dataset.table.columns[column.name]) for column in dataset.inputs}
    return {name: protected.reason(attribute) for name, attribute in meant.items() if attribute}


def _meant(name: str, cells: Cells) -> str:
    """The protected attribute that a column is, by its name or its cells; empty for any other."""
    return protected.known(name, np.unique(cells).tolist() if cells.dtype.kind == "U" else ())


def _near(dataset: Dataset, apart: dict[str, str], guarded: dict[str, Cells]) -> dict[str, str]:
    """Inputs that are near-perfect proxies of a guarded attribute -> the reason."""
    rows = np.arange(len(dataset.table))
    if len(rows) > _ROWS:
        rows = np.sort(np.random.default_rng(len(rows)).choice(len(rows), _ROWS, replace=False))
    found = {}
    for column in dataset.inputs:
        if column.name in apart:
            continue
        cells = _in_one(dataset.table.columns[column.name][rows])
        for name, attribute in guarded.items():
            value, measure = closeness(cells, _in_one(attribute[rows]))
            if value >= TOO_CLOSE:
                found[column.name] = f"near-perfect proxy of {name!r} ({measure} {value:.2f})"
                break
    return found


def _in_one(cells: Cells) -> Cells:
    """A column as it is; a history by the mean of its months, NaN where none is known."""
    if cells.ndim == 1:
        return cells
    months = (~np.isnan(cells)).sum(axis=1)
    return np.asarray(np.nansum(cells, axis=1) / np.where(months > 0, months, np.nan))


def _known(cells: Cells) -> Cells:
    return cells != "" if cells.dtype.kind == "U" else ~np.isnan(cells)


def _few(cells: Cells) -> bool:
    return cells.dtype.kind == "U" or len(np.unique(cells)) <= _FEW
