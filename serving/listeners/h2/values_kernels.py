"""Cells of a column, however its message holds them: counted, and read as numbers or texts.

A column is int64[COLUMN] as readers leave it. Nothing is taken on trust but its words: what stands in the message is
checked here, and what is not as the words say is refused.
"""

import numpy as np

from serving.jit import bare, bare_inlined
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2.wire_kernels import (
    BAD,
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    fixed,
    inside,
    load,
    size_at,
    skip,
    tag_at,
    varint,
)

SENT_AS, ALLOWED = 13, 14
"""Words of a column that all readers set: whether it came as one of the raw columns, as a ready tensor, or may be
either; and a bit for each other field that may stand in the message which holds the cells."""
AS_COLUMN, AS_TENSOR, AS_EITHER = 0, 1, 2

_MOST = 1 << 40


@bare_inlined
def add_size(column, size):
    """One more size of a shape; three are enough."""
    n = column[to.DIMENSIONS]
    if n == 3 or size < 0 or size > 1 << 31:
        return False
    column[to.ROWS + n] = size
    column[to.DIMENSIONS] = n + 1
    return True


@bare_inlined
def elements(column):
    """How many cells the shape of a column says; -1 for an absurd one."""
    count, largest = np.int64(1), np.int64(1)
    for i in range(column[to.DIMENSIONS]):
        size = column[to.ROWS + i]
        if size < 0 or size > 1 << 31:
            return np.int64(-1)
        count *= size
        largest *= max(size, 1)
        if largest > _MOST:
            return np.int64(-1)
    return count


@bare_inlined
def width(kind):
    """Bytes of a number of this type in a plain column; 0 of a text."""
    if kind == to.F64 or kind == to.I64 or kind == to.U64:
        return 8
    if kind == to.F32 or kind == to.I32 or kind == to.U32:
        return 4
    if kind == to.I16 or kind == to.U16:
        return 2
    return 0 if kind == to.TEXT else 1


@bare_inlined
def wire(kind):
    """How protobuf writes one value of this type."""
    if kind == to.F32:
        return FIXED32
    if kind == to.F64:
        return FIXED64
    return BYTES if kind == to.TEXT else VARINT


@bare_inlined
def next_run(data, column, at):
    """(first byte, size, next place) of the next values of the field, one or many; size 0 and BAD at what is wrong.

    At the end the next place is one behind the message, and the size 0.
    """
    end, kind = column[to.AT] + column[to.SIZE], wire(column[to.TYPE])
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD:
            return at, np.int64(0), BAD
        field, form = tag >> 3, tag & 7
        if field == column[to.FIELD]:
            if form == BYTES:
                size, at = size_at(data, at, end)
                return at, size, (at + size if at != BAD else BAD)
            if form != kind:
                return at, np.int64(0), BAD
            stop = skip(data, at, end, form)
            return at, stop - at, stop
        if field > 62 or not column[ALLOWED] >> field & 1:
            return at, np.int64(0), BAD
        at = skip(data, at, end, form)
        if at == BAD:
            return at, np.int64(0), BAD
    return at, np.int64(0), end + 1


@bare
def count_values(data, column):
    """How many values the message of a column of FIELDS holds; -1 when it is malformed, or holds something else."""
    end, kind = column[to.AT] + column[to.SIZE], wire(column[to.TYPE])
    at, count = column[to.AT], np.int64(0)
    while True:
        start, size, at = next_run(data, column, at)
        if at == BAD:
            return np.int64(-1)
        if at > end:
            return count
        if kind == BYTES:
            count += 1
        elif kind == VARINT:
            place = start
            while place < start + size:
                _, place = varint(data, place, start + size)
                if place == BAD:
                    return np.int64(-1)
                count += 1
        else:
            single = 4 if kind == FIXED32 else 8
            if size % single:
                return np.int64(-1)
            count += size // single


@bare_inlined
def straighten(data, column):
    """A column of FIELDS whose floats stand in one run that is the whole message becomes a PLAIN one."""
    kind = wire(column[to.TYPE])
    if kind != FIXED32 and kind != FIXED64:
        return
    at, end = column[to.AT], column[to.AT] + column[to.SIZE]
    tag, at = tag_at(data, at, end)
    if at == BAD:
        return
    if tag == (column[to.FIELD] << 3 | BYTES):
        size, at = size_at(data, at, end)
        if at == BAD or at + size != end:
            return
    elif tag != (column[to.FIELD] << 3 | kind) or end - at != width(column[to.TYPE]):
        return
    column[to.FORM], column[to.AT], column[to.SIZE] = to.PLAIN, at, end - at


@bare
def read_numbers(data, column, values, stride):
    """The cells as float64 into values[i * stride]; whether there are as many as the shape says, and all are numbers.

    values: float64[:]. What is no such column leaves numbers behind that mean nothing.
    """
    count, kind = elements(column), column[to.TYPE]
    if count < 0 or stride < 1 or (count and values.shape[0] <= (count - 1) * stride) or kind == to.TEXT:
        return False
    if column[to.FORM] == to.PLAIN:
        if column[to.SIZE] != count * width(kind):
            return False
        return plain_numbers(data, column[to.AT], kind, count, values, 0, stride)
    if column[to.FORM] != to.FIELDS:
        return False
    end, at, done = column[to.AT] + column[to.SIZE], column[to.AT], np.int64(0)
    while True:
        start, size, at = next_run(data, column, at)
        if at == BAD:
            return False
        if at > end:
            return done == count
        if kind == to.F32 or kind == to.F64:
            single = width(kind)
            many = size // single
            if many * single != size or many > count - done:
                return False
            plain_numbers(data, start, kind, many, values, done * stride, stride)
            done += many
            continue
        while start < at:
            value, start = varint(data, start, at)
            if start == BAD or done == count:
                return False
            values[done * stride] = whole_number(kind, value)
            done += 1


@bare_inlined
def whole_number(kind, value):
    """The value of an integer field of protobuf, as float64: what is narrower than 64 bits takes the low ones.

    kind: the field's own type, I32, U32, I64, U64 or BOOL; value: int64, what its varint says.
    """
    if kind == to.I64:
        return np.float64(value)
    if kind == to.U64:
        return np.float64(np.uint64(value))
    if kind == to.BOOL:
        return 1.0 if value else 0.0
    if kind == to.U32:
        return np.float64(np.uint32(value))
    return np.float64(np.int32(value))


@bare_inlined
def field_type(kind):
    """Of what type values are in a protocol whose field of them is as wide as it gets; other types stay."""
    if kind == to.I8 or kind == to.I16:
        return to.I32
    if kind == to.U8 or kind == to.U16:
        return to.U32
    return kind


@bare
def plain_numbers(data, at, kind, count, values, first, stride):
    """Numbers one after the other, little-endian, into values[first + i * stride]; False for a bool of neither 0 nor 1.

    The commonest types have loops of their own for a stride of 1: those are made vector instructions.
    """
    if not inside(data, at, count * width(kind)):
        return False
    if kind == to.F32:
        if stride == 1:
            for i in range(count):
                values[first + i] = load(data, at + 4 * i, np.float32)
        else:
            for i in range(count):
                values[first + i * stride] = load(data, at + 4 * i, np.float32)
    elif kind == to.F64:
        if stride == 1:
            for i in range(count):
                values[first + i] = load(data, at + 8 * i, np.float64)
        else:
            for i in range(count):
                values[first + i * stride] = load(data, at + 8 * i, np.float64)
    elif kind == to.I64:
        for i in range(count):
            values[first + i * stride] = load(data, at + 8 * i, np.int64)
    elif kind == to.I32:
        for i in range(count):
            values[first + i * stride] = load(data, at + 4 * i, np.int32)
    elif kind == to.I16:
        for i in range(count):
            values[first + i * stride] = load(data, at + 2 * i, np.int16)
    elif kind == to.I8:
        for i in range(count):
            values[first + i * stride] = np.int8(data[at + i])
    elif kind == to.U64:
        for i in range(count):
            values[first + i * stride] = load(data, at + 8 * i, np.uint64)
    elif kind == to.U32:
        for i in range(count):
            values[first + i * stride] = load(data, at + 4 * i, np.uint32)
    elif kind == to.U16:
        for i in range(count):
            values[first + i * stride] = load(data, at + 2 * i, np.uint16)
    elif kind == to.U8:
        for i in range(count):
            values[first + i * stride] = data[at + i]
    else:
        most = np.uint8(0)
        for i in range(count):
            most = max(most, data[at + i])
            values[first + i * stride] = data[at + i]
        return most <= 1
    return True


@bare
def read_singles(data, column, out, start):
    """The cells of a column of float32 into out[start:], bits unchanged; whether there are as many as its shape says.

    out: float32[:].
    """
    count = elements(column)
    if count < 0 or start < 0 or count > out.shape[0] - start or column[to.TYPE] != to.F32:
        return False
    if column[to.FORM] == to.PLAIN:
        if column[to.SIZE] != 4 * count:
            return False
        return plain_singles(data, column[to.AT], count, out, start)
    if column[to.FORM] != to.FIELDS:
        return False
    end, at, done = column[to.AT] + column[to.SIZE], column[to.AT], np.int64(0)
    while True:
        first, size, at = next_run(data, column, at)
        if at == BAD:
            return False
        if at > end:
            return done == count
        if size % 4 or size // 4 > count - done:
            return False
        plain_singles(data, first, size // 4, out, start + done)
        done += size // 4


@bare
def plain_singles(data, at, count, out, start):
    """float32, little-endian, one after the other."""
    if not inside(data, at, 4 * count):
        return False
    for i in range(count):
        out[start + i] = load(data, at + 4 * i, np.float32)
    return True


@bare_inlined
def next_text(data, column, at):
    """(place, size, next place) of the text at `at`, which begins with the column's AT.

    Behind the last text the place is -1; where the message is wrong the next place is BAD as well.
    """
    end = column[to.AT] + column[to.SIZE]
    if column[to.TYPE] != to.TEXT or column[to.FORM] == to.PLAIN:
        return np.int64(-1), np.int64(0), BAD
    if column[to.FORM] == to.FIELDS:
        place, size, after = next_run(data, column, at)
        if after == BAD or after > end:
            return np.int64(-1), np.int64(0), after
        return place, size, after
    if at == end:
        return np.int64(-1), np.int64(0), end
    if end - at < 4:
        return np.int64(-1), np.int64(0), BAD
    size = np.int64(fixed(data, at, 4))
    if size > end - at - 4:
        return np.int64(-1), np.int64(0), BAD
    return at + 4, size, at + 4 + size
