"""Exports answer as the trained model does, and the gate sees it when they do not."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn.ensemble import RandomForestClassifier

from exporters.errors import ParityError
from exporters.formats import onnx_graph, parity
from exporters.formats.perturb import UNSEEN, perturbed
from exporters.models import algorithms, forest, program, training
from serving.contract import CategoryInput
from serving.features.rows import RowSchema

pytestmark = pytest.mark.unit
NAMES = tuple(f"f{number}" for number in range(6))


def rows_with_gaps(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features float32[rows, 6] with 15 % missing, and three classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 6)).astype(np.float32)
    y = np.digitize(X[:, 0] + X[:, 1], [-0.7, 0.7])
    X[rng.random(X.shape) < 0.15] = np.nan
    return X, y


@pytest.fixture(scope="module")
def random_forest() -> RandomForestClassifier:
    """A random forest trained on missing values: the case that skl2onnx gets wrong (onnx/sklearn-onnx #1253)."""
    return RandomForestClassifier(20, max_depth=7, random_state=0, n_jobs=1).fit(*rows_with_gaps(2000, 0))


def held(model: bytes, trained: np.ndarray, X: np.ndarray) -> list[parity.Agreement]:
    """Put an ONNX model through the gate."""
    return parity.check_answers(parity.trained_answers(trained), [parity.onnx_answers(model, X)], X, NAMES)


def test_a_random_forest_trained_on_missing_values_is_exported_as_it_is(random_forest):
    X, _ = rows_with_gaps(10_000, 1)
    trained = random_forest.predict_proba(X).astype(np.float32)
    (agreement,) = held(onnx_graph.write(forest.from_random_forest(random_forest), "rf"), trained, X)
    assert agreement.rows == 10_000
    assert agreement.difference < 1e-6


def test_the_gate_catches_what_skl2onnx_makes_of_missing_values(random_forest):
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    exported = to_onnx(
        random_forest,
        initial_types=[("features", FloatTensorType([None, 6]))],
        target_opset={"": 18, "ai.onnx.ml": 3},
        options={id(random_forest): {"zipmap": False}},
    )
    X, _ = rows_with_gaps(2000, 1)
    trained = random_forest.predict_proba(X).astype(np.float32)
    exported.graph.output[0].name = "label"
    for node in exported.graph.node:
        node.output[:] = ["label" if name == "output_label" else name for name in node.output]
    with pytest.raises(ParityError) as refusal:
        held(exported.SerializeToString(), trained, X)
    report = refusal.value.message
    assert "onnxruntime" in report
    assert "missing features: f" in report
    assert report.count("  row ") == 5
    whole = np.nan_to_num(X)
    assert held(exported.SerializeToString(), random_forest.predict_proba(whole).astype(np.float32), whole)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("algorithm", algorithms.ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_any_number_of_classes_and_missing_values_are_exported(algorithm, classes):
    X, _ = rows_with_gaps(1500, 2)
    y = np.digitize(np.nan_to_num(X[:, 2]), np.linspace(-0.5, 0.5, classes - 1))
    trained = algorithms.train(algorithm, X, y, seed=0, trees=6)
    graph = onnx_graph.write(trained.forest(), "m")
    (agreement,) = held(graph, trained.probabilities(X), X)
    assert agreement.difference < 1e-6
    assert trained.importances().sum() == pytest.approx(1)


def test_a_row_exactly_on_a_threshold_goes_where_the_trained_model_sends_it(random_forest):
    thresholds = np.concatenate([e.tree_.threshold[e.tree_.feature >= 0] for e in random_forest.estimators_])
    thresholds = thresholds[np.isfinite(thresholds)]  # an infinite one only tells missing from given
    X = np.tile(thresholds.astype(np.float32)[:, None], (1, 6))
    X = np.concatenate([X, np.nextafter(X, np.float32(np.inf)), np.nextafter(X, np.float32(-np.inf))])
    trained = random_forest.predict_proba(X).astype(np.float32)
    assert held(onnx_graph.write(forest.from_random_forest(random_forest), "rf"), trained, X)


def test_a_threshold_is_never_rounded_up():
    thresholds = np.random.default_rng(0).normal(size=10_000)
    rounded = forest.rounded_down(thresholds)
    assert rounded.dtype == np.float32
    assert (rounded <= thresholds).all()
    assert (np.nextafter(rounded, np.float32(np.inf)) > thresholds).all()


def test_the_graph_is_one_tree_ensemble_and_a_cast_with_a_free_batch(made: training.Made):
    graph = onnx.load_from_string(onnx_graph.write(made.trained.forest(), "performance_model")).graph
    assert [node.op_type for node in graph.node] == ["TreeEnsembleClassifier", "Cast"]
    assert not [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert shapes == {"features": ["N", len(made.contract.program.features)], "probabilities": ["N", 3], "label": ["N"]}
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    assert kinds == {"probabilities": onnx.TensorProto.FLOAT, "label": onnx.TensorProto.INT32}


def test_a_forest_with_one_leaf_changed_is_caught(made: training.Made):
    X = program.feature_matrix(made.contract, made.held_out.columns)
    flat = made.trained.forest()
    leaf = 0
    while flat.feature[leaf] >= 0:  # where the first row ends in the first tree
        leaf = flat.left[leaf] if X[0, flat.feature[leaf]] < flat.threshold[leaf] else flat.right[leaf]
    value = flat.value.copy()
    value[leaf, 0] += 1e-3
    spoilt = onnx_graph.write(replace(flat, value=value), "m")
    with pytest.raises(ParityError, match="rows differ"):
        parity.check_answers(
            parity.trained_answers(made.trained.probabilities(X)),
            [parity.onnx_answers(spoilt, X)],
            X,
            made.contract.program.features,
        )


def test_a_label_may_differ_only_in_a_tie():
    trained = parity.trained_answers(np.array([[0.5, 0.5, 0.0], [0.6, 0.4, 0.0]], np.float32))
    X = np.zeros((2, 6), np.float32)
    tie = parity.Answers("export", trained.probabilities, np.array([1, 0], np.int32))
    (agreement,) = parity.check_answers(trained, [tie], X, NAMES)
    assert agreement.ties == 1
    wrong = parity.Answers("export", trained.probabilities, np.array([0, 1], np.int32))
    with pytest.raises(ParityError, match=r"1 of 2 rows differ.*\n  row 1: "):
        parity.check_answers(trained, [wrong], X, NAMES)


def test_an_answer_that_is_not_a_number_is_no_agreement():
    trained = parity.trained_answers(np.array([[0.9, 0.1]], np.float32))
    broken = parity.Answers("export", np.array([[np.nan, 0.1]], np.float32), trained.label)
    with pytest.raises(ParityError, match="row 0"):
        parity.check_answers(trained, [broken], np.zeros((1, 6), np.float32), NAMES)


def test_features_that_differ_from_numpy_are_named_with_their_row():
    X = np.zeros((3, 6), np.float32)
    other = X.copy()
    other[2, 4] = 1e-7
    with pytest.raises(ParityError, match="row 2: f4"):
        parity.check_features(X, other, NAMES)


def test_perturbed_rows_hold_gaps_extremes_and_unseen_categories_that_the_gateway_accepts(made: training.Made):
    columns = perturbed(made.contract, made.held_out.columns, 2000, 1)
    rows = program.raw_rows(made.contract, columns)
    coverage = RowSchema(made.contract).inspect(rows).coverage
    assert coverage.min() < 0.1
    assert coverage.max() == pytest.approx(1)
    for number, column in enumerate(made.contract.inputs):
        if isinstance(column, CategoryInput):
            assert (columns[column.name] == UNSEEN).any()
        else:
            assert np.isnan(rows.values[:, number]).any() != column.required
            assert np.nanmin(rows.values[:, number]) < column.seen[0] or column.low == column.seen[0]
