"""The two protocols through their official client packages, under one interface."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import tritonclient.grpc as triton
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.conformance.target.models import Tensors

TF_SERVING, TRITON = "tf_serving", "triton"
SECONDS = 30.0
Described = dict[str, tuple[np.dtype, tuple[int, ...]]]
"""Tensor -> its type and shape, -1 for the rows."""


class Refused(Exception):
    """The server's answer was a status. code: its gRPC name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Answer:
    """Outputs of one call, and the version that it is from."""

    outputs: Tensors
    version: int


class Client(ABC):
    """One server, asked over one protocol. Every method raises Refused."""

    protocol: str

    @abstractmethod
    def ready(self, model: str, version: int | None = None) -> bool:
        """Whether the model can be asked."""

    @abstractmethod
    def described(self, model: str) -> tuple[Described, Described]:
        """Inputs and outputs, as its metadata says."""

    @abstractmethod
    def ask(
        self, model: str, given: Tensors, version: int | None = None, outputs: Sequence[str] = (), signature: str = ""
    ) -> Answer:
        """One call. outputs: only these, by name; signature: of TF Serving, for the graph's own tensors by default."""


class TfServing(Client):
    """tensorflow-serving-api."""

    protocol = TF_SERVING

    def __init__(self, address: str) -> None:
        channel = grpc.insecure_channel(address)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(channel)

    def ready(self, model: str, version: int | None = None) -> bool:
        request = get_model_status_pb2.GetModelStatusRequest()
        _specify(request.model_spec, model, version)
        states = self._call(self._models.GetModelStatus, request).model_version_status
        return any(state.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE for state in states)

    def described(self, model: str, signature: str = "features") -> tuple[Described, Described]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        _specify(request.model_spec, model, None)
        packed = self._call(self._prediction.GetModelMetadata, request).metadata["signature_def"]
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert packed.Unpack(signatures)
        found = signatures.signature_def[signature]
        return _described(found.inputs), _described(found.outputs)

    def ask(
        self, model: str, given: Tensors, version: int | None = None, outputs: Sequence[str] = (), signature: str = ""
    ) -> Answer:
        request = predict_pb2.PredictRequest(output_filter=outputs)
        _specify(request.model_spec, model, version)
        request.model_spec.signature_name = signature or "features"
        for name, values in given.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
        response = self._call(self._prediction.Predict, request)
        assert response.model_spec.name == model
        made = {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}
        return Answer(made, response.model_spec.version.value)

    @staticmethod
    def _call(method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=SECONDS)
        except grpc.RpcError as error:
            raise Refused(error.code().name, error.details()) from error


def _specify(spec: Any, model: str, version: int | None) -> None:
    spec.name = model
    if version is not None:
        spec.version.value = version


def _described(tensors: Any) -> Described:
    return {
        name: (
            np.dtype(tf.dtypes.as_dtype(types_pb2.DataType.Name(info.dtype)[3:].lower()).as_numpy_dtype),
            tuple(dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in tensors.items()
    }


class Triton(Client):
    """tritonclient."""

    protocol = TRITON

    def __init__(self, address: str) -> None:
        self._client = triton.InferenceServerClient(address)

    def server(self) -> str:
        """What the server calls itself."""
        return str(self._call(self._client.get_server_metadata).name)

    def live(self) -> bool:
        """Whether the server says so, and that it is ready."""
        return bool(self._call(self._client.is_server_live) and self._call(self._client.is_server_ready))

    def ready(self, model: str, version: int | None = None) -> bool:
        return bool(self._call(self._client.is_model_ready, model, _text(version)))

    def described(self, model: str) -> tuple[Described, Described]:
        metadata = self._call(self._client.get_model_metadata, model)
        assert metadata.name == model
        return _triton_described(metadata.inputs), _triton_described(metadata.outputs)

    def ask(
        self, model: str, given: Tensors, version: int | None = None, outputs: Sequence[str] = (), signature: str = ""
    ) -> Answer:
        inputs = [
            triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype)).set_data_from_numpy(values)
            for name, values in given.items()
        ]
        wanted = [triton.InferRequestedOutput(name) for name in outputs] or None
        result = self._call(self._client.infer, model, inputs, _text(version), wanted, request_id="一-1")
        response = result.get_response()
        assert (response.model_name, response.id) == (model, "一-1")
        made = {tensor.name: result.as_numpy(tensor.name) for tensor in response.outputs}
        return Answer(made, int(response.model_version))

    @staticmethod
    def _call(method: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, client_timeout=SECONDS, **named)
        except InferenceServerException as error:
            raise Refused(str(error.status()).removeprefix("StatusCode."), error.message()) from error


def _text(version: int | None) -> str:
    return "" if version is None else str(version)


def _triton_described(tensors: Any) -> Described:
    types = {"FP32": np.float32, "FP64": np.float64, "INT32": np.int32, "INT64": np.int64, "BYTES": np.object_}
    return {tensor.name: (np.dtype(types[tensor.datatype]), tuple(tensor.shape)) for tensor in tensors}


CLIENTS = {TF_SERVING: TfServing, TRITON: Triton}
