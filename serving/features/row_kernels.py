"""Compiled inspection of raw rows: what is given, what is missing, and what cannot be."""

import numpy as np

from serving.jit import kernel

FINE, INFINITE, BELOW, ABOVE, MISSING_REQUIRED, TOO_OLD = range(6)
MISSING, UNKNOWN, OUT_OF_RANGE, STALE = 1, 2, 4, 8
STATES = 4
LOW, HIGH, LEAST_SEEN, MOST_SEEN, WEIGHT, REQUIRED, SPECIAL = range(7)


@kernel
def _check(x, c, facts):
    """(what is wrong with a given value or FINE, its mark)."""
    if np.isinf(x):
        return INFINITE, 0
    if x < facts[LOW, c]:
        return BELOW, 0
    if x > facts[HIGH, c]:
        return ABOVE, 0
    if x < facts[LEAST_SEEN, c] or x > facts[MOST_SEEN, c]:
        return FINE, UNKNOWN if facts[SPECIAL, c] else OUT_OF_RANGE
    return FINE, 0


@kernel
def inspect_rows(values, history, order, facts, least_coverage, coverage, marks, wrong, where):
    """Check raw rows and measure how much of them was given.

    values: float64[n, C]; history: float64[n, K, T]; order: int64[C + K], place of each of them among the contract's
    inputs; facts: float64[7, inputs]: physical low and high, low and high seen in training (of a category the code of
    "unknown" is above the highest), weight (they sum to 1), whether required, whether a category. Written: coverage:
    float32[n]; marks: uint8[n, inputs], MISSING, UNKNOWN, OUT_OF_RANGE; wrong: uint8[n], what is wrong with the row's
    first wrong value; where: int64[n, 2], its input, and its month or -1.
    Returns how many rows are wrong, how many marks there are, and how many rows have less than least_coverage.
    """
    wrong_rows = marked = low = 0
    n, columns, months = values.shape[0], values.shape[1], history.shape[2]
    for i in range(n):
        total = 0.0
        wrong[i] = FINE
        for c in range(columns):
            number = order[c]
            x = values[i, c]
            if np.isnan(x):
                marks[i, number] = MISSING
                bad = MISSING_REQUIRED if facts[REQUIRED, number] else FINE
            else:
                bad, mark = _check(x, number, facts)
                marks[i, number] = mark
                total += facts[WEIGHT, number]
            if bad != FINE and wrong[i] == FINE:
                wrong[i], where[i, 0], where[i, 1] = bad, number, -1
        for k in range(history.shape[1]):
            number = order[columns + k]
            given, seen = 0, 0
            for t in range(months):
                x = history[i, k, t]
                if not np.isnan(x):
                    given += 1
                    bad, mark = _check(x, number, facts)
                    seen |= mark
                    if bad != FINE and wrong[i] == FINE:
                        wrong[i], where[i, 0], where[i, 1] = bad, number, t
            if given == 0 and facts[REQUIRED, number] and wrong[i] == FINE:
                wrong[i], where[i, 0], where[i, 1] = MISSING_REQUIRED, number, -1
            marks[i, number] = seen if given else MISSING
            total += facts[WEIGHT, number] * given / months
        coverage[i] = min(total, 1.0)
        low += coverage[i] < np.float32(least_coverage)
        wrong_rows += wrong[i] != FINE
        for c in range(marks.shape[1]):
            marked += marks[i, c] != 0
    return wrong_rows, marked, low


@kernel
def mark_stale(as_of, oldest, as_error, marks, wrong, where):
    """Mark stored facts that are too old.

    as_of: int64[n, inputs], milliseconds, -1 where a fact is not stored; oldest: int64[inputs], what is older is stale;
    as_error: bool[inputs]. Written: marks, wrong and where as in `inspect_rows`. Returns how many rows became wrong,
    and how many facts are stale.
    """
    wrong_rows = stale = 0
    for i in range(as_of.shape[0]):
        for c in range(as_of.shape[1]):
            if 0 <= as_of[i, c] < oldest[c] and marks[i, c] & MISSING == 0:
                marks[i, c] |= STALE
                stale += 1
                if as_error[c] and wrong[i] == FINE:
                    wrong[i], where[i, 0], where[i, 1] = TOO_OLD, c, -1
                    wrong_rows += 1
    return wrong_rows, stale


@kernel
def count_marks(marks, counts):
    """Add to counts, int64[STATES, inputs], how often each state stands in marks, uint8[n, inputs]."""
    for i in range(marks.shape[0]):
        for c in range(marks.shape[1]):
            mark = marks[i, c]
            if mark:
                for state in range(STATES):
                    if mark & (1 << state):
                        counts[state, c] += 1
