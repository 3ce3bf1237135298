"""Predictions that are kept: answers to rows that were asked before, without the model."""

import numpy as np
from numba import types

from serving.cache import cache_kernels as cache
from serving.hash_kernels import siphash128
from serving.jit import callback
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import model_kernels as of
from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.libc_kernels import clock
from serving.listeners.h2.memory_kernels import copy, ints, octets, word_rows, words
from serving.listeners.h2.table_kernels import place
from serving.shared_kernels import begin_read, is_unchanged

_A = types.int64
_MILLISECOND = 1_000_000


@callback(_A(_A, _A, _A, _A, _A, _A))
def kept(owner, address, n, _a, _b, _c):
    """Outputs of the rows in the loop's memory: 1 when all of them are kept, else 0: Python has the others computed."""
    loop, model = words(owner, at.LOOP), words(address, of.MODEL)
    table = words(loop[at.TABLE], held.TABLE)
    lock, clock_words = model[of.KEPT_CLOCK] + 8 * cache.LOCK, words(model[of.KEPT_CLOCK], cache.CLOCK)
    slots = word_rows(model[of.KEPT_SLOTS], model[of.KEPT_COUNT], model[of.KEPT_WORDS])
    features, window, width = 4 * model[of.FEATURES], 4 * model[of.WINDOW], model[of.WIDTH]
    a, b = features, window
    first, second = place(loop, table, held.FEATURES), place(loop, table, held.WINDOW)
    if model[of.WINDOW_FIRST]:
        a, b, first, second = b, a, second, first
    row = octets(place(loop, table, held.ROW), a + b)
    outputs = ints(place(loop, table, held.OUTPUTS), n * width)
    k0, k1 = np.uint64(model[of.KEPT_K0]), np.uint64(model[of.KEPT_K1])
    now = clock(loop[at.SMALL]) // _MILLISECOND
    seen = begin_read(lock)
    if seen & 1 or clock_words[cache.ENTRIES] == 0:
        return 0
    for i in range(n):
        copy(octets(first + i * a, a), 0, a, row, 0)
        copy(octets(second + i * b, b), 0, b, row, a)
        low, high = siphash128(row, 0, a + b, k0, k1)
        turns = clock_words[cache.TURNS]
        if not cache.take(slots, turns, np.int64(low), np.int64(high), now, outputs, i * width, width):
            return 0
    return is_unchanged(lock, seen)
