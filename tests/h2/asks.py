"""One question in the bytes of every protocol, sent over gRPC or given to the Python path: answers and errors alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
import numpy as np
from google.rpc import status_pb2

from serving.errors import EpmError
from serving.pipeline import Pipeline
from serving.protocols.details import status
from serving.protocols.epm import Epm
from serving.protocols.kserve import KServe
from serving.protocols.method import Call
from serving.protocols.tf_serving import TfServing
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_pb2 as tf
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs

Cells = np.ndarray | list[str]
PATHS = {
    "kserve": "/inference.GRPCInferenceService/ModelInfer",
    "kserve_raw": "/inference.GRPCInferenceService/ModelInfer",
    "tf_serving": "/tensorflow.serving.PredictionService/Predict",
    "epm": "/epm.v1.PredictionService/Predict",
}
STREAM = "/epm.v1.PredictionService/StreamPredict"
_KSERVE = {
    "float32": ("FP32", "fp32_contents"),
    "float64": ("FP64", "fp64_contents"),
    "int32": ("INT32", "int_contents"),
    "int64": ("INT64", "int64_contents"),
    "bool": ("BOOL", "bool_contents"),
}
_TF = {
    "float32": tf.DT_FLOAT,
    "float64": tf.DT_DOUBLE,
    "int32": tf.DT_INT32,
    "int64": tf.DT_INT64,
    "bool": tf.DT_BOOL,
}


@dataclass(frozen=True)
class Question:
    """Raw columns, or the graph's own tensors, which are float32 of two or three dimensions, by name."""

    model: str
    inputs: Mapping[str, Cells]
    version: int | None = None
    label: str | None = None
    id: str = ""
    wanted: Sequence[str] = ()
    """Names of the outputs that are asked for; of the protocols of tensors."""

    def rows(self, first: int, count: int) -> "Question":
        """The same question of some of its rows."""
        return replace(self, inputs={name: cells[first : first + count] for name, cells in self.inputs.items()})


Outcome = tuple[str, bytes | str]
"""OK and the answer's bytes, or the name of a status and the text and details of the error."""


def body(form: str, question: Question) -> bytes:
    """The request's bytes. form: of `PATHS`."""
    if form == "epm":
        return _epm(question)
    return _tf(question) if form == "tf_serving" else _kserve(question, form == "kserve_raw")


def _epm(question: Question) -> bytes:
    request = v1.PredictRequest(request_id=question.id, model=v1.ModelRef(name=question.model))
    if question.version is not None:
        request.model.version = question.version
    if question.label is not None:
        request.model.label = question.label
    for name, cells in question.inputs.items():
        if isinstance(cells, list):
            request.columns.add(name=name, strings=v1.Strings(values=cells))
        elif cells.dtype == np.float32 and cells.ndim > 1:
            request.tensors.add(name=name, shape=cells.shape, values=cells.ravel())
        elif cells.ndim == 2:
            history = v1.History(months=cells.shape[1], values=cells.ravel())
            request.columns.add(name=name, history=history)
        elif cells.dtype.kind == "i":
            request.columns.add(name=name, int64s=v1.Int64s(values=cells))
        else:
            request.columns.add(name=name, doubles=v1.Doubles(values=cells))
    return request.SerializeToString()


def _kserve(question: Question, raw: bool) -> bytes:
    request = v2.ModelInferRequest(model_name=question.model, id=question.id)
    request.model_version = "" if question.version is None else str(question.version)
    for name, cells in question.inputs.items():
        texts = isinstance(cells, list)
        datatype, field = ("BYTES", "bytes_contents") if texts else _KSERVE[cells.dtype.name]
        tensor = request.inputs.add(name=name, datatype=datatype, shape=np.shape(cells))
        encoded = [cell.encode() for cell in cells] if texts else cells.ravel().tolist()
        if not raw:
            getattr(tensor.contents, field).extend(encoded)
        elif texts:
            request.raw_input_contents.append(b"".join(len(cell).to_bytes(4, "little") + cell for cell in encoded))
        else:
            request.raw_input_contents.append(cells.tobytes())
    for name in question.wanted:
        request.outputs.add(name=name)
    return request.SerializeToString()


def _tf(question: Question) -> bytes:
    request = tfs.PredictRequest(output_filter=question.wanted)
    request.model_spec.name = question.model
    if question.version is not None:
        request.model_spec.version.value = question.version
    if question.label is not None:
        request.model_spec.version_label = question.label
    for name, cells in question.inputs.items():
        tensor = request.inputs[name]
        if isinstance(cells, list):
            tensor.dtype = tf.DT_STRING
            tensor.string_val.extend(cell.encode() for cell in cells)
        else:
            tensor.dtype = _TF[cells.dtype.name]
            tensor.tensor_content = cells.tobytes()
        for size in np.shape(cells):
            tensor.tensor_shape.dim.add().size = size
    return request.SerializeToString()


def sent(channel: grpc.Channel, form: str, request: bytes, seconds: float = 60) -> Outcome:
    """What a gateway answers."""
    try:
        return "OK", channel.unary_unary(PATHS[form])(request, timeout=seconds)
    except grpc.RpcError as error:
        return failure(error)


def failure(error: Any) -> Outcome:
    """What a client sees of an error."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    return error.code().name, f"{error.details()} {status_pb2.Status.FromString(packed).details}"


async def by_python(pipeline: Pipeline, form: str, request: bytes) -> Outcome:
    """What the Python path answers. On the pipeline's event loop."""
    answers: dict[str, Callable[[bytes, Call], Any]] = {
        "kserve": KServe(pipeline).infer,
        "kserve_raw": KServe(pipeline).infer,
        "tf_serving": TfServing(pipeline).predict,
        "epm": Epm(pipeline).predict,
    }
    try:
        return "OK", await answers[form](request, Call(None))
    except EpmError as error:
        details = status(error).details if error.field else []
        return error.status.name, f"{error.message} {details}"
