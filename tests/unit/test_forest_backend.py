"""Forests computed by our own kernels, against a walk in plain Python, onnxruntime and xgboost."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import xgboost
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from exporters.formats import onnx_forest
from exporters.formats.onnx_builder import OnnxBuilder
from exporters.models.forest import from_boosters, from_random_forest, from_xgboost
from serving.backends import forest_graph, forest_kernels
from serving.backends.forest import ForestBackend
from serving.backends.forest_graph import Unsupported
from serving.backends.forest_layout import lay_out
from serving.backends.onnxruntime import OnnxRuntimeBackend
from serving.errors import BackendRefused, ContractError
from tests.support import forests
from tests.support.forests import Branch, Kind, Leaf

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[2] / "model_repo"
SIZES = (1, 9, 10, 12, 16, 17, 23, 24, 64, 65, 128, 129, 300)
"""Around every number of rows at which something else is computed."""
PROBABILITIES = {"probabilities": ("float32", (3,)), "label": ("int32", ())}

kinds = st.builds(
    Kind,
    features=st.integers(1, 9),
    targets=st.integers(1, 5),
    depth=st.integers(0, 9),
    bushy=st.sampled_from([0.0, 0.6, 0.9, 1.0]),
    modes=st.sampled_from([("BRANCH_LT",), ("BRANCH_LEQ",), ("BRANCH_LT", "BRANCH_LEQ")]),
    shares=st.booleans(),
)


def backend(model: onnx.ModelProto, **outputs: tuple[str, tuple[int, ...]]) -> ForestBackend:
    return ForestBackend(model.SerializeToString(), outputs)


def scores(model: onnx.ModelProto, X: np.ndarray) -> np.ndarray:
    targets = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    return np.asarray(backend(model, scores=("float32", (targets,))).run({"features": X})["scores"])


def by_onnxruntime(model: onnx.ModelProto | bytes, X: np.ndarray) -> dict[str, np.ndarray]:
    graph = model if isinstance(model, bytes) else model.SerializeToString()
    return dict(OnnxRuntimeBackend(graph, threads=1).run({"features": X}))


def same_bits(ours: np.ndarray, expected: np.ndarray) -> bool:
    return ours.dtype == expected.dtype and np.array_equal(ours, expected)


@settings(deadline=None, max_examples=150)  # the first call compiles
@given(kinds, st.integers(1, 13), st.integers(0, 1 << 20), st.sampled_from(SIZES))
@example(Kind(depth=0), 1, 0, 17)
@example(Kind(depth=60, comb=True, bushy=1.0), 4, 1, 40)
@example(Kind(depth=14, bushy=0.8, targets=3, shares=True), 9, 2, 40)
@example(Kind(depth=7, bushy=1.0, targets=40, shares=True), 3, 3, 17)
def test_scores_are_those_of_a_walk_and_of_onnxruntime(kind: Kind, trees: int, seed: int, count: int) -> None:
    grown = forests.forest(kind, trees, seed)
    base = np.random.default_rng(seed).normal(size=kind.targets).astype(np.float32)
    X = forests.rows(kind, grown, count, seed)
    model = forests.scores_only(grown, base.tolist(), kind.features)
    ours = scores(model, X)
    assert same_bits(ours, forests.walked(grown, base.tolist(), X))
    np.testing.assert_allclose(ours, by_onnxruntime(model, X)["scores"], rtol=1e-6, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(kinds, st.booleans(), st.integers(0, 1 << 20), st.sampled_from(SIZES))
def test_probabilities_and_labels_are_those_of_onnxruntime(kind: Kind, logs: bool, seed: int, count: int) -> None:
    grown = forests.forest(replace(kind, positive=logs), 5, seed)
    X = forests.rows(kind, grown, count, seed)
    model = forests.calibrated(grown, [0.0 if logs else 0.1] * kind.targets, kind.features, logs)
    promised = {"probabilities": ("float32", (kind.targets,)), "label": ("int32", ())}
    ours = backend(model, **promised).run({"features": X})
    theirs = by_onnxruntime(model, X)
    assert {name: (got.dtype, got.shape) for name, got in ours.items()} == {
        name: (got.dtype, got.shape) for name, got in theirs.items()
    }
    np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], rtol=0, atol=1e-6)
    assert np.array_equal(ours["label"], ours["probabilities"].argmax(axis=1))
    best = np.sort(theirs["probabilities"], axis=1)[:, ::-1]
    clear = best[:, 0] - best[:, 1] > 2e-6 if kind.targets > 1 else np.ones(count, np.bool_)
    assert np.array_equal(ours["label"][clear], theirs["label"][clear])


@settings(deadline=None, max_examples=30)
@given(kinds, st.integers(0, 1 << 20), st.sampled_from(SIZES[1:]))
def test_a_row_gets_the_same_bits_alone_and_anywhere_in_a_batch(kind: Kind, seed: int, count: int) -> None:
    grown = forests.forest(kind, 11, seed)
    X = forests.rows(kind, grown, count, seed)
    asked = backend(
        forests.calibrated(grown, [0.1] * kind.targets, kind.features, logs=True),
        probabilities=("float32", (kind.targets,)),
        label=("int32", ()),
    )
    together = asked.run({"features": X})
    turned = asked.run({"features": X[::-1]})
    for name, got in together.items():
        alone = [asked.run({"features": X[i : i + 1]})[name][0] for i in range(count)]
        assert got.tobytes() == np.array(alone).tobytes() == np.ascontiguousarray(turned[name][::-1]).tobytes()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_margins_are_xgboosts_to_the_bit(classes: int, missing: float) -> None:
    random = np.random.default_rng(classes)
    X = random.normal(size=(3000, 8)).astype(np.float32)
    X[random.random(X.shape) < missing] = np.nan
    y = np.digitize(np.nan_to_num(X)[:, :3].sum(axis=1), [0.0] if classes == 2 else [-1.0, 1.0])
    learner = xgboost.XGBClassifier(n_estimators=30, max_depth=6, objective="multi:softprob", n_jobs=1)
    if classes == 2:
        learner.set_params(objective="binary:logistic")
    learner.fit(X, y)
    grown = from_boosters([learner.get_booster()]) if classes == 2 else from_xgboost(learner)
    graph = OnnxBuilder()
    onnx_forest.add(graph, grown, "features", "scores")
    columns = len(grown.base)
    model = graph.to_bytes("m", {"features": (8,)}, {"scores": (columns,)})
    ours = ForestBackend(model, {"scores": ("float32", (columns,))})
    margins = learner.predict(X, output_margin=True).reshape(-1, columns)
    assert same_bits(np.asarray(ours.run({"features": X})["scores"]), margins)
    few = [ours.run({"features": X[i : i + 5]})["scores"] for i in range(0, 1000, 5)]
    assert same_bits(np.concatenate(few), margins[:1000])


def test_a_score_that_no_tree_speaks_of_is_its_base_in_both_backends() -> None:
    """Boosting may stop to grow trees for a class; what onnxruntime does without a weight is not what we write."""
    random = np.random.default_rng(3)
    X = random.normal(size=(500, 4)).astype(np.float32)
    learner = xgboost.XGBClassifier(n_estimators=5, max_depth=3, objective="multi:softprob", n_jobs=1)
    grown = from_xgboost(learner.fit(X, np.digitize(X[:, 0], [-0.5, 0.5])))
    silent = grown.value.copy()
    silent[:, 2] = 0
    grown = replace(grown, value=silent, base=np.array([0.5, 0.25, 0.75], np.float32))
    graph = OnnxBuilder()
    onnx_forest.add(graph, grown, "features", "scores")
    model = graph.to_bytes("m", {"features": (4,)}, {"scores": (3,)})
    ours = ForestBackend(model, {"scores": ("float32", (3,))}).run({"features": X})["scores"]
    assert (ours[:, 2] == np.float32(0.75)).all()
    np.testing.assert_allclose(ours, by_onnxruntime(model, X)["scores"], rtol=0, atol=1e-6)


def test_a_random_forest_with_missing_values_and_deep_trees_is_what_it_was_trained() -> None:
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(0)
    X = random.normal(size=(2000, 6)).astype(np.float32)
    y = np.digitize(X[:, 0] * X[:, 1] + random.normal(size=len(X)), [-1, 0, 1])
    X[random.random(X.shape) < 0.1] = np.nan
    learner = RandomForestClassifier(20, random_state=0).fit(X, y)
    grown = from_random_forest(learner)
    assert grown.depth > 12
    graph = OnnxBuilder()
    onnx_forest.add(graph, grown, "features", "shares")
    model = graph.to_bytes("m", {"features": (6,)}, {"shares": (4,)})
    ours = ForestBackend(model, {"shares": ("float32", (4,))}).run({"features": X})["shares"]
    np.testing.assert_allclose(ours, learner.predict_proba(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["BRANCH_LT", "BRANCH_LEQ"])
@pytest.mark.parametrize("missing_passes", [False, True])
@pytest.mark.parametrize("threshold", [np.inf, -np.inf, 0.0, -0.0, 1.5])
@pytest.mark.parametrize("count", [3, 64])
def test_thresholds_that_are_met_exactly(mode: str, missing_passes: bool, threshold: float, count: int) -> None:
    yes, no = Leaf({0: np.float32(1)}), Leaf({0: np.float32(2)})
    tree = Branch(0, np.float32(threshold), mode, missing_passes, yes, no)
    X = np.resize(np.array([threshold, -threshold, np.nan, 1, np.inf, -np.inf], np.float32), (count, 1))
    model = forests.scores_only([tree], [0.0], 1)
    assert same_bits(scores(model, X), forests.walked([tree], [0.0], X))
    assert same_bits(scores(model, X), by_onnxruntime(model, X)["scores"])


def test_the_first_of_equal_probabilities_is_the_label() -> None:
    asked = backend(
        forests.calibrated([Leaf({0: np.float32(0.5), 2: np.float32(-0.5)})], [0.0, 0.0, 0.0], 1), **PROBABILITIES
    )
    shift = np.linspace(-0.5, 0.5, 3)  # 0.7 * 0.5 and 0.35 less leave no equals: made equal here
    model = forests.calibrated([Leaf({0: np.float32(0)})], [0.0, 0.0, 0.0], 1)
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.zeros(3, np.float32), "shift"))
    equal = backend(model, **PROBABILITIES)
    assert asked.run({"features": np.zeros((1, 1), np.float32)})["label"][0] == int(
        np.argmax(0.7 * np.array([0.5, 0, -0.5]) + shift)
    )
    assert equal.run({"features": np.zeros((20, 1), np.float32)})["label"].tolist() == [0] * 20


def test_no_rows_and_rows_in_other_orders_of_memory() -> None:
    kind = Kind(features=3, targets=3)
    grown = forests.forest(kind, 5, 1)
    X = forests.rows(kind, grown, 40, 1)
    asked = backend(forests.calibrated(grown, [0.0] * 3, 3), **PROBABILITIES)
    assert asked.run({"features": X[:0]})["probabilities"].shape == (0, 3)
    expected = asked.run({"features": X})["probabilities"]
    frozen = np.frombuffer(X.tobytes(), np.float32).reshape(X.shape)
    for same in (np.asfortranarray(X), frozen, np.repeat(X, 2, axis=0)[::2]):
        assert same_bits(asked.run({"features": same})["probabilities"], expected)


OTHER: list[dict[str, np.ndarray]] = [
    {},
    {"other": np.zeros((1, 3), np.float32)},
    {"features": np.zeros((1, 4), np.float32)},
    {"features": np.zeros((1, 3), np.float64)},
    {"features": np.zeros(3, np.float32)},
]


@pytest.mark.parametrize("tensors", OTHER)
def test_other_tensors_are_refused(tensors: dict[str, np.ndarray]) -> None:
    asked = backend(forests.calibrated([Leaf({0: np.float32(1)})], [0.0] * 3, 3), **PROBABILITIES)
    with pytest.raises(BackendRefused):
        asked.run(tensors)


def test_a_probability_of_one_score() -> None:
    chain = [
        forests.node([Leaf({0: np.float32(0.4)})], [0.2]),
        helper.make_node("Sigmoid", ["scores"], ["chances"]),
        helper.make_node("Squeeze", ["chances", "axes"], ["chance"]),
    ]
    model = forests.model(chain, 2, {"chance": (TensorProto.FLOAT, ["N"])}, {"axes": np.array([1])})
    X = np.zeros((2, 2), np.float32)
    ours = backend(model, chance=("float32", ())).run({"features": X})["chance"]
    np.testing.assert_allclose(ours, by_onnxruntime(model, X)["chance"], rtol=0, atol=1e-6)


def test_the_published_grades_are_onnxruntimes() -> None:
    model = (REPOSITORY / "performance_model/1/model.onnx").read_bytes()
    X = np.random.default_rng(3).normal(size=(500, 51)).astype(np.float32)
    ours, theirs = ForestBackend(model, PROBABILITIES).run({"features": X}), by_onnxruntime(model, X)
    np.testing.assert_allclose(ours["probabilities"], theirs["probabilities"], rtol=0, atol=1e-6)
    assert np.array_equal(ours["label"], theirs["label"])


def test_inputs_are_named_as_onnxruntime_names_them() -> None:
    model = (REPOSITORY / "performance_model/1/model.onnx").read_bytes()
    assert ForestBackend(model, PROBABILITIES).inputs == OnnxRuntimeBackend(model, threads=1).inputs


def test_the_published_blend_with_an_lstm_is_none_of_ours() -> None:
    model = (REPOSITORY / "attrition_model/1/model.onnx").read_bytes()
    with pytest.raises(Unsupported, match="node Transpose: only one TreeEnsembleRegressor and a calibration are known"):
        ForestBackend(model, {"label": ("int32", ())})


def _small() -> onnx.ModelProto:
    """One branch, two leaves, three targets; the weights speak of all."""
    leaves = [Leaf({0: np.float32(1), 1: np.float32(2), 2: np.float32(3)}) for _ in range(2)]
    return forests.calibrated([Branch(1, np.float32(0.5), "BRANCH_LT", True, *leaves)], [0.0] * 3, 2)


def _attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    return next(attribute for attribute in model.graph.node[0].attribute if attribute.name == name)


def _put(name: str, place: int, value: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        attribute = _attribute(model, name)
        for values in (attribute.ints, attribute.floats, attribute.strings):
            if values:
                values[place] = value

    return change


def _every(name: str, values: list[Any]) -> Callable[[onnx.ModelProto], None]:
    return lambda model: _attribute(model, name).CopyFrom(helper.make_attribute(name, values))


def _add(name: str, value: Any) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.node[0].attribute.append(helper.make_attribute(name, value))


def _operator(place: int, operator: str, **attributes: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        was = model.graph.node[place]
        was.CopyFrom(helper.make_node(operator, was.input, was.output, domain=was.domain, **attributes))

    return change


def _reads(place: int, *names: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[place].input[:] = names

    return change


def _constant(name: str, value: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))

    return change


def _raw(name: str, **values: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        for field, value in values.items():
            setattr(tensor, field, value)

    return change


def _input(kind: int, shape: list[Any]) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("features", kind, shape))


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["N", 2]))


def _two_forests(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node[0])


def _version(place: int, version: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[place].version = version

    return change


def _function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("d", "f", [], [], [], []))


def _without(name: str) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.node[0].attribute.remove(_attribute(model, name))


NODES = 3
"""Of `_small`: the root, then its leaves."""


def _circle(model: onnx.ModelProto) -> None:
    """Two more branches of the tree, each the child of the other, their other children leaves."""
    root = _attribute(model, "nodes_treeids").ints[0]
    for name, values in {
        "treeids": [root] * 4,
        "nodeids": [100, 101, 102, 103],
        "featureids": [0] * 4,
        "modes": [b"BRANCH_LT", b"BRANCH_LT", b"LEAF", b"LEAF"],
        "values": [0.0] * 4,
        "truenodeids": [101, 100, 0, 0],
        "falsenodeids": [102, 103, 0, 0],
        "missing_value_tracks_true": [0] * 4,
    }.items():
        attribute = _attribute(model, f"nodes_{name}")
        into = attribute.strings if name == "modes" else attribute.floats if name == "values" else attribute.ints
        into.extend(values)


def _own_child(model: onnx.ModelProto) -> None:
    _attribute(model, "nodes_truenodeids").ints[0] = _attribute(model, "nodes_nodeids").ints[0]


def _one_child_twice(model: onnx.ModelProto) -> None:
    _attribute(model, "nodes_truenodeids").ints[0] = _attribute(model, "nodes_falsenodeids").ints[0]


def _same_id(model: onnx.ModelProto) -> None:
    _attribute(model, "nodes_nodeids").ints[1] = _attribute(model, "nodes_nodeids").ints[0]


def _weight_of_a_branch(model: onnx.ModelProto) -> None:
    _attribute(model, "target_nodeids").ints[0] = _attribute(model, "nodes_nodeids").ints[0]


def _two_weights(model: onnx.ModelProto) -> None:
    for name in ("treeids", "nodeids", "ids"):
        _attribute(model, f"target_{name}").ints.append(_attribute(model, f"target_{name}").ints[0])
    _attribute(model, "target_weights").floats.append(1.0)


FOREST, MUL, ADD, SOFTMAX, ARGMAX, CAST = range(6)
UNSUPPORTED: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "another operator": (_operator(SOFTMAX, "LogSoftmax"), "node LogSoftmax: only one"),
    "classes": (_operator(FOREST, "TreeEnsembleClassifier"), "node TreeEnsembleClassifier: only one"),
    "the newer operator": (_operator(FOREST, "TreeEnsemble"), "node TreeEnsemble: only one"),
    "two forests": (_two_forests, "2 nodes TreeEnsembleRegressor"),
    "two inputs": (_second_input, "2 inputs"),
    "a function": (_function, "functions"),
    "operators to come": (_version(0, 99), "ai.onnx of version 99"),
    "trees to come": (_version(1, 5), "ai.onnx.ml of version 5"),
    "doubles": (_input(TensorProto.DOUBLE, ["N", 2]), "only float32"),
    "features unknown": (_input(TensorProto.FLOAT, ["N", "F"]), "its shape is not"),
    "a fixed batch": (_input(TensorProto.FLOAT, [1, 2]), "its shape is not"),
    "three axes": (_input(TensorProto.FLOAT, ["N", 2, 2]), "its shape is not"),
    "an attribute of doubles": (_add("nodes_values_as_tensor", numpy_helper.from_array(np.zeros(3))), "is not known"),
    "an unknown attribute": (_add("something", 1), "attribute something is not known"),
    "an attribute twice": (_add("n_targets", 3), "an attribute comes twice"),
    "a transform": (_add("post_transform", "SOFTMAX"), "post_transform is SOFTMAX, not NONE"),
    "an average": (_add("aggregate_function", "AVERAGE"), "aggregate_function is AVERAGE, not SUM"),
    "a smallest": (_add("aggregate_function", "MIN"), "aggregate_function is MIN, not SUM"),
    "base of other length": (_every("base_values", [1.0]), "1 base_values for 3 targets"),
    "base not finite": (_every("base_values", [1.0, np.inf, 0.0]), "a base value is not finite"),
    "no targets": (_every("n_targets", 0), "n_targets is 0"),
    "very many targets": (_every("n_targets", 1 << 40), "n_targets is 1099511627776"),
    "a test of equality": (_put("nodes_modes", 0, b"BRANCH_EQ"), "the test BRANCH_EQ"),
    "a test of above": (_put("nodes_modes", 0, b"BRANCH_GT"), "the test BRANCH_GT"),
    "a feature too high": (_put("nodes_featureids", 0, 2), "tests feature 2 of 2"),
    "a feature too low": (_put("nodes_featureids", 0, -1), "tests feature -1 of 2"),
    "a threshold that is none": (_put("nodes_values", 0, np.nan), "a threshold is not a number"),
    "a child that is not there": (_put("nodes_truenodeids", 0, 1 << 60), "a child names a node that is not there"),
    "its own child": (_own_child, "go in a circle"),
    "three roots": (_put("nodes_modes", 0, b"LEAF"), "a tree has not one root"),
    "one child twice": (_one_child_twice, "is the child of two"),
    "one id twice": (_same_id, "two nodes of a tree have one id"),
    "a circle": (_circle, "go in a circle"),
    "nodes of different length": (_every("nodes_values", [0.0]), "differ in length"),
    "flags of different length": (_every("nodes_missing_value_tracks_true", [1]), "differ in length"),
    "flags of 2": (_put("nodes_missing_value_tracks_true", 0, 2), "neither 0 nor 1"),
    "no nodes": (_without("nodes_treeids"), "there is no nodes_treeids"),
    "no weights": (_without("target_treeids"), "there is no target_treeids"),
    "weights of different length": (_every("target_weights", [0.0]), "differ in length"),
    "a weight of no node": (_put("target_nodeids", 0, 77), "a weight names a node that is not there"),
    "a weight of no tree": (_put("target_treeids", 0, 77), "a weight names a node that is not there"),
    "a weight of a branch": (_weight_of_a_branch, "a weight belongs to a node that is no leaf"),
    "a weight of no target": (_put("target_ids", 0, 3), "a weight is for none of 3 targets"),
    "a weight of target -1": (_put("target_ids", 0, -1), "a weight is for none of 3 targets"),
    "two weights of one target": (_two_weights, "a leaf has two weights for one target"),
    "a weight not finite": (_put("target_weights", 0, np.inf), "a weight is not finite"),
    "a softmax over rows": (_operator(SOFTMAX, "Softmax", axis=0), "axis is 0, only 1"),
    "the last of equals": (
        _operator(ARGMAX, "ArgMax", axis=1, keepdims=0, select_last_index=1),
        "select_last_index is 1, only 0",
    ),
    "likeliest row": (_operator(ARGMAX, "ArgMax", keepdims=0), "axis is 0, only 1"),
    "a label with two axes": (_operator(ARGMAX, "ArgMax", axis=1), "keepdims is 1, only 0"),
    "a label of 64 bits": (_operator(CAST, "Cast", to=TensorProto.INT64), "to is 7, only 6"),
    "a label of the scores before": (_reads(ARGMAX, "shifted"), "does not read what the nodes before it made"),
    "a step of two results": (_reads(ADD, "sloped", "sloped"), "only of the scores and one constant"),
    "a step of a result before": (_reads(ADD, "sloped", "scores"), "only of the scores and one constant"),
    "a step without a constant": (_reads(ADD, "sloped", "nothing"), "only of the scores and one constant"),
    "a constant of doubles": (_constant("slope", 0.7), "numbers of type 11"),
    "a constant of two": (_constant("shift", np.zeros(2, np.float32)), r"constant shift: \[2\] for 3 scores"),
    "a constant for rows": (_constant("shift", np.zeros((3, 1), np.float32)), r"constant shift: \[3, 1\] for 3"),
    "a constant of three axes": (_constant("shift", np.zeros((1, 1, 1), np.float32)), "constant shift"),
    "a constant not finite": (_constant("shift", np.full(3, np.nan, np.float32)), "constant shift: not finite"),
    "a constant cut off": (_raw("shift", raw_data=b"12345"), "do not fit its shape"),
    "a constant elsewhere": (_raw("shift", data_location=TensorProto.EXTERNAL), "are not known here"),
}


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_is_not_computed_exactly_is_unsupported_with_its_reason(case: str) -> None:
    change, reason = UNSUPPORTED[case]
    model = _small()
    backend(model, **PROBABILITIES)
    change(model)
    with pytest.raises(Unsupported, match=reason):
        backend(model, **PROBABILITIES)


@pytest.mark.parametrize(
    ("promised", "reason"),
    [
        ({"label": ("int32", ()), "chance": ("float32", ())}, "output chance is promised, the graph has none"),
        ({"scores": ("float32", (3,))}, "output scores is promised, the graph has none"),
        ({"probabilities": ("float32", (2,))}, r"output probabilities: float32\[3\] a row, float32\[2\] is promised"),
        ({"label": ("int64", ())}, r"output label: int32\[\] a row, int64\[\] is promised"),
    ],
)
def test_a_promise_that_the_graph_does_not_keep_is_unsupported(promised: Any, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        backend(_small(), **promised)


def test_a_promised_result_on_the_way_is_unsupported() -> None:
    model = _small()
    model.graph.output.append(helper.make_tensor_value_info("sloped", TensorProto.FLOAT, ["N", 3]))
    with pytest.raises(Unsupported, match="output sloped is neither the last scores nor the label"):
        backend(model, sloped=("float32", (3,)))
    assert set(backend(model, **PROBABILITIES).run({"features": np.zeros((1, 2), np.float32)})) == set(PROBABILITIES)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(ContractError):
        ForestBackend(data, PROBABILITIES)


@settings(deadline=None, max_examples=60)
@given(kinds, st.integers(1, 13), st.integers(0, 1 << 20))
def test_kernels_read_only_what_is_laid_out(kind: Kind, trees: int, seed: int) -> None:
    model = forests.scores_only(forests.forest(kind, trees, seed), [0.0] * kind.targets, kind.features)
    assert list(_outside(lay_out(forest_graph.read(model.SerializeToString())), kind.features)) == []


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_file_is_unsupported_or_stays_within_its_arrays(data: st.DataObject) -> None:
    model = bytearray(_small().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    try:
        graph = forest_graph.read(bytes(model))
    except ContractError:
        return
    words = lay_out(graph)
    assert list(_outside(words, graph.trees.features)) == []


def _outside(words: np.ndarray, features: int) -> Iterator[str]:
    """What a kernel would read outside of its section."""
    k = forest_kernels
    starts = {section: int(words[section]) for section in range(k.BASE, k.HEADER)}
    base, columns, trees, nodes, weights, complete, steps = np.split(words, list(starts.values()))[1:]
    columns, trees, nodes = columns.reshape(-1, 2), trees.reshape(-1, 3), nodes.reshape(-1, 4)
    scores, count, levels = int(words[k.SCORES]), int(words[k.TREE_COUNT]), int(words[k.LEVELS])
    roots, to, added = trees[:, 0] - starts[k.NODES], nodes[:, 2] - starts[k.NODES], nodes[:, 3] - starts[k.WEIGHTS]
    leaf = to == 4 * np.arange(len(nodes))
    inside = {
        "base": len(base) == scores,
        "columns": _all_below(columns[:, 0], features) and len(columns) == words[k.COLUMN_COUNT],
        "trees": len(trees) % int(k.GROUP) == 0 and count <= len(trees),
        "roots": _all_below(roots, nodes.size) and not (roots % 4).any(),
        "scores": _all_below(trees[:, 2], scores),
        "tests": _all_below(nodes[:, 0], len(columns)),
        "children": _all_below(to + np.where(leaf, 0, 4), nodes.size) and not (to % 4).any(),
        "weights": bool(words[k.SINGLE]) or _all_below(added[leaf], len(weights) - scores + 1),
        "complete": len(complete) == count * (3 << levels) * bool(levels),
        "steps": len(steps) == words[k.STEP_COUNT] * (1 + scores),
    }
    for tests in complete.reshape(count, -1)[:, 2 : 2 << levels] if levels else ():
        inside["tests of complete trees"] = _all_below(tests[::2], len(columns))
    for found in complete.reshape(count, -1)[:, 2 << levels :] - starts[k.WEIGHTS] if levels else ():
        inside["leaves of complete trees"] = bool(words[k.SINGLE]) or _all_below(found, len(weights) - scores + 1)
    return (section for section, holds in inside.items() if not holds)


def _all_below(values: np.ndarray, end: int) -> bool:
    return bool(((values >= 0) & (values < end)).all())


def test_rows_whose_sums_are_no_numbers_are_refused() -> None:
    """Both backends, so that neither gives the label of what is no number."""
    large, far = forests.Leaf({0: np.float32(3e38), 1: np.float32(3e38)}), np.float32(0)
    trees = [forests.Branch(0, far, "BRANCH_LT", False, forests.Leaf({0: np.float32(1)}), large)] * 2
    nodes = [forests.node(trees, [0, 0], into="margins"), helper.make_node("Softmax", ["margins"], ["scores"], axis=1)]
    graph = forests.model(nodes, 1, {"scores": (TensorProto.FLOAT, ["n", 2])}).SerializeToString()
    for backend in (ForestBackend(graph, {"scores": ("float32", (2,))}), OnnxRuntimeBackend(graph, 1)):
        assert np.isfinite(backend.run({backend_input(backend): np.full((3, 1), -1, np.float32)})["scores"]).all()
        with pytest.raises(BackendRefused, match="no number"):
            backend.run({backend_input(backend): np.array([[-1], [1], [-1]], np.float32)})


def backend_input(backend: ForestBackend | OnnxRuntimeBackend) -> str:
    return next(iter(backend.inputs))
