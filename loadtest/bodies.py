"""Raw rows as request bodies of the three protocols, encoded as each protocol's usual client encodes them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.rows import Columns, draw_rows, take
from serving.contract import Contract
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve
from serving.stubs.foreign import tensorflow_pb2 as tensorflow
from serving.stubs.foreign import tensorflow_serving_pb2 as serving

Cells = NDArray[np.float64] | list[str]


def tensorflow_serving_predict(model: str, columns: Columns) -> bytes:
    """`tensorflow.serving.PredictRequest`: a tensor [n] a column, as `tf.make_tensor_proto` makes them."""
    request = serving.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    for name, cells in columns.items():
        _tensor(cells, request.inputs[name])
    return request.SerializeToString(deterministic=True)


def kserve_model_infer(model: str, columns: Columns) -> bytes:
    """`inference.ModelInferRequest` as `tritonclient` makes it: FP64 and BYTES tensors [n] in raw_input_contents.

    BYTES are each preceded by their length, 4 bytes little-endian (Triton, "binary tensor data" extension).
    """
    request = kserve.ModelInferRequest(model_name=model)
    for name, cells in columns.items():
        text = isinstance(cells, list)
        request.inputs.add(name=name, datatype="BYTES" if text else "FP64", shape=[len(cells)])
        raw = b"".join(_prefixed(cell) for cell in cells) if text else np.asarray(cells, "<f8").tobytes()
        request.raw_input_contents.append(raw)
    return request.SerializeToString(deterministic=True)


def epm_predict(model: str, columns: Columns) -> bytes:
    """`epm.v1.PredictRequest` of typed columns; a missing number has its bit cleared in the bitmap."""
    request = epm.PredictRequest()
    request.model.name = model
    for name, cells in columns.items():
        column = request.columns.add(name=name)
        if isinstance(cells, list):
            column.strings.values.extend(cells)
            continue
        given = ~np.isnan(cells)
        column.doubles.values.extend(np.where(given, cells, 0.0).tolist())
        if not given.all():
            column.validity = np.packbits(given, bitorder="little").tobytes()
    return request.SerializeToString(deterministic=True)


@dataclass(frozen=True)
class Protocol:
    """A protocol of the gateway: its short name, the path of its unary prediction, and how rows become a request."""

    name: str
    path: str
    encode: Callable[[str, Columns], bytes]


PROTOCOLS = (
    Protocol("tensorflow_serving", "/tensorflow.serving.PredictionService/Predict", tensorflow_serving_predict),
    Protocol("kserve_v2", "/inference.GRPCInferenceService/ModelInfer", kserve_model_infer),
    Protocol("epm_v1", "/epm.v1.PredictionService/Predict", epm_predict),
)


def make_bodies(protocol: Protocol, contract: Contract, rows: int, count: int, seed: int) -> list[bytes]:
    """`count` distinct bodies of `rows` rows each, no row drawn twice. Raises ValueError when two come out equal."""
    columns = draw_rows(contract, rows * count, seed)
    bodies = [protocol.encode(contract.model, take(columns, at, at + rows)) for at in range(0, rows * count, rows)]
    if len(set(bodies)) != count:
        raise ValueError(f"{contract.model}: only {len(set(bodies))} of {count} bodies are distinct")
    return bodies


def _tensor(cells: Cells, into: tensorflow.TensorProto) -> None:
    """One value goes to float_val, more go to tensor_content, texts always to string_val."""
    into.tensor_shape.dim.add(size=len(cells))
    if isinstance(cells, list):
        into.dtype = tensorflow.DT_STRING
        into.string_val.extend(cell.encode() for cell in cells)
        return
    into.dtype = tensorflow.DT_FLOAT
    if len(cells) == 1:
        into.float_val.append(cells[0])
    else:
        into.tensor_content = cells.astype("<f4").tobytes()


def _prefixed(cell: str) -> bytes:
    raw = cell.encode()
    return len(raw).to_bytes(4, "little") + raw
