"""A request read, its model found, its rows assembled and inspected."""

from numba import types

from serving.jit import callback
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.answer_kernels import choose
from serving.listeners.h2.epm_kernels import read_epm
from serving.listeners.h2.inspect_kernels import inspect
from serving.listeners.h2.kserve_kernels import read_kserve
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import call, octets, words
from serving.listeners.h2.rows_kernels import LEFT, asks_by_id, assemble
from serving.listeners.h2.table_kernels import find_model, model_of, place
from serving.listeners.h2.tf_serving_kernels import read_tf_serving
from serving.listeners.h2.views_kernels import columns_of, found_of, request_of, wanted_of

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
    found = found_of(loop, table)
    by_id = asks_by_id(loop, table, model, data, request, columns)
    if by_id:
        n, ready = call(loop[at.STORED], owner, number, address, serial, 0, 0), False
    elif request[to.SIGNATURE_SIZE] == to.BY_ID_SIGNATURE or request[to.ENTITIES]:
        return 0
    else:
        n, ready = assemble(loop, table, model, data, request, columns)
    if n == LEFT:
        return 0
    chosen = words(place(loop, table, held.CHOSEN), to.MOST_WANTED)
    outcome, many = choose(model, data, request, wanted, ready, chosen)
    if outcome == to.LEAVE:
        return 0
    found[held.ROWS], found[held.READY], found[held.WANTED_COUNT], found[held.BY_ID] = n, ready, many, by_id
    if by_id:  # inspected already
        return address
    found[held.LOW] = found[held.MARKED] = 0
    return address if ready or inspect(loop, table, model, n) else 0
