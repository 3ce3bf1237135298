"""One small published model that many tests read; a test that changes it works on a copy."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from exporters import cli
from exporters.data import synthetic
from exporters.data.dataset import Dataset
from exporters.data.table import Table
from exporters.models import training

SMALL = ["train", "performance_model", "--employees", "200", "--trees", "8", "--seed", "3"]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def nans_agree(left: Table, right: Table) -> bool:
    """Whether two tables hold the same cells, a missing number being equal to a missing number."""
    return all(
        np.array_equal(cells, right.columns[name], equal_nan=cells.dtype.kind == "f")
        for name, cells in left.columns.items()
    )


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """The data of the small model."""
    return synthetic.load(200, 3)


@pytest.fixture(scope="session")
def made(dataset: Dataset) -> training.Made:
    """The small model, trained and not yet exported."""
    return training.make("performance_model", dataset, 3, trees=8)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 of the small model. Not to be changed."""
    repository = tmp_path_factory.mktemp("published")
    assert cli.main([*SMALL, "--repository", str(repository)]) == 0
    return repository


@pytest.fixture
def repository(published: Path, tmp_path: Path) -> Path:
    """A copy of `published` that a test may spoil."""
    return Path(shutil.copytree(published, tmp_path / "repository"))
