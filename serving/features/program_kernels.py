"""Compiled feature programs: one kernel for any model; loading a model compiles nothing."""

import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic

from serving.features.dispatch_kernels import of_history, plain
from serving.jit import kernel

CODE, INPUT, OTHER, OUTPUT, HEIGHT, PARAMS, PARAMS_END = range(7)
WORK = 4


@intrinsic
def _borrowed(typing_context, array):
    """The same array without a reference count: slicing it costs no atomic operations. It must not outlive `array`."""

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array

        view = make_array(array)(context, builder, value=arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        return view._getvalue()

    return array(array), generate


@kernel
def _columns(source, first, size, scratch):
    """scratch[c, i] = source[first + i, c]. source: float64[n, columns]; scratch: float64[>= columns, >= size].

    Eight rows at a time, written out: LLVM would make slow gathers of an inner loop over them.
    """
    whole = size - size % 8
    for i in range(0, whole, 8):
        at = first + i
        for c in range(source.shape[1]):
            a, b, d, e = source[at, c], source[at + 1, c], source[at + 2, c], source[at + 3, c]
            f, g, h, j = source[at + 4, c], source[at + 5, c], source[at + 6, c], source[at + 7, c]
            scratch[c, i], scratch[c, i + 1], scratch[c, i + 2], scratch[c, i + 3] = a, b, d, e
            scratch[c, i + 4], scratch[c, i + 5], scratch[c, i + 6], scratch[c, i + 7] = f, g, h, j
    for i in range(whole, size):
        for c in range(source.shape[1]):
            scratch[c, i] = source[first + i, c]


@kernel
def _rows(scratch, chosen, first, size, out):
    """out[first + i, f] = scratch[chosen[f], i]. out: float32[n, len(chosen)]. Eight rows at a time, as above."""
    whole = size - size % 8
    for i in range(0, whole, 8):
        at = first + i
        for k in range(chosen.shape[0]):
            row = chosen[k]
            a, b, d, e = scratch[row, i], scratch[row, i + 1], scratch[row, i + 2], scratch[row, i + 3]
            f, g, h, j = scratch[row, i + 4], scratch[row, i + 5], scratch[row, i + 6], scratch[row, i + 7]
            out[at, k], out[at + 1, k], out[at + 2, k], out[at + 3, k] = a, b, d, e
            out[at + 4, k], out[at + 5, k], out[at + 6, k], out[at + 7, k] = f, g, h, j
    for i in range(whole, size):
        for k in range(chosen.shape[0]):
            out[first + i, k] = scratch[chosen[k], i]


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
        history = histories[start : start + long]
        for j in range(long):
            mask[j] = mask[j] if np.isnan(history[j]) else 1.0
    for start in range(size, long, size):
        before, now = mask[start - size : start], mask[start : start + size]
        for i in range(size):
            now[i] = now[i] if before[i] == 0.0 else 1.0


@kernel
def run_program(values, history, steps, params, chosen, layout, out, window):
    """Execute a compiled program, in blocks of rows.

    values: float64[n, C]; history: float64[n, K, T]; steps: int64[S, 7] (see the names above: code, rows of inputs and
    output in the scratch memory, how many rows high they are, where the parameters are); params: float64[p]; chosen:
    int64[F + T * W], rows of the scratch memory that are copied out, the first F of them to out: float32[n, F], the
    others to window: float32[n, T, W]; layout: int64[7]: F, rows of the scratch memory, rows of a block, row of the
    mask (-1: nobody reads it), first row of the histories, T, K.
    """
    n, columns = values.shape[0], values.shape[1]
    features, height, block, mask = layout[0], layout[1], layout[2], layout[3]
    flat_history = history.reshape(n, history.shape[1] * history.shape[2])
    flat_window = window.reshape(n, window.shape[1] * window.shape[2])
    owner = np.empty(height * min(n, block))
    memory, params = _borrowed(owner), _borrowed(params)
    for start in range(0, n, block):
        size = min(block, n - start)
        flat = memory[: height * size]
        scratch = flat.reshape(height, size)
        _columns(values, start, size, scratch)
        _columns(flat_history, start, size, scratch[columns:])
        if mask >= 0:
            long = layout[5] * size
            given = flat[layout[4] * size : layout[4] * size + layout[6] * long]
            _mask(given, layout[5], flat[mask * size : mask * size + long])
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
        _rows(scratch, chosen[features:], start, size, flat_window)
    owner[0] = 0.0  # it lives until here
