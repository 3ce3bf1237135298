"""epm.v1.PredictRequest read, PredictResponse written (protos/epm/v1/prediction.proto)."""

import numpy as np

from serving.features.row_kernels import STATES
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
    VARINT,
    bytes_size,
    is_ascii,
    is_utf8,
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
_LOW_COVERAGE = 1
_MOST_MONTHS = 36


@bare
def read_epm(data, at, end, request, columns, wanted):
    """data[at:end]: PredictRequest -> request, columns. data: uint8[:]. wanted stays as it is."""
    request[:] = 0
    seen = 0
    while at < end:
        tag, at = tag_at(data, at, end)
        field = tag >> 3
        if at == BAD or tag & 7 != BYTES or field > 5 or (field < 3 and seen & (1 << field)):
            return LEAVE
        seen |= 1 << field
        size, at = size_at(data, at, end)
        if at == BAD:
            return LEAVE
        if field == 1:
            if not is_ascii(data, at, size):
                return LEAVE
            request[to.ID], request[to.ID_SIZE] = at, size
        elif field == 2:
            if not read_model(data, at, at + size, request):
                return LEAVE
        elif field == 4:
            if request[to.COLUMNS] or not read_entities(data, at, at + size, request, columns[0]):
                return LEAVE
        elif field == 3 or field == 5:
            n = request[to.COLUMNS]
            if n == to.MOST_COLUMNS or request[to.ENTITIES]:
                return LEAVE
            column = columns[n]
            column[to.NAME_SIZE] = column[to.VALID_SIZE] = column[to.DIMENSIONS] = column[cells.ALLOWED] = 0
            column[to.FORM] = to.FIELDS
            if field == 3:
                if not read_column(data, at, at + size, column):
                    return LEAVE
            elif not read_tensor(data, at, at + size, column):
                return LEAVE
            request[to.COLUMNS] = n + 1
        else:
            return LEAVE
        at += size
    return READ


@bare
def read_model(data, at, end, request):
    """A ModelRef with one choice of a version at most."""
    named = False
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD:
            return False
        if tag == (2 << 3 | VARINT):
            if request[to.CHOICE] != to.NEWEST:
                return False
            request[to.CHOICE] = to.BY_VERSION
            request[to.VERSION], at = varint(data, at, end)
            if at == BAD:
                return False
            continue
        if tag & 7 != BYTES:
            return False
        size, at = size_at(data, at, end)
        if at == BAD or not is_ascii(data, at, size):
            return False
        if tag >> 3 == 1 and not named:
            named = True
            request[to.MODEL], request[to.MODEL_SIZE] = at, size
        elif tag >> 3 == 3 and request[to.CHOICE] == to.NEWEST and size:
            request[to.CHOICE], request[to.LABEL], request[to.LABEL_SIZE] = to.BY_LABEL, at, size
        else:
            return False
        at += size
    return True


@bare
def read_entities(data, at, end, request, column):
    """Entities of the present month: their ids become a column without a name."""
    request[to.ENTITIES], request[to.COLUMNS] = 1, 1
    column[to.NAME_SIZE] = column[to.VALID_SIZE] = 0
    column[to.TYPE], column[to.FORM], column[to.FIELD], column[cells.ALLOWED] = to.TEXT, to.FIELDS, 2, 1 << 1 | 1 << 3
    column[to.AT], column[to.SIZE], column[cells.SENT_AS] = at, end - at, cells.AS_COLUMN
    column[to.DIMENSIONS], column[to.ROWS] = 1, cells.count_values(data, column)
    if column[to.ROWS] < 1:
        return False
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD:
            return False
        if tag == (3 << 3 | VARINT):
            month, at = varint(data, at, end)
            if at == BAD or month:
                return False
            continue
        if tag & 7 != BYTES:
            return False
        size, at = size_at(data, at, end)
        if at == BAD:
            return False
        if tag >> 3 == 1:
            if request[to.KIND_SIZE]:
                return False
            request[to.KIND], request[to.KIND_SIZE] = at, size
        at += size
    return True


@bare_inlined
def read_column(data, at, end, column):
    """A Column of one kind of values."""
    seen = 0
    while at < end:
        tag, at = tag_at(data, at, end)
        field = tag >> 3
        if at == BAD or tag & 7 != BYTES or field == 0 or field > 6 or seen & (1 << field):
            return False
        seen |= 1 << field
        size, at = size_at(data, at, end)
        if at == BAD:
            return False
        if field == 1:
            column[to.NAME], column[to.NAME_SIZE] = at, size
        elif field == 6:
            column[to.VALID], column[to.VALID_SIZE] = at, size
        else:
            column[to.AT], column[to.SIZE] = at, size
        at += size
    column[cells.SENT_AS] = cells.AS_COLUMN
    kind = seen & 0b111100
    if kind == 1 << 5:
        return column[to.VALID_SIZE] == 0 and read_history(data, column)
    if kind == 1 << 2:
        column[to.TYPE] = to.F64
    elif kind == 1 << 3:
        column[to.TYPE] = to.I64
    elif kind == 1 << 4:
        column[to.TYPE] = to.TEXT
    else:
        return False
    column[to.FIELD], column[to.DIMENSIONS] = 1, 1
    cells.straighten(data, column)
    if column[to.FORM] == to.PLAIN:
        column[to.ROWS] = column[to.SIZE] // 8
        return column[to.SIZE] % 8 == 0
    column[to.ROWS] = cells.count_values(data, column)
    return column[to.ROWS] >= 0 and (kind != 1 << 4 or are_texts(data, column))


@bare
def are_texts(data, column):
    """Whether the strings of a column are what protobuf takes for strings."""
    place, size, at = cells.next_text(data, column, column[to.AT])
    while place >= 0:
        if not is_utf8(data, place, size):
            return False
        place, size, at = cells.next_text(data, column, at)
    return at != BAD


@bare
def read_history(data, column):
    """A History of which every row has all months."""
    at, end, months = column[to.AT], column[to.AT] + column[to.SIZE], np.int64(0)
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD:
            return False
        if tag == (1 << 3 | VARINT):
            if months:
                return False
            months, at = varint(data, at, end)
            if at == BAD or months < 1 or months > _MOST_MONTHS:
                return False
            continue
        if tag >> 3 != 2:
            return False
        at = skip(data, at, end, tag & 7)
        if at == BAD:
            return False
    if months == 0:
        return False
    column[to.TYPE], column[to.FIELD], column[cells.ALLOWED] = to.F64, 2, 1 << 1
    count = cells.count_values(data, column)
    column[to.DIMENSIONS], column[to.ROWS], column[to.SECOND] = 2, count // months, months
    return count >= 0 and count % months == 0


@bare
def read_tensor(data, at, end, column):
    """A Tensor: name, shape, values; AT is the whole of it."""
    column[to.TYPE], column[to.FIELD], column[cells.ALLOWED] = to.F32, 3, 1 << 1 | 1 << 2
    column[to.AT], column[to.SIZE], column[cells.SENT_AS] = at, end - at, cells.AS_TENSOR
    named = False
    while at < end:
        tag, at = tag_at(data, at, end)
        if at == BAD:
            return False
        if tag == (2 << 3 | VARINT):
            length, at = varint(data, at, end)
            if at == BAD or not cells.add_size(column, length):
                return False
        elif tag == (3 << 3 | FIXED32):
            at += 4
            if at > end:
                return False
        else:
            size, start = size_at(data, at, end)
            if start == BAD or tag & 7 != BYTES:
                return False
            at = start + size
            if tag >> 3 == 1 and not named:
                named = True
                column[to.NAME], column[to.NAME_SIZE] = start, size
            elif tag >> 3 == 2:
                while start < at:
                    length, start = varint(data, start, at)
                    if start == BAD or not cells.add_size(column, length):
                        return False
            elif tag >> 3 != 3:
                return False
    return column[to.DIMENSIONS] > 0


@bare
def write_epm(model, data, request, n, ready, outputs, margin, coverage, marks, low, marked, out, at):
    """PredictResponse; the place behind its last byte."""
    at = put_text(out, at, 1 << 3 | BYTES, data, request[to.ID], request[to.ID_SIZE])
    at = put_text(out, at, 2 << 3 | BYTES, octets(model[of.NAME], model[of.NAME_SIZE]), 0, model[of.NAME_SIZE])
    if model[of.VERSION]:
        out[at] = 3 << 3 | VARINT
        at = put_varint(out, at + 1, model[of.VERSION])
    parts = words(model[of.PARTS], model[of.PART_COUNT] * of.PART).reshape(model[of.PART_COUNT], of.PART)
    for p in range(model[of.PART_COUNT]):
        at = put_part(parts[p], n, outputs, margin, out, at)
    if ready:
        return at
    at = answer.put_floats(coverage, n, out, put_size(out, at, 5 << 3 | BYTES, 4 * n))
    if low:
        at = put_low(model, n, coverage, out, at)
    if marked:
        names = words(model[of.COLUMN_NAMES], 2 * model[of.INPUTS])
        for c in range(model[of.INPUTS]):
            seen = np.uint8(0)
            for i in range(n):
                seen |= marks[i, c]
            for state in range(STATES):
                if seen >> state & 1 == 0:
                    continue
                at = put_marks(names[2 * c], names[2 * c + 1], c, state, n, marks, out, at)
    return at


@bare
def put_part(part, n, outputs, margin, out, at):
    """An Output: its name, and its value as the contract says."""
    kind, name, texts = part[of.PART_KIND], part[of.PART_NAME_SIZE], part[of.PART_TEXTS_SIZE]
    first, count, label = part[of.PART_AT], part[of.PART_VALUES], part[of.PART_LABEL]
    field, values_field = 4, 1
    if kind == of.PART_CLASSES:
        field, values_field = 2, 2
    elif kind == of.PART_PROBABILITY:
        field = 3
    elif kind == of.PART_VECTOR:
        field, values_field = 5, 2
    values = 4 * n * count
    size = texts + bytes_size(values)
    if label >= 0:
        size += bytes_size(answer.varints_size(outputs, n, label, 1)) + bytes_size(4 * n)
        if kind == of.PART_PROBABILITY:
            size += 5
    at = put_size(out, at, 4 << 3 | BYTES, text_size(name) + bytes_size(size))
    at = put_text(out, at, 1 << 3 | BYTES, octets(part[of.PART_NAME], name), 0, name)
    at = put_size(out, at, field << 3 | BYTES, size)
    at = answer.put_octets(part[of.PART_TEXTS], texts, out, at)
    at = put_size(out, at, values_field << 3 | BYTES, values)
    at = answer.put_values(outputs, n, first, count, out, at)
    if label < 0:
        return at
    at = answer.put_varints(outputs, n, label, 1, (values_field + 1) << 3 | BYTES, out, at)
    at = answer.put_floats(margin, n, out, put_size(out, at, (values_field + 2) << 3 | BYTES, 4 * n))
    if kind == of.PART_PROBABILITY:
        out[at] = 4 << 3 | FIXED32
        at = put_letters(out, at + 1, np.uint64(part[of.PART_THRESHOLD]), 4)
    return at


@bare
def put_low(model, n, coverage, out, at):
    """The Warning about rows below the contract's coverage, where there are such."""
    rows = np.int64(0)
    for i in range(n):
        if answer.is_low(model, coverage, i):
            rows += varint_size(i)
    if rows == 0:
        return at
    at = put_size(out, at, 6 << 3 | BYTES, 2 + bytes_size(rows))
    out[at], out[at + 1] = 1 << 3 | VARINT, _LOW_COVERAGE
    at = put_size(out, at + 2, 3 << 3 | BYTES, rows)
    for i in range(n):
        if answer.is_low(model, coverage, i):
            at = put_varint(out, at, i)
    return at


@bare_inlined
def warning_code(state):
    """Warning.Code of a state of `row_kernels`: missing, unknown, out of range, stale."""
    return 4 if state == 0 else 2 if state == 1 else 3 if state == 2 else 5


@bare
def put_marks(name, name_size, c, state, n, marks, out, at):
    """The Warning about rows in which input c bears a mark."""
    rows = np.int64(0)
    for i in range(n):
        if marks[i, c] >> state & 1:
            rows += varint_size(i)
    at = put_size(out, at, 6 << 3 | BYTES, 2 + text_size(name_size) + bytes_size(rows))
    out[at], out[at + 1] = 1 << 3 | VARINT, warning_code(state)
    at = put_text(out, at + 2, 2 << 3 | BYTES, octets(name, name_size), 0, name_size)
    at = put_size(out, at, 3 << 3 | BYTES, rows)
    for i in range(n):
        if marks[i, c] >> state & 1:
            at = put_varint(out, at, i)
    return at
