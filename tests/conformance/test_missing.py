"""A missing value is missing in every form in which a client can say it."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from tests.conformance.clients import CLIENTS, post, tensorflow_serving

pytestmark = pytest.mark.conformance

HOURS = np.array([40.0, 55.0])
GIVEN = {"hours": HOURS, "quality": np.array([3.0, 1.5])}


@pytest.fixture(scope="module")
def expected(small):
    """The answer with overtime and department left out."""
    (answer,) = tensorflow_serving(small, "small", [GIVEN])
    (fuller,) = tensorflow_serving(small, "small", [{**GIVEN, "overtime": HOURS, "department": ["研发", "sales"]}])
    assert answer.bits() != fuller.bits()
    return answer


@pytest.mark.parametrize("client", CLIENTS)
def test_a_column_left_out_is_missing(client, small, expected):
    (answer,) = CLIENTS[client](small, "small", [GIVEN])
    assert answer.bits() == expected.bits()


@pytest.mark.parametrize("client", CLIENTS)
def test_nan_or_null_and_the_empty_text_are_missing(client, small, expected):
    sent = {**GIVEN, "overtime": np.full(2, np.nan), "department": ["", ""]}
    (answer,) = CLIENTS[client](small, "small", [sent])
    assert answer.bits() == expected.bits()


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
@pytest.mark.parametrize("column", ["overtime", "department"])
def test_json_null_nan_and_the_empty_text_are_missing_in_columns_of_both_types(missing, column, small, expected):
    sent = {"hours": HOURS.tolist(), "quality": [3.0, 1.5], column: [missing, missing]}
    outputs = post(small, "/v1/models/small:predict", {"inputs": sent})["outputs"]
    assert np.array(outputs["probabilities"], np.float32).tobytes() == expected.probabilities.tobytes()
    assert np.array(outputs["coverage"], np.float32).tobytes() == expected.coverage.tobytes()


def test_a_row_that_leaves_a_member_out_is_missing_there(small):
    full, partial = {"hours": 40, "overtime": 5}, {"hours": 55}
    rows = post(small, "/v1/models/small:predict", {"instances": [full, partial]})["predictions"]
    alone = post(small, "/v1/models/small:predict", {"instances": [partial]})["predictions"]
    assert rows[1] == alone[0]


@pytest.mark.parametrize(
    "column",
    [
        v1.Column(name="overtime", doubles=v1.Doubles(values=[7, 8]), validity=b"\x00"),
        v1.Column(name="overtime", int64s=v1.Int64s(values=[7, 8]), validity=b"\xfc"),
        v1.Column(name="department", strings=v1.Strings(values=["sales", "研发"]), validity=b"\x00"),
    ],
    ids=["doubles", "int64s", "strings"],
)
def test_a_cleared_validity_bit_is_missing(column, small, expected):
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    for name, cells in GIVEN.items():
        request.columns.add(name=name, doubles=v1.Doubles(values=cells))
    request.columns.append(column)
    with grpc.insecure_channel(small.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=10)
    assert np.array(response.outputs[0].classes.probabilities, np.float32).tobytes() == expected.probabilities.tobytes()
    assert np.array(response.coverage, np.float32).tobytes() == expected.coverage.tobytes()


def test_a_set_validity_bit_is_given_also_beyond_the_first_byte(small):
    rows = 11
    overtime = np.linspace(0, 50, rows)
    with_gap = np.where(np.arange(rows) == 9, np.nan, overtime)
    (expected,) = tensorflow_serving(small, "small", [{"hours": np.full(rows, 40.0), "overtime": with_gap}])
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    request.columns.add(name="hours", doubles=v1.Doubles(values=[40.0] * rows))
    request.columns.add(name="overtime", doubles=v1.Doubles(values=overtime), validity=b"\xff\x05")
    with grpc.insecure_channel(small.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=10)
    assert np.array(response.outputs[0].classes.probabilities, np.float32).tobytes() == expected.probabilities.tobytes()
    assert np.array(response.coverage, np.float32).tobytes() == expected.coverage.tobytes()


def test_n_by_one_equals_n_over_tensorflow_serving(small):
    rows = {"hours": HOURS, "department": ["研发", "sales"]}
    (expected,) = tensorflow_serving(small, "small", [rows])
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "small"
    request.inputs["hours"].CopyFrom(tf.make_tensor_proto(HOURS.reshape(2, 1)))
    request.inputs["department"].CopyFrom(tf.make_tensor_proto([["研发"], ["sales"]]))
    with grpc.insecure_channel(small.grpc) as channel:
        outputs = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, 10.0).outputs
    assert tf.make_ndarray(outputs["probabilities"]).tobytes() == expected.probabilities.tobytes()


def test_n_by_one_equals_n_over_triton(small):
    rows = {"hours": HOURS, "department": ["研发", "sales"]}
    (expected,) = tensorflow_serving(small, "small", [rows])
    hours = triton.InferInput("hours", [2, 1], "FP64").set_data_from_numpy(HOURS.reshape(2, 1))
    texts = np.array([["研发".encode()], [b"sales"]], object)
    department = triton.InferInput("department", [2, 1], "BYTES").set_data_from_numpy(texts)
    with triton.InferenceServerClient(small.grpc) as client:
        result = client.infer("small", [hours, department])
    assert result.as_numpy("probabilities").tobytes() == expected.probabilities.tobytes()


def test_n_by_one_equals_n_over_rest(small):
    flat = post(small, "/v1/models/small:predict", {"inputs": {"hours": [40, 55], "department": ["研发", "sales"]}})
    nested = {"hours": [[40], [55]], "department": [["研发"], ["sales"]]}
    assert post(small, "/v1/models/small:predict", {"inputs": nested}) == flat
    tensor = {"name": "hours", "datatype": "INT32"}
    answers = [
        post(small, "/v2/models/small/infer", {"inputs": [{**tensor, "shape": shape, "data": data}]})
        for shape, data in (([2], [40, 55]), ([2, 1], [40, 55]), ([2, 1], [[40], [55]]))
    ]
    assert answers[0] == answers[1] == answers[2]
