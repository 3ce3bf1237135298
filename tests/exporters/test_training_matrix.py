"""Training matrix == serving matrix, byte for byte, for every published model: its contract holds the digest of what it
was trained on, and the training rows are sent again as a client would send them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from exporters import recipes
from exporters.data import synthetic
from exporters.data.splits import split
from exporters.data.table import Table
from exporters.models import classifier
from exporters.models.made import Made
from serving.protocols.epm import _inputs
from serving.repository.served import ServedModel
from serving.repository.versions import load_version
from serving.stubs.epm.v1 import prediction_pb2 as v1

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = sorted(path.parent for path in (ROOT / "model_repo").glob("*/*/contract.json"))


def requests(table: Table, seed: int) -> Iterator[bytes]:
    """The rows as messages of epm.v1, in batches of random sizes."""
    random, start = np.random.default_rng(seed), 0
    while start < len(table):
        rows = slice(start, start := start + int(random.choice([1, 2, 63, 64, 500, 4096])))
        request = v1.PredictRequest()
        for name, cells in table.columns.items():
            column = request.columns.add(name=name)
            if cells.dtype.kind == "U":
                column.strings.values.extend(cells[rows].tolist())
            elif cells.ndim == 2:
                column.history.months = cells.shape[1]
                column.history.values.extend(cells[rows].ravel())
            else:
                column.doubles.values.extend(cells[rows])
        yield request.SerializeToString()


def serving_sha256(served: ServedModel, table: Table) -> str:
    """Digest of what the gateway makes of the rows: float32[rows, F], then the window where there is one."""
    features, window = hashlib.sha256(), []
    for body in requests(table, 1):
        inputs = _inputs(v1.PredictRequest.FromString(body), served, 4096)
        made = served.program.run(served.schema.assemble(inputs, 4096))
        features.update(made.features.tobytes())
        window.append(made.window.tobytes())
    features.update(b"".join(window))
    return features.hexdigest()


def test_both_models_are_published() -> None:
    assert {folder.parent.name for folder in PUBLISHED} >= set(recipes.PUBLISHED)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: "/".join(folder.parts[-2:]))
def test_a_published_model_gets_the_very_features_it_was_trained_on(folder: Path) -> None:
    served = load_version(folder)
    provenance, recipe = served.contract.provenance, recipes.PUBLISHED[folder.parent.name]()
    dataset = recipe.generate(recipe.employees, provenance.seed)
    assert dataset.sha256 == provenance.data_sha256, "published from other data than the default: this test needs it"
    rows = dataset.table.rows(split(dataset.table, recipe.held_out, provenance.seed)[0])
    assert len(rows) == provenance.rows
    assert serving_sha256(served, rows) == provenance.features_sha256


def test_the_digest_is_of_the_matrix_that_the_model_was_trained_on(published: Path, made: Made) -> None:
    served = load_version(published / "performance_model" / "1")
    assert served.contract.provenance.features_sha256 == made.contract.provenance.features_sha256
    dataset = synthetic.load(200, 3)
    rows = dataset.table.rows(split(dataset.table, classifier.HELD_OUT, 3)[0])
    assert serving_sha256(served, rows) == served.contract.provenance.features_sha256
    rows.columns["hours"][5] += 0.25
    assert serving_sha256(served, rows) != served.contract.provenance.features_sha256
