"""The ways of asking that several peers share: KServe v2 over gRPC with the graph's own tensor, an echo, a count."""

import urllib.request

import numpy as np
from numpy.typing import NDArray

from loadtest.answers import Probabilities, WrongAnswerError, probabilities
from loadtest.bench.peer import Rows, Wire, predictions
from serving.stubs.foreign import kserve_v2_pb2 as kserve

MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
_HERE = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""No proxy: the servers are on this machine."""
SERVER_LIVE = "/inference.GRPCInferenceService/ServerLive"


def tensor_body(model: str, features: NDArray[np.float32]) -> bytes:
    """`inference.ModelInferRequest` with the graph's input `features` FP32[n, F] in raw_input_contents."""
    request = kserve.ModelInferRequest(model_name=model)
    request.inputs.add(name="features", datatype="FP32", shape=features.shape)
    request.raw_input_contents.append(np.ascontiguousarray(features, "<f4").tobytes())
    return request.SerializeToString(deterministic=True)


def kserve_probabilities(answer: bytes, rows: int) -> Probabilities:
    """float32[rows, C] of a ModelInferResponse. Raises WrongAnswerError."""
    return probabilities("kserve_v2", answer, rows)


def _tensor(model: str, rows: Rows) -> bytes:
    return tensor_body(model, rows.features)


def _same_back(request: bytes, answer: bytes, _: Probabilities) -> float:
    if answer != request:
        raise WrongAnswerError("the echo gave back something else than it got")
    return 0.0


def _lives(_: bytes, answer: bytes, __: Probabilities) -> float:
    if not kserve.ServerLiveResponse.FromString(answer).live:
        raise WrongAnswerError("the server says that it is not live")
    return 0.0


TENSOR = Wire("tensor", "grpc", MODEL_INFER, _tensor, predictions(kserve_probabilities))
"""The same bytes for every peer."""

ECHO = Wire("echo", "grpc", MODEL_INFER, _tensor, _same_back, predicts=False)
EMPTY = Wire("empty", "grpc", SERVER_LIVE, lambda _, __: b"", _lives, title="empty call", predicts=False, rowless=True)


def counted(url: str, name: str) -> int:
    """The sum of all samples of a Prometheus metric whose name begins so; 0 while there is none."""
    with _HERE.open(url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)))
