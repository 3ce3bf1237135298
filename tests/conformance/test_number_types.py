"""Every numeric type of TensorFlow and of KServe v2 means the same number."""

import grpc
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.conformance.clients import tensorflow_serving

pytestmark = pytest.mark.conformance

WHOLE = [40, 1, 100, 55]
TF_TYPES = (
    *("float16", "bfloat16", "float32", "float64", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "half_val_bfloat16"),
)
TYPED = {
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BOOL": "bool_contents",
}
RAW = {
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BOOL": np.bool_,
}


@pytest.fixture(scope="module")
def stub(small):
    with grpc.insecure_channel(small.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _predict(stub, tensor):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "small"
    request.inputs["hours"].CopyFrom(tensor)
    return tf.make_ndarray(stub.Predict(request, 10.0).outputs["probabilities"])


def _expected(small, numbers):
    (answer,) = tensorflow_serving(small, "small", [{"hours": np.array(numbers, np.float64)}])
    return answer.probabilities


@pytest.mark.parametrize("name", TF_TYPES)
def test_tensorflow_types_mean_the_same_number(name, small, stub):
    numbers = [True, False, True, True] if name == "bool" else WHOLE
    if name == "half_val_bfloat16":
        tensor = tf.make_tensor_proto(tf.constant(numbers, tf.bfloat16).numpy())
        tensor.half_val.extend(np.frombuffer(tensor.tensor_content, np.uint16).tolist())
        tensor.tensor_content = b""
    else:
        tensor = tf.make_tensor_proto(numbers, dtype=getattr(tf, name))
    assert _predict(stub, tensor).tobytes() == _expected(small, numbers).tobytes()


@pytest.mark.parametrize("name", TF_TYPES[:-1])
def test_tensorflow_types_mean_the_same_number_in_the_field_of_single_values(name, small, stub):
    numbers = [True] if name == "bool" else [40]
    tensor = tf.make_tensor_proto(numbers, dtype=getattr(tf, name))
    assert not tensor.tensor_content
    assert _predict(stub, tensor).tobytes() == _expected(small, numbers).tobytes()


def test_fractions_keep_their_value_in_half_precision(small, stub):
    numbers = [40.5, 0.25, 100.0]
    for dtype in (tf.float16, tf.bfloat16, tf.float32, tf.float64):
        tensor = tf.make_tensor_proto(numbers, dtype=dtype)
        assert _predict(stub, tensor).tobytes() == _expected(small, numbers).tobytes()


def test_repetitions_that_tensorflow_leaves_out_are_filled_in(small, stub):
    constant = tf.make_tensor_proto(40.0, dtype=tf.float32, shape=[5])
    assert len(constant.float_val) == 1
    assert _predict(stub, constant).tobytes() == _expected(small, [40] * 5).tobytes()
    tail = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT32, int_val=[20, 30])
    tail.tensor_shape.dim.add().size = 4
    assert _predict(stub, tail).tobytes() == _expected(small, [20, 30, 30, 30]).tobytes()


def _infer(small, tensor, raw=None):
    request = service_pb2.ModelInferRequest(model_name="small", inputs=[tensor])
    if raw is not None:
        request.raw_input_contents.append(raw)
    with grpc.insecure_channel(small.grpc) as channel:
        return service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=10)


@pytest.mark.parametrize("datatype", TYPED)
def test_kserve_types_mean_the_same_number_in_typed_contents(datatype, small):
    numbers = [True, False] if datatype == "BOOL" else WHOLE
    tensor = service_pb2.ModelInferRequest.InferInputTensor(name="hours", datatype=datatype, shape=[len(numbers)])
    getattr(tensor.contents, TYPED[datatype]).extend(numbers)
    response = _infer(small, tensor)
    assert response.outputs[0].name == "probabilities"
    assert not response.raw_output_contents, "typed contents came, typed contents go back"
    got = np.array(response.outputs[0].contents.fp32_contents, np.float32)
    assert got.tobytes() == _expected(small, numbers).tobytes()


@pytest.mark.parametrize("datatype", RAW)
def test_kserve_types_mean_the_same_number_in_raw_contents(datatype, small):
    numbers = [1, 0] if datatype == "BOOL" else WHOLE
    tensor = triton.InferInput("hours", [len(numbers)], datatype)
    tensor.set_data_from_numpy(np.array(numbers, RAW[datatype]))
    with triton.InferenceServerClient(small.grpc) as client:
        got = client.infer("small", [tensor]).as_numpy("probabilities")
    assert got.tobytes() == _expected(small, numbers).tobytes()


def test_typed_texts_equal_raw_texts(small):
    (expected,) = tensorflow_serving(small, "small", [{"hours": np.array([40.0]), "department": ["研发"]}])
    hours = service_pb2.ModelInferRequest.InferInputTensor(name="hours", datatype="FP64", shape=[1])
    hours.contents.fp64_contents.append(40)
    department = service_pb2.ModelInferRequest.InferInputTensor(name="department", datatype="BYTES", shape=[1])
    department.contents.bytes_contents.append("研发".encode())
    request = service_pb2.ModelInferRequest(model_name="small", inputs=[hours, department])
    with grpc.insecure_channel(small.grpc) as channel:
        response = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=10)
    outputs = {tensor.name: tensor for tensor in response.outputs}
    got = np.array(outputs["probabilities"].contents.fp32_contents, np.float32)
    assert got.tobytes() == expected.probabilities.tobytes()
    assert [text.decode() for text in outputs["grade"].contents.bytes_contents] == expected.grade
    assert list(outputs["label"].contents.int_contents) == expected.label
