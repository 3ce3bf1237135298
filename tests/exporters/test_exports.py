"""Trained forests become ONNX graphs that answer as the libraries that trained them do, missing values included."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from xgboost import XGBClassifier

from exporters.formats import onnx_graph, parity
from exporters.models import forest
from exporters.models.calibrated import LEAST, CalibratedForest
from tests.exporters import random_models as models

pytestmark = pytest.mark.unit
NAMES = tuple(f"f{number}" for number in range(6))


def rows_with_gaps(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features float32[rows, 6] with 15 % missing, and three classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 6)).astype(np.float32)
    y = np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])
    X[rng.random(X.shape) < 0.15] = np.nan
    return X, y


def boosted(trees: int, **settings: Any) -> XGBClassifier:
    return XGBClassifier(n_estimators=trees, objective="multi:softprob", max_depth=4, n_jobs=1, **settings)


@pytest.fixture(scope="module")
def random_forest() -> RandomForestClassifier:
    """A random forest trained on missing values: the case that skl2onnx gets wrong (onnx/sklearn-onnx #1253)."""
    return RandomForestClassifier(20, max_depth=7, random_state=0, n_jobs=1).fit(*rows_with_gaps(2000, 0))


def calibrated(estimator: Any, classes: int = 3) -> CalibratedForest:
    """The estimator's trees, with a calibration as training would find one."""
    flatten = forest.from_xgboost if isinstance(estimator, XGBClassifier) else forest.from_random_forest
    return CalibratedForest(flatten(estimator), 0.8, np.linspace(-0.2, 0.2, classes).astype(np.float32))


def trained_answers(estimator: Any, model: CalibratedForest, X: np.ndarray) -> parity.Answers:
    """What the library's own scores of the estimator give by the calibration."""
    if isinstance(estimator, XGBClassifier):
        scores = estimator.predict(X, output_margin=True).astype(np.float64)
    else:
        scores = np.log(np.maximum(estimator.predict_proba(X), LEAST))
    return parity.Answers("trained model", models.calibrated(scores, model))


def held(estimator: Any, X: np.ndarray, classes: int = 3) -> parity.Agreement:
    """Export an estimator and put the graph through the gate."""
    model, inputs = calibrated(estimator, classes), {"features": X}
    answers = parity.onnx_answers(onnx_graph.write(model, "m"), inputs)
    contract = models.contract_of(NAMES, classes)
    (agreement,) = parity.check_answers(contract, trained_answers(estimator, model, X), [answers], inputs)
    return agreement


def test_a_random_forest_trained_on_missing_values_is_exported_as_it_is(random_forest):
    agreement = held(random_forest, rows_with_gaps(10_000, 1)[0])
    assert agreement.rows == 10_000
    assert agreement.difference < 1e-6


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("algorithm", ["xgboost", "random forest"])
def test_any_number_of_classes_and_missing_values_are_exported(algorithm, classes):
    X, _ = rows_with_gaps(1500, 2)
    y = np.digitize(np.nan_to_num(X[:, 2]), np.linspace(-0.5, 0.5, classes - 1))
    xgboost = boosted(6, num_class=classes)
    estimator = xgboost if algorithm == "xgboost" else RandomForestClassifier(6, max_depth=4, random_state=0)
    assert held(estimator.fit(X, y), X, classes).difference < 1e-6


def test_a_row_exactly_on_a_threshold_goes_where_the_trained_model_sends_it(random_forest):
    thresholds = np.concatenate([e.tree_.threshold[e.tree_.feature >= 0] for e in random_forest.estimators_])
    thresholds = thresholds[np.isfinite(thresholds)]  # an infinite one only tells missing from given
    X = np.tile(thresholds.astype(np.float32)[:, None], (1, 6))
    X = np.concatenate([X, np.nextafter(X, np.float32(np.inf)), np.nextafter(X, np.float32(-np.inf))])
    assert held(random_forest, X).difference < 1e-6


def test_a_row_exactly_on_a_boosted_threshold_too():
    estimator = boosted(10, num_class=3).fit(*rows_with_gaps(2000, 0))
    flat = forest.from_xgboost(estimator)
    X = np.tile(flat.threshold[flat.feature >= 0][:, None], (1, 6))
    assert held(estimator, X).difference < 1e-6


def test_a_threshold_is_never_rounded_up():
    thresholds = np.random.default_rng(0).normal(size=10_000)
    rounded = forest.rounded_down(thresholds)
    assert rounded.dtype == np.float32
    assert (rounded <= thresholds).all()
    assert (np.nextafter(rounded, np.float32(np.inf)) > thresholds).all()
