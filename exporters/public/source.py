"""A public table as the source of a training run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporters.data.dataset import Dataset
from exporters.errors import DataError
from exporters.public.report import card_section
from exporters.public.tables import TABLES


@dataclass(frozen=True)
class PublicSource:
    """What is trained on, under which name it is published, and what only its card says."""

    model: str
    dataset: Dataset
    section: Callable[[], str]
    """Cross-validates when it is called: some seconds."""


def choose(name: str, data_dir: Path) -> PublicSource:
    """The table that `--dataset` names, read from `data_dir`. Raises DataError for an unknown name or a wrong file."""
    if name not in TABLES:
        raise DataError(f"--dataset: got {name!r}, expected one of {', '.join(TABLES)}")
    table = TABLES[name]
    dataset = table.load(data_dir)
    return PublicSource(table.model, dataset, partial(card_section, table, dataset))
