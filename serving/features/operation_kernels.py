"""The operations of feature programs, compiled: one kernel each, under the name that it has in `operations.py`.

An operation on numbers reads and writes float64[m] (of a history: all its months, one after the other) and takes its
parameters as float64[k]: `kernel(x, y, p)`, with two inputs `kernel(a, b, y, p)`. An operation on a history reads
float64[months, n] and writes float64[n]: `kernel(x, y, p, work)`; work: float64[4, n], for what it has to remember.
NaN is a missing value. Loops run over rows innermost, where memory is contiguous: LLVM vectorises them.
"""

import numpy as np

from serving.jit import kernel

FIRST_DAY, LAST_DAY = -719162, 2932896  # 0001-01-01 and 9999-12-31, counted from 1970-01-01


@kernel
def impute(x, y, p):
    value = p[0]
    for i in range(x.shape[0]):
        y[i] = value if np.isnan(x[i]) else x[i]


@kernel
def clip(x, y, p):
    low, high = p[0], p[1]
    for i in range(x.shape[0]):
        v = x[i]
        v = low if v < low else v
        y[i] = high if v > high else v


@kernel
def scale(x, y, p):
    center, width = p[0], p[1]
    for i in range(x.shape[0]):
        y[i] = (x[i] - center) / width


@kernel
def log(x, y, p):
    shift = p[0]
    for i in range(x.shape[0]):
        v = x[i] + shift
        y[i] = np.log(v) if v > 0.0 else np.nan


@kernel
def ratio(a, b, y, p):
    for i in range(y.shape[0]):
        y[i] = a[i] / b[i] if b[i] != 0.0 else np.nan


@kernel
def difference(a, b, y, p):
    for i in range(y.shape[0]):
        y[i] = a[i] - b[i]


@kernel
def bucket(x, y, p):
    for i in range(x.shape[0]):
        y[i] = np.nan if np.isnan(x[i]) else 0.0
    for k in range(p.shape[0]):
        edge = p[k]
        for i in range(x.shape[0]):
            y[i] += 1.0 if x[i] >= edge else 0.0


@kernel
def missing_flag(x, y, p):
    for i in range(x.shape[0]):
        y[i] = 1.0 if np.isnan(x[i]) else 0.0


@kernel
def one_hot(x, y, p):
    code = p[0]
    for i in range(x.shape[0]):
        y[i] = 1.0 if x[i] == code else 0.0


@kernel
def ordinal(x, y, p):
    last = p.shape[0] - 1
    for i in range(x.shape[0]):
        v = x[i]
        y[i] = v if np.isnan(v) else p[int(v)] if 0.0 <= v < last else p[last]


@kernel
def target_encode(x, y, p):
    unknown = p.shape[0] - 2
    for i in range(x.shape[0]):
        v = x[i]
        y[i] = p[unknown + 1] if np.isnan(v) else p[int(v)] if 0.0 <= v < unknown else p[unknown]


@kernel
def hash_bucket(x, y, p):
    buckets, seed = np.uint64(p[0]), np.uint64(p[1]) * np.uint64(0x9E3779B97F4A7C15)
    for i in range(x.shape[0]):
        if np.isnan(x[i]):
            y[i] = np.nan
            continue
        h = np.uint64(x[i]) + seed  # then the finaliser of SplitMix64 (Steele, Lea, Flood: OOPSLA 2014)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        y[i] = np.float64((h ^ (h >> np.uint64(31))) % buckets)


@kernel
def civil(days):
    """Year, month and day of a number of days since 1970-01-01, proleptic Gregorian calendar.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years are counted from March, in eras of 400.
    """
    shifted = days + 719468
    era = shifted // 146097
    of_era = shifted - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, day


@kernel
def in_calendar(v):
    return FIRST_DAY <= v < LAST_DAY + 1.0


@kernel
def year(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(int(np.floor(x[i])))[0] if in_calendar(x[i]) else np.nan


@kernel
def quarter(x, y, p):
    for i in range(x.shape[0]):
        y[i] = (civil(int(np.floor(x[i])))[1] + 2) // 3 if in_calendar(x[i]) else np.nan


@kernel
def month(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(int(np.floor(x[i])))[1] if in_calendar(x[i]) else np.nan


@kernel
def day(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(int(np.floor(x[i])))[2] if in_calendar(x[i]) else np.nan


@kernel
def weekday(x, y, p):
    for i in range(x.shape[0]):
        y[i] = (int(np.floor(x[i])) + 3) % 7 if in_calendar(x[i]) else np.nan


@kernel
def day_of_year(x, y, p):
    for i in range(x.shape[0]):
        if not in_calendar(x[i]):
            y[i] = np.nan
            continue
        days = int(np.floor(x[i]))
        of_year, of_month, of_day = civil(days)
        leap = (of_year % 4 == 0 and of_year % 100 != 0) or of_year % 400 == 0
        after_february = (59 + leap) if of_month > 2 else 0
        months = of_month - 3 if of_month > 2 else of_month - 1
        before = (153 * months + 2) // 5 if of_month > 2 else 31 * months
        y[i] = after_february + before + of_day


@kernel
def last(x, y, p, work):
    n = y.shape[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0]):
        for i in range(n):
            y[i] = y[i] if np.isnan(x[t, i]) else x[t, i]


@kernel
def _add_up(x, first, total, count):
    """Sum and number of the given months from `first` on."""
    n = total.shape[0]
    for i in range(n):
        total[i] = 0.0
        count[i] = 0.0
    for t in range(first, x.shape[0]):
        for i in range(n):
            v = x[t, i]
            total[i] += 0.0 if np.isnan(v) else v
            count[i] += 0.0 if np.isnan(v) else 1.0


@kernel
def sum(x, y, p, work):
    count = work[0]
    _add_up(x, x.shape[0] - int(p[0]), y, count)
    for i in range(y.shape[0]):
        y[i] = y[i] if count[i] > 0.0 else np.nan


@kernel
def mean(x, y, p, work):
    count = work[0]
    _add_up(x, x.shape[0] - int(p[0]), y, count)
    for i in range(y.shape[0]):
        y[i] /= count[i]


@kernel
def std(x, y, p, work):
    n, first = y.shape[0], x.shape[0] - int(p[0])
    count, middle = work[0], work[1]
    _add_up(x, first, middle, count)
    for i in range(n):
        middle[i] /= count[i]
        y[i] = 0.0
    for t in range(first, x.shape[0]):
        for i in range(n):
            d = x[t, i] - middle[i]
            y[i] += 0.0 if np.isnan(d) else d * d
    for i in range(n):
        y[i] = np.sqrt(y[i] / count[i])


@kernel
def slope(x, y, p, work):
    n, first = y.shape[0], x.shape[0] - int(p[0])
    count, middle, when, spread = work[0], work[1], work[2], work[3]
    _add_up(x, first, middle, count)
    for i in range(n):
        when[i] = 0.0
    for t in range(first, x.shape[0]):
        at = float(t - first)
        for i in range(n):
            when[i] += 0.0 if np.isnan(x[t, i]) else at
    for i in range(n):
        middle[i] /= count[i]
        when[i] /= count[i]
        spread[i] = 0.0
        y[i] = 0.0
    for t in range(first, x.shape[0]):
        at = float(t - first)
        for i in range(n):
            given = not np.isnan(x[t, i])
            d = at - when[i]
            y[i] += d * (x[t, i] - middle[i]) if given else 0.0
            spread[i] += d * d if given else 0.0
    for i in range(n):
        y[i] /= spread[i]


@kernel
def min(x, y, p, work):
    n = y.shape[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0] - int(p[0]), x.shape[0]):
        for i in range(n):
            v = x[t, i]
            y[i] = y[i] if np.isnan(v) or y[i] <= v else v


@kernel
def max(x, y, p, work):
    n = y.shape[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0] - int(p[0]), x.shape[0]):
        for i in range(n):
            v = x[t, i]
            y[i] = y[i] if np.isnan(v) or y[i] >= v else v


@kernel
def ewm(x, y, p, work):
    n, decay = y.shape[0], p[1]
    weight = work[0]
    for i in range(n):
        y[i] = 0.0
        weight[i] = 0.0
    for t in range(x.shape[0] - int(p[0]), x.shape[0]):
        for i in range(n):
            v = x[t, i]
            y[i] = y[i] * decay + (0.0 if np.isnan(v) else v)
            weight[i] = weight[i] * decay + (0.0 if np.isnan(v) else 1.0)
    for i in range(n):
        y[i] /= weight[i]


@kernel
def longest_run(x, y, p, work):
    n, bound = y.shape[0], p[1]
    run = work[0]
    for i in range(n):
        y[i] = np.nan
        run[i] = 0.0
    for t in range(x.shape[0] - int(p[0]), x.shape[0]):
        for i in range(n):
            v = x[t, i]
            run[i] = run[i] + 1.0 if v > bound else 0.0
            y[i] = y[i] if np.isnan(v) or y[i] >= run[i] else run[i]


@kernel
def months_since(x, y, p, work):
    n, bound = y.shape[0], p[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0]):
        for i in range(n):
            y[i] = 0.0 if x[t, i] > bound else y[i] + 1.0


@kernel
def yearly_change(x, y, p, work):
    now = x.shape[0] - 1
    for i in range(y.shape[0]):
        y[i] = x[now, i] - x[now - 12, i]
