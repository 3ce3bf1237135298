"""Class probabilities out of the answers of the three protocols, to see that what was measured was a prediction."""

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

Probabilities = NDArray[np.float32]
_TOLERANCE = 1e-5


class WrongAnswerError(Exception):
    """An answer with grpc-status 0 that is no prediction."""


def probabilities(protocol: str, body: bytes, rows: int) -> Probabilities:
    """float32[rows, C] of an answer in `protocol`. Raises WrongAnswerError unless each row is finite and sums to 1."""
    try:
        found = _READERS[protocol](body, rows)
    except (DecodeError, StopIteration, ValueError) as error:
        raise WrongAnswerError(
            f"{protocol}: no probabilities of {rows} rows ({type(error).__name__}: {error})"
        ) from error
    if found.shape[1] < 2 or not np.all(np.isfinite(found)) or not np.all((found >= 0) & (found <= 1)):
        raise WrongAnswerError(f"{protocol}: not probabilities: {found[:1].tolist()}")
    if not np.allclose(found.sum(axis=1), 1, rtol=0, atol=_TOLERANCE):
        raise WrongAnswerError(f"{protocol}: the probabilities of a row do not sum to 1")
    return found


def _tensorflow_serving(body: bytes, rows: int) -> Probabilities:
    response = serving.PredictResponse.FromString(body)
    if "probabilities" not in response.outputs:
        raise ValueError(f"outputs are {sorted(response.outputs)}")
    tensor = response.outputs["probabilities"]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, "<f4").reshape(rows, -1)
    return np.array(tensor.float_val, np.float32).reshape(rows, -1)


def _kserve_v2(body: bytes, rows: int) -> Probabilities:
    response = kserve.ModelInferResponse.FromString(body)
    number = next(i for i, output in enumerate(response.outputs) if output.name == "probabilities")
    if response.raw_output_contents:
        return np.frombuffer(response.raw_output_contents[number], "<f4").reshape(rows, -1)
    return np.array(response.outputs[number].contents.fp32_contents, np.float32).reshape(rows, -1)


def _epm_v1(body: bytes, rows: int) -> Probabilities:
    response = epm.PredictResponse.FromString(body)
    classes = next(output.classes for output in response.outputs if output.HasField("classes"))
    return np.array(classes.probabilities, np.float32).reshape(rows, len(classes.classes))


_READERS = {"tensorflow_serving": _tensorflow_serving, "kserve_v2": _kserve_v2, "epm_v1": _epm_v1}
