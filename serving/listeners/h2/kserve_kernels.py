"""inference.ModelInferRequest read, ModelInferResponse written (protos of the Open Inference Protocol)."""

import numpy as np

from serving.jit import inlined, kernel
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2.wire_kernels import BAD, BYTES, VARINT, fixed, is_ascii, size_at, varint

LEAVE, READ = to.LEAVE, to.READ


@kernel
def read_kserve(data, at, end, request, columns, wanted):
    """data[at:end]: ModelInferRequest -> request, columns, wanted. data: uint8[:]."""
    request[:] = 0
    raws = 0
    seen = 0
    while at < end:
        tag, at = varint(data, at, end)
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
        column[to.VALID_SIZE] = 0
    return READ


@inlined
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


@kernel
def read_tensor(data, at, end, column):
    """An InferInputTensor, as far as it does not depend on where its contents are. Without contents AT is -1.

    VALID and VALID_SIZE stay as they are: the raw contents of this column may have come first.
    """
    column[to.NAME_SIZE] = column[to.DIMENSIONS] = 0
    column[to.AT] = -1
    column[to.TYPE] = -1
    seen = 0
    while at < end:
        tag, at = varint(data, at, end)
        if at == BAD:
            return False
        field, kind = tag >> 3, tag & 7
        if field == 3 and kind == VARINT:
            size, at = varint(data, at, end)
            if at == BAD or not add_size(column, size):
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
                if at == BAD or not add_size(column, length):
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
    if column[to.TYPE] < 0:
        return False
    column[to.FORM], column[to.FIELD] = to.FIELDS, contents_field(column[to.TYPE])
    return True


@inlined
def add_size(column, size):
    """One more size of a shape; three are enough."""
    n = column[to.DIMENSIONS]
    if n == 3 or size < 0 or size > 1 << 31:
        return False
    column[to.ROWS + n] = size
    column[to.DIMENSIONS] = n + 1
    return True


@kernel
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


def _number(name: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(name, "little"))


FP32, FP64, TEXT, BOOL = _number(b"FP32"), _number(b"FP64"), _number(b"BYTES"), _number(b"BOOL")
INT8, INT16, INT32, INT64 = _number(b"INT8"), _number(b"INT16"), _number(b"INT32"), _number(b"INT64")
UINT8, UINT16, UINT32, UINT64 = _number(b"UINT8"), _number(b"UINT16"), _number(b"UINT32"), _number(b"UINT64")


@inlined
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


@kernel
def read_wanted(data, at, end, name):
    """An InferRequestedOutputTensor without parameters."""
    tag, at = varint(data, at, end)
    if at == BAD or tag != (1 << 3 | BYTES):
        return False
    size, at = size_at(data, at, end)
    if at == BAD or at + size != end:
        return False
    name[0], name[1] = at, size
    return True
