"""A request read, its model found, its rows assembled and inspected."""

import numpy as np
from numba import types

from serving.features.row_kernels import inspect_rows
from serving.jit import callback, general
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.answer_kernels import choose
from serving.listeners.h2.epm_kernels import read_epm
from serving.listeners.h2.kserve_kernels import read_kserve
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import double_rows, octets, singles, word_rows, words
from serving.listeners.h2.rows_kernels import LEFT, assemble
from serving.listeners.h2.table_kernels import find_model, model_of, place
from serving.listeners.h2.tf_serving_kernels import read_tf_serving
from serving.listeners.h2.views_kernels import columns_of, cube, found_of, marks_of, request_of, wanted_of

_A = types.int64


@callback(_A(_A, _A, _A, _A, _A, _A))
def prepare(owner, number, codec, start, size, serial):
    """The address of the model that a message asks for, when its rows are in the loop's memory; 0: Python reads it.

    owner: address of the loop; the message is body[start : start + size] of stream `number`; serial: of the model that
    is meant, 0 for the one that is served.
    """
    loop = words(owner, at.LOOP)
    table, stream = words(loop[at.TABLE], held.TABLE), stream_at(loop, number)
    data = octets(stream[at.BODY], stream[at.BODY_SIZE])
    request, columns, wanted = request_of(loop, table), columns_of(loop, table), wanted_of(loop, table)
    if codec == at.KSERVE:
        outcome = read_kserve(data, start, start + size, request, columns, wanted)
    elif codec == at.TF_SERVING:
        outcome = read_tf_serving(data, start, start + size, request, columns, wanted)
    else:
        outcome = read_epm(data, start, start + size, request, columns, wanted)
    if outcome == to.LEAVE:
        return 0
    address = model_of(table, serial) if serial else find_model(table, data, request)
    if address == 0:
        return 0
    model = words(address, of.MODEL)
    if model[of.HOW] == of.LEFT:
        return 0
    n, ready = assemble(loop, table, model, data, request, columns)
    if n == LEFT:
        return 0
    chosen = words(place(loop, table, held.CHOSEN), to.MOST_WANTED)
    outcome, many = choose(model, data, request, wanted, ready, chosen)
    if outcome == to.LEAVE:
        return 0
    wrong = marked = low = 0
    if not ready:
        wrong, marked, low = inspect(loop, table, model, n)
    found = found_of(loop, table)
    found[held.ROWS], found[held.READY], found[held.WANTED_COUNT] = n, ready, many
    found[held.LOW], found[held.MARKED] = low, marked
    return 0 if wrong else address


@general
def inspect(loop, table, model, n):
    """As `row_kernels.inspect_rows`, of the rows in the loop's memory."""
    single, histories, inputs = model[of.SINGLE], model[of.HISTORIES], model[of.INPUTS]
    return inspect_rows(
        double_rows(place(loop, table, held.VALUES), n, single),
        cube(loop, table, model, n),
        words(model[of.ORDER], single + histories),
        double_rows(model[of.FACTS], 7, inputs),
        model[of.LEAST_COVERAGE : of.LEAST_COVERAGE + 1].view(np.float64)[0],
        singles(place(loop, table, held.COVERAGE), n),
        marks_of(loop, table, model, n),
        octets(place(loop, table, held.WRONG), n),
        word_rows(place(loop, table, held.WHERE), n, 2),
    )
