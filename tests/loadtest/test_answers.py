"""Answers of all three protocols are read, and what is no prediction is refused."""

import numpy as np
import pytest

from loadtest.answers import WrongAnswerError, probabilities
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

pytestmark = pytest.mark.unit

GOOD = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], np.float32)


def tensorflow_typed(values):
    response = serving.PredictResponse()
    response.outputs["probabilities"].float_val.extend(values.reshape(-1).tolist())
    return response


def tensorflow_packed(values):
    response = serving.PredictResponse()
    response.outputs["probabilities"].tensor_content = values.tobytes()
    return response


def kserve_raw(values):
    response = kserve.ModelInferResponse(raw_output_contents=[b"label", values.tobytes()])
    response.outputs.add(name="label")
    response.outputs.add(name="probabilities")
    return response


def kserve_typed(values):
    response = kserve.ModelInferResponse()
    response.outputs.add(name="probabilities").contents.fp32_contents.extend(values.reshape(-1).tolist())
    return response


def epm_classes(values):
    classes = epm.Classes(classes=["A", "B", "C"], probabilities=values.reshape(-1).tolist())
    return epm.PredictResponse(outputs=[epm.Output(name="grade", classes=classes)])


KINDS = [
    ("tensorflow_serving", tensorflow_typed),
    ("tensorflow_serving", tensorflow_packed),
    ("kserve_v2", kserve_raw),
    ("kserve_v2", kserve_typed),
    ("epm_v1", epm_classes),
]


@pytest.mark.parametrize(("protocol", "make"), KINDS)
def test_probabilities_are_found(protocol, make):
    np.testing.assert_array_equal(probabilities(protocol, make(GOOD).SerializeToString(), 2), GOOD)


@pytest.mark.parametrize(("protocol", "make"), KINDS)
@pytest.mark.parametrize("wrong", [GOOD * 0.9, GOOD * np.nan, GOOD * [2, -1, 1], GOOD[:1]])
def test_what_is_no_probability_of_every_row_is_refused(protocol, make, wrong):
    with pytest.raises(WrongAnswerError):
        probabilities(protocol, make(wrong.astype(np.float32)).SerializeToString(), 2)


@pytest.mark.parametrize("protocol", ["tensorflow_serving", "kserve_v2", "epm_v1"])
@pytest.mark.parametrize("body", [b"", b"\xff\xff\xff"])
def test_what_is_no_answer_is_refused(protocol, body):
    with pytest.raises(WrongAnswerError):
        probabilities(protocol, body, 1)
