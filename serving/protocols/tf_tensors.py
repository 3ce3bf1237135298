"""TensorProto <-> columns and answers (tensorflow/core/framework/tensor.proto)."""

from typing import Any

import numpy as np

from serving.errors import InvalidInput
from serving.features.rows import Cells
from serving.protocols.answers import Answer, as_column, as_list, check_rows, elements
from serving.repository.served import ServedModel
from serving.stubs.foreign import tensorflow_pb2 as tf

# dtype -> (NumPy type of tensor_content, field of single values, NumPy type of that field's values)
_NUMBERS: dict[int, tuple[Any, str, Any]] = {
    tf.DT_FLOAT: (np.float32, "float_val", np.float32),
    tf.DT_DOUBLE: (np.float64, "double_val", np.float64),
    tf.DT_INT32: (np.int32, "int_val", np.int32),
    tf.DT_UINT8: (np.uint8, "int_val", np.int32),
    tf.DT_INT16: (np.int16, "int_val", np.int32),
    tf.DT_INT8: (np.int8, "int_val", np.int32),
    tf.DT_UINT16: (np.uint16, "int_val", np.int32),
    tf.DT_INT64: (np.int64, "int64_val", np.int64),
    tf.DT_UINT32: (np.uint32, "uint32_val", np.uint32),
    tf.DT_UINT64: (np.uint64, "uint64_val", np.uint64),
    tf.DT_BOOL: (np.bool_, "bool_val", np.bool_),
    tf.DT_HALF: (np.float16, "half_val", np.int32),
    tf.DT_BFLOAT16: (np.uint16, "half_val", np.int32),
}
MOST_REPEATED = 1 << 20
KINDS = {"float32": tf.DT_FLOAT, "float64": tf.DT_DOUBLE, "int32": tf.DT_INT32, "text": tf.DT_STRING}


def decode(name: str, tensor: tf.TensorProto, served: ServedModel, max_rows: int) -> Cells:
    """The cells of one column (n numbers, or a list of n texts), or a graph input as it is. Raises InvalidInput."""
    dtype = tensor.dtype
    known = _NUMBERS.get(dtype)
    dims = tensor.tensor_shape.dim
    if known is not None and len(dims) == 1 and dims[0].size == 1 and known[1] != "half_val":
        values = getattr(tensor, known[1])
        if len(values) == 1 and not tensor.tensor_content:
            return (values[0],)  # the commonest column, without an array
    shape = [dim.size for dim in dims]
    count = elements(shape, name)
    check_rows(name, shape[0] if shape else 0, max_rows)
    if dtype == tf.DT_STRING:
        if len(tensor.string_val) != count:  # before a list is made of them
            raise InvalidInput.cell(name, f"{len(tensor.string_val)} values for shape {shape}", f"{count}")
        return as_list(name, list(tensor.string_val), shape, count)
    if known is None:
        raise InvalidInput.cell(name, f"dtype {_dtype_name(dtype)}", "a real number type or DT_STRING")
    stored, field, single = known
    if content := tensor.tensor_content:
        if len(content) != count * np.dtype(stored).itemsize:
            raise InvalidInput.cell(
                name, f"{len(content)} bytes for shape {shape}", f"{count} x {np.dtype(stored).name}"
            )
        values = np.frombuffer(content, stored)
    else:
        values = np.array(getattr(tensor, field), single)
        if len(values) != count:
            values = _repeated(name, values, count, shape)
        if field == "half_val":
            values = values.astype(np.uint16).view(stored)
    if dtype == tf.DT_BFLOAT16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values if len(shape) == 1 else as_column(name, values.reshape(shape), served)


def encode(answer: Answer, tensor: tf.TensorProto) -> None:
    """Write an answer into an empty TensorProto: numbers as tensor_content, texts as string_val."""
    if isinstance(answer, list):
        tensor.dtype = tf.DT_STRING
        tensor.tensor_shape.dim.add().size = len(answer)
        tensor.string_val.extend(answer)
        return
    tensor.dtype = tf.DT_FLOAT if answer.dtype == np.float32 else tf.DT_INT32
    for size in answer.shape:
        tensor.tensor_shape.dim.add().size = size
    tensor.tensor_content = answer.tobytes()


def _repeated(name: str, values: Any, count: int, shape: list[int]) -> Any:
    """TensorFlow leaves out repetitions of the last value: [1, 2, 2, 2] may come as 1, 2. Bounded, as bytes are few."""
    if not 0 < len(values) < count or count > MOST_REPEATED:
        raise InvalidInput.cell(name, f"{len(values)} values for shape {shape}", f"{count}")
    return np.concatenate([values, np.full(count - len(values), values[-1])])


def _dtype_name(dtype: int) -> str:
    return tf.DataType.Name(dtype) if dtype in tf.DataType.values() else str(dtype)
