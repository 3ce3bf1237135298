"""inference.ModelInferRequest read, ModelInferResponse written (protos of the Open Inference Protocol)."""

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
    tag_at,
    varint,
    varint_size,
)

LEAVE, READ = to.LEAVE, to.READ


@bare
def read_kserve(data, at, end, request, columns, wanted):
    """data[at:end]: ModelInferRequest -> request, columns, wanted. data: uint8[:]."""
    request[:] = 0
    raws = 0
    seen = 0
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD or tag & 7 != BYTES:
            return LEAVE
        size, at = size_at(data, at, end)
        if at == BAD:
            return LEAVE
        field = tag >> 3
        if field == 1 or field == 2 or field == 3:
            if seen & (1 << field) or not is_ascii(data, at, size):
                return LEAVE
            seen |= 1 << field
            if field == 1:
                request[to.MODEL], request[to.MODEL_SIZE] = at, size
            elif field == 2:
                if not read_version(data, at, size, request):
                    return LEAVE
            else:
                request[to.ID], request[to.ID_SIZE] = at, size
        elif field == 5:
            n = request[to.COLUMNS]
            if n == to.MOST_COLUMNS or not read_tensor(data, at, at + size, columns[n]):
                return LEAVE
            request[to.COLUMNS] = n + 1
        elif field == 6:
            n = request[to.WANTED]
            if n == to.MOST_WANTED or not read_wanted(data, at, at + size, wanted[n]):
                return LEAVE
            request[to.WANTED] = n + 1
        elif field == 7:
            if raws == to.MOST_COLUMNS:
                return LEAVE
            columns[raws, to.VALID], columns[raws, to.VALID_SIZE] = at, size
            raws += 1
        else:
            return LEAVE
        at += size
    if raws and raws != request[to.COLUMNS]:
        return LEAVE
    request[to.TYPED] = raws == 0
    for c in range(request[to.COLUMNS]):
        column = columns[c]
        if raws:
            if column[to.AT] >= 0:
                return LEAVE
            column[to.AT], column[to.SIZE] = column[to.VALID], column[to.VALID_SIZE]
            column[to.FORM] = to.PREFIXED if column[to.TYPE] == to.TEXT else to.PLAIN
        elif column[to.AT] < 0:
            return LEAVE
        else:
            column[to.TYPE] = cells.field_type(column[to.TYPE])
            cells.straighten(data, column)
        column[to.VALID_SIZE] = 0
    return READ


@bare_inlined
def read_version(data, at, size, request):
    """Digits, or nothing for the newest version."""
    if size > 18:
        return False
    version = 0
    for i in range(at, at + size):
        digit = np.int64(data[i]) - 48
        if digit < 0 or digit > 9:
            return False
        version = version * 10 + digit
    request[to.CHOICE] = to.BY_VERSION if size else to.NEWEST
    request[to.VERSION] = version
    return True


@bare_inlined
def read_tensor(data, at, end, column):
    """An InferInputTensor, as far as it does not depend on where its contents are. Without contents AT is -1.

    VALID and VALID_SIZE stay as they are: the raw contents of this column may have come first.
    """
    column[to.NAME_SIZE] = column[to.DIMENSIONS] = 0
    column[to.AT] = -1
    column[to.TYPE] = -1
    seen = 0
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD:
            return False
        field, kind = tag >> 3, tag & 7
        if field == 3 and kind == VARINT:
            size, at = varint(data, at, end)
            if at == BAD or not cells.add_size(column, size):
                return False
            continue
        if kind != BYTES:
            return False
        size, at = size_at(data, at, end)
        if at == BAD:
            return False
        if field == 3:
            stop = at + size
            while at < stop:
                length, at = varint(data, at, stop)
                if at == BAD or not cells.add_size(column, length):
                    return False
            continue
        if field > 5 or seen & (1 << field):
            return False
        seen |= 1 << field
        if field == 1:
            column[to.NAME], column[to.NAME_SIZE] = at, size
        elif field == 2:
            column[to.TYPE] = datatype(data, at, size)
        elif field == 5:
            column[to.AT], column[to.SIZE] = at, size
        else:
            return False
        at += size
    if column[to.TYPE] < 0 or column[to.DIMENSIONS] == 0:
        return False
    column[cells.SENT_AS], column[cells.ALLOWED] = cells.AS_EITHER, 0
    column[to.FORM], column[to.FIELD] = to.FIELDS, contents_field(column[to.TYPE])
    return True


@bare
def datatype(data, at, size):
    """F32 to TEXT; -1 for what is left to Python."""
    if size < 4 or size > 6:
        return -1
    name = fixed(data, at, size)
    if name == FP32:
        return to.F32
    if name == FP64:
        return to.F64
    if name == INT64:
        return to.I64
    if name == INT32:
        return to.I32
    if name == TEXT:
        return to.TEXT
    if name == BOOL:
        return to.BOOL
    if name == UINT8:
        return to.U8
    if name == INT8:
        return to.I8
    if name == INT16:
        return to.I16
    if name == UINT16:
        return to.U16
    if name == UINT32:
        return to.U32
    if name == UINT64:
        return to.U64
    return -1


FP32, FP64, TEXT, BOOL = letters(b"FP32"), letters(b"FP64"), letters(b"BYTES"), letters(b"BOOL")
INT8, INT16, INT32, INT64 = letters(b"INT8"), letters(b"INT16"), letters(b"INT32"), letters(b"INT64")
UINT8, UINT16, UINT32, UINT64 = letters(b"UINT8"), letters(b"UINT16"), letters(b"UINT32"), letters(b"UINT64")


@bare_inlined
def contents_field(kind):
    """The field of InferTensorContents that holds cells of this type."""
    if kind == to.BOOL:
        return 1
    if kind == to.I64:
        return 3
    if kind == to.U64:
        return 5
    if kind == to.F32:
        return 6
    if kind == to.F64:
        return 7
    if kind == to.TEXT:
        return 8
    if kind == to.U8 or kind == to.U16 or kind == to.U32:
        return 4
    return 2


@bare_inlined
def read_wanted(data, at, end, name):
    """An InferRequestedOutputTensor without parameters."""
    tag, at = tag_at(data, at, end)
    if at == BAD or tag != (1 << 3 | BYTES):
        return False
    size, at = size_at(data, at, end)
    if at == BAD or at + size != end:
        return False
    name[0], name[1] = at, size
    return True


@bare
def write_kserve(model, data, request, chosen, count, n, ready, outputs, margin, coverage, marks, low, marked, out, at):
    """ModelInferResponse of the chosen outputs; the place behind its last byte. Raw contents to who sent raw ones."""
    table = words(model[of.OUTPUTS], model[of.OUTPUT_COUNT] * of.OUTPUT).reshape(model[of.OUTPUT_COUNT], of.OUTPUT)
    typed = request[to.TYPED]
    at = put_text(out, at, 1 << 3 | BYTES, octets(model[of.NAME], model[of.NAME_SIZE]), 0, model[of.NAME_SIZE])
    digits = model[of.VERSION_TEXT_SIZE]
    at = put_text(out, at, 2 << 3 | BYTES, octets(model[of.VERSION_TEXT], digits), 0, digits)
    at = put_text(out, at, 3 << 3 | BYTES, data, request[to.ID], request[to.ID_SIZE])
    for c in range(count):
        at = put_output(model, table[chosen[c]], typed, n, outputs, margin, coverage, marks, low, marked, out, at)
    if not typed:
        for c in range(count):
            at = put_raw(model, table[chosen[c]], n, outputs, margin, coverage, marks, low, marked, out, at)
    return at


@bare
def put_output(model, output, typed, n, outputs, margin, coverage, marks, low, marked, out, at):
    """An InferOutputTensor, with its contents where they are typed."""
    kind, columns, name = output[of.OUTPUT_KIND], output[of.OUTPUT_COLUMNS], output[of.OUTPUT_NAME_SIZE]
    name_of_type, length = FP32, 4
    if kind == of.INTS:
        name_of_type, length = INT32, 5
    elif answer.is_text(kind):
        name_of_type, length = TEXT, 5
    shape = varint_size(n) + (varint_size(columns) if columns else 0)
    contents = typed_size(model, output, n, outputs, coverage, marks, low, marked) if typed else np.int64(0)
    size = bytes_size(name) + bytes_size(length) + bytes_size(shape) + (bytes_size(contents) if typed else 0)
    at = put_size(out, at, 5 << 3 | BYTES, size)
    at = put_bytes(out, at, 1 << 3 | BYTES, octets(output[of.OUTPUT_NAME], name), 0, name)
    at = put_letters(out, put_size(out, at, 2 << 3 | BYTES, length), name_of_type, length)
    at = put_varint(out, put_size(out, at, 3 << 3 | BYTES, shape), n)
    if columns:
        at = put_varint(out, at, columns)
    if not typed:
        return at
    at = put_size(out, at, 5 << 3 | BYTES, contents)
    return put_typed(model, output, n, outputs, margin, coverage, marks, low, marked, out, at)


@bare
def typed_size(model, output, n, outputs, coverage, marks, low, marked):
    """How many bytes an output takes as InferTensorContents."""
    kind, count = output[of.OUTPUT_KIND], max(output[of.OUTPUT_COLUMNS], 1)
    if answer.is_text(kind):
        return answer.texts_size(model, output, n, outputs, coverage, marks, low, marked, 8 << 3 | BYTES)
    if kind == of.INTS:
        return bytes_size(answer.varints_size(outputs, n, output[of.OUTPUT_AT], count))
    return bytes_size(4 * n * count)


@bare
def put_typed(model, output, n, outputs, margin, coverage, marks, low, marked, out, at):
    """InferTensorContents: bytes_contents, int_contents or fp32_contents."""
    kind, count = output[of.OUTPUT_KIND], max(output[of.OUTPUT_COLUMNS], 1)
    if answer.is_text(kind):
        return answer.put_texts(model, output, n, outputs, coverage, marks, low, marked, 8 << 3 | BYTES, out, at)
    if kind == of.INTS:
        return answer.put_varints(outputs, n, output[of.OUTPUT_AT], count, 2 << 3 | BYTES, out, at)
    at = put_size(out, at, 6 << 3 | BYTES, 4 * n * count)
    return answer.put_numbers(output, n, outputs, margin, coverage, out, at)


@bare
def put_raw(model, output, n, outputs, margin, coverage, marks, low, marked, out, at):
    """An entry of raw_output_contents: numbers, or texts, each behind its length of four bytes."""
    if not answer.is_text(output[of.OUTPUT_KIND]):
        at = put_size(out, at, 6 << 3 | BYTES, 4 * n * max(output[of.OUTPUT_COLUMNS], 1))
        return answer.put_numbers(output, n, outputs, margin, coverage, out, at)
    size = answer.texts_size(model, output, n, outputs, coverage, marks, low, marked, 0)
    at = put_size(out, at, 6 << 3 | BYTES, size)
    return answer.put_texts(model, output, n, outputs, coverage, marks, low, marked, 0, out, at)
