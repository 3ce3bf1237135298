"""Open Inference Protocol tensors <-> columns and answers, typed contents and raw contents."""

import struct
from typing import Any

import numpy as np

from serving.errors import InvalidInput
from serving.features.rows import Cells
from serving.protocols.answers import Answer, as_column, as_list, check_rows, elements
from serving.repository.served import ServedModel

# datatype -> (NumPy type in raw contents, field of typed contents)
NUMBERS: dict[str, tuple[Any, str]] = {
    "BOOL": (np.bool_, "bool_contents"),
    "INT8": (np.int8, "int_contents"),
    "INT16": (np.int16, "int_contents"),
    "INT32": (np.int32, "int_contents"),
    "INT64": (np.int64, "int64_contents"),
    "UINT8": (np.uint8, "uint_contents"),
    "UINT16": (np.uint16, "uint_contents"),
    "UINT32": (np.uint32, "uint_contents"),
    "UINT64": (np.uint64, "uint64_contents"),
    "FP16": (np.float16, ""),
    "BF16": (np.uint16, ""),
    "FP32": (np.float32, "fp32_contents"),
    "FP64": (np.float64, "fp64_contents"),
}
KINDS = {"float32": "FP32", "float64": "FP64", "int32": "INT32", "text": "BYTES"}


def decode(tensor: Any, raw: bytes | None, served: ServedModel, max_rows: int) -> Cells:
    """One input tensor (its raw contents, or None for typed ones) to cells, or a graph input. Raises InvalidInput."""
    name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
    count = elements(shape, name)
    check_rows(name, shape[0] if shape else 0, max_rows)
    if datatype == "BYTES":
        texts = list(tensor.contents.bytes_contents) if raw is None else split_bytes(name, raw, count)
        return as_list(name, texts, shape, count)
    known = NUMBERS.get(datatype)
    if known is None:
        raise InvalidInput.cell(name, f"datatype {datatype[:20]!r}", f"one of {', '.join(NUMBERS)}, BYTES")
    stored, field = known
    if raw is not None:
        if len(raw) != count * np.dtype(stored).itemsize:
            raise InvalidInput.cell(name, f"{len(raw)} bytes for shape {shape}", f"{count} x {datatype}")
        values = np.frombuffer(raw, stored)
        if datatype == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
    else:
        if not field:
            raise InvalidInput.cell(name, f"{datatype} in typed contents", f"{datatype} in raw_input_contents")
        values = np.array(getattr(tensor.contents, field))
        if len(values) != count:
            raise InvalidInput.cell(name, f"{len(values)} values in {field} for shape {shape}", f"{count}")
    return values if len(shape) == 1 else as_column(name, values.reshape(shape), served)


def split_bytes(name: str, raw: bytes, count: int) -> list[bytes]:
    """`count` BYTES elements, each behind its length as little-endian uint32. Raises InvalidInput."""
    texts, offset = [], 0
    while offset < len(raw):
        end = offset + 4
        if end <= len(raw):
            end += int.from_bytes(raw[offset:end], "little")
        if end > len(raw) or end < offset + 4:
            raise InvalidInput.cell(name, f"a text that goes past the end at byte {offset}", "length-prefixed texts")
        texts.append(raw[offset + 4 : end])
        if len(texts) > count:
            raise InvalidInput.cell(name, f"more than {count} texts", f"as many as the shape says, {count}")
        offset = end
    return texts


def join_bytes(texts: list[bytes]) -> bytes:
    """The inverse of `split_bytes`."""
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


def describe(answer: Answer) -> tuple[str, tuple[int, ...]]:
    """Datatype and shape of an answer."""
    if isinstance(answer, list):
        return "BYTES", (len(answer),)
    return ("FP32" if answer.dtype == np.float32 else "INT32"), answer.shape
