"""What is sent, read with the official messages; and answers of which no part may be believed."""

from collections.abc import Callable

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from serving.backends.remote.codec import Codec
from serving.backends.remote.tf_serving import TfServing
from serving.backends.remote.triton import Triton
from serving.errors import ContractError
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_pb2 as tf
from serving.stubs.foreign import tensorflow_serving_pb2 as tf_serving

pytestmark = pytest.mark.unit

PROMISED = {"probabilities": ("float32", (3,)), "label": ("int32", ())}
RANDOM = np.random.default_rng(3)


@pytest.mark.parametrize("rows", [1, 2, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_triton_is_sent_every_input_as_raw_bytes(rows: int, order: str) -> None:
    features = np.asarray(RANDOM.normal(size=(rows, 7)), np.float32, order)
    history = np.asarray(RANDOM.normal(size=(rows, 12, 5)), np.float32, order)
    encoded = Triton().encode("attrition", 12, {"features": features, "history": history}, PROMISED)
    request = service_pb2.ModelInferRequest.FromString(encoded)
    assert (request.model_name, request.model_version) == ("attrition", "12")
    assert [output.name for output in request.outputs] == list(PROMISED)
    for tensor, raw, sent in zip(request.inputs, request.raw_input_contents, (features, history), strict=True):
        assert tensor.datatype == "FP32"
        assert np.array_equal(np.frombuffer(raw, np.float32).reshape(tensor.shape), sent)
    assert [tensor.name for tensor in request.inputs] == ["features", "history"]


@pytest.mark.parametrize("rows", [1, 2, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_tf_serving_is_sent_every_input_as_tensor_content(rows: int, order: str) -> None:
    features = np.asarray(RANDOM.normal(size=(rows, 7)), np.float32, order)
    history = np.asarray(RANDOM.normal(size=(rows, 12, 5)), np.float32, order)
    encoded = TfServing().encode("attrition", 12, {"features": features, "history": history}, PROMISED)
    request = tf_serving.PredictRequest.FromString(encoded)
    spec = request.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("attrition", 12, "features")
    assert list(request.output_filter) == list(PROMISED)
    assert sorted(request.inputs) == ["features", "history"]
    for name, sent in (("features", features), ("history", history)):
        tensor = request.inputs[name]
        assert tensor.dtype == tf.DT_FLOAT
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        assert np.array_equal(np.frombuffer(tensor.tensor_content, np.float32).reshape(shape), sent)


PROBABILITIES = RANDOM.random((2, 3)).astype(np.float32)
LABEL = np.array([1, 2], np.int32)


def triton_answer() -> kserve.ModelInferResponse:
    answer = kserve.ModelInferResponse(model_name="m", model_version="1")
    for name, datatype, values in (("probabilities", "FP32", PROBABILITIES), ("label", "INT32", LABEL)):
        answer.outputs.add(name=name, datatype=datatype, shape=values.shape)
        answer.raw_output_contents.append(values.tobytes())
    return answer


def tf_answer() -> tf_serving.PredictResponse:
    answer = tf_serving.PredictResponse()
    answer.model_spec.name, answer.model_spec.version.value = "m", 1
    for name, dtype, values in (("probabilities", tf.DT_FLOAT, PROBABILITIES), ("label", tf.DT_INT32, LABEL)):
        answer.outputs[name].dtype = dtype
        for size in values.shape:
            answer.outputs[name].tensor_shape.dim.add(size=size)
        answer.outputs[name].tensor_content = values.tobytes()
    return answer


def test_what_was_not_asked_for_is_left_out() -> None:
    one, other = triton_answer(), tf_answer()
    one.outputs.add(name="more", datatype="BYTES", shape=[-1])
    one.raw_output_contents.append(b"?")
    other.outputs["more"].dtype = tf.DT_STRING
    for codec, answer in ((Triton(), one), (TfServing(), other)):
        found = codec.decode(answer.SerializeToString(), "m", 1, PROMISED, 2)
        assert sorted(found) == ["label", "probabilities"]
        assert np.array_equal(found["probabilities"], PROBABILITIES)
        assert np.array_equal(found["label"], LABEL)


def typed(answer: kserve.ModelInferResponse, count: int) -> None:
    answer.ClearField("raw_output_contents")
    answer.outputs[0].contents.fp32_contents.extend(PROBABILITIES.ravel().tolist()[:count])
    answer.outputs[1].contents.int_contents.extend(LABEL.tolist())


TRITON: dict[str, Callable[[kserve.ModelInferResponse], object]] = {
    "another version": lambda a: setattr(a, "model_version", "2"),
    "no version": lambda a: setattr(a, "model_version", ""),
    "another model": lambda a: setattr(a, "model_name", "n"),
    "one content too few": lambda a: a.raw_output_contents.pop(),
    "one content too many": lambda a: a.raw_output_contents.append(b""),
    "bytes that do not fill it": lambda a: a.raw_output_contents.__setitem__(0, b"1234"),
    "half a number": lambda a: a.raw_output_contents.__setitem__(0, b"123"),
    "another type": lambda a: setattr(a.outputs[0], "datatype", "FP64"),
    "no numbers at all": lambda a: a.ClearField("raw_output_contents"),
    "typed numbers too few": lambda a: typed(a, 5),
    "a huge shape": lambda a: a.outputs[0].shape.__setitem__(slice(None), [1 << 40, 1 << 40]),
    "a negative shape": lambda a: a.outputs[0].shape.__setitem__(slice(None), [2, -1]),
    "no shape": lambda a: a.outputs[0].ClearField("shape"),
}


def dims(answer: tf_serving.PredictResponse, *sizes: int) -> None:
    shape = answer.outputs["probabilities"].tensor_shape
    shape.ClearField("dim")
    for size in sizes:
        shape.dim.add(size=size)


TF: dict[str, Callable[[tf_serving.PredictResponse], object]] = {
    "another version": lambda a: setattr(a.model_spec.version, "value", 2),
    "no version": lambda a: a.model_spec.ClearField("version"),
    "another model": lambda a: setattr(a.model_spec, "name", "n"),
    "bytes that do not fill it": lambda a: setattr(a.outputs["probabilities"], "tensor_content", b"1234"),
    "half a number": lambda a: setattr(a.outputs["probabilities"], "tensor_content", b"123"),
    "another type": lambda a: setattr(a.outputs["label"], "dtype", tf.DT_INT64),
    "no numbers at all": lambda a: a.outputs["probabilities"].ClearField("tensor_content"),
    "a huge shape": lambda a: dims(a, 1 << 40, 1 << 40),
    "a negative shape": lambda a: dims(a, 2, -1),
    "no shape": lambda a: a.outputs["probabilities"].ClearField("tensor_shape"),
}


@pytest.mark.parametrize("wrong", TRITON)
def test_triton_answers_that_are_wrong(wrong: str) -> None:
    answer = triton_answer()
    TRITON[wrong](answer)
    with pytest.raises(ContractError):
        Triton().decode(answer.SerializeToString(), "m", 1, PROMISED, 2)


@pytest.mark.parametrize("wrong", TF)
def test_tf_serving_answers_that_are_wrong(wrong: str) -> None:
    answer = tf_answer()
    TF[wrong](answer)
    with pytest.raises(ContractError):
        TfServing().decode(answer.SerializeToString(), "m", 1, PROMISED, 2)


@pytest.mark.parametrize(("codec", "answer"), [(Triton(), triton_answer()), (TfServing(), tf_answer())])
def test_any_damaged_answer_is_a_contract_error_or_an_answer_of_the_promised_shape(
    codec: Codec, answer: object
) -> None:
    data = answer.SerializeToString()
    random = np.random.default_rng(5)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            found = codec.decode(bytes(damaged[: random.integers(1, len(damaged) + 1)]), "m", 1, PROMISED, 2)
        except ContractError:
            continue
        for name, values in found.items():
            kind, shape = PROMISED[name]
            assert (values.dtype, values.shape) == (kind, (2, *shape))
