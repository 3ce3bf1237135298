"""Forests beside onnxruntime: both sides answer alike, rows differ, what is too slow is named."""

from pathlib import Path

import numpy as np
import pytest

from exporters.formats import onnx_graph
from exporters.models.calibrated import CalibratedForest
from loadtest.backends import forest
from serving.backends.forest import ForestBackend
from serving.backends.onnxruntime import OnnxRuntimeBackend
from tests.exporters import random_models

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2] / "model_repo"
CASE = {"model": "m", "rows": 64, "forest_us": 10.0, "onnxruntime_us": 15.0, "ratio": 1.5, "asked": 1.8}


def test_the_published_grades_are_measured_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "works", lambda repository: [forest.published(repository)])
    cases = forest.measure(REPOSITORY, rounds=1, moment=0.0, rows=(1, 5))["cases"]
    assert [(case["rows"], case["asked"]) for case in cases] == [(1, 2.5), (5, None)]
    assert all(case["forest_us"] > 0 and case["onnxruntime_us"] > 0 and case["ratio"] > 0 for case in cases)


def test_all_rows_of_all_calls_differ() -> None:
    batches = forest.published(REPOSITORY).batches(20, 16, 3)
    assert len(np.unique(np.concatenate(batches), axis=0)) == 20 * 16


def test_sides_that_answer_differently_are_not_measured() -> None:
    work = forest.published(REPOSITORY)
    features = work.seen.shape[1]
    model = CalibratedForest(random_models.forest(features, 3, 0), 1.0, np.zeros(3, np.float32))
    other = ForestBackend(onnx_graph.write(model, "m"), work.promised)
    ours, theirs = ForestBackend(work.model, work.promised), OnnxRuntimeBackend(work.model, threads=1)
    X = work.batches(1, 8, 0)[0]
    forest.check(work, ours, theirs, X)
    with pytest.raises(ValueError, match="probabilities differs from onnxruntime's"):
        forest.check(work, other, theirs, X)


def test_what_is_slower_than_asked_is_named() -> None:
    figures = {"cases": [CASE, {**CASE, "ratio": 1.8}, {**CASE, "rows": 5, "asked": None}]}
    assert forest.broken(figures) == ["m, 64 rows: 1.50 times onnxruntime, 1.8 are asked"]
    assert len(forest.table(figures).splitlines()) == 4
