"""What a model is trained on: a table, what its columns mean, and what has to be said of it in contract and card."""

from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from exporters.data.schema import Column
from exporters.data.table import Cells, Table
from exporters.errors import DataError
from serving.contract import Text


@dataclass(frozen=True)
class Dataset:
    """A table ready for training. `inputs` name columns of the table, in the order of the contract."""

    title: Text
    table: Table
    inputs: tuple[Column, ...]
    left_out: dict[str, str]
    """Attributes that are no input: name -> reason."""
    description: str
    sha256: str
    synthetic: bool
    groups: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Attributes whose groups the card compares: name -> lower bounds of bands, empty for a category."""
    entity_type: str = "employee"
    known_in_time: tuple[str, ...] = ()
    """Inputs of which somebody has said that they are known before the answer, however well they tell it."""
    output: str = "grade"
    """What a class is called in answers."""
    owners_known: bool = True
    """Whether the groups of the table say whose each row is; without, each row is a group of its own, and rows of one
    person may stand on both sides of a split."""

    def __post_init__(self) -> None:
        there = np.bincount(self.table.target, minlength=len(self.table.classes))
        for name, rows in zip(self.table.classes, there, strict=True):
            if rows < 2:
                raise DataError(f"class {name!r} has {rows} rows: at least 2 are needed, to train on and to test on")


def with_attributes(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    """The dataset with some attributes that were left out as inputs all the same, to measure what they are worth."""
    attributes = {name: dataset.table.attributes[name] for name in names}
    return replace(
        dataset,
        inputs=dataset.inputs
        + tuple(
            Column(name, "category" if cells.dtype.kind == "U" else "number", Text(name, name))
            for name, cells in attributes.items()
        ),
        table=replace(dataset.table, columns={**dataset.table.columns, **attributes}),
    )


def group_names(cells: Cells, bands: tuple[float, ...]) -> NDArray[np.str_]:
    """The group of each row, str[n]: the cell itself, or the band that a number falls into; "unknown" where missing."""
    if cells.dtype.kind == "U":
        return np.where(cells == "", "unknown", cells)
    if not bands:
        return np.array(["unknown" if np.isnan(cell) else f"{cell:g}" for cell in cells])
    edges = [f"{bound:g}" for bound in bands]
    names = [
        f"< {edges[0]}",
        *(f"{low} .. < {high}" for low, high in pairwise(edges)),
        f">= {edges[-1]}",
    ]
    banded = np.array(names)[np.searchsorted(bands, np.nan_to_num(cells), side="right")]
    return np.where(np.isnan(cells), "unknown", banded)
