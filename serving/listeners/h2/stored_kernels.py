"""Rows by id: records out of the online store's replica, read and inspected as `pipeline` does it.

The replica is int64[STORE]. Only records that are right now are taken, and only while Redis says what changes; whatever
is not as common as that is left to Python.
"""

import numpy as np
from numba import types

from serving.cache import cache_kernels as cache
from serving.features.memory_kernels import prefetch
from serving.features.row_kernels import mark_stale
from serving.hash_kernels import siphash128
from serving.jit import bare, callback, general
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.inspect_kernels import inspect
from serving.listeners.h2.libc_kernels import clock, milliseconds
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import (
    copy,
    double_rows,
    doubles,
    ints,
    octets,
    word_rows,
    words,
)
from serving.listeners.h2.table_kernels import place
from serving.listeners.h2.values_kernels import next_text
from serving.listeners.h2.views_kernels import columns_of, cube, found_of, marks_of
from serving.listeners.h2.wire_kernels import BAD, is_utf8
from serving.shared_kernels import acquire, begin_read, is_unchanged
from serving.store import replica_kernels as replica
from serving.store.reader_kernels import FINE, NEWEST, read_records

_A = types.int64

SLOTS, SLOT_COUNT, RING, RING_WORDS, CLOCK, K0, K1 = range(7)
"""The replica's arrays, and the bits of the key under which ids are hashed."""
STORE = 8

_FOUND = 0
_FIRST = 0x9E3779B97F4A7C15 - (1 << 64)


@callback(_A(_A, _A, _A, _A, _A, _A))
def stored(owner, number, address, serial, _a, _b):
    """How many rows there are now in the loop's memory, of the ids that a request brings; 0: Python shall do it.

    serial: not 0 when the rows were there before, and must be the same ones.
    """
    loop, model = words(owner, at.LOOP), words(address, of.MODEL)
    if loop[at.STORE] == 0:
        return 0
    table, store, stream = words(loop[at.TABLE], held.TABLE), words(loop[at.STORE], STORE), stream_at(loop, number)
    times = words(place(loop, table, held.TIMES), count.TIMES)
    if model[of.KEPT_CLOCK]:
        found_of(loop, table)[held.SINCE] = acquire(model[of.KEPT_CLOCK] + 8 * cache.GENERATION)
    began = clock(loop[at.SMALL]) if loop[at.METRICS] else 0
    n = hash_ids(loop, table, model, store, octets(stream[at.BODY], stream[at.BODY_SIZE]), columns_of(loop, table)[0])
    if n == 0 or not take_records(loop, table, store, n):
        return 0
    if loop[at.METRICS]:
        times[1 + count.STORE] = clock(loop[at.SMALL]) - began
    if not read_rows(loop, table, model, n):
        return 0
    if model[of.HOW] == of.FEATURED:
        hashed = rows_hash(loop, table, model, n)
        if serial and hashed != stream[at.ROWS_HASH]:
            return 0
        stream[at.ROWS_HASH] = hashed
    return n


@bare
def hash_ids(loop, table, model, store, data, column):
    """Keys of the ids in a column, and how many there are; 0 for what is left to Python."""
    n, kind = column[to.ROWS], model[of.ENTITY_SIZE]
    if n < 1 or n > table[held.MOST_ROWS] or kind > held.MOST_TEXT // 2:
        return 0
    keys = word_rows(place(loop, table, held.KEYS), n, 2)
    text = octets(place(loop, table, held.TEXT), held.MOST_TEXT)
    slots = words(store[SLOTS], 4 * store[SLOT_COUNT])
    copy(octets(model[of.ENTITY], kind), 0, kind, text, 0)
    k0, k1 = np.uint64(store[K0]), np.uint64(store[K1])
    cursor = column[to.AT]
    for i in range(n):
        start, size, cursor = next_text(data, column, cursor)
        if start < 0 or size == 0 or size > held.MOST_TEXT // 2 or not is_utf8(data, start, size):
            return 0
        copy(data, start, size, text, kind)
        low, high = siphash128(text, 0, kind + size, k0, k1)
        keys[i, 0], keys[i, 1] = np.int64(low), np.int64(high)
        prefetch(slots, 4 * (keys[i, 0] & (store[SLOT_COUNT] - 1)))
    text[:] = 0  # whose ids they were is nobody's business any more
    start, size, cursor = next_text(data, column, cursor)
    return n if start < 0 and cursor != BAD else 0


@bare
def take_records(loop, table, store, n):
    """The records of n keys, all of one moment; False where one is missing, or something was changed meanwhile."""
    lock = store[CLOCK] + 8 * replica.LOCK
    seen = begin_read(lock)
    epoch, until = acquire(store[CLOCK] + 8 * replica.EPOCH), acquire(store[CLOCK] + 8 * replica.UNTIL)
    if seen & 1 or epoch == 0 or loop[at.NOW] > until:
        return False
    slots, ring = word_rows(store[SLOTS], store[SLOT_COUNT], 4), words(store[RING], store[RING_WORDS])
    records = words(place(loop, table, held.RECORDS), held.RECORD_WORDS)
    keys = word_rows(place(loop, table, held.KEYS), n, 2)
    places = word_rows(place(loop, table, held.PLACES), 2, n)
    room = 0
    for i in range(n):
        length = replica.take(slots, store[SLOTS], ring, epoch, keys[i, 0], keys[i, 1], records, room)
        if length < 0:
            return False
        places[0, i], places[1, i] = 8 * room, 8 * room + length
        room += (length + 7) >> 3
    return is_unchanged(lock, seen)


@general
def read_rows(loop, table, model, n):
    """Raw rows of records, inspected; whether all of them can be answered."""
    single, histories, inputs = model[of.SINGLE], model[of.HISTORIES], model[of.INPUTS]
    places = word_rows(place(loop, table, held.PLACES), 2, n)
    state = octets(place(loop, table, held.STATE), n)
    state[:] = _FOUND
    as_of = word_rows(place(loop, table, held.AS_OF), n, inputs)
    read, read_where = octets(place(loop, table, held.READ), n), ints(place(loop, table, held.READ_WHERE), n)
    read_records(
        octets(place(loop, table, held.RECORDS), 8 * held.RECORD_WORDS),
        places[0],
        places[1],
        state,
        _FOUND,
        octets(model[of.READER_NAMES], model[of.READER_NAMES_SIZE]),
        word_rows(model[of.READER_INPUTS], single, 7),
        word_rows(model[of.READER_HISTORIES], histories, 4),
        word_rows(model[of.READER_CATEGORIES], model[of.READER_CATEGORY_COUNT], 3),
        octets(place(loop, table, held.REPLACED), inputs).view(np.bool_),
        NEWEST,
        double_rows(place(loop, table, held.VALUES), n, single),
        cube(loop, table, model, n),
        as_of,
        read,
        read_where,
    )
    records = words(place(loop, table, held.RECORDS), held.RECORD_WORDS)
    records[: (places[1, n - 1] + 7) >> 3] = 0  # erasing must not have to look for copies
    for i in range(n):
        if read[i] != FINE:
            return False
    if not inspect(loop, table, model, n):
        return False
    oldest, ages = words(place(loop, table, held.OLDEST), inputs), doubles(model[of.MAX_AGE], inputs)
    now = np.float64(milliseconds(loop[at.SMALL]))
    for c in range(inputs):
        oldest[c] = np.int64(max(now - ages[c], -1.0))
    wrong, stale = mark_stale(
        as_of,
        oldest,
        octets(model[of.STALE_IS_ERROR], inputs).view(np.bool_),
        marks_of(loop, table, model, n),
        octets(place(loop, table, held.WRONG), n),
        word_rows(place(loop, table, held.WHERE), n, 2),
    )
    found_of(loop, table)[held.MARKED] += stale
    return wrong == 0


@bare
def rows_hash(loop, table, model, n):
    """Another number for other rows, as good as always."""
    hashed = np.int64(n)
    values = words(place(loop, table, held.VALUES), n * model[of.SINGLE])
    for i in range(values.shape[0]):
        hashed = mixed(hashed, values[i])
    history = words(place(loop, table, held.HISTORY), n * model[of.HISTORIES] * model[of.MONTHS])
    for i in range(history.shape[0]):
        hashed = mixed(hashed, history[i])
    return hashed


@bare
def mixed(hashed, word):
    value = (hashed ^ word) * _FIRST
    return value ^ (value >> 29)
