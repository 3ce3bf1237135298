"""Asks a gateway over epm.v1 with the graph's own inputs."""

from collections.abc import Mapping

import grpc
import numpy as np

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc


def ready_request(model: str, tensors: Mapping[str, np.ndarray]) -> v1.PredictRequest:
    """A request of n rows of ready tensors."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    for name, values in tensors.items():
        request.tensors.add(name=name, shape=values.shape, values=values.ravel())
    return request


def outputs(response: v1.PredictResponse) -> dict[str, np.ndarray]:
    """The graph's outputs of a committed model by name."""
    assert not response.row_errors
    found = {}
    for output in response.outputs:
        if output.WhichOneof("value") == "classes":
            shape = (-1, len(output.classes.classes))
            found["probabilities"] = np.array(output.classes.probabilities, np.float32).reshape(shape)
            found["label"] = np.array(output.classes.label, np.int32)
        else:
            found[output.name] = np.array(output.probability.values, np.float32)
            if output.probability.label:
                found["label"] = np.array(output.probability.label, np.int32)
    return found


def ask_ready(
    address: str, model: str, tensors: Mapping[str, np.ndarray], seconds: float = 30
) -> dict[str, np.ndarray]:
    """What a gateway answers to n rows of ready tensors. Raises grpc.RpcError."""
    with grpc.insecure_channel(address) as channel:
        stub = prediction_pb2_grpc.PredictionServiceStub(channel)
        return outputs(stub.Predict(ready_request(model, tensors), timeout=seconds))
