"""The answer to a request, written from what is known of its rows."""

import numpy as np
from numba import types

from serving.jit import callback, general
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import request_kernels as to
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.epm_kernels import write_epm
from serving.listeners.h2.kserve_kernels import write_kserve
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import octets, single_rows, singles, words
from serving.listeners.h2.stream_kernels import add_answer
from serving.listeners.h2.table_kernels import place
from serving.listeners.h2.tf_serving_kernels import write_tf_serving
from serving.listeners.h2.views_kernels import found_of, marks_of, outputs_of, request_of

_A = types.int64


@callback(_A(_A, _A, _A, _A, _A, _A))
def write(owner, number, codec, address, _a, _b):
    """Write the answer behind what stream `number` is answered already; 0 where there is no memory for it."""
    loop, model = words(owner, at.LOOP), words(address, of.MODEL)
    table, stream = words(loop[at.TABLE], held.TABLE), stream_at(loop, number)
    data, found = octets(stream[at.BODY], stream[at.BODY_SIZE]), found_of(loop, table)
    n, ready, wanted = found[held.ROWS], found[held.READY] != 0, found[held.WANTED_COUNT]
    low, marked = found[held.LOW], found[held.MARKED]
    request, outputs = request_of(loop, table), outputs_of(loop, table, model, n)
    room = model[of.ROOM] + n * model[of.ROOM_OF_A_ROW] + request[to.ID_SIZE]
    if room > table[held.ANSWER_SIZE]:
        return 0
    out = octets(place(loop, table, held.ANSWER), table[held.ANSWER_SIZE])
    margin = singles(place(loop, table, held.MARGIN), n)
    if model[of.DECIDES] != of.NOTHING:
        values = single_rows(place(loop, table, held.OUTPUTS), n, model[of.WIDTH])
        margins(model, values, margin)
    coverage, marks = singles(place(loop, table, held.COVERAGE), n), marks_of(loop, table, model, n)
    chosen = words(place(loop, table, held.CHOSEN), to.MOST_WANTED)
    if codec == at.KSERVE:
        end = write_kserve(
            model, data, request, chosen, wanted, n, ready, outputs, margin, coverage, marks, low, marked, out, 0
        )
    elif codec == at.TF_SERVING:
        end = write_tf_serving(
            model, data, request, chosen, wanted, n, ready, outputs, margin, coverage, marks, low, marked, out, 0
        )
    else:
        end = write_epm(model, data, request, n, ready, outputs, margin, coverage, marks, low, marked, out, 0)
    return 1 if end >= 0 and add_answer(loop, stream, out, 0, end) else 0


@general
def margins(model, outputs, margin):
    """As `ServedModel.margin`. outputs: int32[n, W] as float32."""
    first, many = model[of.DECIDING], model[of.DECIDED]
    if model[of.DECIDES] == of.A_THRESHOLD:
        threshold = model[of.THRESHOLD : of.THRESHOLD + 1].view(np.float32)[0]
        for i in range(margin.size):
            margin[i] = np.abs(outputs[i, first] - threshold)
        return
    for i in range(margin.size):
        best, second = outputs[i, first], -np.float32(np.inf)
        for c in range(first + 1, first + many):
            p = outputs[i, c]
            lower = best if best < p else p
            second = lower if lower > second else second
            best = p if p > best else best
        margin[i] = best - second
