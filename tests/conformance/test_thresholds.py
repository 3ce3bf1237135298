"""A model of two horizons that decides by a threshold: the same answer through every protocol and form.

That its answers by id are the same as by columns is shown in tests/integration/test_predict_by_id.py.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.cli import main
from serving.describe import describe
from serving.features.program import compile_program
from serving.features.rows import RowSchema
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.conformance.clients import post
from tests.support import attrition, histories, models
from tests.support.gateways import Running, gateway

pytestmark = pytest.mark.conformance

ROWS = 100
SENT = histories.columns(ROWS, 21)
SINGLE = {name: cells for name, cells in SENT.items() if name not in histories.NAMES}
NUMBERS = ("probability_3m", "probability_6m", "label", "margin")
"""What every protocol gives of a row, whatever the caller sent."""

Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of `attrition`, and of `sales`, which has one scalar and nothing else."""
    folder = tmp_path_factory.mktemp("thresholds")
    attrition.write_version(folder)
    models.write_version(folder, "sales", outputs=models.NUMBERS[1:2])
    return folder


@pytest.fixture(scope="module")
def at(root: Path) -> Iterator[Running]:
    """A gateway that serves them."""
    with gateway(root) as running:
        yield running


@pytest.fixture(scope="module")
def stub(at: Running) -> Iterator[Any]:
    """tensorflow-serving-api's client."""
    with grpc.insecure_channel(at.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def ready() -> Tensors:
    """The rows as the graph's own inputs."""
    made = attrition.contract()
    features, window = compile_program(made).run(RowSchema(made).assemble(SENT, ROWS))
    return {"features": features, "history": window}


def over_tf_serving(at: Running, inputs: dict[str, Any]) -> Tensors:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = attrition.MODEL
    for name, cells in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(cells))
    with grpc.insecure_channel(at.grpc) as channel:
        outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 30.0).outputs
    return {name: tf.make_ndarray(tensor) for name, tensor in outputs.items()}


def over_kserve(at: Running, inputs: dict[str, Any]) -> Tensors:
    tensors = []
    for name, cells in inputs.items():
        made = np.array([cell.encode() for cell in cells], object) if isinstance(cells, list) else cells
        kind = "BYTES" if made.dtype == object else {8: "FP64", 4: "FP32"}[made.dtype.itemsize]
        tensors.append(triton.InferInput(name, list(made.shape), kind))
        tensors[-1].set_data_from_numpy(np.ascontiguousarray(made))
    with triton.InferenceServerClient(at.grpc) as client:
        result = client.infer(attrition.MODEL, tensors)
    return {tensor.name: result.as_numpy(tensor.name) for tensor in result.get_response().outputs}


def over_epm(at: Running, inputs: dict[str, Any]) -> Tensors:
    request = v1.PredictRequest(model=v1.ModelRef(name=attrition.MODEL))
    for name, cells in inputs.items():
        if isinstance(cells, list):
            request.columns.add(name=name, strings=v1.Strings(values=cells))
        elif name in histories.NAMES:
            history = v1.History(months=histories.MONTHS, values=cells.reshape(-1))
            request.columns.add(name=name, history=history)
        elif cells.ndim == 1:
            request.columns.add(name=name, doubles=v1.Doubles(values=cells))
        else:
            request.tensors.add(name=name, shape=cells.shape, values=cells.reshape(-1))
    with grpc.insecure_channel(at.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    first, second = response.outputs
    assert (first.name, second.name) == ("probability_3m", "probability_6m")
    assert not first.probability.HasField("threshold")
    assert not first.probability.label
    assert not first.probability.margin
    assert np.float32(second.probability.threshold) == np.float32(attrition.THRESHOLD)
    return {
        "probability_3m": np.array(first.probability.values, np.float32),
        "probability_6m": np.array(second.probability.values, np.float32),
        "label": np.array(second.probability.label, np.int32),
        "margin": np.array(second.probability.margin, np.float32),
        **({"coverage": np.array(response.coverage, np.float32)} if response.coverage else {}),
    }


def over_rest_tf(at: Running, inputs: dict[str, Any]) -> Tensors:
    outputs = post(at, f"/v1/models/{attrition.MODEL}:predict", {"inputs": as_json(inputs)})["outputs"]
    return typed(outputs)


def over_rest_tf_rows(at: Running, inputs: dict[str, Any]) -> Tensors:
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*as_json(inputs).values(), strict=True)]
    predictions = post(at, f"/v1/models/{attrition.MODEL}:predict", {"instances": rows})["predictions"]
    return typed({name: [row[name] for row in predictions] for name in predictions[0]})


def over_rest_kserve(at: Running, inputs: dict[str, Any]) -> Tensors:
    tensors = [
        {"name": name, "shape": np.shape(inputs[name]), "datatype": datatype(inputs[name]), "data": data}
        for name, data in as_json(inputs).items()
    ]
    outputs = post(at, f"/v2/models/{attrition.MODEL}/infer", {"inputs": tensors})["outputs"]
    kinds = {tensor["name"]: tensor["datatype"] for tensor in outputs}
    assert [kinds[name] for name in NUMBERS] == ["FP32", "FP32", "INT32", "FP32"]
    return typed({tensor["name"]: tensor["data"] for tensor in outputs})


def datatype(cells: Any) -> str:
    return "BYTES" if isinstance(cells, list) else "FP64"


def as_json(inputs: dict[str, Any]) -> dict[str, list]:
    """Cells as lists, missing numbers as null."""
    return {
        name: cells if isinstance(cells, list) else np.where(np.isnan(cells), None, cells.astype(object)).tolist()
        for name, cells in inputs.items()
    }


def typed(outputs: dict[str, list]) -> Tensors:
    kinds = {"label": np.int32, "warnings": object}
    return {name: np.array(values, kinds.get(name, np.float32)) for name, values in outputs.items()}


CLIENTS: dict[str, Callable[[Running, dict[str, Any]], Tensors]] = {
    "tensorflow-serving-api": over_tf_serving,
    "tritonclient": over_kserve,
    "epm.v1": over_epm,
    "REST of TF Serving, columns": over_rest_tf,
    "REST of TF Serving, rows": over_rest_tf_rows,
    "REST of KServe": over_rest_kserve,
}


@pytest.fixture(scope="module")
def expected() -> Tensors:
    """What the model answers, computed without the gateway."""
    tensors = ready()
    return attrition.answers(tensors["features"], tensors["history"])


@pytest.mark.parametrize("form", ["columns", "ready"])
@pytest.mark.parametrize("client", CLIENTS)
def test_every_protocol_gives_the_same_bits_by_columns_and_by_ready_tensors(
    at: Running, expected: Tensors, client: str, form: str
) -> None:
    answer = CLIENTS[client](at, SENT if form == "columns" else ready())
    first = over_tf_serving(at, SENT)
    for name in NUMBERS:
        assert answer[name].dtype == first[name].dtype
        assert answer[name].tobytes() == first[name].tobytes()
    assert ("coverage" in answer) == (form == "columns")
    if form == "columns":
        assert answer["coverage"].tobytes() == first["coverage"].tobytes()
    for name in ("probability_3m", "probability_6m"):
        assert np.allclose(answer[name], expected[name], rtol=0, atol=1e-6)


def test_label_and_margin_follow_from_the_probability_and_the_threshold(at: Running) -> None:
    answer = over_kserve(at, SENT)
    threshold, probability = np.float32(attrition.THRESHOLD), answer["probability_6m"]
    assert answer["label"].tolist() == (probability >= threshold).astype(int).tolist()
    assert set(answer["label"].tolist()) == {0, 1}
    assert answer["margin"].tobytes() == np.abs(probability - threshold).tobytes()
    assert (probability >= answer["probability_3m"]).all()


def test_metadata_of_kserve_names_what_infer_gives(at: Running) -> None:
    with triton.InferenceServerClient(at.grpc) as client:
        outputs = {t.name: (t.datatype, list(t.shape)) for t in client.get_model_metadata(attrition.MODEL).outputs}
    assert outputs == {
        "probability_3m": ("FP32", [-1]),
        "probability_6m": ("FP32", [-1]),
        "label": ("INT32", [-1]),
        "margin": ("FP32", [-1]),
        "coverage": ("FP32", [-1]),
        "warnings": ("BYTES", [-1]),
    }
    assert list(over_kserve(at, SENT)) == list(outputs), "in the order in which metadata lists them"


def signatures(stub: Any, model: str) -> Any:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model
    described = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(request, 10.0).metadata["signature_def"].Unpack(described)
    return described.signature_def


def tensors(described: Any) -> dict[str, tuple[int, list[int]]]:
    return {name: (one.dtype, [dim.size for dim in one.tensor_shape.dim]) for name, one in described.items()}


def test_metadata_of_tf_serving_has_a_signature_for_each_method_that_answers(stub: Any) -> None:
    described = signatures(stub, attrition.MODEL)
    assert set(described) == {"serving_default", "features", "by_id", "classify", "regress"}
    promised = tensors(described["serving_default"].outputs)
    assert promised["label"] == (tf.int32.as_datatype_enum, [-1])
    assert promised["margin"] == (tf.float32.as_datatype_enum, [-1])
    assert set(described["features"].outputs) == set(NUMBERS)
    classify, regress = described["classify"], described["regress"]
    assert classify.method_name == tf.saved_model.CLASSIFY_METHOD_NAME
    assert regress.method_name == tf.saved_model.REGRESS_METHOD_NAME
    text, number = tf.string.as_datatype_enum, tf.float32.as_datatype_enum
    assert tensors(classify.inputs) == {tf.saved_model.CLASSIFY_INPUTS: (text, [-1])}
    assert tensors(classify.outputs) == {
        tf.saved_model.CLASSIFY_OUTPUT_CLASSES: (text, [-1, 2]),
        tf.saved_model.CLASSIFY_OUTPUT_SCORES: (number, [-1, 2]),
    }
    assert tensors(regress.inputs) == {tf.saved_model.REGRESS_INPUTS: (text, [-1])}
    assert tensors(regress.outputs) == {tf.saved_model.REGRESS_OUTPUTS: (number, [-1])}
    assert set(signatures(stub, "sales")) == {"serving_default", "features", "by_id", "regress"}


def fill(request: Any, rows: range, signature: str = "") -> Any:
    """Rows as tf.Example, whose numbers are float32."""
    request.model_spec.name = attrition.MODEL
    request.model_spec.signature_name = signature
    for row in rows:
        features = request.input.example_list.examples.add().features.feature
        features["hours"].float_list.value.append(SENT["hours"][row])
        for name in ("department", "role", "hired"):
            features[name].bytes_list.value.append(SENT[name][row].encode())
        for name in histories.NAMES:
            features[name].float_list.value.extend(SENT[name][row])
    return request


def in_float32(rows: range) -> Tensors:
    """What Predict answers to the same rows."""
    return {
        name: cells[: len(rows)] if isinstance(cells, list) else np.float32(cells[: len(rows)])
        for name, cells in SENT.items()
    }


def test_regress_gives_the_probability_that_decides(at: Running, stub: Any) -> None:
    rows = range(20)
    answer = stub.Regress(fill(regression_pb2.RegressionRequest(), rows, "regress"), 30.0)
    values = np.array([one.value for one in answer.result.regressions], np.float32)
    assert values.tobytes() == over_tf_serving(at, in_float32(rows))["probability_6m"].tobytes()
    assert answer.model_spec.signature_name == "regress"


def test_classify_gives_every_probability_under_its_name(at: Running, stub: Any) -> None:
    rows = range(20)
    answer = stub.Classify(fill(classification_pb2.ClassificationRequest(), rows, "classify"), 30.0)
    predicted = over_tf_serving(at, in_float32(rows))
    for row, made in enumerate(answer.result.classifications):
        assert [one.label for one in made.classes] == ["probability_3m", "probability_6m"]
        assert [np.float32(one.score) for one in made.classes] == [predicted[one.label][row] for one in made.classes]
    assert answer.model_spec.signature_name == "classify"


def test_classify_of_a_model_without_classes_and_probabilities_is_invalid(stub: Any) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "sales"
    request.input.example_list.examples.add().features.feature["hours"].float_list.value.append(40)
    with pytest.raises(grpc.RpcError) as refusal:
        stub.Classify(request, 10.0)
    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.value.details() == "model 'sales' has neither classes nor probabilities: use Predict"


def test_the_signature_of_another_method_is_invalid(stub: Any) -> None:
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name, predict.model_spec.signature_name = attrition.MODEL, "regress"
    predict.inputs["hours"].CopyFrom(tf.make_tensor_proto([40.0]))
    classify = fill(classification_pb2.ClassificationRequest(), range(1), "regress")
    regress = fill(regression_pb2.RegressionRequest(), range(1), "classify")
    for method, request in ((stub.Predict, predict), (stub.Classify, classify), (stub.Regress, regress)):
        with pytest.raises(grpc.RpcError) as refusal:
            method(request, 10.0)
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert refusal.value.details().startswith("model_spec.signature_name: got")


def test_an_answer_of_before_there_were_thresholds_is_read_the_same() -> None:
    """A probability used to be `Scalars`: stubs of before and of now read each other's answers."""
    before = v1.Scalars(values=[0.25, 0.5]).SerializeToString()
    assert v1.Probabilities.FromString(before) == v1.Probabilities(values=[0.25, 0.5])
    now = v1.Probabilities(values=[0.25, 0.5], label=[0, 1], margin=[0.1, 0.2], threshold=0.35).SerializeToString()
    assert list(v1.Scalars.FromString(now).values) == [0.25, 0.5]


def number(value: float) -> str:
    return "" if np.isnan(value) else repr(float(value))


def lines(by_month: bool = True) -> list[list[str]]:
    """The rows as a table of months, header first: one line a month, from the first in which anything is known."""
    monthly = histories.NAMES if by_month else ()
    table = [["employee", "month", *SINGLE, *monthly]]
    for row in range(ROWS):
        single = [cells[row] if isinstance(cells, list) else number(cells[row]) for cells in SINGLE.values()]
        if not by_month:
            table.append([f"E{row}", "", *single])
            continue
        values = np.stack([SENT[name][row] for name in histories.NAMES], axis=1)
        known = ~np.isnan(values).all(axis=1)
        for month in range(known.argmax() if known.any() else histories.MONTHS - 1, histories.MONTHS):
            newest = month == histories.MONTHS - 1
            said = single if newest else ["sales" if name == "department" else "" for name in SINGLE]
            table.append([f"E{row}", f"2026-{month + 1:02}", *said, *map(number, values[month])])
    return table


@dataclass(frozen=True)
class Done:
    """What a command said."""

    status: int
    stdout: str
    stderr: str


Predict = Callable[..., Done]


@pytest.fixture
def predict(at: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Write a table and score it by `epm predict`, in this process: its start takes longer than the test."""

    def run(table: list[list[str]], *options: str) -> Done:
        path = tmp_path / "people.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)
        status = main(["predict", str(path), "--model", attrition.MODEL, "--address", at.grpc, *options])
        return Done(status, *capsys.readouterr())

    return run


@pytest.mark.parametrize("months", [True, False], ids=["with histories", "without"])
def test_epm_predict_writes_the_same_bits_and_the_label_as_a_number(
    at: Running, predict: Predict, months: bool
) -> None:
    answer = over_tf_serving(at, SENT if months else SINGLE)
    done = predict(lines(months), "--format", "csv", "--batch", "7", *(["--month", "month"] if months else []))
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["employee"] for row in rows] == [f"E{row}" for row in range(ROWS)]
    for name, column in zip(NUMBERS, ("probability_3m", "probability_6m", "label 判定", "margin 差距"), strict=True):
        printed = np.array([row[column] for row in rows], answer[name].dtype)
        assert printed.tobytes() == answer[name].tobytes()


def test_a_table_shows_the_label_in_words_of_both_languages(at: Running, predict: Predict) -> None:
    answer = over_tf_serving(at, SENT)
    header, _, *shown = predict(lines(), "--month", "month").stdout.splitlines()
    expected = ("probability_3m", "probability_6m", "label 判定", "margin 差距")
    assert [word for word in expected if word not in header] == []
    for line, label, probability in zip(shown, answer["label"], answer["probability_6m"], strict=True):
        assert ("yes 是" if label else "no 否") in line
        assert f" {probability:.3f} " in line


def test_monthly_columns_without_months_are_not_sent_and_it_says_so(predict: Predict) -> None:
    done = predict([line for line in lines() if line[1] in ("month", "2026-12")], "--format", "csv")
    assert "monthly columns, not sent because --month names no column: overtime, sick_days" in done.stderr
    assert done.stdout == predict(lines(by_month=False), "--format", "csv").stdout


EMPLOYEE = ["employee", "month", "overtime"]


@pytest.mark.parametrize(
    ("table", "options", "expected"),
    [
        ([["a", "2026-01", "1"], ["a", "2026-13", "1"]], ["--month=month"], "month: got '2026-13' in line 3"),
        ([["a", "2026-02", "1"], ["a", "2026-01", "1"]], ["--month=month"], "month: got '2026-01' in line 3"),
        ([["a", "2026-01", "1"], ["a", "202601", "1"]], ["--month=month"], "month: got '202601' in line 3"),
        ([["a", "", "1"]], ["--month=month"], "month: got '' in line 2"),
        ([["a", "2026-01", "1"], ["a", "2026-02", "many"]], ["--month=month"], "overtime: got 'many' in line 3"),
        ([["a", "2026-01", "1"], ["b", "2026-01", "1"], ["a", "2026-02", "1"]], ["--month=month"], "line 4: employee"),
        ([["a", "2026-01", "1"]], ["--month=period"], "no column 'period' (see --month)"),
        ([["a", "2026-01", "1"]], ["--month=month", "--id="], "--month: got a column, but no --id"),
    ],
)
def test_months_that_cannot_be_are_told_with_their_line(
    predict: Predict, table: list[list[str]], options: list[str], expected: str
) -> None:
    done = predict([EMPLOYEE, *table], *options)
    assert done.status in (1, 2)
    assert expected in done.stderr


def test_more_months_than_a_call_takes_are_read_from_the_newest_back(at: Running, predict: Predict) -> None:
    months = [f"{2020 + month // 12}-{month % 12 + 1:02}" for month in range(60)]
    many = predict([EMPLOYEE, *(["a", month, "30"] for month in months)], "--month", "month", "--format", "csv").stdout
    few = predict([EMPLOYEE, *(["a", month, "30"] for month in months[-12:])], "--month", "month", "--format", "csv")
    assert many == few.stdout


def test_describe_tells_from_where_on_the_label_is_1_and_its_example_is_answered(at: Running, root: Path) -> None:
    text = describe(root, attrition.MODEL)
    assert "probability_6m (probability: label is 1 from 0.35 on, else 0): leaves within 6 months" in text
    assert "probability_3m (probability): leaves within 3 months" in text
    assert "of each month overtime.window, sick.window, mask" in text
    example = json.loads(text[text.index("{") : text.rindex("'")])
    assert len(post(at, f"/v1/models/{attrition.MODEL}:predict", example)["outputs"]["label"]) == 1
