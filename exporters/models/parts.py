"""The rows that a model is trained on and those that it is held to: no model gets its rows another way."""

from exporters.data import leaks, splits
from exporters.data.dataset import Dataset
from exporters.data.proxies import without_proxies
from exporters.data.table import Table
from exporters.progress import say


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
