"""tensorflow.serving.PredictRequest read, PredictResponse written (tensorflow_serving/apis/predict.proto)."""

import numpy as np

from serving.jit import bare, bare_inlined
from serving.listeners.h2 import answer_kernels as answer
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import values_kernels as cells
from serving.listeners.h2.memory_kernels import octets, words
from serving.listeners.h2.wire_kernels import (
    BAD,
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    bytes_size,
    fixed,
    is_ascii,
    letters,
    put_bytes,
    put_letters,
    put_size,
    put_text,
    put_varint,
    size_at,
    skip,
    tag_at,
    text_size,
    varint,
    varint_size,
)

LEAVE, READ = to.LEAVE, to.READ


DEFAULT, DEFAULT_REST = letters(b"serving_"), letters(b"default")
FEATURES, BY_ID = letters(b"features"), letters(b"by_id")
_DEFAULT_SIZE = 15


@bare
def read_tf_serving(data, at, end, request, columns, wanted):
    """data[at:end]: PredictRequest -> request, columns, wanted. data: uint8[:]."""
    request[:] = 0
    specified = False
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD or tag & 7 != BYTES:
            return LEAVE
        size, at = size_at(data, at, end)
        if at == BAD:
            return LEAVE
        field = tag >> 3
        if field == 1:
            if specified or not read_spec(data, at, at + size, request):
                return LEAVE
            specified = True
        elif field == 2:
            n = request[to.COLUMNS]
            if n == to.MOST_COLUMNS or not read_input(data, at, at + size, columns[n]):
                return LEAVE
            request[to.COLUMNS] = n + 1
        elif field == 3:
            n = request[to.WANTED]
            if n == to.MOST_WANTED:
                return LEAVE
            wanted[n, 0], wanted[n, 1] = at, size
            request[to.WANTED] = n + 1
        else:
            return LEAVE
        at += size
    return READ


@bare
def read_spec(data, at, end, request):
    """A ModelSpec, with one choice of a version at most, and one of the signatures that take columns or tensors."""
    seen = 0
    while at < end:
        tag, at = tag_at(data, at, end)
        field = tag >> 3
        if at == BAD or tag & 7 != BYTES or field > 4 or seen & (1 << field):
            return False
        seen |= 1 << field
        size, at = size_at(data, at, end)
        if at == BAD:
            return False
        if field == 1:
            if not is_ascii(data, at, size):
                return False
            request[to.MODEL], request[to.MODEL_SIZE] = at, size
        elif field == 2:
            if request[to.CHOICE] != to.NEWEST or not read_version(data, at, at + size, request):
                return False
            request[to.CHOICE] = to.BY_VERSION
        elif field == 3:
            if not is_signature(data, at, size):
                return False
            request[to.SIGNATURE], request[to.SIGNATURE_SIZE] = at, size
        elif field == 4:
            if request[to.CHOICE] != to.NEWEST or size == 0 or not is_ascii(data, at, size):
                return False
            request[to.CHOICE], request[to.LABEL], request[to.LABEL_SIZE] = to.BY_LABEL, at, size
        else:
            return False
        at += size
    return True


@bare_inlined
def read_version(data, at, end, request):
    """An Int64Value."""
    if at == end:
        return True
    tag, at = tag_at(data, at, end)
    if at == BAD or tag != (1 << 3 | VARINT):
        return False
    request[to.VERSION], at = varint(data, at, end)
    return at == end


@bare_inlined
def is_signature(data, at, size):
    """Nothing, serving_default, features or by_id."""
    if size == to.BY_ID_SIGNATURE:
        return fixed(data, at, size) == BY_ID
    if size == 8:
        return fixed(data, at, 8) == FEATURES
    if size == _DEFAULT_SIZE:
        return fixed(data, at, 8) == DEFAULT and fixed(data, at + 8, 7) == DEFAULT_REST
    return size == 0


@bare_inlined
def read_input(data, at, end, column):
    """An entry of the map: name and TensorProto."""
    seen = 0
    while at < end:
        tag, at = tag_at(data, at, end)
        field = tag >> 3
        if at == BAD or tag & 7 != BYTES or field > 2 or seen & (1 << field):
            return False
        seen |= 1 << field
        size, at = size_at(data, at, end)
        if at == BAD:
            return False
        if field == 1:
            column[to.NAME], column[to.NAME_SIZE] = at, size
        elif field != 2 or not read_tensor(data, at, at + size, column):
            return False
        at += size
    return seen == 0b110


@bare_inlined
def read_tensor(data, at, end, column):
    """A TensorProto with its cells in one place: in tensor_content, or in the field of its dtype.

    Floats of a field in one run are PLAIN as well.
    """
    column[to.DIMENSIONS] = column[to.VALID_SIZE] = 0
    column[to.TYPE] = -1
    column[cells.SENT_AS], column[cells.ALLOWED] = cells.AS_EITHER, 1 << 1 | 1 << 2
    start, content, seen = at, np.int64(0), np.int64(0)
    runs, run, run_size, run_kind = 0, np.int64(0), np.int64(0), np.int64(0)
    while at < end:
        tag, at = tag_at(data, at, end)
        field, kind = tag >> 3, tag & 7
        if at == BAD or field > 17 or (field < 5 and seen & (1 << field)):
            return False
        seen |= 1 << field
        if field == 1:
            if kind != VARINT:
                return False
            dtype, at = varint(data, at, end)
            if at == BAD or not set_type(column, dtype):
                return False
        elif field == 2 or field == 4:
            if kind != BYTES:
                return False
            size, at = size_at(data, at, end)
            if at == BAD:
                return False
            if field == 4:
                content, column[to.SIZE] = at, size
            elif not read_shape(data, at, at + size, column):
                return False
            at += size
        else:
            run, at = at, skip(data, at, end, kind)
            if at == BAD:
                return False
            if kind == BYTES:
                _, run = size_at(data, run, end)
            runs, run_size, run_kind = runs + 1, at - run, kind
    if column[to.TYPE] < 0 or column[to.DIMENSIONS] == 0:
        return False
    held = seen & ~(1 << 1 | 1 << 2)
    if held == 1 << 4:
        column[to.FORM], column[to.AT] = to.PLAIN, content
        return column[to.TYPE] != to.TEXT and column[to.SIZE] > 0
    if held != 1 << column[to.FIELD]:
        return False
    if column[to.FIELD] == 7:
        column[to.TYPE] = to.I32
    single = cells.wire(column[to.TYPE])
    if runs == 1 and single in (FIXED32, FIXED64) and run_kind in (single, BYTES):
        column[to.FORM], column[to.AT], column[to.SIZE] = to.PLAIN, run, run_size
    else:
        column[to.FORM], column[to.AT], column[to.SIZE] = to.FIELDS, start, end - start
    return True


@bare_inlined
def set_type(column, dtype):
    """TYPE, and the FIELD of its single values, of a DataType."""
    if dtype == 1:
        column[to.TYPE], column[to.FIELD] = to.F32, 5
    elif dtype == 2:
        column[to.TYPE], column[to.FIELD] = to.F64, 6
    elif dtype == 3:
        column[to.TYPE], column[to.FIELD] = to.I32, 7
    elif dtype == 4:
        column[to.TYPE], column[to.FIELD] = to.U8, 7
    elif dtype == 5:
        column[to.TYPE], column[to.FIELD] = to.I16, 7
    elif dtype == 6:
        column[to.TYPE], column[to.FIELD] = to.I8, 7
    elif dtype == 7:
        column[to.TYPE], column[to.FIELD] = to.TEXT, 8
    elif dtype == 9:
        column[to.TYPE], column[to.FIELD] = to.I64, 10
    elif dtype == 10:
        column[to.TYPE], column[to.FIELD] = to.BOOL, 11
    elif dtype == 17:
        column[to.TYPE], column[to.FIELD] = to.U16, 7
    elif dtype == 22:
        column[to.TYPE], column[to.FIELD] = to.U32, 16
    elif dtype == 23:
        column[to.TYPE], column[to.FIELD] = to.U64, 17
    else:
        return False
    return True


@bare_inlined
def read_shape(data, at, end, column):
    """A TensorShapeProto of one to three sizes without names."""
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD or tag != (2 << 3 | BYTES):
            return False
        size, at = size_at(data, at, end)
        if at == BAD:
            return False
        stop, length = at + size, np.int64(0)
        if size:
            tag, at = tag_at(data, at, stop)
            if at == BAD or tag != (1 << 3 | VARINT):
                return False
            length, at = varint(data, at, stop)
            if at != stop:
                return False
        if not cells.add_size(column, length):
            return False
    return True


@bare
def write_tf_serving(
    model, data, request, chosen, count, n, ready, outputs, margin, coverage, marks, low, marked, out, at
):
    """PredictResponse of the chosen outputs, in the order of their names; the place behind its last byte."""
    table = words(model[of.OUTPUTS], model[of.OUTPUT_COUNT] * of.OUTPUT).reshape(model[of.OUTPUT_COUNT], of.OUTPUT)
    order = words(model[of.SORTED], model[of.OUTPUT_COUNT])
    picked = np.uint64(0)
    for c in range(count):
        picked |= np.uint64(1) << np.uint64(chosen[c])
    for number in order:
        if picked >> np.uint64(number) & np.uint64(1):
            at = put_output(model, table[number], n, outputs, margin, coverage, marks, low, marked, out, at)
    version, signature = model[of.VERSION], request[to.SIGNATURE_SIZE] or _DEFAULT_SIZE
    chosen_version = 1 + varint_size(version) if version else 0
    at = put_size(
        out, at, 2 << 3 | BYTES, text_size(model[of.NAME_SIZE]) + bytes_size(chosen_version) + bytes_size(signature)
    )
    at = put_text(out, at, 1 << 3 | BYTES, octets(model[of.NAME], model[of.NAME_SIZE]), 0, model[of.NAME_SIZE])
    at = put_size(out, at, 2 << 3 | BYTES, chosen_version)
    if version:
        out[at] = 1 << 3 | VARINT
        at = put_varint(out, at + 1, version)
    if request[to.SIGNATURE_SIZE]:
        return put_bytes(out, at, 3 << 3 | BYTES, data, request[to.SIGNATURE], signature)
    at = put_size(out, at, 3 << 3 | BYTES, signature)
    return put_letters(out, put_letters(out, at, DEFAULT, 8), DEFAULT_REST, 7)


@bare
def put_output(model, output, n, outputs, margin, coverage, marks, low, marked, out, at):
    """An entry of the map: name and TensorProto, numbers as tensor_content, texts as string_val."""
    kind, columns = output[of.OUTPUT_KIND], output[of.OUTPUT_COLUMNS]
    texts = answer.is_text(kind)
    sizes = 1 + varint_size(n)
    shape = 2 + sizes + (3 + varint_size(columns) if columns else 0)
    content = 4 * n * max(columns, 1)
    tensor = 2 + 2 + shape
    if texts:
        tensor += answer.texts_size(model, output, n, outputs, coverage, marks, low, marked, 8 << 3 | BYTES)
    else:
        tensor += bytes_size(content)
    name = output[of.OUTPUT_NAME_SIZE]
    at = put_size(out, at, 1 << 3 | BYTES, bytes_size(name) + bytes_size(tensor))
    at = put_bytes(out, at, 1 << 3 | BYTES, octets(output[of.OUTPUT_NAME], name), 0, name)
    at = put_size(out, at, 2 << 3 | BYTES, tensor)
    out[at] = 1 << 3 | VARINT
    out[at + 1] = 7 if texts else 3 if kind == of.INTS else 1
    at = put_size(out, at + 2, 2 << 3 | BYTES, shape)
    at = put_dimension(out, at, n)
    if columns:
        at = put_dimension(out, at, columns)
    if texts:
        return answer.put_texts(model, output, n, outputs, coverage, marks, low, marked, 8 << 3 | BYTES, out, at)
    at = put_size(out, at, 4 << 3 | BYTES, content)
    return answer.put_numbers(output, n, outputs, margin, coverage, out, at)


@bare_inlined
def put_dimension(out, at, size):
    """A Dim of a TensorShapeProto."""
    at = put_size(out, at, 2 << 3 | BYTES, 1 + varint_size(size))
    out[at] = 1 << 3 | VARINT
    return put_varint(out, at + 1, size)
