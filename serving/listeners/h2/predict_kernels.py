"""One prediction, from the bytes of its request to those of its answer.

Its four steps are callbacks of their own: each is compiled once, and not once more in everything that calls it.
"""

from serving.jit import general, general_inlined
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.hand_kernels import notify, others_wait
from serving.listeners.h2.libc_kernels import clock
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import call, copy, octets, words
from serving.listeners.h2.stream_kernels import PREFIX, finish, make_ready
from serving.listeners.h2.table_kernels import place
from serving.listeners.h2.views_kernels import found_of, marks_of

LEFT_TO_PYTHON, ANSWERED, FEATURED = 0, 1, 2
STREAM_METHOD = 3
"""Of `count_kernels.METHODS`: messages of epm's stream; before it the codecs in their order."""


@general
def predict(loop, number, codec, start, size, streaming):
    """Answer the message of a stream that begins at `start` of its body."""
    if loop[at.TABLE] == 0:
        return LEFT_TO_PYTHON
    stream, owner = stream_at(loop, number), loop[at.SELF]
    table = words(loop[at.TABLE], held.TABLE)
    times, found = words(place(loop, table, held.TIMES), count.TIMES), found_of(loop, table)
    times[1 + count.STORE] = times[1 + count.CACHE] = 0
    lap(loop, times, 1)
    times[0] = times[1] if streaming else stream[at.BEGAN]
    address = call(loop[at.PREPARE], owner, number, codec, start, size, 0)
    if address == 0:
        return LEFT_TO_PYTHON
    model = words(address, of.MODEL)
    n, how = found[held.ROWS], model[of.HOW]
    if streaming and how != of.FOREST:
        return LEFT_TO_PYTHON
    lap(loop, times, 2)
    if found[held.READY] == 0 and call(loop[at.FEATURE], owner, address, n, 0, 0, 0) == 0:
        return LEFT_TO_PYTHON
    lap(loop, times, 3)
    kept = model[of.KEPT_SLOTS] != 0 and call(loop[at.KEPT], owner, address, n, 0, 0, 0) != 0
    if how == of.FEATURED and not kept:
        if not hand_features(loop, number, table, model, n):
            return LEFT_TO_PYTHON
        for i in range(4):
            stream[at.LAPS + i] = times[i]
        stream[at.STORE_TOOK] = times[1 + count.STORE]
        return FEATURED
    if not kept and call(loop[at.COMPUTE], owner, address, n, 0, 0, 0) == 0:
        return LEFT_TO_PYTHON
    lap(loop, times, 4)
    if call(loop[at.WRITE], owner, number, codec, address, 0, 0) == 0:
        return LEFT_TO_PYTHON
    lap(loop, times, 5)
    if loop[at.METRICS]:
        took, cells = times[4] - times[3], counts_of(loop, model)
        if kept:
            times[1 + count.CACHE] = took
            count.kept(cells, n)
        else:
            count.computed(cells, n, took)
        note(loop, table, model, STREAM_METHOD if streaming else codec - 1, times)
    return ANSWERED


@general
def note(loop, table, model, method, times):
    """Count an answer."""
    cells, found = counts_of(loop, model), found_of(loop, table)
    n = found[held.ROWS]
    count.answered(cells, method, n, times)
    if found[held.BY_ID]:
        words(loop[at.COUNTED], count.COUNTS)[count.STORED_ROWS] += n
    if found[held.READY] == 0:
        count.inspected(cells, n, found[held.LOW], found[held.MARKED], marks_of(loop, table, model, n))


@general_inlined
def lap(loop, times, stage):
    """A stage ended now."""
    if loop[at.METRICS]:
        times[stage] = clock(loop[at.SMALL])


@general_inlined
def counts_of(loop, model):
    """The cells in which this loop counts for a model."""
    size = model[of.COUNTS_OF_A_LOOP]
    return words(model[of.COUNTS] + 8 * size * loop[at.NUMBER], size)


@general
def hand_features(loop, number, table, model, n):
    """Ask Python what the model says of rows; the request stays here."""
    if others_wait(loop):
        return False
    stream = stream_at(loop, number)
    features, window = model[of.FEATURES], model[of.WINDOW]
    address = loop[at.TO_PYTHON]
    to_python = words(address, ring.RING)
    size = 4 * n * (features + window)
    record_at = ring.reserve(to_python, address, 8 * ring.RECORD + size)
    if record_at == 0:
        return False
    record = words(record_at, ring.RECORD)
    record[ring.KIND], record[ring.STREAM], record[ring.GENERATION] = ring.FEATURED, number, stream[at.GENERATION]
    record[ring.MODEL], record[ring.DEADLINE], record[ring.ROWS] = model[of.SERIAL], stream[at.DEADLINE], n
    found = found_of(loop, table)
    record[ring.SINCE] = 1 + found[held.SINCE] if found[held.BY_ID] else 0
    record[ring.PRIORITY], record[ring.BODY] = stream[at.PRIORITY], size
    record[ring.BEGAN] = stream[at.BEGAN]
    out = octets(record_at + 8 * ring.RECORD, size)
    copy(octets(place(loop, table, held.FEATURES), 4 * n * features), 0, 4 * n * features, out, 0)
    copy(octets(place(loop, table, held.WINDOW), 4 * n * window), 0, 4 * n * window, out, 4 * n * features)
    ring.publish(to_python, address, record_at)
    notify(loop)
    stream[at.TOLD] = stream[at.WAITING] = 1
    stream[at.ASKED] = model[of.SERIAL]
    return True


@general
def with_outputs(loop, number, record, data):
    """Answer a call whose rows Python has asked a model about; as a whole to Python where that cannot be done."""
    stream = stream_at(loop, number)
    stream[at.TOLD] = stream[at.WAITING] = 0
    if record[ring.KIND] == ring.OUTPUTS and answer_with(loop, number, record, data):
        words(loop[at.COUNTED], count.COUNTS)[count.FEATURED] += 1
        finish(loop, number)
    else:
        stream[at.ASKED] = at.WHOLE
        make_ready(loop, number)


@general
def answer_with(loop, number, record, said):
    """Read the request again, and write its answer from what the model said."""
    stream, owner = stream_at(loop, number), loop[at.SELF]
    if loop[at.TABLE] == 0 or stream[at.ASKED] != record[ring.STATUS]:
        return False
    table = words(loop[at.TABLE], held.TABLE)
    method = words(loop[at.METHODS] + stream[at.METHOD_OF] * at.METHOD * 8, at.METHOD)
    codec, times = method[at.METHOD_CODEC], words(place(loop, table, held.TIMES), count.TIMES)
    times[1 + count.STORE] = times[1 + count.CACHE] = 0
    lap(loop, times, 4)
    size = stream[at.BODY_SIZE] - PREFIX
    address = call(loop[at.PREPARE], owner, number, codec, PREFIX, size, stream[at.ASKED])
    if address == 0:
        return False
    model = words(address, of.MODEL)
    size = 4 * found_of(loop, table)[held.ROWS] * model[of.WIDTH]
    if record[ring.MESSAGE_BYTES] != size:
        return False
    copy(said, 0, size, octets(place(loop, table, held.OUTPUTS), size), 0)
    if call(loop[at.WRITE], owner, number, codec, address, 0, 0) == 0:
        return False
    lap(loop, times, 5)
    if loop[at.METRICS]:
        for i in range(4):
            times[i] = stream[at.LAPS + i]
        times[1 + count.STORE] = stream[at.STORE_TOOK]
        note(loop, table, model, codec - 1, times)
    return True
