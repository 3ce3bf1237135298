"""Five ways to ask one question: what is wrong is said once and sent through every protocol, as bytes if need be."""

import http.client
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_pb2 as tf
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs

Cells = np.ndarray | list[str]


@dataclass(frozen=True)
class Ask:
    """A question: columns (or ready tensors) by name, possibly the same name twice; which model answers."""

    inputs: list[tuple[str, Cells]]
    model: str = "small"
    version: int | None = None
    label: str | None = None


def ask(model: str = "small", version: int | None = None, label: str | None = None, **columns: Any) -> Ask:
    """Numbers become float64 arrays, texts stay; what is two-dimensional is a ready float32 tensor."""
    inputs: list[tuple[str, Cells]] = []
    for name, cells in columns.items():
        texts = isinstance(cells, list) and any(isinstance(cell, str) for cell in cells)
        made = cells if texts else np.array(cells, np.float64)
        inputs.append((name, made.astype(np.float32) if not texts and made.ndim > 1 else made))
    return Ask(inputs, model, version, label)


@dataclass(frozen=True)
class Outcome:
    """What came back: a canonical status name, and either grades or what was wrong with which field."""

    status: str
    message: str = ""
    field: str = ""
    grades: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()


def _right(grades: Iterable[str], probabilities: Iterable[float]) -> Outcome:
    return Outcome("OK", grades=tuple(grades), probabilities=tuple(probabilities))


class Grpc:
    """One unary method over a channel that carries bytes."""

    method = ""

    def __init__(self, grpc_address: str, http_address: str) -> None:
        self.channel = grpc.insecure_channel(grpc_address, options=[("grpc.max_receive_message_length", -1)])
        self._call = self.channel.unary_unary(self.method)

    def close(self) -> None:
        self.channel.close()

    def ask(self, question: Ask, timeout: float = 20) -> Outcome:
        return self.send(self.encode(question), question, timeout)

    def send(self, body: bytes, question: Ask | None = None, timeout: float = 20) -> Outcome:
        try:
            return self.decode(self._call(body, timeout=timeout))
        except grpc.RpcError as error:
            return Outcome(error.code().name, error.details(), _violation(error))

    def encode(self, question: Ask) -> bytes:
        raise NotImplementedError

    def decode(self, body: bytes) -> Outcome:
        raise NotImplementedError


def _violation(error: Any) -> str:
    """The field named in google.rpc.BadRequest of grpc-status-details-bin, which must repeat code and message."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    if packed is None:
        return ""
    status = status_pb2.Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    bad = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(bad)
    (violation,) = bad.field_violations
    assert violation.description == status.message
    return violation.field


class TfServing(Grpc):
    method = "/tensorflow.serving.PredictionService/Predict"

    def encode(self, question: Ask) -> bytes:
        request = tfs.PredictRequest()
        request.model_spec.name = question.model
        if question.version is not None:
            request.model_spec.version.value = question.version
        if question.label is not None:
            request.model_spec.version_label = question.label
        for name, cells in question.inputs:
            tensor = request.inputs[name]
            if isinstance(cells, list):
                tensor.dtype = tf.DT_STRING
                tensor.string_val.extend(cell.encode() for cell in cells)
            else:
                tensor.dtype = {8: tf.DT_DOUBLE, 4: tf.DT_FLOAT}[cells.dtype.itemsize]
                tensor.tensor_content = cells.tobytes()
            for size in np.shape(cells):
                tensor.tensor_shape.dim.add().size = size
        return request.SerializeToString(deterministic=True)

    def decode(self, body: bytes) -> Outcome:
        outputs = tfs.PredictResponse.FromString(body).outputs
        values = np.frombuffer(outputs["probabilities"].tensor_content, np.float32).tolist()
        return _right([name.decode() for name in outputs["grade"].string_val], values)


class KServe(Grpc):
    method = "/inference.GRPCInferenceService/ModelInfer"

    def encode(self, question: Ask) -> bytes:
        request = v2.ModelInferRequest(model_name=question.model, id="7")
        request.model_version = "" if question.version is None else str(question.version)
        for name, cells in question.inputs:
            tensor = request.inputs.add(name=name, shape=np.shape(cells))
            if isinstance(cells, list):
                tensor.datatype = "BYTES"
                tensor.contents.bytes_contents.extend(cell.encode() for cell in cells)
            elif cells.dtype.itemsize == 4:
                tensor.datatype = "FP32"
                tensor.contents.fp32_contents.extend(cells.reshape(-1))
            else:
                tensor.datatype = "FP64"
                tensor.contents.fp64_contents.extend(cells)
        return request.SerializeToString(deterministic=True)

    def decode(self, body: bytes) -> Outcome:
        outputs = {tensor.name: tensor.contents for tensor in v2.ModelInferResponse.FromString(body).outputs}
        grades = [name.decode() for name in outputs["grade"].bytes_contents]
        return _right(grades, outputs["probabilities"].fp32_contents)


class Epm(Grpc):
    method = "/epm.v1.PredictionService/Predict"

    def encode(self, question: Ask) -> bytes:
        request = v1.PredictRequest(request_id="7", model=v1.ModelRef(name=question.model))
        if question.version is not None:
            request.model.version = question.version
        if question.label is not None:
            request.model.label = question.label
        for name, cells in question.inputs:
            if isinstance(cells, list):
                request.columns.add(name=name, strings=v1.Strings(values=cells))
            elif cells.ndim > 1:
                request.tensors.add(name=name, shape=cells.shape, values=cells.reshape(-1))
            else:
                request.columns.add(name=name, doubles=v1.Doubles(values=cells))
        return request.SerializeToString(deterministic=True)

    def decode(self, body: bytes) -> Outcome:
        response = v1.PredictResponse.FromString(body)
        classes = response.outputs[0].classes
        grades = [classes.classes[label] for label in classes.label]
        return _right(grades, classes.probabilities)


HTTP_STATUS = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Rest:
    """One POST, as bytes."""

    def __init__(self, grpc_address: str, http_address: str) -> None:
        self._address = http_address

    def close(self) -> None:
        pass

    def ask(self, question: Ask, timeout: float = 20) -> Outcome:
        return self.send(self.encode(question), question, timeout)

    def send(self, body: bytes, question: Ask | None = None, timeout: float = 20, **headers: str) -> Outcome:
        connection = http.client.HTTPConnection(self._address, timeout=timeout)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", self.path(question or Ask([])), body, sent)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status == 200:
            return self.decode(json.loads(data))
        if not response.getheader("Content-Type", "").startswith("application/json"):
            assert response.status in (400, 413), "only what is no HTTP, or too large, is answered by the HTTP library"
            return Outcome(HTTP_STATUS[response.status], data.decode())
        message = json.loads(data)["error"]
        return Outcome(HTTP_STATUS.get(response.status, str(response.status)), message, _blamed(message))

    def path(self, question: Ask) -> str:
        raise NotImplementedError

    def encode(self, question: Ask) -> bytes:
        raise NotImplementedError

    def decode(self, answer: Any) -> Outcome:
        raise NotImplementedError


def _blamed(message: str) -> str:
    """The field with which a message about a field begins."""
    name, colon, rest = message.partition(": ")
    return name if colon and rest.startswith("got ") and " " not in name else ""


class RestTf(Rest):
    def path(self, question: Ask) -> str:
        chosen = "" if question.version is None else f"/versions/{question.version}"
        chosen = chosen if question.label is None else f"/labels/{question.label}"
        return f"/v1/models/{question.model}{chosen}:predict"

    def encode(self, question: Ask) -> bytes:
        inputs = {name: cells if isinstance(cells, list) else cells.tolist() for name, cells in question.inputs}
        return json.dumps({"inputs": inputs}).encode()

    def decode(self, answer: Any) -> Outcome:
        values = np.array(answer["outputs"]["probabilities"], np.float32).reshape(-1).tolist()
        return _right(answer["outputs"]["grade"], values)


class RestKServe(Rest):
    def path(self, question: Ask) -> str:
        chosen = "" if question.version is None else f"/versions/{question.version}"
        return f"/v2/models/{question.model}{chosen}/infer"

    def encode(self, question: Ask) -> bytes:
        inputs = []
        for name, cells in question.inputs:
            datatype = "BYTES" if isinstance(cells, list) else "FP64"
            data = cells if isinstance(cells, list) else cells.reshape(-1).tolist()
            inputs.append({"name": name, "datatype": datatype, "shape": list(np.shape(cells)), "data": data})
        return json.dumps({"inputs": inputs}).encode()

    def decode(self, answer: Any) -> Outcome:
        outputs = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
        values = np.array(outputs["probabilities"], np.float32).tolist()
        return _right(outputs["grade"], values)


Protocol = Grpc | Rest

PROTOCOLS: dict[str, type[Protocol]] = {
    "tf_serving": TfServing,
    "kserve": KServe,
    "epm": Epm,
    "rest_tf": RestTf,
    "rest_kserve": RestKServe,
}


def opened(name: str, grpc_address: str, http_address: str) -> Iterator[Protocol]:
    """For fixtures: a protocol that is closed in the end."""
    made = PROTOCOLS[name](grpc_address, http_address)
    yield made
    made.close()
