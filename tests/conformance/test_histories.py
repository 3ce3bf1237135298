"""Monthly histories, texts and dates through every protocol: the same bits, in whatever form the months come."""

import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc, regression_pb2

from serving.features.program import compile_program
from serving.features.rows import RowSchema
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.conformance.clients import post
from tests.support import histories
from tests.support.gateways import Running, gateway

pytestmark = pytest.mark.conformance

ROWS = 200
SENT = histories.columns(ROWS, 11)
SINGLE = {name: SENT[name] for name in ("hours", "department", "role", "hired")}


def front(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Months as a caller has them who pads at the end: those before the first given one cut off, and the lengths."""
    given = ~np.isnan(SENT["overtime"]) | ~np.isnan(SENT["sick_days"])
    lengths = np.where(given.any(axis=1), histories.MONTHS - given.argmax(axis=1), 0)
    moved = np.full_like(values, -7.0)
    for row, length in enumerate(lengths):
        moved[row, :length] = values[row, histories.MONTHS - length :]
    return moved, lengths


TENSOR = np.stack([SENT[name] for name in histories.NAMES], axis=2)
MOVED = np.stack([front(SENT[name])[0] for name in histories.NAMES], axis=2)
LENGTHS = front(SENT["overtime"])[1]
FORMS: dict[str, dict[str, np.ndarray]] = {
    "padded by the caller": {"histories": TENSOR},
    "with lengths": {"histories": MOVED, "lengths": LENGTHS.astype(np.int32)},
    "by name": {name: SENT[name] for name in histories.NAMES},
}


def nulls(values: np.ndarray) -> list:
    return np.where(np.isnan(values), None, values).tolist() if values.dtype.kind == "f" else values.tolist()


def over_tf_serving(at: Running, columns: dict) -> np.ndarray:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "leaves"
    for name, cells in columns.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(cells))
    with grpc.insecure_channel(at.grpc) as channel:
        outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 30.0).outputs
    return tf.make_ndarray(outputs["probability"])


def over_triton(at: Running, columns: dict) -> np.ndarray:
    inputs = []
    for name, cells in columns.items():
        made = np.array([cell.encode() for cell in cells], object) if isinstance(cells, list) else cells
        kind = {"O": "BYTES", "f": "FP64", "i": "INT32"}[made.dtype.kind]
        inputs.append(triton.InferInput(name, list(made.shape), kind))
        inputs[-1].set_data_from_numpy(np.ascontiguousarray(made))
    with triton.InferenceServerClient(at.grpc) as client:
        return client.infer("leaves", inputs).as_numpy("probability")


def over_rest_tf(at: Running, columns: dict) -> np.ndarray:
    inputs = {name: cells if isinstance(cells, list) else nulls(cells) for name, cells in columns.items()}
    return np.array(post(at, "/v1/models/leaves:predict", {"inputs": inputs})["outputs"]["probability"], np.float32)


def over_rest_tf_rows(at: Running, columns: dict) -> np.ndarray:
    lists = [cells if isinstance(cells, list) else nulls(cells) for cells in columns.values()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    rows = post(at, "/v1/models/leaves:predict", {"instances": rows})["predictions"]
    return np.array([row["probability"] for row in rows], np.float32)


def over_rest_kserve(at: Running, columns: dict) -> np.ndarray:
    inputs = []
    for name, cells in columns.items():
        texts = isinstance(cells, list)
        shape = [len(cells)] if texts else list(cells.shape)
        kind = "BYTES" if texts else "FP64" if cells.dtype.kind == "f" else "INT32"
        data = cells if texts else nulls(cells.reshape(-1))
        inputs.append({"name": name, "shape": shape, "datatype": kind, "data": data})
    outputs = post(at, "/v2/models/leaves/infer", {"inputs": inputs})["outputs"]
    return np.array(next(o["data"] for o in outputs if o["name"] == "probability"), np.float32)


CLIENTS: dict[str, Callable[[Running, dict], np.ndarray]] = {
    "tensorflow-serving-api": over_tf_serving,
    "tritonclient": over_triton,
    "REST of TF Serving, columns": over_rest_tf,
    "REST of TF Serving, rows": over_rest_tf_rows,
    "REST of KServe": over_rest_kserve,
}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A gateway that serves the model."""
    root = tmp_path_factory.mktemp("histories")
    histories.write_version(root)
    with gateway(root) as running:
        yield running


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """What the model answers, computed without the gateway."""
    made = histories.contract()
    features, window = compile_program(made).run(RowSchema(made).assemble(SENT, ROWS))
    return histories.answers(features, window)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("client", CLIENTS)
def test_histories_get_the_same_bits_in_every_form(at: Running, expected: np.ndarray, client: str, form: str) -> None:
    first = over_tf_serving(at, {**SINGLE, **FORMS["padded by the caller"]})
    assert np.allclose(first, expected, rtol=0, atol=1e-6)
    assert len(np.unique(first)) > ROWS // 2
    assert CLIENTS[client](at, {**SINGLE, **FORMS[form]}).tobytes() == first.tobytes()


@pytest.mark.parametrize("name", ["overtime", "histories", "lengths", "hours"])
def test_a_tensor_without_rows_is_refused_by_name(at: Running, name: str) -> None:
    """Also as the first one: maps of TF Serving have no order."""
    with pytest.raises(grpc.RpcError, match=rf"{name}: got shape \[\]") as raised:
        over_tf_serving(at, {name: np.array(4.0)})
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(urllib.error.HTTPError) as refused:
        over_rest_kserve(at, {name: np.array(4.0)})
    assert refused.value.code == 400
    assert f"{name}: got shape []" in refused.value.read().decode()


def epm_request(rows: slice, bitmap: bool) -> v1.PredictRequest:
    """Rows with histories of their own lengths; a missing month is NaN or a cleared bit."""
    request = v1.PredictRequest(model=v1.ModelRef(name="leaves"))
    request.columns.add(name="hours", doubles=v1.Doubles(values=SENT["hours"][rows]))
    for name in ("department", "role", "hired"):
        request.columns.add(name=name, strings=v1.Strings(values=SENT[name][rows]))
    for name in histories.NAMES:
        values = front(SENT[name])[0][rows]
        column = request.columns.add(name=name)
        column.history.months = histories.MONTHS
        column.history.lengths.extend(LENGTHS[rows])
        column.history.values.extend(np.where(np.isnan(values), 3.0 if bitmap else np.nan, values).reshape(-1))
        if bitmap:
            column.validity = np.packbits(~np.isnan(values).reshape(-1), bitorder="little").tobytes()
    return request


@pytest.mark.parametrize("bitmap", [False, True], ids=["NaN", "bitmap"])
@pytest.mark.parametrize("size", [1, 64, ROWS])
def test_histories_of_epm_v1_get_the_same_bits(at: Running, size: int, bitmap: bool) -> None:
    first = over_tf_serving(at, {**SINGLE, **FORMS["padded by the caller"]})
    requests = (epm_request(slice(start, start + size), bitmap) for start in range(0, ROWS, size))
    with grpc.insecure_channel(at.grpc) as channel:
        answers = list(prediction_pb2_grpc.PredictionServiceStub(channel).StreamPredict(requests))
    values = [value for answer in answers for value in answer.outputs[0].probability.values]
    assert np.array(values, np.float32).tobytes() == first.tobytes()


def test_examples_of_tf_serving_may_hold_histories(at: Running) -> None:
    """Regress takes rows as tf.Example: a feature of several values is a history, float32 as its lists are."""
    rows, request = range(20), regression_pb2.RegressionRequest()
    request.model_spec.name = "leaves"
    for row in rows:
        features = request.input.example_list.examples.add().features.feature
        features["hours"].float_list.value.append(np.float32(SENT["hours"][row]))
        for name in ("department", "role", "hired"):
            features[name].bytes_list.value.append(SENT[name][row].encode())
        for name in histories.NAMES:
            features[name].float_list.value.extend(front(SENT[name])[0][row, : LENGTHS[row]].astype(np.float32))
    with grpc.insecure_channel(at.grpc) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Regress(request, 30.0)
    sent = {name: np.float32(SENT[name][: len(rows)]) for name in ("hours", *histories.NAMES)}
    columns = {name: sent.get(name, SENT[name][: len(rows)]) for name in SENT}
    values = np.array([one.value for one in answer.result.regressions], np.float32)
    assert values.tobytes() == over_tf_serving(at, columns).tobytes()


def test_ready_tensors_of_a_model_with_a_window_skip_the_program(at: Running) -> None:
    made = histories.contract()
    features, window = compile_program(made).run(RowSchema(made).assemble(SENT, ROWS))
    first = over_tf_serving(at, {**SINGLE, **FORMS["by name"]})
    assert over_tf_serving(at, {"features": features, "history": window}).tobytes() == first.tobytes()


def test_metadata_names_histories_and_lengths(at: Running) -> None:
    with triton.InferenceServerClient(at.grpc) as client:
        tensors = {t.name: (t.datatype, list(t.shape)) for t in client.get_model_metadata("leaves").inputs}
    assert tensors["histories"] == ("FP64", [-1, 12, 2])
    assert tensors["lengths"] == ("INT32", [-1])
    assert tensors["overtime"] == tensors["sick_days"] == ("FP64", [-1, 12])
    assert tensors["history"] == ("FP32", [-1, 12, 3])
    assert tensors["hired"] == ("BYTES", [-1])
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "leaves"
    with grpc.insecure_channel(at.grpc) as channel:
        answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def["serving_default"].inputs
    assert [d.size for d in inputs["histories"].tensor_shape.dim] == [-1, 12, 2]


def test_describe_tells_what_to_send(at: Running, tmp_path: Path) -> None:
    from serving.describe import describe

    histories.write_version(tmp_path)
    text = describe(tmp_path, "leaves")
    assert "12 months of 0..300 h" in text
    assert "as in 2026-03-31" in text
    example = text[text.index("{") : text.rindex("'")]
    import json

    assert 0 < post(at, "/v1/models/leaves:predict", json.loads(example))["outputs"]["probability"][0] < 1
