"""Compiled reading of cells: the usual forms of numbers, and names that are known. What is else is left to Python."""

import numpy as np

from serving.jit import inlined, kernel

MINUS, DOT, ZERO, NINE = 45, 46, 48, 57
MOST_DIGITS = 15
"""A whole number of so many digits, divided by a power of ten up to 10**22, is rounded once and so rightly."""
POWERS = np.array([10.0**power for power in range(23)])


@inlined
def _number(buffer, start, stop, powers):
    """(value, whether it has the usual form: digits, with a minus before and a dot within at most)."""
    i, negative = start, False
    if buffer[i] == MINUS:
        negative = True
        i += 1
    whole, digits, places, dots = np.int64(0), 0, 0, 0
    while i < stop:
        byte = buffer[i]
        if ZERO <= byte <= NINE:
            whole = whole * 10 + (byte - ZERO)
            digits += 1
            places += dots
        elif byte == DOT and dots == 0:
            dots = 1
        else:
            return 0.0, False
        i += 1
        if digits > MOST_DIGITS:
            return 0.0, False
    if digits == 0:
        return 0.0, False
    value = whole / powers[places]
    return -value if negative else value, True


@kernel
def numbers(buffer, starts, ends, column, powers, values, odd):
    """Cells of one column as float64[n], empty ones as NaN.

    starts, ends: int32[n, W]. odd: int64[n] gets the rows whose cells have another form; returns how many.
    """
    count = 0
    for row in range(len(values)):
        start, stop = starts[row, column], ends[row, column]
        if start == stop:
            values[row] = np.nan
            continue
        value, usual = _number(buffer, start, stop, powers)
        if usual:
            values[row] = value
        else:
            values[row] = np.nan
            odd[count] = row
            count += 1
    return count


@kernel
def names(buffer, starts, ends, column, known, bounds, values, odd):
    """Cells of one column as the place of the name among those that are known, float64[n]; empty ones as NaN.

    known: uint8[...], the names one after the other; bounds: int64[names + 1], where each begins and the last ends.
    odd: int64[n] gets the rows whose cells are something else; returns how many.
    """
    count = 0
    for row in range(len(values)):
        start, stop = starts[row, column], ends[row, column]
        values[row] = np.nan
        if start == stop:
            continue
        found = False
        for name in range(len(bounds) - 1):
            begin = bounds[name]
            if bounds[name + 1] - begin != stop - start:
                continue
            i = 0
            while i < stop - start and buffer[start + i] == known[begin + i]:
                i += 1
            if i == stop - start:
                values[row] = name
                found = True
                break
        if not found:
            odd[count] = row
            count += 1
    return count
