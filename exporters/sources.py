"""Where the data of a training run comes from, as the command line chose it."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.cli import INX, LOCAL_REPO, MODEL_REPO, SYNTHETIC
from exporters.data import synthetic
from exporters.data.dataset import Dataset
from exporters.errors import DataError


@dataclass(frozen=True)
class Source:
    """A dataset, the model to be made of it and where that goes. `section`: a part of the card of this data only."""

    model: str
    repository: Path
    dataset: Dataset
    section: Callable[[], str] = str


def choose(options: argparse.Namespace) -> Source:
    """Read the data. Raises DataError when options contradict each other or the data cannot be used."""
    if options.mapping and not options.data:
        raise DataError("--mapping says what the columns of --data mean: name that file too")
    if options.data and options.dataset:
        raise DataError("--data and --dataset are two sources: choose one")
    if options.trees < 0:
        raise DataError(f"--trees: got {options.trees}, expected 1 or more")
    if options.data:
        return _own(options)
    if options.dataset == "inx":
        return _inx(options)
    if options.model == INX:
        raise DataError(f"{INX} is trained on public data: say --dataset inx")
    dataset = synthetic.load(options.employees, options.seed)
    return Source(options.model or SYNTHETIC, options.repository or MODEL_REPO, dataset)


def _own(options: argparse.Namespace) -> Source:
    from exporters.data import own_table

    dataset = own_table.load(options.data, options.mapping)
    return Source(options.model or SYNTHETIC, options.repository or LOCAL_REPO, dataset)


def _inx(options: argparse.Namespace) -> Source:
    from exporters.public import inx

    dataset = inx.load(options.data_dir)
    return Source(options.model or INX, options.repository or LOCAL_REPO, dataset, lambda: inx.section(dataset))
