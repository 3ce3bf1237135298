"""What goes wrong silently when a model is exported: each trap is walked into, and the gate (or the flattener) sees it.

One more trap, kernels that Numba keeps although a function they call has changed, has its tests in
`tests/integration/test_jit_cache.py`.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.ensemble import RandomForestClassifier
from xgboost import XGBClassifier

from exporters.errors import ParityError
from exporters.formats import golden, onnx_graph, onnx_network, parity, saved_model
from exporters.formats.perturb import perturbed
from exporters.fresh_process import FreshProcess
from exporters.models import forest
from exporters.models.blend import Blend
from exporters.models.calibrated import CalibratedForest
from exporters.models.inputs import raw_rows, tensors
from exporters.models.network import WideDeep
from exporters.publishing import export, gate
from serving.features.program import compile_program
from tests.exporters import random_models as models
from tests.exporters.test_exports import NAMES, boosted, calibrated, rows_with_gaps, trained_answers

pytestmark = pytest.mark.unit
GRADES = models.contract_of(NAMES)
DIFFER = "rows differ from the trained model"


@pytest.fixture(scope="module")
def random_forest() -> RandomForestClassifier:
    """Trained on missing values, so that every tree has learnt a way for them."""
    return RandomForestClassifier(20, max_depth=7, random_state=0, n_jobs=1).fit(*rows_with_gaps(2000, 0))


def held(model: CalibratedForest, expected: parity.Answers, X: np.ndarray) -> list[parity.Agreement]:
    """Put a forest of classes through ONNX and the gate."""
    answers = parity.onnx_answers(onnx_graph.write(model, "m"), {"features": X})
    return parity.check_answers(GRADES, expected, [answers], {"features": X})


def windows(rows: int = 400) -> dict[str, np.ndarray]:
    """Graph inputs of the attrition model: left-padded, the last column says which months are."""
    contract = models.attrition_contract()
    return tensors(contract, perturbed(contract, models.table(rows, 5).columns, rows, 5))


def held_blend(model: Blend, expected: Mapping[str, np.ndarray], inputs: dict[str, np.ndarray]) -> None:
    """Put a model of two horizons through ONNX and the gate."""
    answers = parity.onnx_answers(onnx_graph.write(model, "m"), inputs)
    trained = parity.Answers("trained model", expected)
    parity.check_answers(models.attrition_contract(), trained, [answers], inputs)


# Forests


def test_skl2onnx_sends_missing_values_the_wrong_way(random_forest):
    """onnx/sklearn-onnx #1253: probabilities off by up to 0.5, and nothing says so."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    converted = to_onnx(
        random_forest,
        initial_types=[("features", FloatTensorType([None, 6]))],
        target_opset={"": 18, "ai.onnx.ml": 3},
        options={id(random_forest): {"zipmap": False}},
    )
    converted.graph.node[0].output[0] = "int64"
    converted.graph.node.append(helper.make_node("Cast", ["int64"], ["label"], to=TensorProto.INT32))
    converted.graph.output[0].CopyFrom(helper.make_tensor_value_info("label", TensorProto.INT32, ["N"]))

    def through_the_gate(X: np.ndarray) -> list[parity.Agreement]:
        probabilities = random_forest.predict_proba(X).astype(np.float32)
        label = probabilities.argmax(axis=1).astype(np.int32)
        trained = parity.Answers("trained model", {"probabilities": probabilities, "label": label})
        answers = parity.onnx_answers(converted.SerializeToString(), {"features": X})
        return parity.check_answers(GRADES, trained, [answers], {"features": X})

    X, _ = rows_with_gaps(2000, 1)
    with pytest.raises(ParityError, match=DIFFER) as refusal:
        through_the_gate(X)
    assert "missing features: f" in refusal.value.message
    assert refusal.value.message.count("  row ") == 5
    assert through_the_gate(np.nan_to_num(X))  # without missing values it is right: a test without them is none


def test_the_majority_of_votes_is_not_the_mean_of_probabilities(random_forest):
    """What YDF's converter serves for a random forest."""
    X, _ = rows_with_gaps(2000, 1)
    model = calibrated(random_forest)
    value = model.forest.value
    votes = (value == value.max(axis=1, keepdims=True)) & (value > 0)
    voting = replace(model.forest, value=(votes / len(random_forest.estimators_)).astype(np.float32))
    expected = trained_answers(random_forest, model, X)
    assert held(model, expected, X)
    with pytest.raises(ParityError, match=DIFFER):
        held(replace(model, forest=voting), expected, X)


@pytest.mark.parametrize("settings", [{"booster": "dart", "rate_drop": 0.5}, {"multi_strategy": "multi_output_tree"}])
def test_boosters_of_other_kinds_are_refused_by_the_flattener(settings):
    """Their trees weigh differently, or have several values a leaf."""
    X, y = rows_with_gaps(300, 0)
    trained = boosted(3, **settings).fit(np.nan_to_num(X), y)
    with pytest.raises(ValueError, match="can"):
        forest.from_xgboost(trained)


def test_trees_after_the_best_iteration_are_not_the_trained_model():
    """XGBoost keeps them in the booster and leaves them out when it predicts."""
    X, y = rows_with_gaps(600, 0)
    stopped = boosted(200, learning_rate=0.5, early_stopping_rounds=5)
    stopped.fit(X[:300], y[:300], eval_set=[(X[300:], y[300:])], verbose=False)
    trees = stopped.get_booster().num_boosted_rounds()
    assert trees > stopped.best_iteration + 1
    with pytest.raises(ValueError, match="best round"):
        forest.from_xgboost(stopped)
    whole = stopped.get_booster().copy()
    whole.set_attr(best_iteration=None)  # what the flattener goes by
    model = calibrated(_WholeBooster(whole))
    assert model.forest.tree[-1] + 1 == 3 * trees
    margins = stopped.predict(X, output_margin=True).astype(np.float64)
    with pytest.raises(ParityError, match=DIFFER):
        held(model, parity.Answers("trained model", models.calibrated(margins, model)), X)


class _WholeBooster(XGBClassifier):
    """An XGBClassifier as the flattener sees it: a booster, and how many features it reads."""

    def __init__(self, booster: Any) -> None:
        super().__init__()
        self.booster = booster

    n_features_in_ = 6

    def get_booster(self) -> Any:
        return self.booster


def test_a_base_score_that_is_stored_as_a_probability_is_no_score():
    """XGBoost stores a binary model's base as probability; and in a vector since 3.1."""
    X, y = rows_with_gaps(300, 0)
    binary = XGBClassifier(n_estimators=3, base_score=0.2, n_jobs=1).fit(X, y == 1)
    with pytest.raises(ValueError, match="multi:softprob"):
        forest.from_xgboost(binary)
    model, inputs = models.blend(), windows()
    expected = models.Known(model).answers(inputs)
    held_blend(model, expected, inputs)
    as_probability = replace(model.forest, base=models.sigmoid(model.forest.base).astype(np.float32))
    with pytest.raises(ParityError, match=DIFFER):
        held_blend(replace(model, forest=as_probability), expected, inputs)


def test_the_base_scores_of_classes_are_a_vector_that_is_kept():
    X, y = rows_with_gaps(2000, 0)
    rare = np.where((y == 0) & (np.arange(len(y)) % 10 > 0), 2, y)
    trained = boosted(4).fit(X, rare)
    model = calibrated(trained)
    assert len(set(model.forest.base.tolist())) == 3
    expected = trained_answers(trained, model, X)
    assert held(model, expected, X)
    with pytest.raises(ParityError, match=DIFFER):
        held(replace(model, forest=replace(model.forest, base=np.zeros(3, np.float32))), expected, X)


def test_columns_that_changed_places_are_seen(random_forest):
    """Converters want columns renamed to f0..fn: whoever sorts the names puts f10 before f2."""
    X, _ = rows_with_gaps(2000, 1)
    model = calibrated(random_forest)
    places = np.array([1, 0, 2, 3, 4, 5])
    renamed = np.where(model.forest.feature < 0, -1, places[model.forest.feature])
    with pytest.raises(ParityError, match=DIFFER):
        held(replace(model, forest=replace(model.forest, feature=renamed)), trained_answers(random_forest, model, X), X)


def test_below_is_not_at_or_below(random_forest):
    """XGBoost goes left below a threshold, scikit-learn at it, too; both meet rows that are exactly there."""
    for trained in (random_forest, boosted(20).fit(*rows_with_gaps(2000, 0))):
        model = calibrated(trained)
        limits = model.forest.threshold[(model.forest.feature >= 0) & np.isfinite(model.forest.threshold)]
        X = np.tile(limits[:, None], (1, 6))
        expected = trained_answers(trained, model, X)
        assert held(model, expected, X)
        other = "<" if model.forest.test == "<=" else "<="
        with pytest.raises(ParityError, match=DIFFER):
            held(replace(model, forest=replace(model.forest, test=other)), expected, X)


def test_a_threshold_that_was_rounded_up_lets_rows_pass_that_did_not(random_forest, monkeypatch):
    """scikit-learn compares float32 values with float64 thresholds."""
    thresholds = np.concatenate([e.tree_.threshold[e.tree_.feature >= 0] for e in random_forest.estimators_])
    X = np.tile(thresholds[np.isfinite(thresholds)].astype(np.float32)[:, None], (1, 6))
    model = calibrated(random_forest)
    expected = trained_answers(random_forest, model, X)
    assert held(model, expected, X)
    monkeypatch.setattr(forest, "rounded_down", lambda threshold: threshold.astype(np.float32))
    with pytest.raises(ParityError, match=DIFFER):
        held(calibrated(random_forest), expected, X)


def test_on_one_thread_calls_of_any_size_agree_to_the_bit_and_on_two_within_the_tolerance():
    """With two threads onnxruntime adds trees in another order for larger calls: last bits, nothing more."""
    model = CalibratedForest(models.forest(6, 3, 0, trees=200), 0.1, np.zeros(3, np.float32))
    X, _ = rows_with_gaps(600, 1)
    graph, whole = onnx_graph.write(model, "m"), {"features": X}
    one = parity.onnx_answers(graph, whole)
    for rows in (1, 7, 64):
        part = parity.onnx_answers(graph, {"features": X[:rows]})
        assert all(np.array_equal(part.outputs[name], one.outputs[name][:rows]) for name in one.outputs)
    two = parity.onnx_answers(graph, whole, "two threads", threads=2)
    (agreement,) = parity.check_answers(GRADES, one, [two], whole)
    assert agreement.difference < 1e-6


# Networks


def keras_logits(network: WideDeep, inputs: dict[str, np.ndarray], *, masking: bool = False) -> np.ndarray:
    """What Keras makes of the same weights, float32[n, 2]; with `masking`, months of zeros are skipped."""
    import keras

    months, columns = inputs["history"].shape[1:]
    features, units = network.wide.shape[0], network.recurrent.shape[0]
    history, X = keras.Input((months, columns)), keras.Input((features,))
    lstm, hidden = keras.layers.LSTM(units), keras.layers.Dense(network.head.shape[0], activation="relu")
    head, wide = keras.layers.Dense(2, use_bias=False), keras.layers.Dense(2)
    state = lstm(keras.layers.Masking(0.0)(history) if masking else history)
    out = keras.layers.Add()([wide(X), head(hidden(state))])
    model = keras.Model([history, X], out)
    lstm.set_weights([network.kernel, network.recurrent, network.gates])
    hidden.set_weights([network.hidden, network.hidden_bias])
    head.set_weights([network.head])
    wide.set_weights([network.wide, network.wide_bias])
    return np.asarray(model([inputs["history"], inputs["features"]]))


def by_keras(model: Blend, logits: np.ndarray) -> dict[str, np.ndarray]:
    """The graph's outputs, from Keras's logits of a model without forest."""
    hazards = models.sigmoid(model.network_weight * logits.astype(np.float64) + model.shift)
    later = (hazards[:, 0] + (1 - hazards[:, 0]) * hazards[:, 1]).astype(np.float32)
    label = (later >= model.threshold).astype(np.int32)
    return {"probability_3m": hazards[:, 0].astype(np.float32), "probability_6m": later, "label": label}


def test_gates_in_kerass_order_are_not_those_of_onnx(process: FreshProcess, monkeypatch):
    """All shapes fit either way."""
    model, inputs = models.blend(forest_weight=0), windows()
    expected = by_keras(model, process.call(keras_logits, model.network, inputs))
    held_blend(model, expected, inputs)
    monkeypatch.setattr(onnx_network, "_KERAS_TO_ONNX", (0, 1, 2, 3))
    with pytest.raises(ParityError, match=DIFFER):
        held_blend(model, expected, inputs)


def test_a_masking_layer_is_lost_when_only_the_weights_are_taken(process: FreshProcess):
    """Keras skips months that are all zero; a graph of the same weights reads them."""
    model, inputs = models.blend(forest_weight=0), windows()
    inputs["history"] *= inputs["history"][:, :, -1:]  # raw zeros where no month is
    assert (inputs["history"][:, 0] == 0).all(axis=1).any()
    held_blend(model, by_keras(model, process.call(keras_logits, model.network, inputs)), inputs)
    masked = by_keras(model, process.call(keras_logits, model.network, inputs, masking=True))
    with pytest.raises(ParityError, match=DIFFER):
        held_blend(model, masked, inputs)


class RightPadded(models.Known):
    """A model that was trained on windows whose empty months stand at the end."""

    def answers(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        lengths = inputs["history"][:, :, -1].sum(axis=1).astype(int)
        turned = np.stack([np.roll(h, n, axis=0) for h, n in zip(inputs["history"], lengths, strict=True)])
        return super().answers({**inputs, "history": turned})


def test_a_model_of_right_padded_windows_does_not_get_out():
    made = replace(models.made(models.blend()), trained=RightPadded(models.blend()))
    with pytest.raises(ParityError, match=DIFFER):
        export.export(made, 0, rows=256)


def test_a_window_without_its_mask_does_not_get_out():
    """The gateway itself refuses a graph that takes more columns than the program makes."""
    made = models.made(models.blend())
    contract = made.contract
    unmasked = msgspec.structs.replace(
        contract,
        program=msgspec.structs.replace(contract.program, window=contract.program.window[:-1]),
        tensors=(contract.tensors[0], msgspec.structs.replace(contract.tensors[1], shape=(12, 2))),
    )
    with pytest.raises(ValueError, match="the program makes"):
        saved_model.write(made.trained.exportable(), unmasked.program, Path("nowhere"))
    columns = made.held_out.columns
    features = compile_program(unmasked).run(raw_rows(unmasked, columns))
    outputs = {name: np.zeros(len(made.held_out), kind) for name, (kind, _) in contract.graph_outputs().items()}
    files = {
        "model.onnx": onnx_graph.write(models.blend(), "m"),
        "contract.json": unmasked.to_json(),
        "golden.npz": golden.to_bytes(golden.arrays(columns, features, outputs)),
    }
    with pytest.raises(ParityError, match=r"gateway: refuses the version: model.onnx: the graph takes .*\(12, 3\)"):
        gate.gateway_answers(unmasked, files, columns)


# Files


@pytest.mark.slow
def test_a_saved_model_of_two_processes_has_the_same_bytes(tmp_path: Path):
    """TensorFlow adds a random fingerprint, and protobuf writes maps in another order in every process."""

    def written(number: int) -> dict[str, bytes]:
        folder = tmp_path / str(number)
        with FreshProcess() as process:
            process.call(saved_model.write, models.blend(), models.attrition_contract().program, folder)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(written, (1, 2))
    assert one == other
    assert set(one) == {"saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"}
