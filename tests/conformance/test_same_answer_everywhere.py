"""The same rows get the same bits back through every client that applications use."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.clients import CLIENTS, Answer, tensorflow_serving
from tests.conformance.rows import Columns, draw, golden, split
from tests.conftest import MODEL_REPO
from tests.support.gateways import Running

pytestmark = pytest.mark.conformance

MODELS = ("small", "performance_model")


@pytest.fixture(params=MODELS)
def served(request: pytest.FixtureRequest, small_repository: Path) -> tuple[Running, str, Path]:
    """A gateway, the model to ask, and the folder of the version that answers."""
    if request.param == "small":
        return request.getfixturevalue("small"), "small", small_repository / "small" / "2"
    newest = max(int(path.name) for path in (MODEL_REPO / request.param).iterdir() if path.name.isdigit())
    return request.getfixturevalue("performance"), request.param, MODEL_REPO / request.param / str(newest)


def _joined(answers: list[Answer]) -> np.ndarray:
    return np.concatenate([answer.probabilities for answer in answers])


@pytest.mark.parametrize("client", [name for name in CLIENTS if name != "tensorflow_serving"])
def test_a_thousand_rows_in_one_batch_get_the_same_bits_as_over_tensorflow_serving(client, served):
    at, model, version = served
    rows = draw(version, 1000)
    (expected,) = tensorflow_serving(at, model, [rows])
    (answer,) = CLIENTS[client](at, model, [rows])
    assert len(set(expected.label)) > 1
    assert any("unknown_category" in text for text in expected.warnings)
    assert answer.bits() == expected.bits()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("size", [1, 7])
def test_small_batches_get_the_same_bits_as_one_large_batch(client, size, served):
    at, model, version = served
    rows = draw(version, 49)
    (expected,) = tensorflow_serving(at, model, [rows])
    answers = CLIENTS[client](at, model, split(rows, size))
    assert _joined(answers).tobytes() == expected.probabilities.tobytes()
    assert [grade for answer in answers for grade in answer.grade] == expected.grade
    assert [text for answer in answers for text in answer.warnings] == expected.warnings
    assert np.concatenate([answer.coverage for answer in answers]).tobytes() == expected.coverage.tobytes()


@pytest.mark.parametrize("client", CLIENTS)
def test_ready_features_get_the_same_bits_as_the_raw_rows_they_were_made_from(client, served):
    at, model, version = served
    rows, features = golden(version)
    (raw,) = tensorflow_serving(at, model, [rows])
    (ready,) = CLIENTS[client](at, model, [{"features": features}])
    assert ready.probabilities.tobytes() == raw.probabilities.tobytes()
    assert (ready.label, ready.grade, ready.margin.tobytes()) == (raw.label, raw.grade, raw.margin.tobytes())
    assert ready.coverage is None


def test_golden_rows_get_the_answers_of_the_trained_model(served):
    at, model, version = served
    rows, _ = golden(version)
    (answer,) = tensorflow_serving(at, model, [rows])
    with np.load(version / "golden.npz") as arrays:
        np.testing.assert_allclose(answer.probabilities, arrays["output.probabilities"], rtol=0, atol=1e-5)


def test_epm_predict_writes_the_same_bits(served, tmp_path):
    at, model, version = served
    rows = draw(version, 1000)
    (expected,) = tensorflow_serving(at, model, [rows])
    path = tmp_path / "rows.csv"
    _write_csv(path, rows)
    command = [sys.executable, "-m", "serving.cli", "predict", str(path), "--model", model, "--format", "csv"]
    done = subprocess.run(
        [*command, "--address", at.grpc, "--id", "", "--batch", "7"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    printed = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["grade"] for row in printed] == expected.grade
    covered = next(name for name in printed[0] if name.startswith("coverage"))
    leading = next(name for name in printed[0] if name.startswith("margin"))
    for name, values in ((covered, expected.coverage), (leading, expected.margin)):
        assert np.array([row[name] for row in printed], np.float32).tobytes() == values.tobytes()
    classes = [name for name in printed[0] if name.startswith("P(")]
    probabilities = np.array([[row[name] for name in classes] for row in printed], np.float32)
    assert probabilities.tobytes() == expected.probabilities.tobytes()


def _write_csv(path: Path, rows: Columns) -> None:
    columns = [
        cells if isinstance(cells, list) else ["" if value != value else repr(value) for value in cells.tolist()]
        for cells in rows.values()
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(rows)
        writer.writerows(zip(*columns, strict=True))
