"""Records become raw rows: one kernel for any contract. Where things lie in a record, `record_kernels.parse` finds."""

import numpy as np

from serving.hash_kernels import text_code
from serving.jit import kernel
from serving.store.record_kernels import (
    AT,
    CHECKSUM,
    END,
    FACT_END,
    FACT_STAMP,
    FIRST,
    KIND,
    MISSING,
    MONTHS,
    NUMBER,
    PAYLOAD,
    STAMP,
    TEXT,
    compare,
    known_stamp,
    load_float,
    load_int64,
    parse,
    read_months,
    tables,
)

NUMBERS, CATEGORIES, TEXTS, DATES = range(4)  # kinds of inputs
FINE, TEXT_FOR_NUMBER, NO_DATE, NOT_WHOLE, BROKEN = range(5)

# Columns of the tables of inputs and categories; the first two are AT and END of the name.
INPUT, COLUMN, INPUT_KIND, FIRST_CATEGORY, N_CATEGORIES = 2, 3, 4, 5, 6
CODE = 2

NEWEST = -(2**31)
DAY_MS = 86_400_000
_LARGEST = 2.0**53
_ZERO_DIGIT, _DASH = 48, 45


@kernel
def read_records(
    buffer,
    starts,
    ends,
    state,
    found,
    names,
    inputs,
    series_inputs,
    categories,
    replaced,
    present_month,
    values,
    history,
    as_of,
    wrong,
    wrong_input,
):
    """Read the inputs of a contract from n records.

    buffer: uint8[:]; starts, ends: int64[n]; state: uint8[n], the record is read where it is `found`.
    names: uint8[:], those of the contract; inputs: int64[C, 7], series_inputs: int64[K, 4], in order of their names;
    categories: int64[.., 3], those of each input in order of their names. replaced: bool[inputs], what is stored of
    them does not count; present_month: the last month of every history, NEWEST for the newest one that is known.
    values: float64[n, C], history: float64[n, K, T], as_of: int64[n, inputs], wrong: uint8[n], wrong_input: int32[n]:
    written.
    """
    sources, facts, series = tables()
    n_histories, months = history.shape[1:]
    rows = np.empty(n_histories, np.int64)
    for i in range(starts.shape[0]):
        values[i, :] = np.nan
        history[i, :, :] = np.nan
        as_of[i, :] = -1
        wrong[i], wrong_input[i] = FINE, -1
        if state[i] != found:
            continue
        fine, _, _, n_facts, n_series, stamps, width = parse(
            buffer, starts[i], ends[i] - CHECKSUM, sources, facts, series
        )
        if not fine:
            wrong[i] = BROKEN
            continue

        f = c = 0
        while f < n_facts and c < inputs.shape[0]:
            order = compare(buffer, facts[f, AT], facts[f, END], names, inputs[c, AT], inputs[c, END])
            if order == 0:
                if facts[f, KIND] == NUMBER and inputs[c, INPUT_KIND] == NUMBERS:  # most are, and the call costs more
                    value, problem = load_float(buffer, facts[f, PAYLOAD]), FINE
                else:
                    value, problem = _value(buffer, facts, f, names, inputs, c, categories)
                values[i, inputs[c, COLUMN]] = value
                number = inputs[c, INPUT]
                as_of[i, number] = load_int64(buffer, stamps + facts[f, FACT_STAMP] * STAMP)
                if problem != FINE and not replaced[number] and (wrong[i] == FINE or number < wrong_input[i]):
                    wrong[i], wrong_input[i] = problem, number
            f += order <= 0
            c += order >= 0

        rows[:] = -1
        present = present_month
        if present == NEWEST:
            for s in range(n_series):
                present = max(present, series[s, FIRST] + series[s, MONTHS] - 1)
        s = c = 0
        while s < n_series and c < n_histories:
            line, given = series[s], series_inputs[c]
            order = compare(buffer, line[AT], line[END], names, given[AT], given[END])
            if order == 0:
                rows[c] = s
                as_of[i, given[INPUT]] = _newest(buffer, line, present, stamps, width)
            s += order <= 0
            c += order >= 0
        for c in range(n_histories):
            if rows[c] >= 0:
                line, column = series[rows[c]], series_inputs[c, COLUMN]
                shift = line[FIRST] - present + months - 1  # where the first month of the series goes
                first, end = max(0, -shift), min(line[MONTHS], months - shift)
                if first < end:
                    read_months(buffer, line, first, history[i, column, shift + first : shift + end])


@kernel
def _newest(buffer, line, present, stamps, width):
    """When the newest known month of a series up to `present` was so: as its source said, but not after its end."""
    m = min(line[MONTHS] - 1, present - line[FIRST])
    while m >= 0:
        stamp = known_stamp(buffer, line, m, width)
        if stamp >= 0:
            month = line[FIRST] + m + 1
            end = np.int64(_day_number(1970 + month // 12, month % 12 + 1, 1)) * DAY_MS - 1
            return min(load_int64(buffer, stamps + stamp * STAMP), end)
        m -= 1
    return np.int64(-1)


@kernel
def _value(buffer, facts, f, names, inputs, c, categories):
    """Fact f as input c takes it: (value, what is wrong)."""
    kind, start, end = inputs[c, INPUT_KIND], facts[f, PAYLOAD] + 1, facts[f, FACT_END]  # of the text, if it is one
    if facts[f, KIND] == MISSING or (facts[f, KIND] == TEXT and start == end):
        return np.nan, FINE
    if facts[f, KIND] == TEXT:
        if kind == CATEGORIES:
            return _category(buffer, start, end, names, inputs[c], categories), FINE
        if kind == TEXTS:
            return text_code(buffer, start, end), FINE
        if kind == DATES:
            return _days(buffer, start, end)
        return np.nan, TEXT_FOR_NUMBER
    number = load_float(buffer, facts[f, PAYLOAD])
    if kind == CATEGORIES:
        unknown = np.float64(inputs[c, N_CATEGORIES])
        known = 0 <= number < unknown and number == np.floor(number)
        return (number if known or not np.isfinite(number) else unknown), FINE
    if kind == TEXTS and not np.isnan(number):
        return _whole_number(number)
    return number, FINE


@kernel
def _category(buffer, start, end, names, given, categories):
    """The code of a category, by halving."""
    low, high = given[FIRST_CATEGORY], given[FIRST_CATEGORY] + given[N_CATEGORIES]
    while low < high:
        middle = (low + high) // 2
        order = compare(buffer, start, end, names, categories[middle, AT], categories[middle, END])
        if order == 0:
            return np.float64(categories[middle, CODE])
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return np.float64(given[N_CATEGORIES])


@kernel
def _whole_number(number):
    """The code of a number's decimal digits, as text."""
    if not abs(number) < _LARGEST or number != np.floor(number):
        return np.nan, NOT_WHOLE
    text = np.empty(20, np.uint8)
    at = text.shape[0]
    rest = np.int64(abs(number))
    while rest > 0 or at == text.shape[0]:
        at -= 1
        text[at] = _ZERO_DIGIT + rest % 10
        rest //= 10
    if number < 0:
        at -= 1
        text[at] = _DASH
    return text_code(text, at, text.shape[0]), FINE


@kernel
def _days(buffer, start, end):
    """Days since 1970-01-01 of a date as in 2026-03-31."""
    if end - start != 10 or buffer[start + 4] != _DASH or buffer[start + 7] != _DASH:
        return np.nan, NO_DATE
    for i in range(10):
        if i != 4 and i != 7 and not 0 <= np.int64(buffer[start + i]) - _ZERO_DIGIT <= 9:
            return np.nan, NO_DATE
    year = _digits(buffer, start, 4)
    month = _digits(buffer, start + 5, 2)
    day = _digits(buffer, start + 8, 2)
    if year < 1 or not 1 <= month <= 12:
        return np.nan, NO_DATE
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 28 + leap if month == 2 else 30 + (month + month // 8) % 2
    if not 1 <= day <= longest:
        return np.nan, NO_DATE
    return np.float64(_day_number(year, month, day)), FINE


@kernel
def _day_number(year, month, day):
    """Days since 1970-01-01."""
    if month <= 2:  # years that begin in March end with the day that some of them lack
        year -= 1
        month += 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1 - 719468


@kernel
def _digits(buffer, at, count):
    number = 0
    for i in range(count):
        number = 10 * number + np.int64(buffer[at + i]) - _ZERO_DIGIT
    return number
