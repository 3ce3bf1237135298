"""Where the data of a training run comes from and what is made of it, as the command line chose it."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters import recipes
from exporters.data.dataset import Dataset
from exporters.errors import DataError
from exporters.models.made import Made
from exporters.names import LOCAL_REPO, MODEL_REPO, PUBLIC
from exporters.recipes import Recipe


@dataclass(frozen=True)
class Source:
    """A dataset, the model to be made of it and where that goes. `section`: a part of the card of this data only."""

    model: str
    repository: Path
    dataset: Dataset
    make: Callable[[str, Dataset, int], Made]
    section: Callable[[], str] = str


def choose(options: argparse.Namespace) -> Source:
    """Read the data. Raises DataError when options contradict each other or the data cannot be used."""
    if options.mapping and not options.data:
        raise DataError("--mapping says what the columns of --data mean: name that file too")
    if options.data and options.dataset:
        raise DataError("--data and --dataset are two sources: choose one")
    for name in ("trees", "epochs"):
        if getattr(options, name) < 0:
            raise DataError(f"--{name}: got {getattr(options, name)}, expected 1 or more")
    if options.dataset:
        return _public(options)
    if not options.data and options.model in PUBLIC.values():
        name = next(name for name, model in PUBLIC.items() if model == options.model)
        raise DataError(f"{options.model} is trained on public data: say --dataset {name}")
    model = options.model or recipes.PERFORMANCE
    leaving = options.task == "attrition" if options.task else model.startswith("attrition")
    recipe = recipes.leaving(options.trees, options.epochs) if leaving else recipes.classification(options.trees)
    if options.data:
        return Source(model, options.repository or LOCAL_REPO, _own(options, leaving), recipe.make)
    dataset = recipe.generate(recipe.employees if options.employees is None else options.employees, options.seed)
    return Source(model, options.repository or MODEL_REPO, dataset, recipe.make)


def _own(options: argparse.Namespace, leaving: bool) -> Dataset:
    from exporters.data import attrition_table, own_table

    return (attrition_table if leaving else own_table).load(options.data, options.mapping)


def _public(options: argparse.Namespace) -> Source:
    from exporters.public import source

    if options.task == "attrition":
        raise DataError("--task attrition needs months, which the public tables do not have: they are classified")
    chosen = source.choose(options.dataset, options.data_dir)
    recipe: Recipe = recipes.classification(options.trees)
    return Source(
        options.model or chosen.model, options.repository or LOCAL_REPO, chosen.dataset, recipe.make, chosen.section
    )
