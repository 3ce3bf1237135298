"""The rows that a model is trained on and those that it is held to: no model gets its rows another way."""

import numpy as np
from numpy.typing import NDArray

from exporters.data import leaks, splits
from exporters.data.dataset import Dataset
from exporters.data.proxies import without_proxies
from exporters.data.table import Table
from exporters.errors import DataError
from exporters.progress import say

_ATTEMPTS, _NEXT, _LEAST = 20, 1009, 2


def parted(dataset: Dataset, held_out: float, seed: int) -> tuple[Dataset, Table, Table]:
    """The dataset without protected attributes and their proxies, its training rows and its held-out rows.

    held_out: share of the people held out. Raises DataError when the split or an input leaks the answer.
    """
    dataset = without_proxies(dataset)
    leaks.check_inputs(dataset)
    training, held = (dataset.table.rows(mask) for mask in splits.split(dataset.table, held_out, seed))
    leaks.check_split(training, held)
    later = "" if splits.month_numbers(dataset.table) is None else ", of later months"
    say(f"{len(training)} training rows, {len(held)} held-out rows of other {dataset.entity_type}s{later}")
    return dataset, training, held


def set_apart(training: Table, share: float, seed: int) -> NDArray[np.bool_]:
    """A share of the people to calibrate on, bool[n]: every class has rows on both sides.

    Raises DataError naming the class that is too rare for that.
    """
    classes = len(training.classes)
    for attempt in range(_ATTEMPTS):
        apart = splits.split_groups(training.groups, share, seed + _NEXT * attempt)
        rows = np.stack([np.bincount(training.target[part], minlength=classes) for part in (apart, ~apart)])
        if rows.min() >= _LEAST:
            return apart
    rarest = int(np.bincount(training.target, minlength=classes).argmin())
    count = int((training.target == rarest).sum())
    raise DataError(
        f"class {training.classes[rarest]!r}: got {count} training rows, expected enough people to learn from some and "
        f"to calibrate on others, {_LEAST} rows each: more rows are needed"
    )
