"""Bytes that are no message, or a message that claims what it does not hold: refused in words, never a crash."""

import struct

import numpy as np
import pytest

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_pb2 as tf
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs
from tests.faults.conftest import GOOD
from tests.faults.protocols import Rest

pytestmark = pytest.mark.faults

REFUSALS = {"INVALID_ARGUMENT", "NOT_FOUND"}
BIG = 2**62
SHAPES = {
    "negative": [-1],
    "least": [-(2**63)],
    "2^62": [BIG],
    "largest": [2**63 - 1],
    "product overflows to 0": [2**32, 2**32],
    "product overflows to 2": [2**63 - 1, 2**63 - 1, 2],
    "none, but wide": [0, BIG],
    "none, but impossible": [0, BIG, BIG],
    "a hundred dimensions": [1] * 100,
    "ten thousand dimensions": [2] * 10000,
    "no dimensions": [],
    "one more": [3],
    "one less": [1],
    "nothing": [0],
    "millions": [1 << 20],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ["hours", "features"])
@pytest.mark.parametrize("protocol", ["tf_serving"], indirect=True)
@pytest.mark.parametrize("contents", ["content", "values", "texts", "nothing"])
def test_a_tensorproto_that_claims_another_shape_is_invalid(shape, name, contents, protocol):
    request = tfs.PredictRequest()
    request.model_spec.name = "small"
    tensor = request.inputs[name]
    tensor.dtype = tf.DT_STRING if contents == "texts" else tf.DT_DOUBLE
    if contents == "content":
        tensor.tensor_content = struct.pack("<2d", 40, 77.4375)
    elif contents == "values":
        tensor.double_val.extend([40, 77.4375])
    elif contents == "texts":
        tensor.string_val.extend([b"canary", b"canary"])
    for size in shape:
        tensor.tensor_shape.dim.add().size = size
    if (shape, name, contents) == ([3], "hours", "values"):
        pytest.skip("TensorFlow's form of [40, 77.4375, 77.4375]")
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", name), outcome
    assert len(outcome.message) < 1000


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ["hours", "features"])
@pytest.mark.parametrize("protocol", ["kserve"], indirect=True)
@pytest.mark.parametrize("contents", ["raw", "typed", "texts", "raw texts", "nothing"])
def test_a_kserve_tensor_that_claims_another_shape_is_invalid(shape, name, contents, protocol):
    request = v2.ModelInferRequest(model_name="small")
    tensor = request.inputs.add(name=name, datatype="BYTES" if "texts" in contents else "FP64", shape=shape)
    if contents == "raw":
        request.raw_input_contents.append(struct.pack("<2d", 40, 77.4375))
    elif contents == "typed":
        tensor.contents.fp64_contents.extend([40, 77.4375])
    elif contents == "texts":
        tensor.contents.bytes_contents.extend([b"canary", b"canary"])
    elif contents == "raw texts":
        request.raw_input_contents.append(b"\x06\0\0\0canary\x06\0\0\0canary")
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", name), outcome


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("values", [[40, 77.4375], []], ids=["two", "nothing"])
@pytest.mark.parametrize("protocol", ["epm"], indirect=True)
def test_an_epm_tensor_that_claims_another_shape_is_invalid(shape, values, protocol):
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    request.tensors.add(name="features", shape=shape, values=values)
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "features"), outcome


@pytest.mark.parametrize("dtype", [0, 8, 11, 18, 20, 21, 24, 101, 9999, -1])
@pytest.mark.parametrize("protocol", ["tf_serving"], indirect=True)
def test_a_dtype_that_holds_no_real_numbers_is_invalid(dtype, protocol):
    request = tfs.PredictRequest()
    request.model_spec.name = "small"
    request.inputs["hours"].dtype = dtype
    request.inputs["hours"].tensor_content = bytes(16)
    request.inputs["hours"].tensor_shape.dim.add().size = 2
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "hours")


@pytest.mark.parametrize("datatype", ["", "FP128", "fp32", "STRING", "\U0001f600" * 1000])
@pytest.mark.parametrize("protocol", ["kserve"], indirect=True)
def test_an_unknown_datatype_is_invalid(datatype, protocol):
    request = v2.ModelInferRequest(model_name="small", raw_input_contents=[bytes(16)])
    request.inputs.add(name="hours", datatype=datatype, shape=[2])
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "hours")


@pytest.mark.parametrize("raw", [b"\x01", b"\xff\xff\xff\xffx", b"\x07\0\0\0canary", b"\x06\0\0\0canary\0"])
@pytest.mark.parametrize("protocol", ["kserve"], indirect=True)
def test_texts_whose_lengths_go_past_the_end_are_invalid(raw, protocol):
    request = v2.ModelInferRequest(model_name="small", raw_input_contents=[raw])
    request.inputs.add(name="department", datatype="BYTES", shape=[1])
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "department")


@pytest.mark.parametrize("entries", [1, 3])
@pytest.mark.parametrize("protocol", ["kserve"], indirect=True)
def test_raw_contents_that_are_not_one_an_input_are_invalid(entries, protocol):
    request = v2.ModelInferRequest(model_name="small", raw_input_contents=[bytes(8)] * entries)
    for name in ("hours", "overtime"):
        request.inputs.add(name=name, datatype="FP64", shape=[1])
    assert protocol.send(request.SerializeToString()).status == "INVALID_ARGUMENT"


@pytest.mark.parametrize("bitmap", [b"\x01", bytes(3), bytes(1000)])
@pytest.mark.parametrize("protocol", ["epm"], indirect=True)
def test_a_bitmap_of_another_length_is_invalid(bitmap, protocol):
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    request.columns.add(name="hours", doubles=v1.Doubles(values=[40] * 9), validity=bitmap)
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "hours")


@pytest.mark.parametrize("protocol", ["epm"], indirect=True)
def test_what_this_model_cannot_take_is_refused_by_name(protocol):
    history = v1.PredictRequest(model=v1.ModelRef(name="small"))
    history.columns.add(name="hours", history=v1.History(months=1, values=[40]))
    empty = v1.PredictRequest(model=v1.ModelRef(name="small"))
    empty.columns.add(name="hours")
    swapped = v1.PredictRequest(model=v1.ModelRef(name="small"))
    swapped.columns.add(name="features", doubles=v1.Doubles(values=[40]))
    tensor = v1.PredictRequest(model=v1.ModelRef(name="small"))
    tensor.tensors.add(name="hours", shape=[1], values=[40])
    for request, field in ((history, "hours"), (empty, "hours"), (swapped, "features"), (tensor, "hours")):
        outcome = protocol.send(request.SerializeToString())
        assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", field)
    entities = v1.PredictRequest(
        model=v1.ModelRef(name="small"), entities=v1.Entities(entity_type="employee", ids=["canary"])
    )
    assert protocol.send(entities.SerializeToString()).status == "FAILED_PRECONDITION"


@pytest.mark.parametrize("protocol", ["tf_serving"], indirect=True)
def test_doubles_beyond_float32_as_ready_features_are_infinite_and_invalid(protocol):
    request = tfs.PredictRequest()
    request.model_spec.name = "small"
    tensor = request.inputs["features"]
    tensor.dtype = tf.DT_DOUBLE
    tensor.tensor_content = np.full(8, 77.4375e300).tobytes()
    for size in (1, 8):
        tensor.tensor_shape.dim.add().size = size
    outcome = protocol.send(request.SerializeToString())
    assert (outcome.status, outcome.field) == ("INVALID_ARGUMENT", "features")


def test_a_signalling_nan_is_missing_like_any_other(protocol):
    if isinstance(protocol, Rest):
        pytest.skip("JSON has no such number")
    question = type(GOOD)([("hours", np.array([40.0])), ("overtime", np.frombuffer(b"\1\0\0\0\0\0\xf0\x7f"))])
    missing = type(GOOD)([("hours", np.array([40.0]))])
    assert protocol.ask(question) == protocol.ask(missing)


def test_a_request_cut_off_anywhere_is_refused_or_is_still_a_request(protocol):
    whole = protocol.encode(GOOD)
    for length in range(len(whole)):
        outcome = protocol.send(whole[:length])
        assert outcome.status in REFUSALS | {"OK"}, (length, outcome)
        assert outcome.status != "OK" or not isinstance(protocol, Rest), "half of a JSON text is no JSON"


def test_a_request_with_flipped_bytes_is_refused_or_is_still_a_request(protocol):
    random = np.random.default_rng(5)
    whole = np.frombuffer(protocol.encode(GOOD), np.uint8)
    seen = set()
    for _ in range(400):
        body = whole.copy()
        places = random.integers(0, len(body), random.integers(1, 4))
        body[places] = random.integers(0, 256, len(places))
        outcome = protocol.send(body.tobytes())
        seen.add(outcome.status)
        assert outcome.status in REFUSALS | {"OK", "FAILED_PRECONDITION"}, (body.tobytes(), outcome)
    assert "INVALID_ARGUMENT" in seen


def test_random_bytes_are_refused(protocol):
    random = np.random.default_rng(6)
    for _ in range(200):
        outcome = protocol.send(random.bytes(int(random.integers(1, 200))))
        assert outcome.status in REFUSALS, outcome
