"""Compiled feature programs and row inspection: one kernel each, for any model; loading a model compiles nothing."""

import numpy as np

from serving.jit import kernel

IMPUTE, CLIP, SCALE, ONE_HOT, MISSING_FLAG = range(5)
BLOCK = 128  # rows: the values of a program for a block stay in the first-level cache

FINE, INFINITE, BELOW, ABOVE, MISSING = range(5)
UNKNOWN_CATEGORY, OUT_OF_TRAINING_RANGE = 1, 2


@kernel
def _impute(x, y, value):
    for i in range(x.shape[0]):
        y[i] = value if np.isnan(x[i]) else x[i]


@kernel
def _clip(x, y, low, high):
    for i in range(x.shape[0]):
        v = x[i]
        v = low if v < low else v
        y[i] = high if v > high else v


@kernel
def _scale(x, y, center, width):
    for i in range(x.shape[0]):
        y[i] = (x[i] - center) / width


@kernel
def _one_hot(x, y, code):
    for i in range(x.shape[0]):
        y[i] = 1.0 if x[i] == code else 0.0


@kernel
def _missing_flag(x, y):
    for i in range(x.shape[0]):
        y[i] = 1.0 if np.isnan(x[i]) else 0.0


@kernel
def run_program(raw, codes, sources, params, features, out):
    """Execute a compiled program.

    raw: float64[n, columns]; codes: int64[steps]; sources: int64[steps, inputs], numbers of values: first the raw
    columns, then one value a step; params: float64[steps, k]; features: int64[F], numbers of values;
    out: float32[n, F], written.
    """
    n, columns = raw.shape
    steps = codes.shape[0]
    values = np.empty((columns + steps, min(n, BLOCK)))
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for c in range(columns):
            for i in range(size):
                values[c, i] = raw[start + i, c]
        for s in range(steps):
            code, p = codes[s], params[s]
            x, y = values[sources[s, 0], :size], values[columns + s, :size]
            if code == IMPUTE:
                _impute(x, y, p[0])
            elif code == CLIP:
                _clip(x, y, p[0], p[1])
            elif code == SCALE:
                _scale(x, y, p[0], p[1])
            elif code == ONE_HOT:
                _one_hot(x, y, p[0])
            elif code == MISSING_FLAG:
                _missing_flag(x, y)
        for f in range(features.shape[0]):
            for i in range(size):
                out[start + i, f] = values[features[f], i]


@kernel
def inspect_rows(raw, bounds, required, weights, coverage, marks):
    """Check raw rows and measure how much of them was given.

    raw: float64[n, columns]; bounds: float64[4, columns]: physical low and high, low and high seen in training (for a
    category the code of "unknown" is above the highest seen); required: bool[columns]; weights: float64[columns],
    summing to 1; coverage: float32[n], written; marks: uint8[n, columns], written, 1 where a value is outside what was
    seen.
    Returns (what is wrong or FINE, its row, its column, number of marks).
    """
    n, columns = raw.shape
    marked = 0
    for i in range(n):
        given = 0.0
        for c in range(columns):
            x = raw[i, c]
            marks[i, c] = 0
            if np.isnan(x):
                if required[c]:
                    return MISSING, i, c, marked
                continue
            if np.isinf(x):
                return INFINITE, i, c, marked
            if x < bounds[0, c]:
                return BELOW, i, c, marked
            if x > bounds[1, c]:
                return ABOVE, i, c, marked
            given += weights[c]
            if x < bounds[2, c] or x > bounds[3, c]:
                marks[i, c] = 1
                marked += 1
        coverage[i] = min(given, 1.0)
    return FINE, 0, 0, marked
