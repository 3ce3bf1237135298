"""Compiled feature programs: one kernel for any model; loading a model compiles nothing."""

import numpy as np

from serving.features.dispatch_kernels import of_history, plain
from serving.features.memory_kernels import TILE, prefetch, tile, view
from serving.jit import inlined, kernel

HEADER = 9
CODE, INPUT, OTHER, OUTPUT, HEIGHT, PARAMS, PARAMS_END = range(7)
STEP = 7
WORK = 4
LINE = 8  # float64 of a cache line


@inlined
def _fetch(source, columns, first, size, part, parts):
    """Have one part of many of source[first : first + size] brought to the cache while something else is computed."""
    start, long = first * columns, size * columns
    for at in range(start + long * part // parts, start + long * (part + 1) // parts, LINE):
        prefetch(source, at)


@kernel
def _columns(source, columns, first, size, scratch):
    """scratch[c * size + i] = source[(first + i) * columns + c]. source: float64[n, columns], flat; scratch: flat."""
    whole = size - size % TILE if columns >= TILE else 0
    for i in range(0, whole, TILE):
        for c in range(0, columns, TILE):
            c = min(c, columns - TILE)  # the last tile may repeat columns of the one before
            a, d = (first + i) * columns + c, columns
            starts = (a, a + d, a + 2 * d, a + 3 * d, a + 4 * d, a + 5 * d, a + 6 * d, a + 7 * d)
            tile(source, starts, scratch, c * size + i, size)
    for i in range(whole, size):
        for c in range(columns):
            scratch[c * size + i] = source[(first + i) * columns + c]


@kernel
def _rows(scratch, chosen, first, size, out):
    """out[(first + i) * F + k] = scratch[chosen[k] * size + i]. out: float32[n, F], flat; F: the length of chosen."""
    features = chosen.shape[0]
    whole = size - size % TILE if features >= TILE else 0
    for i in range(0, whole, TILE):
        for k in range(0, features, TILE):
            k = min(k, features - TILE)
            a, b, c, d = chosen[k], chosen[k + 1], chosen[k + 2], chosen[k + 3]
            e, f, g, h = chosen[k + 4], chosen[k + 5], chosen[k + 6], chosen[k + 7]
            left = (a * size + i, b * size + i, c * size + i, d * size + i)
            starts = (*left, e * size + i, f * size + i, g * size + i, h * size + i)
            tile(scratch, starts, out, (first + i) * features + k, features)
    for i in range(whole, size):
        for k in range(features):
            out[(first + i) * features + k] = scratch[chosen[k] * size + i]


@kernel
def _mask(histories, months, mask):
    """1 from the first month on in which one of the histories is given.

    histories: float64[K * months * size], one after the other, and of each one month after the other; mask:
    float64[months * size], written.
    """
    long = mask.shape[0]
    size = long // months
    for j in range(long):
        mask[j] = 0.0
    for start in range(0, histories.shape[0], long):
        history = view(histories, start, (long,))
        for j in range(long):
            mask[j] = mask[j] if np.isnan(history[j]) else 1.0
    for start in range(size, long, size):
        before, now = view(mask, start - size, (size,)), view(mask, start, (size,))
        for i in range(size):
            now[i] = now[i] if before[i] == 0.0 else 1.0


@kernel
def run_program(values, history, program, out, window):
    """Execute a compiled program, in blocks of rows.

    values: float64[n, C]; history: float64[n, K, T]; out: float32[n, F]; window: float32[n, T, W], both written;
    program: int64[], one after the other
    - the header: F, T * W, rows of the scratch memory, rows of a block, row of the mask (-1: nobody reads it), first
      row of the histories, T, K, number of steps S;
    - S steps of 7: code, rows of inputs and output in the scratch memory, how many rows high they are, where the
      parameters begin and end (see the names above); -1 for the second input says that the operation is of a history;
    - F + T * W rows of the scratch memory that are copied to out and window;
    - the parameters, float64.
    """
    n, columns = values.shape[0], values.shape[1]
    features, cells, height, block, mask = program[0], program[1], program[2], program[3], program[4]
    first_history, months, histories, steps = program[5], program[6], program[7], program[8]
    chosen = HEADER + STEP * steps
    params = program[chosen + features + cells :].view(np.float64)
    owner = np.empty(height * min(n, block) + LINE)
    aligned = -(owner.ctypes.data // 8) % LINE
    for start in range(0, n, block):
        size = min(block, n - start)
        flat = view(owner, aligned, (height * size,))
        _columns(view(values, 0, (n * columns,)), columns, start, size, flat)
        if histories:
            long = months * size
            given = view(flat, first_history * size, (histories * long,))
            _columns(view(history, 0, (history.size,)), histories * months, start, size, given)
            if mask >= 0:
                _mask(given, months, view(flat, mask * size, (long,)))
        work = view(flat, (height - WORK) * size, (WORK, size))
        ahead = min(block, n - start - size)
        for s in range(steps):
            if ahead > 0:  # the next block comes from memory while this one is computed
                _fetch(values, columns, start + size, ahead, s, steps)
                _fetch(history, histories * months, start + size, ahead, s, steps)
            step = view(program, HEADER + STEP * s, (STEP,))
            high, a, b, y = step[HEIGHT], step[INPUT] * size, step[OTHER] * size, step[OUTPUT] * size
            p = view(params, step[PARAMS], (step[PARAMS_END] - step[PARAMS],))
            if b < 0 and size == 1:
                of_history(step[CODE], view(flat, a, (high, 1)), view(flat, y, (1,)), p, view(work, 0, (WORK, 1)))
            elif b < 0:
                of_history(step[CODE], view(flat, a, (high, size)), view(flat, y, (size,)), p, work)
            else:
                long = high * size
                plain(step[CODE], view(flat, a, (long,)), view(flat, b, (long,)), view(flat, y, (long,)), p)
        _rows(flat, view(program, chosen, (features,)), start, size, view(out, 0, (n * features,)))
        if cells:
            _rows(flat, view(program, chosen + features, (cells,)), start, size, view(window, 0, (n * cells,)))
    owner[0] = 0.0  # it lives until here
