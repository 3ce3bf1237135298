"""Compiled feature programs: one kernel for any model; loading a model compiles nothing."""

import numpy as np

from serving.features.dispatch_kernels import of_history, plain
from serving.jit import kernel

CODE, INPUT, OTHER, OUTPUT, HEIGHT, PARAMS, PARAMS_END = range(7)
TILE = 8  # rows that are copied together: their cache lines stay in the first-level cache
WORK = 4


@kernel
def _columns(source, first, size, scratch):
    """scratch[c, i] = source[first + i, c]. source: float64[n, columns]; scratch: float64[>= columns, size]."""
    for start in range(0, size, TILE):
        end = min(start + TILE, size)
        for c in range(source.shape[1]):
            for i in range(start, end):
                scratch[c, i] = source[first + i, c]


@kernel
def _rows(scratch, chosen, first, size, out):
    """out[first + i, f] = scratch[chosen[f], i]. out: float32[n, len(chosen)]."""
    for start in range(0, size, TILE):
        end = min(start + TILE, size)
        for f in range(chosen.shape[0]):
            row = chosen[f]
            for i in range(start, end):
                out[first + i, f] = scratch[row, i]


@kernel
def _mask(scratch, first, months, histories, into, size):
    """1 from the first month on in which one of the histories is given. These lie one after the other from `first`."""
    for t in range(months):
        for i in range(size):
            given = t > 0 and scratch[into + t - 1, i] == 1.0
            for k in range(histories):
                given |= not np.isnan(scratch[first + k * months + t, i])
            scratch[into + t, i] = 1.0 if given else 0.0


@kernel
def run_program(values, history, steps, params, chosen, features, out, window, height, block, mask):
    """Execute a compiled program, in blocks of rows.

    values: float64[n, C]; history: float64[n, K * T], the months of one input after the other; steps: int64[S, 7] (see
    the names above: code, rows of inputs and output in the scratch memory, how many rows high they are, where the
    parameters are); params: float64[p]; chosen: int64[F + T * W], rows of the scratch memory that are copied out, the
    first F of them to out: float32[n, F], the others to window: float32[n, T * W]; features: F; height: rows of the
    scratch memory; block: rows of a block; mask: int64[4]: its row (-1: nobody reads it), the first row of the
    histories, T, K.
    """
    n, columns = values.shape[0], values.shape[1]
    memory = np.empty(height * min(n, block))
    for start in range(0, n, block):
        size = min(block, n - start)
        flat = memory[: height * size]
        scratch = flat.reshape(height, size)
        _columns(values, start, size, scratch)
        _columns(history, start, size, scratch[columns:])
        if mask[0] >= 0:
            _mask(scratch, mask[1], mask[2], mask[3], mask[0], size)
        work = scratch[height - WORK :]
        for s in range(steps.shape[0]):
            code, a, b, y = steps[s, CODE], steps[s, INPUT], steps[s, OTHER], steps[s, OUTPUT]
            high, p = steps[s, HEIGHT], params[steps[s, PARAMS] : steps[s, PARAMS_END]]
            if b == -1:
                of_history(code, scratch[a : a + high], scratch[y], p, work)
            else:
                long = high * size
                x, z, into = a * size, b * size, y * size
                plain(code, flat[x : x + long], flat[z : z + long], flat[into : into + long], p)
        _rows(scratch, chosen[:features], start, size, out)
        _rows(scratch, chosen[features:], start, size, window)
