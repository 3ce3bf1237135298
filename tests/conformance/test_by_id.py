"""Predictions by id through the tensor protocols: the same bits as epm.v1 gives by id and as columns give."""

import json
import queue
import time
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tritonclient.grpc as triton
from google.protobuf.timestamp_pb2 import Timestamp
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from tritonclient.utils import InferenceServerException

from serving.contract import TextInput
from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import features_pb2_grpc, prediction_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.conformance.clients import post
from tests.support import attrition, histories, models
from tests.support.gateways import Running, gateway
from tests.support.metrics import scrape
from tests.support.redis import RedisServer

pytestmark = pytest.mark.conformance

TOKEN = "a-token-for-tests-only"  # noqa: S105
ROWS = 24
OF = {
    "small": {n: c.tolist() if c.dtype.kind == "U" else c for n, c in models.golden_columns(ROWS, 3).items()},
    attrition.MODEL: histories.columns(ROWS, 5),
}
"""What is stored of the employees that each model is asked of, in rows."""
LAST = (date.today().replace(day=1) - timedelta(days=1)).replace(day=1)
MONTH = LAST.year * 100 + LAST.month
"""The newest month that is stored: the one before this one."""
FIRST = MONTH - 99 if LAST.month < 12 else MONTH - 11
MOST_ROWS = 100

Cells = np.ndarray | list[str] | list[bytes]
Bits = dict[str, Any]
"""Outputs by name: numbers as bytes, texts as they are."""


class RefusalError(Exception):
    """Status name and message of a call that was not answered."""


@dataclass
class Place:
    """A gateway and its Redis."""

    redis: RedisServer
    at: Running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """With the facts of ROWS employees for each model in the store; `own` is a model with a column `entity_id`."""
    root = tmp_path_factory.mktemp("by_id")
    models.write_version(root / "models", "small")
    attrition.write_version(root / "models")
    write_own(root / "models")
    (root / "key").write_text("00112233445566778899aabbccddeeff\n")
    (root / "token").write_text(f"{TOKEN}\n")
    secrets = {"hash_key_file": root / "key", "facts_token_file": root / "token"}
    with RedisServer() as redis:
        with gateway(root / "models", **secrets, redis_url=redis.url, max_rows=MOST_ROWS) as at:
            for model in OF:
                load(at, model)
            yield Place(redis, at)
        assert not any("canary" in line for line in at.log)


def write_own(root: Path) -> None:
    """A model with a column `entity_id`, which its golden rows have as well."""
    column = TextInput("entity_id", models.text("a column"), weight=90)
    folder = histories.write_version(root, "own", inputs=(*histories.INPUTS, column))
    golden = dict(np.load(folder / "golden.npz"))
    np.savez(folder / "golden.npz", **golden, **{"raw.entity_id": np.array(["R-17"] * len(golden["raw.hours"]))})
    models.write_digests(folder)


@pytest.fixture
def at(place: Place) -> Running:
    """The gateway."""
    return place.at


def ids(model: str, *rows: int | str) -> list[str]:
    """Ids of stored rows; a text is somebody unknown."""
    return [f"canary-{model}-{row}" for row in rows]


def load(at: Running, model: str) -> None:
    """Store what OF says."""
    request = f1.PutFactsRequest()
    for row, entity in enumerate(ids(model, *range(ROWS))):
        event = request.events.add(entity_type="employee", entity_id=entity, source="test")
        event.as_of.CopyFrom(Timestamp(seconds=int(time.time()) - 86400))
        for name, cells in OF[model].items():
            cell = cells[row]
            if isinstance(cell, str):
                event.facts.add(name=name, text=cell)
            elif np.ndim(cell):
                event.monthly_facts.add(name=name, first_month=FIRST, values=cell)
            elif not np.isnan(cell):
                event.facts.add(name=name, number=cell)
    with grpc.insecure_channel(at.grpc) as channel:
        stub = features_pb2_grpc.FeatureServiceStub(channel)
        assert stub.PutFacts(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=30).applied == ROWS


def bits(outputs: dict[str, Any]) -> Bits:
    """Outputs of any protocol, to be compared."""
    made: Bits = {}
    for name, values in outputs.items():
        cells = np.asarray(values)
        if cells.dtype.kind in "OSU":
            made[name] = [cell.decode() if isinstance(cell, bytes) else cell for cell in cells.tolist()]
        else:
            made[name] = cells.astype(np.float32).tobytes()
    return made


def over_tf_serving(at: Running, model: str, inputs: dict[str, Cells], signature: str = "") -> Bits:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, cells in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(cells))
    with grpc.insecure_channel(at.grpc) as channel:
        try:
            response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 30.0)
        except grpc.RpcError as error:
            raise RefusalError(error.code().name, error.details()) from None
    assert response.model_spec.signature_name == (signature or "serving_default")
    return bits({name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()})


def triton_inputs(inputs: dict[str, Cells]) -> list[Any]:
    """As InferInput."""
    tensors = []
    for name, cells in inputs.items():
        made = np.array(cells, object) if isinstance(cells, list) else np.ascontiguousarray(cells)
        kind = {"O": "BYTES", "i": "INT64", "f": "FP64"}[made.dtype.kind]
        tensors.append(triton.InferInput(name, list(made.shape), kind))
        tensors[-1].set_data_from_numpy(made)
    return tensors


def triton_bits(result: Any) -> Bits:
    return bits({tensor.name: result.as_numpy(tensor.name) for tensor in result.get_response().outputs})


def over_triton(at: Running, model: str, inputs: dict[str, Cells]) -> Bits:
    with triton.InferenceServerClient(at.grpc) as client:
        try:
            return triton_bits(client.infer(model, triton_inputs(inputs)))
        except InferenceServerException as error:
            raise RefusalError(error.status().removeprefix("StatusCode."), error.message()) from None


def streamed(at: Running, model: str, batches: list[dict[str, Cells]]) -> list[Bits | str]:
    """What one ModelStreamInfer answers to each batch; of an error, its message."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(at.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for inputs in batches:
            client.async_stream_infer(model, triton_inputs(inputs))
        got = [answers.get(timeout=20) for _ in batches]
        client.stop_stream()
    return [error.message() if error else triton_bits(result) for result, error in got]


def posted(at: Running, path: str, body: Any) -> Any:
    try:
        return post(at, path, body)
    except urllib.error.HTTPError as error:
        names = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 412: "FAILED_PRECONDITION", 503: "UNAVAILABLE"}
        raise RefusalError(names[error.code], json.load(error)["error"]) from None


def as_lists(inputs: dict[str, Cells]) -> dict[str, list[Any]]:
    return {name: cells if isinstance(cells, list) else cells.tolist() for name, cells in inputs.items()}


def over_rest_columns(at: Running, model: str, inputs: dict[str, Cells]) -> Bits:
    return bits(posted(at, f"/v1/models/{model}:predict", {"inputs": as_lists(inputs)})["outputs"])


def over_rest_rows(at: Running, model: str, inputs: dict[str, Cells]) -> Bits:
    columns, n = as_lists(inputs), max(len(cells) for cells in inputs.values())
    if len(columns.get("present_month", [])) == 1:
        columns["present_month"] *= n  # rows of their own repeat it
    instances = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    rows = posted(at, f"/v1/models/{model}:predict", {"instances": instances})["predictions"]
    return bits({name: [row[name] for row in rows] for name in rows[0]})


def over_rest_kserve(at: Running, model: str, inputs: dict[str, Cells]) -> Bits:
    tensors = []
    for name, cells in inputs.items():
        kind = "BYTES" if isinstance(cells, list) else {"i": "INT64", "f": "FP64"}[cells.dtype.kind]
        data = cells if isinstance(cells, list) else cells.reshape(-1).tolist()
        tensors.append({"name": name, "datatype": kind, "shape": list(np.shape(cells)), "data": data})
    outputs = posted(at, f"/v2/models/{model}/infer", {"inputs": tensors})["outputs"]
    return bits({tensor["name"]: tensor["data"] for tensor in outputs})


def over_stream(at: Running, model: str, inputs: dict[str, Cells]) -> Bits:
    (answer,) = streamed(at, model, [inputs])
    if isinstance(answer, str):
        raise RefusalError("", answer)
    return answer


Way = Callable[[Running, str, dict[str, Cells]], Bits]
WAYS: dict[str, Way] = {
    "tf_serving": over_tf_serving,
    "triton": over_triton,
    "triton_stream": over_stream,
    "rest_columns": over_rest_columns,
    "rest_rows": over_rest_rows,
    "rest_kserve": over_rest_kserve,
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def over_epm(at: Running, model: str, who: list[str], present: int = 0, **columns: np.ndarray) -> Bits:
    """What epm.v1 gives by id."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    request.entities.entity_type, request.entities.present_month = "employee", present
    request.entities.ids.extend(who)
    for name, cells in columns.items():
        request.columns.add(name=name, doubles=v1.Doubles(values=cells))
    with grpc.insecure_channel(at.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert not response.row_errors
    if model == "small":
        made = response.outputs[0].classes
        numbers = {"probabilities": made.probabilities, "label": made.label, "margin": made.margin}
    else:
        numbers = {output.name: output.probability.values for output in response.outputs}
        made = response.outputs[1].probability
        numbers |= {"label": made.label, "margin": made.margin}
    return bits({**{name: list(values) for name, values in numbers.items()}, "coverage": list(response.coverage)})


def refused(way: Way, at: Running, model: str, inputs: dict[str, Cells], status: str) -> str:
    """The message of a refusal with this status, which never shows an id."""
    with pytest.raises(RefusalError) as refusal:
        way(at, model, inputs)
    got, message = refusal.value.args
    assert got == (status if way is not over_stream else "")
    assert "canary" not in message
    return message


@every_way
@pytest.mark.parametrize("model", OF)
def test_by_id_gives_the_bits_of_epm_v1_and_of_columns(at: Running, way: Way, model: str) -> None:
    who = ids(model, *range(ROWS))
    answer = way(at, model, {"entity_id": who, "present_month": np.array([MONTH])})
    assert answer == way(at, model, OF[model])
    expected = over_epm(at, model, who, MONTH)
    assert {name: answer[name] for name in expected} == expected


@every_way
def test_the_present_month_is_the_newest_known_one_unless_one_is_sent(at: Running, way: Way) -> None:
    who = ids(attrition.MODEL, *range(8))
    earlier = MONTH - 1 if LAST.month > 1 else MONTH - 89
    answers = []
    for present in (0, earlier):
        sent = {"entity_id": who, **({"present_month": np.array([present])} if present else {})}
        answers.append(way(at, attrition.MODEL, sent))
        expected = over_epm(at, attrition.MODEL, who, present)
        assert {name: answers[-1][name] for name in expected} == expected
    assert answers[0] != answers[1]


@every_way
def test_a_column_beside_ids_replaces_what_is_stored(at: Running, way: Way) -> None:
    who, hours = ids("small", 0, 1, 2), np.array([20.0, 40.0, 65.0])
    answer = way(at, "small", {"entity_id": who, "hours": hours})
    assert answer != way(at, "small", {"entity_id": who})
    assert answer == way(at, "small", {name: cells[:3] for name, cells in {**OF["small"], "hours": hours}.items()})
    expected = over_epm(at, "small", who, hours=hours)
    assert {name: answer[name] for name in expected} == expected


@every_way
def test_a_row_without_an_answer_fails_the_call_with_its_number(at: Running, way: Way) -> None:
    who = ids("small", 0, "nobody", 1, "nobody else")
    message = refused(way, at, "small", {"entity_id": who}, "NOT_FOUND")
    assert message == "row 1: nothing is stored of this entity"


@every_way
def test_facts_that_are_not_enough_fail_the_call_before_later_rows_do(at: Running, way: Way) -> None:
    bare = int(np.flatnonzero(np.isnan(OF[attrition.MODEL]["hours"]))[0])
    who = [*ids("small", 0), *ids(attrition.MODEL, bare, "nobody")]
    message = refused(way, at, "small", {"entity_id": who}, "FAILED_PRECONDITION")
    assert message == "row 1: hours: nothing is stored, and this column is required"


@every_way
def test_a_value_of_the_caller_that_cannot_be_is_told_as_by_columns(at: Running, way: Way) -> None:
    hours = np.array([40.0, 1000.0])
    message = refused(way, at, "small", {"entity_id": ids("small", 0, 1), "hours": hours}, "INVALID_ARGUMENT")
    assert message == "hours: got 1000 in row 1, expected 0 to 168 h/week"


@every_way
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"entity_id": ids("small", 0), "nobody": np.array([40.0])}, "nobody: got an unknown column"),
        ({"entity_id": ids("small", 0), "features": np.zeros((1, 8))}, "features: got a ready tensor beside entity_id"),
        (
            {"entity_id": ids("small", 0), "features": np.zeros((1, 8)), "hours": np.array([40.0])},
            "hours: got a raw column beside the ready tensor features",
        ),
        ({"entity_id": np.array([7.0])}, "entity_id: got "),
        ({"entity_id": np.array([52417])}, "entity_id: got "),
        ({"entity_id": [*ids("small", 0), ""]}, "entity_id: got an empty text in row 1"),
        ({"entity_id": ids("small", 0), "present_month": np.array([202613])}, "present_month: got 202613"),
        ({"entity_id": ids("small", 0), "present_month": np.array([202610.5])}, "present_month: got 1 values"),
        ({"present_month": np.array([202610])}, "present_month: got an unknown column"),
    ],
)
def test_what_is_wrong_with_a_call_by_id_is_named(at: Running, way: Way, inputs: dict[str, Cells], said: str) -> None:
    message = refused(way, at, "small", inputs, "INVALID_ARGUMENT")
    assert message.startswith(said)
    assert "52417" not in message


@every_way
def test_too_many_ids_are_refused(at: Running, way: Way) -> None:
    message = refused(way, at, "small", {"entity_id": ["canary"] * (MOST_ROWS + 1)}, "INVALID_ARGUMENT")
    assert f"{MOST_ROWS + 1} rows, expected at most {MOST_ROWS}" in message


@every_way
def test_without_a_store_the_call_is_refused(small: Running, way: Way) -> None:
    message = refused(way, small, "small", {"entity_id": ids("small", 0)}, "FAILED_PRECONDITION")
    assert message == "entity_id: this gateway has no online store (EPM_REDIS_URL): send columns"


@every_way
def test_a_column_of_the_name_in_the_contract_keeps_its_meaning(at: Running, way: Way) -> None:
    sent = {"hours": np.array([40.0]), "entity_id": ["R-17"]}
    answer, without = way(at, "own", sent), way(at, "own", {"hours": np.array([40.0])})
    assert answer["probability"] == without["probability"]
    assert np.frombuffer(answer["coverage"], np.float32) > 0.9 > np.frombuffer(without["coverage"], np.float32)


def test_bytes_that_are_not_utf_8_are_refused_and_ids_may_be_of_any_script(at: Running) -> None:
    for way in (over_tf_serving, over_triton, over_stream):
        message = refused(way, at, "small", {"entity_id": [b"canary", b"canary\xff"]}, "INVALID_ARGUMENT")
        assert message == "entity_id: got what is not UTF-8 in row 1, expected a text in UTF-8"
        assert "row 0" in refused(way, at, "small", {"entity_id": ["张伟".encode()]}, "NOT_FOUND")
    for way in (over_rest_columns, over_rest_rows, over_rest_kserve):
        message = refused(way, at, "small", {"entity_id": ["canary", "canary\ud800"]}, "INVALID_ARGUMENT")
        assert message.startswith("entity_id: got what is not UTF-8 in row 1")
        assert "row 0" in refused(way, at, "small", {"entity_id": ["张伟"]}, "NOT_FOUND")


def test_columns_have_as_many_rows_as_there_are_ids_and_there_are_some(at: Running) -> None:
    fewer = {"entity_id": ids("small", 0, 1), "hours": np.array([40.0])}
    for way in (over_tf_serving, over_triton, over_stream, over_rest_columns, over_rest_kserve):
        assert refused(way, at, "small", fewer, "INVALID_ARGUMENT").startswith("hours: got 1 rows, expected 2")
    for way in (over_rest_columns, over_rest_kserve):
        assert refused(way, at, "small", {"entity_id": []}, "INVALID_ARGUMENT").startswith("entity_id: got 0 rows")


def test_ids_may_come_in_a_column_of_one(at: Running) -> None:
    who = ids("small", 0, 1, 2)
    expected = over_triton(at, "small", {"entity_id": who})
    upright = np.array(who, object).reshape(-1, 1)
    assert over_triton(at, "small", {"entity_id": upright}) == expected
    assert over_tf_serving(at, "small", {"entity_id": upright}) == expected
    assert over_rest_columns(at, "small", {"entity_id": upright}) == expected


def test_a_number_instead_of_an_id_is_not_shown(at: Running) -> None:
    for kind, data in (("BYTES", 52417), ("INT64", 52417), ("INT64", 52417.5), ("BOOL", 52417)):
        tensor = {"name": "entity_id", "datatype": kind, "shape": [1], "data": [data]}
        with pytest.raises(RefusalError) as refusal:
            posted(at, "/v2/models/small/infer", {"inputs": [tensor]})
        assert refusal.value.args[1].startswith("entity_id: got a ")
        assert "52417" not in refusal.value.args[1]


def test_a_stream_goes_on_after_rows_that_have_no_answer(at: Running) -> None:
    good, nobody = {"entity_id": ids("small", 0, 1)}, {"entity_id": ids("small", 0, "nobody")}
    answers = streamed(at, "small", [good, nobody, good, {"entity_id": [b"\xff"]}, good])
    assert answers[0] == answers[2] == answers[4] == over_triton(at, "small", good)
    assert answers[1] == "row 1: nothing is stored of this entity"
    assert str(answers[3]).startswith("entity_id: got what is not UTF-8 in row 0")


def test_rows_of_which_only_some_bring_a_column_are_refused_and_null_replaces(at: Running) -> None:
    one, two = ids("small", 0, 1)
    for instances, said in (
        ([{"entity_id": one, "quality": 3}, {"entity_id": two}], "quality: got nothing in row 1"),
        ([{"entity_id": one}, {"hours": 40}], "entity_id: got nothing in row 1"),
        ([{"entity_id": one}, {"entity_id": None}], "entity_id: got nothing in row 1"),
    ):
        with pytest.raises(RefusalError) as refusal:
            posted(at, "/v1/models/small:predict", {"instances": instances})
        assert refusal.value.args[1].startswith(said)
    instances = [{"entity_id": one, "quality": 3}, {"entity_id": two, "quality": None}]
    first, second = posted(at, "/v1/models/small:predict", {"instances": instances})["predictions"]
    assert "missing:quality" not in first["warnings"]
    assert "missing:quality" in second["warnings"]


def test_the_signature_by_id_is_described_and_taken(at: Running) -> None:
    who = ids("small", 0, 1)
    expected = over_tf_serving(at, "small", {"entity_id": who})
    for signature in ("by_id", "serving_default"):
        assert over_tf_serving(at, "small", {"entity_id": who}, signature) == expected
    for sent in ({"inputs": {"entity_id": who}}, {"inputs": who}):
        answer = posted(at, "/v1/models/small:predict", {"signature_name": "by_id", **sent})
        assert bits(answer["outputs"]) == expected
    answer = posted(at, "/v1/models/small:predict", {"signature_name": "by_id", "instances": who})
    assert bits({name: [row[name] for row in answer["predictions"]] for name in expected}) == expected
    described = signatures(at, "small")["by_id"]
    assert {name: info.dtype for name, info in described.inputs.items()} == {"entity_id": tf.string.as_datatype_enum}
    assert described.outputs.keys() == expected.keys()
    assert described.method_name == "tensorflow/serving/predict"


def test_the_signature_by_id_needs_ids_and_a_model_without_a_column_of_the_name(at: Running) -> None:
    assert "by_id" not in signatures(at, "own")
    for model, field in (("small", "entity_id"), ("own", "signature_name")):
        with pytest.raises(RefusalError) as refusal:
            over_tf_serving(at, model, {"hours": np.array([40.0])}, "by_id")
        assert refusal.value.args[0] == "INVALID_ARGUMENT"
        assert refusal.value.args[1].startswith(f"{field}: got ")
        body = {"signature_name": "by_id", "instances": [{"hours": 40.0}]}
        with pytest.raises(RefusalError, match=f"{field}: got "):
            posted(at, f"/v1/models/{model}:predict", body)


def signatures(at: Running, model: str) -> dict[str, Any]:
    """What GetModelMetadata tells."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = model
    described = get_model_metadata_pb2.SignatureDefMap()
    with grpc.insecure_channel(at.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.GetModelMetadata(request, 10.0).metadata["signature_def"].Unpack(described)
    return dict(described.signature_def)


def examples(request: Any, model: str, who: list[str], hours: list[float] | None = None, present: int = 0) -> Any:
    """Rows by id as tf.Example, the present month in their context."""
    request.model_spec.name = model
    rows = request.input.example_list_with_context
    if present:
        rows.context.features.feature["present_month"].int64_list.value.append(present)
    for row, entity in enumerate(who):
        feature = rows.examples.add().features.feature
        feature["entity_id"].bytes_list.value.extend([entity.encode()] if entity else [])
        if row < len(hours or []):
            feature["hours"].float_list.value.append(hours[row])
    return request


def test_classify_and_regress_take_ids_in_their_examples(at: Running) -> None:
    with grpc.insecure_channel(at.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = examples(classification_pb2.ClassificationRequest(), "small", ids("small", 0, 1), [40.0, 50.0])
        rows = stub.Classify(request, 10.0).result.classifications
        scores = np.array([[entry.score for entry in row.classes] for row in rows], np.float32)
        sent = {"entity_id": ids("small", 0, 1), "hours": np.array([40.0, 50.0])}
        assert scores.tobytes() == over_tf_serving(at, "small", sent)["probabilities"]
        who = ids(attrition.MODEL, 0, 1)
        request = examples(regression_pb2.RegressionRequest(), attrition.MODEL, who, present=MONTH)
        values = np.array([entry.value for entry in stub.Regress(request, 10.0).result.regressions], np.float32)
        assert values.tobytes() == over_epm(at, attrition.MODEL, who, MONTH)["probability_6m"]
        for who, hours, status, said in (
            (ids("small", 0, "nobody"), [], "NOT_FOUND", "row 1: nothing is stored"),
            (ids("small", 0, 1), [40.0], "INVALID_ARGUMENT", "hours: got nothing in row 1"),
            ([""], [], "INVALID_ARGUMENT", "entity_id: got nothing in row 0"),
        ):
            with pytest.raises(grpc.RpcError) as refusal:
                stub.Classify(examples(classification_pb2.ClassificationRequest(), "small", who, hours), 10.0)
            assert refusal.value.code().name == status
            assert refusal.value.details().startswith(said)


def test_with_redis_away_known_rows_are_answered_and_others_fail_the_call(place: Place) -> None:
    at, known = place.at, {"entity_id": ids("small", 0, 1)}
    fresh = over_triton(at, "small", known)
    place.redis.pause()
    try:
        for way in WAYS.values():
            unknown = {"entity_id": ids("small", 0, "never seen")}
            assert refused(way, at, "small", unknown, "UNAVAILABLE").startswith("row 1: the online store does not")
            assert "the online store does not" in refused(
                way, at, "small", {"entity_id": ids("small", "never seen")}, "UNAVAILABLE"
            )
            answer = way(at, "small", known)
            assert answer["probabilities"] == fresh["probabilities"]
            assert all(text.split(",")[-1] == "stale" for text in answer["warnings"])
    finally:
        place.redis.resume()
    until = time.monotonic() + 10
    while over_triton(at, "small", known) != fresh:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_metrics_and_logs_show_nobody(place: Place) -> None:
    assert not any("canary" in str(sample.labels) for sample in scrape(place.at))
    assert not any("canary" in line for line in place.at.log)
