"""Requests of three protocols made by hand, field by field, and what the kernels and the Python path read in them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from serving.listeners.h2 import epm_kernels, kserve_kernels, tf_serving_kernels, values_kernels
from serving.listeners.h2 import request_kernels as to
from serving.protocols import epm, kserve_tensors, tf_tensors
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs

MAX_ROWS = 1 << 20
READERS: dict[str, Callable[..., int]] = {
    "epm": epm_kernels.read_epm,
    "kserve": kserve_kernels.read_kserve,
    "tf": tf_serving_kernels.read_tf_serving,
}
MESSAGES: dict[str, Any] = {"epm": v1.PredictRequest, "kserve": v2.ModelInferRequest, "tf": tfs.PredictRequest}


class _Anything:
    def __contains__(self, name: object) -> bool:
        return True


SERVED: Any = SimpleNamespace(graph_inputs=_Anything())
"""A model that takes tensors of every name and shape."""


@dataclass
class Read:
    """What is in a request. columns: (name, how it came, shape, cells: float64[] or texts; None: left to Python)."""

    model: bytes
    choice: bytes | int | None
    id: bytes
    signature: bytes
    wanted: list[bytes]
    columns: list[tuple[bytes, int, list[int], Any]]


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def field(number: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def values_field(number: int, kind: str, values: Sequence[Any], draw: random.Random) -> list[bytes]:
    """Values of a repeated field in pieces, packed and single ones. kind: of struct, "v" for varints."""
    if kind == "text":
        return [field(number, value) for value in values]
    width = {"f": 5, "d": 1, "v": 0}[kind]
    encoded = [varint(int(v)) if kind == "v" else np.array(v, f"<{kind}").tobytes() for v in values]
    if draw.random() < 0.4:
        return [field(number, b"".join(encoded))]
    pieces = []
    while encoded:
        many = draw.randint(0, len(encoded))
        if many:
            pieces.append(field(number, b"".join(encoded[:many])))
        else:
            many = 1
            pieces.append(varint(number << 3 | width) + encoded[0])
        encoded = encoded[many:]
    return pieces


def shuffled(groups: list[list[bytes]], draw: random.Random) -> bytes:
    """All pieces in some order in which those of a group keep theirs."""
    groups = [list(group) for group in groups if group]
    made = []
    while groups:
        group = draw.choice(groups)
        made.append(group.pop(0))
        groups = [group for group in groups if group]
    return b"".join(made)


def read(protocol: str, data: np.ndarray[Any, Any], at: int, end: int) -> Read | None:
    """What the kernels make of data[at:end]; None when they leave it."""
    request = np.full(to.REQUEST, 9, np.int64)
    columns = np.full((to.MOST_COLUMNS, to.COLUMN), 9, np.int64)
    wanted = np.zeros((to.MOST_WANTED, 2), np.int64)
    if READERS[protocol](data, at, end, request, columns, wanted) == to.LEAVE:
        return None

    def text(place: int, size: int) -> bytes:
        assert size == 0 or at <= place <= place + size <= end
        return data[place : place + size].tobytes()

    choice: bytes | int | None = None
    if request[to.CHOICE] == to.BY_VERSION:
        choice = int(request[to.VERSION])
    elif request[to.CHOICE] == to.BY_LABEL:
        choice = text(request[to.LABEL], request[to.LABEL_SIZE])
    found = []
    for column in columns[: request[to.COLUMNS]]:
        assert at <= column[to.AT] <= column[to.AT] + column[to.SIZE] <= end
        shape = column[to.ROWS : to.ROWS + column[to.DIMENSIONS]].tolist()
        name = text(column[to.NAME], column[to.NAME_SIZE])
        valid = text(column[to.VALID], column[to.VALID_SIZE])
        found.append((name, int(column[values_kernels.SENT_AS]), shape, _cells(data, column, valid)))
    return Read(
        text(request[to.MODEL], request[to.MODEL_SIZE]),
        choice,
        text(request[to.ID], request[to.ID_SIZE]),
        text(request[to.SIGNATURE], request[to.SIGNATURE_SIZE]),
        [text(*name) for name in wanted[: request[to.WANTED]]],
        found,
    )


def _cells(data: np.ndarray[Any, Any], column: np.ndarray[Any, Any], valid: bytes) -> Any:
    count = values_kernels.elements(column)
    if column[to.FORM] == to.FIELDS and values_kernels.count_values(data, column) != count:
        return None
    if column[to.TYPE] == to.TEXT:
        texts = []
        place, size, at = values_kernels.next_text(data, column, column[to.AT])
        while place >= 0:
            texts.append(data[place : place + size].tobytes())
            place, size, at = values_kernels.next_text(data, column, at)
        if at < 0 or len(texts) != count or count > MAX_ROWS or (valid and len(valid) != (count + 7) // 8):
            return None
        return [text if _is_given(valid, i) else b"" for i, text in enumerate(texts)]
    if not 0 <= count <= MAX_ROWS or (valid and len(valid) != (count + 7) // 8):
        return None
    values = np.full((count, 3), 99.5)
    if not values_kernels.read_numbers(data, column, values.reshape(-1)[1:], 3):
        return None
    assert (values[:, ::2] == 99.5).all()
    dense = np.empty(count)
    assert values_kernels.read_numbers(data, column, dense, 1)
    assert np.array_equal(dense, values[:, 1], equal_nan=True)
    if column[to.TYPE] == to.F32:
        singles = np.empty(count + 1, np.float32)
        assert values_kernels.read_singles(data, column, singles, 1)
        with np.errstate(invalid="ignore"):
            assert np.array_equal(singles[1:].astype(np.float64), dense, equal_nan=True)
        if column[to.FORM] == to.PLAIN:
            assert singles[1:].tobytes() == data[column[to.AT] :][: 4 * count].tobytes()
    dense[[i for i in range(count) if not _is_given(valid, i)]] = np.nan
    return dense


def _is_given(valid: bytes, i: int) -> bool:
    return not valid or bool(valid[i // 8] >> i % 8 & 1)


def expected(protocol: str, body: bytes) -> Read:
    """What the Python path reads in these bytes. Raises DecodeError; a column it refuses has no cells."""
    message = MESSAGES[protocol].FromString(body)
    return {"epm": _epm, "kserve": _kserve, "tf": _tf}[protocol](message)


def _decoded(decode: Callable[..., Any], *arguments: Any) -> Any:
    from serving.errors import InvalidInput

    try:
        cells = decode(*arguments)
    except InvalidInput:
        return None
    if isinstance(cells, list):
        return [cell if isinstance(cell, bytes) else cell.encode() for cell in cells]
    if hasattr(cells, "lengths"):
        assert (cells.lengths == cells.values.shape[1]).all()
        cells = cells.values
    with np.errstate(invalid="ignore"):
        return np.asarray(cells).astype(np.float64).reshape(-1)


def _epm(message: v1.PredictRequest) -> Read:
    assert not message.HasField("entities")
    columns = []
    for column in message.columns:
        cells = _decoded(epm._cells, column, MAX_ROWS)
        held = getattr(column, column.WhichOneof("values")).values
        months = column.history.months
        shape = [len(held) // months, months] if months else [len(held)]
        columns.append((column.name.encode(), values_kernels.AS_COLUMN, shape, cells))
    for tensor in message.tensors:
        cells = _decoded(epm._ready, tensor)
        columns.append((tensor.name.encode(), values_kernels.AS_TENSOR, list(tensor.shape), cells))
    model, choice = message.model, message.model.WhichOneof("version_choice")
    chosen = _bytes(getattr(model, choice)) if choice else None
    return Read(model.name.encode(), chosen, message.request_id.encode(), b"", [], columns)


def _kserve(message: v2.ModelInferRequest) -> Read:
    columns = []
    for number, tensor in enumerate(message.inputs):
        raw = message.raw_input_contents[number] if message.raw_input_contents else None
        cells = _decoded(kserve_tensors.decode, tensor, raw, SERVED, MAX_ROWS)
        columns.append((tensor.name.encode(), values_kernels.AS_EITHER, list(tensor.shape), cells))
    choice = int(message.model_version) if message.model_version else None
    wanted = [output.name.encode() for output in message.outputs]
    return Read(message.model_name.encode(), choice, message.id.encode(), b"", wanted, columns)


def _tf(message: tfs.PredictRequest) -> Read:
    columns = []
    for name, tensor in message.inputs.items():
        cells = _decoded(tf_tensors.decode, name, tensor, SERVED, MAX_ROWS)
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        columns.append((name.encode(), values_kernels.AS_EITHER, shape, cells))
    spec, chosen = message.model_spec, None
    if choice := spec.WhichOneof("version_choice"):
        chosen = spec.version.value if choice == "version" else spec.version_label.encode()
    wanted = [name.encode() for name in message.output_filter]
    return Read(spec.name.encode(), chosen, b"", spec.signature_name.encode(), wanted, columns)


def _bytes(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def agree(protocol: str, read: Read, body: bytes) -> bool:
    """Assert that what the kernels read is what the Python path reads; whether all cells were read."""
    names = [name for name, *_ in read.columns]
    try:
        python = expected(protocol, body)
    except DecodeError:  # names are compared with known ones only, which are UTF-8, and cells are None
        unread = any(cells is None for *_, cells in read.columns)
        assert unread or not all(_is_text(name) for name in (*names, *read.wanted))
        return False
    assert (read.model, read.choice, read.id) == (python.model, python.choice, python.id)
    assert (read.signature, read.wanted) == (python.signature, python.wanted)
    if protocol == "tf" and len(set(names)) < len(names):
        return False
    order = (lambda columns: sorted(columns, key=lambda column: column[0])) if protocol == "tf" else _by_kind
    complete = True
    for ours, theirs in zip(order(read.columns), order(python.columns), strict=True):
        assert ours[:3] == theirs[:3]
        if ours[3] is None:
            complete = False
        elif isinstance(ours[3], list):
            assert ours[3] == theirs[3]
        else:
            assert np.array_equal(ours[3], theirs[3], equal_nan=True)
    return complete


def _by_kind(columns: list[Any]) -> list[Any]:
    return sorted(columns, key=lambda column: column[1])


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
