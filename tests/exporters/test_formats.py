"""Both forms of models become ONNX graphs and SavedModels that answer as plain NumPy does, whatever their weights."""

import hashlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from exporters.errors import ParityError
from exporters.formats import onnx_graph, parity, saved_model, shapes, triton_config
from exporters.formats.perturb import UNSEEN, perturbed
from exporters.fresh_process import FreshProcess
from exporters.models.blend import Blend
from exporters.models.calibrated import CalibratedForest
from exporters.models.inputs import raw_rows, tensors
from exporters.publishing import export
from serving.contract import CategoryInput, HistoryInput
from serving.features.rows import RowSchema
from tests.exporters import random_models as models

pytestmark = pytest.mark.unit

MODELS = {
    "boosted classes": models.grader(),
    "shares of classes": models.grader(link="identity"),
    "blend": models.blend(),
    "network alone": models.blend(forest_weight=0),
    "forest alone": models.blend(network_weight=0),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


def inputs_of(made: models.Made, rows: int = 1000) -> dict[str, np.ndarray]:
    """Graph inputs of perturbed rows; of a model of classes some features are missing, which its trees know."""
    inputs = tensors(made.contract, perturbed(made.contract, made.held_out.columns, rows, 3))
    if len(inputs) == 1:
        inputs["features"][np.random.default_rng(4).random(inputs["features"].shape) < 0.15] = np.nan
    return inputs


@each_model
def test_onnx_answers_as_plain_numpy_does(model: CalibratedForest | Blend):
    made = models.made(model)
    inputs = inputs_of(made, 2000)
    expected = parity.Answers("NumPy", made.trained.answers(inputs))
    graph = onnx_graph.write(model, "m")
    (agreement,) = parity.check_answers(made.contract, expected, [parity.onnx_answers(graph, inputs)], inputs)
    assert agreement.rows == 2000
    assert agreement.difference < 1e-6
    assert agreement.ties == 0
    assert np.sort(np.bincount(expected.outputs["label"]))[-2] > 100  # one label alone would prove nothing


@each_model
def test_both_signatures_of_the_saved_model_answer_as_plain_numpy_does(model, process: FreshProcess, tmp_path: Path):
    made = models.made(model)
    inputs = inputs_of(made)
    expected = parity.Answers("NumPy", made.trained.answers(inputs))
    answers = process.call(saved_model.write_and_answer, model, made.contract.program, tmp_path / "m", inputs)
    agreements = parity.check_answers(made.contract, expected, answers, inputs)
    assert [a.name for a in agreements] == ["SavedModel (serving_default)", "SavedModel (features)"]
    assert max(a.difference for a in agreements) < 1e-6
    assert not (tmp_path / "m" / "fingerprint.pb").exists()


def operators(model: CalibratedForest | Blend) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(onnx_graph.write(model, "m")).graph.node]


def test_a_part_without_weight_leaves_no_node():
    assert "TreeEnsembleRegressor" not in operators(models.blend(forest_weight=0))
    assert "LSTM" not in operators(models.blend(network_weight=0))
    assert {"TreeEnsembleRegressor", "LSTM"} <= set(operators(models.blend()))
    assert operators(models.grader()) == ["TreeEnsembleRegressor", "Mul", "Add", "Softmax", "ArgMax", "Cast"]
    assert operators(models.grader(link="identity"))[1:3] == ["Max", "Log"]


@each_model
def test_the_graph_has_a_free_batch_typed_outputs_and_the_same_bytes_twice(model):
    written = onnx_graph.write(model, "m")
    assert hashlib.sha256(onnx_graph.write(model, "m")).digest() == hashlib.sha256(written).digest()
    model_proto = onnx.load_from_string(written)
    graph = model_proto.graph
    assert {opset.domain: opset.version for opset in model_proto.opset_import} == {"": 18, "ai.onnx.ml": 3}
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert found == {name: ["N", *shape] for name, shape in {**shapes.inputs(model), **shapes.outputs(model)}.items()}
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.output}
    assert {name for name, kind in kinds.items() if kind == onnx.TensorProto.INT32} == {"label"}
    assert {kinds[name] for name in kinds.keys() - {"label"}} == {onnx.TensorProto.FLOAT}


def test_the_later_probability_is_never_below_the_earlier_one_even_at_the_ends():
    for shift in (-200, -20, 0, 20, 200):
        for other in (-200, 0, 200):
            model = replace(models.blend(), shift=np.array([shift, other], np.float32))
            inputs = inputs_of(models.made(model), 300)
            outputs = parity.onnx_answers(onnx_graph.write(model, "m"), inputs).outputs
            assert (outputs["probability_6m"] >= outputs["probability_3m"]).all()
            assert (outputs["probability_6m"] <= 1).all()
            assert (outputs["probability_3m"] >= 0).all()


def test_a_probability_exactly_at_the_threshold_is_labelled():
    """Hazard 1 is 0 and hazard 2 is sigmoid(0) = 1/2, exactly."""
    at = Blend(
        models.network(5, 3, 0),
        replace(models.blend().forest, value=np.zeros_like(models.blend().forest.value), base=np.zeros(2, np.float32)),
        np.zeros(2, np.float32),
        np.ones(2, np.float32),
        np.array([-200, 0], np.float32),
        np.float32(0.5),
        models.MONTHS,
    )
    inputs = inputs_of(models.made(at), 10)
    outputs = parity.onnx_answers(onnx_graph.write(at, "m"), inputs).outputs
    assert (outputs["probability_6m"] == 0.5).all()
    assert (outputs["label"] == 1).all()
    above = replace(at, threshold=np.nextafter(np.float32(0.5), np.float32(1)))
    assert (parity.onnx_answers(onnx_graph.write(above, "m"), inputs).outputs["label"] == 0).all()


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (replace(models.grader(), shift=np.zeros(2, np.float32)), "shift of the classes: got shape"),
        (replace(models.blend(), months=11), "features of the forest: got shape"),
        (replace(models.blend(), shift=np.zeros(3, np.float32)), "shift: got shape"),
        (
            replace(models.blend(), network=replace(models.network(5, 3, 0), gates=np.zeros(3, np.float32))),
            "biases of the LSTM",
        ),
        (models.blend(network_weight=0, forest_weight=0), "neither network nor forest"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused_by_both_writers(spoilt, message, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        onnx_graph.write(spoilt, "m")
    with pytest.raises(ValueError, match=message):
        saved_model.write(spoilt, models.attrition_contract().program, tmp_path)


def test_a_program_that_makes_other_inputs_than_the_model_takes_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="the program makes"):
        saved_model.write(models.blend(), models.grade_contract().program, tmp_path)


def test_tensorflow_gets_features_and_columns_of_the_window_by_name():
    inputs = inputs_of(models.made(models.blend()), 7)
    named = saved_model.by_name(models.attrition_contract().program, inputs)
    assert list(named) == [
        "tenure_scaled",
        "pay_ratio_filled",
        "department_sales",
        "department",
        "department_4",
        "monthly_overtime_filled",
        "monthly_kudos_filled",
        "mask",
    ]
    assert named["tenure_scaled"].shape == (7,)
    assert np.array_equal(named["mask"], inputs["history"][:, :, 2])


def test_tensorflow_names_are_letters_and_digits_and_no_two_alike():
    names = saved_model.tensor_names(
        ("hours:filled", "部门=销售", "department=R&D", "department=R D", "1st", "Hours:filled")
    )
    assert names == ("hours_filled", "feature", "department_R_D", "department_R_D_3", "feature_1st", "Hours_filled_5")
    assert saved_model.tensor_names(("x_2", "x", "x!", "X_2")) == ("x_2", "x", "x_2_", "X_2_3")


def test_tritons_config_names_every_tensor_of_two_horizons():
    text = triton_config.render(models.attrition_contract())[triton_config.CPU]
    for line in (
        '{ name: "features" data_type: TYPE_FP32 dims: [ 5 ] }',
        '{ name: "history" data_type: TYPE_FP32 dims: [ 12, 3 ] }',
        '{ name: "probability_3m" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }',
        '{ name: "probability_6m" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } }',
        '{ name: "label" data_type: TYPE_INT32 dims: [ 1 ] reshape { shape: [ ] } }',
    ):
        assert line in text


def test_perturbed_histories_lose_months_begin_later_and_reach_extremes_that_the_gateway_accepts():
    contract, table = models.attrition_contract(), models.table(500, 1)
    columns = perturbed(contract, table.columns, 4000, 1)
    schema, rows = RowSchema(contract), raw_rows(contract, columns)
    found = schema.inspect(rows)
    schema.refuse_wrong(rows, found)
    overtime = columns["monthly_overtime"]
    given = ~np.isnan(overtime)
    assert not given[63::64].any()
    untouched, touched = given[0::2].mean(), given[1::2].mean()
    assert touched < untouched - 0.1
    assert {0.0, 300.0} <= set(overtime[given].tolist())
    lengths = given.argmax(axis=1)[given.any(axis=1)]
    assert set(lengths.tolist()) == set(range(models.MONTHS))
    assert (columns["department"] == UNSEEN).any()
    again = perturbed(contract, table.columns, 4000, 1)
    assert all(
        np.array_equal(columns[name], again[name], equal_nan=columns[name].dtype.kind == "f") for name in columns
    )


def test_a_required_history_keeps_at_least_one_month():
    contract = models.attrition_contract()
    inputs = tuple(
        msgspec.structs.replace(raw, required=True) if isinstance(raw, HistoryInput) else raw for raw in contract.inputs
    )
    contract = msgspec.structs.replace(contract, inputs=inputs)
    columns = models.table(500, 1).columns
    for name in models.HISTORIES:
        columns[name][:, -1] = 1.0
    made = perturbed(contract, columns, 2000, 1)
    assert not np.isnan(made["monthly_overtime"]).all(axis=1).any()
    assert np.isnan(made["pay_ratio"]).any()
    assert any(isinstance(raw, CategoryInput) for raw in contract.inputs)


def test_a_whole_export_passes_the_four_lines_of_the_gate(process: FreshProcess, monkeypatch):
    monkeypatch.setattr(export, "FreshProcess", lambda: nullcontext(process))
    exported = export.export(models.made(models.blend()), 0, rows=2000)
    assert [a.name for a in exported.agreements] == [
        "onnxruntime",
        "SavedModel (serving_default)",
        "SavedModel (features)",
        "gateway",
    ]
    assert {a.rows for a in exported.agreements} == {2000}
    assert set(exported.files) == {
        "model.onnx",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
        "contract.json",
        "golden.npz",
    }


def test_a_threshold_of_the_contract_that_the_graph_does_not_have_is_refused():
    made = models.made(replace(models.blend(), threshold=np.float32(0.31)))
    with pytest.raises(ParityError, match="thresholds"):
        export.export(made, 0, rows=64)
