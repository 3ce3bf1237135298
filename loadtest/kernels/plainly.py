"""Requests to columns and answers to bytes as one writes it in a service of one's own: protobuf, NumPy, no checks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_pb2 as tensorflow
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

Decoded = dict[str, NDArray[Any] | list[Any]]


@dataclass(frozen=True)
class Answered:
    """What there is to say, ready to be written. named: float32 and int32 [n, ...], and texts, in order."""

    model: str
    version: int
    named: Mapping[str, NDArray[Any] | list[bytes]]
    classes: tuple[str, ...]
    warnings: tuple[tuple[str, str, list[int]], ...]
    """Code, column, rows."""


def decode_tensorflow(body: bytes) -> Decoded:
    """PredictRequest with float tensors (values or content) and texts."""
    columns: Decoded = {}
    for name, tensor in serving.PredictRequest.FromString(body).inputs.items():
        if tensor.dtype == tensorflow.DT_STRING:
            columns[name] = [text.decode() for text in tensor.string_val]
        elif tensor.tensor_content:
            columns[name] = np.frombuffer(tensor.tensor_content, np.float32)
        else:
            columns[name] = np.array(tensor.float_val, np.float32)
    return columns


def encode_tensorflow(answered: Answered) -> bytes:
    """PredictResponse."""
    response = serving.PredictResponse()
    response.model_spec.name = answered.model
    response.model_spec.version.value = answered.version
    response.model_spec.signature_name = "serving_default"
    for name, values in answered.named.items():
        tensor = response.outputs[name]
        if isinstance(values, list):
            tensor.dtype = tensorflow.DT_STRING
            tensor.tensor_shape.dim.add(size=len(values))
            tensor.string_val.extend(values)
            continue
        tensor.dtype = tensorflow.DT_FLOAT if values.dtype == np.float32 else tensorflow.DT_INT32
        for size in values.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = values.tobytes()
    return response.SerializeToString(deterministic=True)


def decode_kserve(body: bytes) -> Decoded:
    """ModelInferRequest with FP64 and BYTES in raw_input_contents."""
    request = kserve.ModelInferRequest.FromString(body)
    columns: Decoded = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        if tensor.datatype != "BYTES":
            columns[tensor.name] = np.frombuffer(raw, np.float64)
            continue
        texts, at = [], 0
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 4], "little")
            texts.append(raw[at + 4 : at + 4 + size].decode())
            at += 4 + size
        columns[tensor.name] = texts
    return columns


def encode_kserve(answered: Answered) -> bytes:
    """ModelInferResponse with raw_output_contents."""
    response = kserve.ModelInferResponse(model_name=answered.model, model_version=str(answered.version))
    for name, values in answered.named.items():
        if isinstance(values, list):
            response.outputs.add(name=name, datatype="BYTES", shape=[len(values)])
            raw = b"".join(len(text).to_bytes(4, "little") + text for text in values)
        else:
            datatype = "FP32" if values.dtype == np.float32 else "INT32"
            response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            raw = values.tobytes()
        response.raw_output_contents.append(raw)
    return response.SerializeToString(deterministic=True)


def decode_epm(body: bytes) -> Decoded:
    """epm.v1.PredictRequest of doubles and strings with bitmaps of what is given."""
    columns: Decoded = {}
    for column in epm.PredictRequest.FromString(body).columns:
        if column.HasField("strings"):
            columns[column.name] = list(column.strings.values)
            continue
        values = np.array(column.doubles.values)
        if column.validity:
            bits = np.unpackbits(np.frombuffer(column.validity, np.uint8), count=len(values), bitorder="little")
            values[bits == 0] = np.nan
        columns[column.name] = values
    return columns


def encode_epm(answered: Answered) -> bytes:
    """epm.v1.PredictResponse of one output of classes, the last but one of the named texts, `grade`."""
    named = answered.named
    response = epm.PredictResponse(model_name=answered.model, model_version=answered.version)
    output = response.outputs.add(name="grade")
    output.classes.classes.extend(answered.classes)
    output.classes.probabilities.extend(np.ravel(named["probabilities"]).tolist())
    output.classes.label.extend(np.ravel(named["label"]).tolist())
    output.classes.margin.extend(np.ravel(named["margin"]).tolist())
    response.coverage.extend(np.ravel(named["coverage"]).tolist())
    for code, column, rows in answered.warnings:
        response.warnings.add(code=epm.Warning.Code.Value(code.upper()), column=column, rows=rows)
    return response.SerializeToString(deterministic=True)


@dataclass(frozen=True)
class Plain:
    """How one protocol is read and written plainly, and the messages."""

    decode: Callable[[bytes], Decoded]
    encode: Callable[[Answered], bytes]
    request: type[Message]
    response: type[Message]


PLAIN = {
    "tensorflow_serving": Plain(decode_tensorflow, encode_tensorflow, serving.PredictRequest, serving.PredictResponse),
    "kserve_v2": Plain(decode_kserve, encode_kserve, kserve.ModelInferRequest, kserve.ModelInferResponse),
    "epm_v1": Plain(decode_epm, encode_epm, epm.PredictRequest, epm.PredictResponse),
}
