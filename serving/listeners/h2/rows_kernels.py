"""Columns of a request become rows, as `features.rows` does it; what that would refuse is left to it."""

import numpy as np

from serving.hash_kernels import text_code
from serving.jit import bare, bare_inlined
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.memory_kernels import doubles, octets, same, singles, words
from serving.listeners.h2.values_kernels import AS_COLUMN, AS_TENSOR, SENT_AS, next_text, read_numbers, read_singles
from serving.listeners.h2.wire_kernels import BAD, fixed, inside, load

LEFT = 0
"""Instead of a number of rows: Python shall look at it."""
NAME_FIRST, NAME_LAST, NAME_SIZE, NAME_NUMBER, NAME_ADDRESS = range(5)
NAME = 5
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
"""Odd numbers without a pattern."""


@bare_inlined
def name_key(data, at, size):
    """(hash, first eight bytes, last eight) of a name, as int64; of a shorter name all of it is the first and the last.

    Texts of a column differ in size from row to row: no branch is guessed from it.
    """
    if at + 8 <= data.shape[0]:
        inside(data, at, size)
        all_of_it = (np.uint64(1) << np.uint64(8 * size)) - np.uint64(1)
        mask = all_of_it if size < 8 else ~np.uint64(0)
        first = load(data, at, np.uint64) & mask
        last = load(data, at + max(size - 8, 0), np.uint64) & mask
    else:  # at the end of a message
        first = last = fixed(data, at, size)
    value = (first ^ (last * _SECOND) ^ np.uint64(size)) * _FIRST
    return np.int64(value ^ (value >> np.uint64(29))), np.int64(first), np.int64(last)


@bare_inlined
def equal(one, a, other, b, count):
    """As `same`, eight bytes at a time."""
    i = 0
    while count - i >= 8:
        if load(one, a + i, np.uint64) != load(other, b + i, np.uint64):
            return False
        i += 8
    return same(one, a + i, other, b + i, count - i)


@bare
def find(table, mask, data, at, size):
    """The number that stands beside a name in a hash table (`model_kernels.NAMES`), -1 for none."""
    value, first, last = name_key(data, at, size)
    slot = value & mask
    for _ in range(mask + 1):
        row = words(table + slot * NAME * 8, NAME)
        same_ends = row[NAME_FIRST] == first and row[NAME_LAST] == last and row[NAME_SIZE] == size
        if same_ends and (size <= 16 or equal(octets(row[NAME_ADDRESS], size), 8, data, at + 8, size - 16)):
            return row[NAME_NUMBER]
        if row[NAME_SIZE] < 0:
            return -1
        slot = (slot + 1) & mask
    return -1


@bare
def assemble(loop, table, model, data, request, columns):
    """(rows, whether they are ready tensors) of a request, written to the loop's memory; LEFT rows for Python."""
    count = request[to.COLUMNS]
    if count == 0 or columns[0, to.DIMENSIONS] == 0:
        return LEFT, False
    n = columns[0, to.ROWS]
    if n < 1 or n > table[held.MOST_ROWS]:
        return LEFT, False
    taken = octets(held.place(loop, table, held.TAKEN), model[of.SENT_COUNT])
    taken[:] = 0
    hints = words(held.place(loop, table, held.HINTS), to.MOST_COLUMNS)
    single, histories, months = model[of.SINGLE], model[of.HISTORIES], model[of.MONTHS]
    values = doubles(held.place(loop, table, held.VALUES), n * single)
    history = doubles(held.place(loop, table, held.HISTORY), n * histories * months)
    ready = columns_given = 0
    for c in range(count):
        column = columns[c]
        number = sent(model, data, column, hints, c)
        if number < 0 or taken[number] or column[to.DIMENSIONS] == 0 or column[to.ROWS] != n:
            return LEFT, False
        taken[number] = 1
        input_ = words(model[of.SENT] + number * of.CATEGORIES * 8, of.CATEGORIES)
        kind, place = input_[0], input_[1]
        if kind == of.IDS:  # columns beside ids replace what is stored: Python knows how
            return LEFT, False
        if kind == of.READY_FEATURES or kind == of.READY_WINDOW:
            if column[SENT_AS] == AS_COLUMN or not read_ready(loop, table, model, data, column, kind, n):
                return LEFT, False
            ready += 1
            continue
        if column[SENT_AS] == AS_TENSOR or ready:
            return LEFT, False
        if columns_given == 0:
            values[:] = np.nan
            history[:] = np.nan
        columns_given += 1
        if kind == of.A_HISTORY or kind == of.ALL_HISTORIES:
            if not read_histories(loop, table, model, data, column, kind, place, n, taken):
                return LEFT, False
            continue
        if column[to.DIMENSIONS] > 2 or (column[to.DIMENSIONS] == 2 and not is_single(column)):
            return LEFT, False
        cells = doubles(held.place(loop, table, held.VALUES) + 8 * place, n * single - place)
        if column[to.TYPE] == to.TEXT:
            fine = read_texts(data, column, input_, cells, single, n)
        elif kind == of.A_TEXT or kind == of.ELSE or kind == of.LENGTHS:
            fine = False
        else:
            fine = read_numbers(data, column, cells, single)
        if not fine or (column[to.VALID_SIZE] and not clear_missing(data, column, cells, single, n)):
            return LEFT, False
        if kind == of.A_CATEGORY and column[to.TYPE] != to.TEXT:
            only_known(cells, single, n, input_)
    if ready and (columns_given or ready != model[of.READY_COUNT]):
        return LEFT, False
    return n, ready > 0


@bare_inlined
def is_single(column):
    """Whether a column of two dimensions is one value a row; of epm.v1 it is a history, however short."""
    return column[to.SECOND] == 1 and column[SENT_AS] != AS_COLUMN


@bare
def asks_by_id(loop, table, model, data, request, columns):
    """Whether the request brings ids of entities that the model takes, and nothing else."""
    column = columns[0]
    flat = column[to.DIMENSIONS] == 1 or (column[to.DIMENSIONS] == 2 and column[to.SECOND] == 1)
    if request[to.COLUMNS] != 1 or column[to.TYPE] != to.TEXT or not flat:
        return False
    if request[to.ENTITIES]:
        size = request[to.KIND_SIZE]
        return model[of.ENTITY_SIZE] == size + 1 and same(
            octets(model[of.ENTITY], size), 0, data, request[to.KIND], size
        )
    if column[SENT_AS] == AS_COLUMN:  # epm.v1 has entities for it
        return False
    hints = words(held.place(loop, table, held.HINTS), to.MOST_COLUMNS)
    return model[of.IDS_NUMBER] >= 0 and sent(model, data, column, hints, 0) == model[of.IDS_NUMBER]


@bare_inlined
def sent(model, data, column, hints, c):
    """The number of the input that a column is of; most clients send them in the same order every time."""
    name, size = column[to.NAME], column[to.NAME_SIZE]
    hint = hints[c]
    if 0 <= hint < model[of.SENT_COUNT]:
        known = words(model[of.SENT_NAMES] + 16 * hint, 2)
        if known[1] == size and equal(octets(known[0], size), 0, data, name, size):
            return hint
    number = find(model[of.NAMES], model[of.NAMES_MASK], data, name, size)
    hints[c] = number
    return number


@bare
def read_ready(loop, table, model, data, column, kind, n):
    """A tensor of the graph; whether it is as `ServedModel.check_ready` wants it."""
    if kind == of.READY_FEATURES:
        width, address, bit = model[of.FEATURES], held.place(loop, table, held.FEATURES), 1
        if column[to.DIMENSIONS] != 2 or column[to.SECOND] != width:
            return False
    else:
        width, address, bit = model[of.WINDOW], held.place(loop, table, held.WINDOW), 2
        if column[to.DIMENSIONS] != 3 or column[to.SECOND] != model[of.MONTHS]:
            return False
        if column[to.SECOND] * column[to.THIRD] != width:
            return False
    out = singles(address, n * width)
    if not read_singles(data, column, out, 0):
        return False
    infinite = missing = False
    for i in range(out.size):
        infinite |= np.isinf(out[i])
        missing |= np.isnan(out[i])
    return not infinite and not (missing and model[of.MISSING_ALLOWED] & bit == 0)


@bare
def read_histories(loop, table, model, data, column, kind, k, n, taken):
    """Histories of as many months as the model reads; other lengths are left to Python."""
    histories, months = model[of.HISTORIES], model[of.MONTHS]
    if column[to.TYPE] == to.TEXT or column[to.VALID_SIZE] or column[to.SECOND] != months:
        return False
    history = doubles(held.place(loop, table, held.HISTORY), n * histories * months)
    if kind == of.A_HISTORY:
        if column[to.DIMENSIONS] != 2 or taken[model[of.ALL_HISTORIES_NUMBER]]:
            return False
        given = doubles(held.place(loop, table, held.MONTHLY), n * months)
        if not read_numbers(data, column, given, 1):
            return False
        for i in range(n):
            for t in range(months):
                history[(i * histories + k) * months + t] = given[i * months + t]
        return True
    if column[to.DIMENSIONS] != 3 or column[to.THIRD] != histories:
        return False
    for number in range(model[of.SENT_COUNT]):
        if taken[number] and words(model[of.SENT] + number * of.CATEGORIES * 8, 1)[0] == of.A_HISTORY:
            return False
    given = doubles(held.place(loop, table, held.MONTHLY), n * months * histories)
    if not read_numbers(data, column, given, 1):
        return False
    for i in range(n):
        for t in range(months):
            for h in range(histories):
                history[(i * histories + h) * months + t] = given[(i * months + t) * histories + h]
    return True


@bare
def read_texts(data, column, input_, cells, stride, n):
    """Texts of a category or a text input; an empty one is missing."""
    kind = input_[0]
    if kind != of.A_CATEGORY and kind != of.A_TEXT:
        return False
    cursor = column[to.AT]
    for i in range(n):
        place, size, cursor = next_text(data, column, cursor)
        if place < 0 or cursor == BAD:
            return False
        if size == 0:
            cells[i * stride] = np.nan
        elif kind == of.A_TEXT:
            cells[i * stride] = text_code(data, place, place + size)
        else:
            cells[i * stride] = find(input_[2], input_[3], data, place, size)
            if cells[i * stride] < 0:
                cells[i * stride] = input_[1 + of.UNKNOWN_CODE]
    place, size, cursor = next_text(data, column, cursor)
    return place < 0 and cursor != BAD


@bare
def clear_missing(data, column, cells, stride, n):
    """Make missing what the bitmap of a column of epm.v1 does not say is given; False for another size of it."""
    if column[to.VALID_SIZE] != (n + 7) // 8:
        return False
    for i in range(n):
        if data[column[to.VALID] + i // 8] >> (i % 8) & 1 == 0:
            cells[i * stride] = np.nan
    return True


@bare
def only_known(cells, stride, n, input_):
    """Codes of categories that were sent as numbers: what is no code is unknown; infinity is refused elsewhere."""
    unknown = np.float64(input_[1 + of.UNKNOWN_CODE])
    for i in range(n):
        code = cells[i * stride]
        if np.isfinite(code) and not (code >= 0 and code < unknown and code == np.floor(code)):
            cells[i * stride] = unknown
