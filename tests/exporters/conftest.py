"""One small published model that many tests read; a test that changes it works on a copy."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from exporters import cli
from exporters.data import synthetic
from exporters.data.dataset import Dataset
from exporters.data.table import Table
from exporters.formats import parity, triton_config
from exporters.fresh_process import FreshProcess
from exporters.models import classifier
from exporters.models.made import Made
from exporters.publishing import export, publish
from tests.exporters import random_models

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
def process() -> Iterator[FreshProcess]:
    """TensorFlow takes seconds to import: once for all tests that do not compare bytes."""
    with FreshProcess() as fresh:
        yield fresh


@pytest.fixture(scope="session")
def both(process: FreshProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 of each kind of model, of random weights and with a picture. Not to be changed."""
    root = tmp_path_factory.mktemp("both")
    extra = {"card.md": b"# Card\n\n![what came true](reliability.png)\n", "reliability.png": b"\x89PNG\r\n\x1a\n"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "FreshProcess", lambda: nullcontext(process))
        for trained in (random_models.made(random_models.blend()), random_models.made(random_models.grader())):
            exported = export.export(trained, 0, rows=512)
            files = {**exported.files, **extra, "parity.json": parity.report(exported.agreements)}
            publish.publish(root, trained.contract.model, files, triton_config.render(trained.contract))
    return root


@pytest.fixture(scope="session")
def made(dataset: Dataset) -> Made:
    """The small model, trained and not yet exported."""
    return classifier.make("performance_model", dataset, 3, trees=8)


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
