"""Compiled writing of CSV: float32 in the shortest text that gives it back, as NumPy writes it, and rows of cells."""

import numpy as np

from serving.jit import inlined, kernel

COMMA, LF, MINUS, DOT, ZERO = 44, 10, 45, 46, 48
LEAST, MOST = np.float32(1e-4), np.float32(1e6)
"""NumPy writes numbers between them without an exponent, and what is done here is exact."""
PLACES = 13
ROOM = 24
"""Bytes that a number has at most."""


@inlined
def _shortest(x, powers):
    """(digits, how many of them stand behind the dot) of a float32 above LEAST, below MOST; -1 places where it is not
    certain which digits are right.

    What reads back as x lies between two numbers half way to its neighbours, which float64 holds exactly; a quotient
    that is rounded once is compared with them rightly. On the borders, and where x is a power of two (its neighbours
    are not equally far), nothing is decided.
    """
    above, below = np.float64(np.nextafter(x, np.float32(np.inf))), np.float64(np.nextafter(x, np.float32(0)))
    exact = np.float64(x)
    if above - exact != exact - below:
        return np.int64(0), -1
    low, high = (exact + below) / 2, (exact + above) / 2
    for places in range(1, PLACES + 1):
        scaled = exact * powers[places]
        if scaled >= 2.0**31:
            break
        digits = np.floor(scaled + 0.5)
        near = digits / powers[places]
        if low < near < high:
            if abs(scaled - np.floor(scaled) - 0.5) < 1e-5:
                break
            return np.int64(digits), places
        if near in (low, high):
            break
    return np.int64(0), -1


@kernel
def shortest(values, powers, digits, places, odd):
    """Texts of float32[n, k] as digits: int64[n, k] and how many of them stand behind the dot: int8[n, k].

    odd: int64[n * k] gets the places (row * k + column) of what has to be written otherwise, as their places get -1;
    returns how many.
    """
    count = 0
    for i in range(values.shape[0]):
        for c in range(values.shape[1]):
            x = values[i, c]
            size = abs(x)
            if x == 1 or (x == 0 and not np.signbit(x)):
                digits[i, c], places[i, c] = np.int64(x) * 10, 1
                continue
            found, behind = np.int64(0), -1
            if LEAST < size < MOST:
                found, behind = _shortest(size, powers)
            digits[i, c], places[i, c] = -found if x < 0 else found, behind
            if behind < 0:
                odd[count] = i * values.shape[1] + c
                count += 1
    return count


@inlined
def _write_number(out, at, digits, places):
    if digits < 0:
        out[at] = MINUS
        at += 1
        digits = -digits
    size, rest = 1, digits
    while rest >= 10:
        rest //= 10
        size += 1
    size = max(size, places + 1)
    stop = at + size + 1
    i = stop - 1
    for k in range(size):
        if k == places:
            out[i] = DOT
            i -= 1
        out[i] = ZERO + digits % 10
        digits //= 10
        i -= 1
    return stop


@kernel
def write(is_number, place, digits, places, texts, pool, bounds, out):
    """Rows as CSV: uint8 of `out`, which has room for them. Returns where they end.

    Column c is number place[c] of digits: int64[n, k] and places: int8[n, k] where is_number[c], and where its places
    are -1 text digits[., .] of the pool. Otherwise it is text texts[., place[c]] (int64[n, T]) of the pool: uint8[...],
    of which text t is bounds[t] to bounds[t + 1].
    """
    at, columns = 0, len(place)
    for i in range(texts.shape[0]):
        for c in range(columns):
            if is_number[c] and places[i, place[c]] >= 0:
                at = _write_number(out, at, digits[i, place[c]], places[i, place[c]])
            else:
                text = digits[i, place[c]] if is_number[c] else texts[i, place[c]]
                for byte in range(bounds[text], bounds[text + 1]):
                    out[at] = pool[byte]
                    at += 1
            out[at] = COMMA if c + 1 < columns else LF
            at += 1
    return at
