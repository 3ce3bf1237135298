"""The operations of feature programs, compiled: one kernel each, under the name that it has in `operations.py`.

An operation on numbers reads and writes float64[m] (of a history: all its months, one after the other) and takes its
parameters as float64[k]: `kernel(x, y, p)`, with two inputs `kernel(a, b, y, p)`. An operation on a history reads
float64[months, n] and writes float64[n]: `kernel(x, y, p, work)`; work: float64[4, n], for what it has to remember.
NaN is a missing value. Loops run over rows innermost, where memory is contiguous: LLVM vectorises them.
"""

import numpy as np

from serving.jit import inlined

# Bits of float64, for the logarithm.
SQRT_HALF, FRACTION, TWO_52 = 0x3FE6A09E00000000, 0x000FFFFFFFFFFFFF, 0x4330000000000000
BELOW_ONE = 0x3FF0000000000000 - SQRT_HALF
SMALLEST_NORMAL = 2.0**-1022
AT_ONCE = 3  # months that are added in registers, before a sum goes back to memory
FIRST_DAY, LAST_DAY = -719162, 2932896  # 0001-01-01 and 9999-12-31, counted from 1970-01-01


@inlined
def impute(x, y, p):
    value = p[0]
    for i in range(x.shape[0]):
        y[i] = value if np.isnan(x[i]) else x[i]


@inlined
def clip(x, y, p):
    low, high = p[0], p[1]
    for i in range(x.shape[0]):
        v = x[i]
        v = low if v < low else v
        y[i] = high if v > high else v


@inlined
def scale(x, y, p):
    center, width = p[0], p[1]
    for i in range(x.shape[0]):
        y[i] = (x[i] - center) / width


@inlined
def natural_log(v):
    """ln(v) of v > 0 within 0.9 ulp and without branches, so that loops of it are vectorised; the C library's is not.

    After e_log.c of fdlibm (Sun, 1993): v = 2**k * (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), then a polynomial in f.
    """
    tiny = v < SMALLEST_NORMAL
    bits = np.float64(v * 2.0**54 if tiny else v).view(np.int64) + BELOW_ONE
    k = np.int64((bits >> 52) | TWO_52).view(np.float64) - (2.0**52 + 1023.0)
    k = k - 54.0 if tiny else k
    f = np.int64((bits & FRACTION) + SQRT_HALF).view(np.float64) - 1.0
    half, s = 0.5 * f * f, f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    odd = z * (6.666666666666735130e-01 + w * (2.857142874366239149e-01 + odd))
    small = s * (half + (even + odd)) + k * 1.90821492927058770002e-10
    return v if v == np.inf else small - half + f + k * 6.93147180369123816490e-01


@inlined
def log(x, y, p):
    shift = p[0]
    for i in range(x.shape[0]):
        v = x[i] + shift
        y[i] = natural_log(v) if v > 0.0 else np.nan


@inlined
def ratio(a, b, y, p):
    for i in range(y.shape[0]):
        y[i] = a[i] / b[i] if b[i] != 0.0 else np.nan


@inlined
def difference(a, b, y, p):
    for i in range(y.shape[0]):
        y[i] = a[i] - b[i]


@inlined
def bucket(x, y, p):
    for i in range(x.shape[0]):
        y[i] = np.nan if np.isnan(x[i]) else 0.0
    for k in range(p.shape[0]):
        edge = p[k]
        for i in range(x.shape[0]):
            y[i] += 1.0 if x[i] >= edge else 0.0


@inlined
def missing_flag(x, y, p):
    for i in range(x.shape[0]):
        y[i] = 1.0 if np.isnan(x[i]) else 0.0


@inlined
def one_hot(x, y, p):
    code = p[0]
    for i in range(x.shape[0]):
        y[i] = 1.0 if x[i] == code else 0.0


@inlined
def _look_up(x, y, table, missing, other):
    """The entry that a category's code stands for; `missing` and `other`: the entries of NaN and of what is no code."""
    for i in range(x.shape[0]):
        y[i] = x[i] if 0.0 <= x[i] < other else missing if np.isnan(x[i]) else other
    for i in range(x.shape[0]):  # by itself: the loop above is vectorised then
        y[i] = table[np.uint64(y[i])]


@inlined
def ordinal(x, y, p):
    last = p.shape[0] - 1
    _look_up(x, y, p, last, last)
    for i in range(x.shape[0]):
        y[i] = np.nan if np.isnan(x[i]) else y[i]


@inlined
def target_encode(x, y, p):
    missing = p.shape[0] - 1
    _look_up(x, y, p, missing, missing - 1)


@inlined
def hash_bucket(x, y, p):
    """The finaliser of SplitMix64 (Steele, Lea, Flood: OOPSLA 2014); its upper half as a fraction, times `buckets`."""
    buckets, seed = np.uint64(p[0]), np.uint64(p[1]) * np.uint64(0x9E3779B97F4A7C15)
    for i in range(x.shape[0]):
        missing = np.isnan(x[i])
        h = np.uint64(0.0 if missing else x[i]) + seed
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = ((h ^ (h >> np.uint64(31))) >> np.uint64(32)) * buckets >> np.uint64(32)
        y[i] = np.nan if missing else np.float64(h)


@inlined
def divide(a, b):
    """Floor of a / b, of whole numbers: a + 0.5 is so far from a multiple of b that no rounding reaches it."""
    return np.floor((a + 0.5) * (1.0 / b))


@inlined
def civil(days):
    """Year, month, day and day of the year of days since 1970-01-01, proleptic Gregorian calendar.

    Cassio Neri, Lorenz Schneider, "Euclidean affine functions and their application to calendar algorithms": years are
    counted from March, in centuries. In float64, whole numbers all along: that vectorises, and 64-bit integer division
    does not.
    """
    shifted = np.floor(days) + 719468.0
    century = divide(4.0 * shifted + 3.0, 146097.0)
    of_century = shifted - np.floor(36524.25 * century)
    year = divide(4.0 * of_century + 3.0, 1461.0)
    of_year = of_century - np.floor(365.25 * year)
    month = divide(5.0 * of_year + 2.0, 153.0)
    day = of_year - divide(153.0 * month + 2.0, 5.0) + 1.0
    fourth = century if year == 0.0 else year
    leap = np.floor(0.25 * fourth) * 4.0 == fourth
    january = month >= 10.0
    ordinal_day = of_year - 305.0 if january else of_year + (60.0 + leap)
    return century * 100.0 + year + january, month - 9.0 if january else month + 3.0, day, ordinal_day


@inlined
def in_calendar(v):
    return FIRST_DAY <= v < LAST_DAY + 1.0


@inlined
def year(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(x[i])[0] if in_calendar(x[i]) else np.nan


@inlined
def quarter(x, y, p):
    for i in range(x.shape[0]):
        y[i] = divide(civil(x[i])[1] + 2.0, 3.0) if in_calendar(x[i]) else np.nan


@inlined
def month(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(x[i])[1] if in_calendar(x[i]) else np.nan


@inlined
def day(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(x[i])[2] if in_calendar(x[i]) else np.nan


@inlined
def weekday(x, y, p):
    for i in range(x.shape[0]):
        days = np.floor(x[i]) + 3.0
        y[i] = days - 7.0 * divide(days, 7.0) if in_calendar(x[i]) else np.nan


@inlined
def day_of_year(x, y, p):
    for i in range(x.shape[0]):
        y[i] = civil(x[i])[3] if in_calendar(x[i]) else np.nan


@inlined
def last(x, y, p, work):
    n = y.shape[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0]):
        for i in range(n):
            y[i] = y[i] if np.isnan(x[t, i]) else x[t, i]


@inlined
def _add_months(x, t, months, total, count):
    for i in range(total.shape[0]):
        s, given = total[i], count[i]
        for k in range(t, t + months):
            v = x[k, i]
            s += 0.0 if np.isnan(v) else v
            given += 0.0 if np.isnan(v) else 1.0
        total[i], count[i] = s, given


@inlined
def _add_up(x, first, total, count):
    """Sum and number of the given months from `first` on."""
    for i in range(total.shape[0]):
        total[i] = 0.0
        count[i] = 0.0
    threes = first + (x.shape[0] - first) % AT_ONCE
    for t in range(first, threes):
        _add_months(x, t, 1, total, count)
    for t in range(threes, x.shape[0], AT_ONCE):
        _add_months(x, t, AT_ONCE, total, count)


@inlined
def sum(x, y, p, work):
    count = work[0]
    _add_up(x, x.shape[0] - int(p[0]), y, count)
    for i in range(y.shape[0]):
        y[i] = y[i] if count[i] > 0.0 else np.nan


@inlined
def mean(x, y, p, work):
    count = work[0]
    _add_up(x, x.shape[0] - int(p[0]), y, count)
    for i in range(y.shape[0]):
        y[i] /= count[i]


@inlined
def _add_squares(x, t, months, middle, total):
    for i in range(total.shape[0]):
        s = total[i]
        for k in range(t, t + months):
            d = x[k, i] - middle[i]
            s += 0.0 if np.isnan(d) else d * d
        total[i] = s


@inlined
def std(x, y, p, work):
    n, first = y.shape[0], x.shape[0] - int(p[0])
    count, middle = work[0], work[1]
    _add_up(x, first, middle, count)
    for i in range(n):
        middle[i] /= count[i]
        y[i] = 0.0
    threes = first + (x.shape[0] - first) % AT_ONCE
    for t in range(first, threes):
        _add_squares(x, t, 1, middle, y)
    for t in range(threes, x.shape[0], AT_ONCE):
        _add_squares(x, t, AT_ONCE, middle, y)
    for i in range(n):
        y[i] = np.sqrt(y[i] / count[i])


@inlined
def _add_times(x, t, months, at, when):
    for i in range(when.shape[0]):
        s = when[i]
        for k in range(months):
            s += 0.0 if np.isnan(x[t + k, i]) else at + k
        when[i] = s


@inlined
def _add_products(x, t, months, at, middle, when, above, below):
    for i in range(above.shape[0]):
        a, b = above[i], below[i]
        for k in range(months):
            v, d = x[t + k, i], at + k - when[i]
            a += 0.0 if np.isnan(v) else d * (v - middle[i])
            b += 0.0 if np.isnan(v) else d * d
        above[i], below[i] = a, b


@inlined
def slope(x, y, p, work):
    n, first = y.shape[0], x.shape[0] - int(p[0])
    count, middle, when, spread = work[0], work[1], work[2], work[3]
    _add_up(x, first, middle, count)
    for i in range(n):
        when[i] = spread[i] = y[i] = 0.0
    threes = first + (x.shape[0] - first) % AT_ONCE
    for t in range(first, threes):
        _add_times(x, t, 1, float(t - first), when)
    for t in range(threes, x.shape[0], AT_ONCE):
        _add_times(x, t, AT_ONCE, float(t - first), when)
    for i in range(n):
        middle[i] /= count[i]
        when[i] /= count[i]
    for t in range(first, threes):
        _add_products(x, t, 1, float(t - first), middle, when, y, spread)
    for t in range(threes, x.shape[0], AT_ONCE):
        _add_products(x, t, AT_ONCE, float(t - first), middle, when, y, spread)
    for i in range(n):
        y[i] /= spread[i]


@inlined
def min(x, y, p, work):
    n = y.shape[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0] - int(p[0]), x.shape[0]):
        for i in range(n):
            v = x[t, i]
            y[i] = y[i] if np.isnan(v) or y[i] <= v else v


@inlined
def max(x, y, p, work):
    n = y.shape[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0] - int(p[0]), x.shape[0]):
        for i in range(n):
            v = x[t, i]
            y[i] = y[i] if np.isnan(v) or y[i] >= v else v


@inlined
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


@inlined
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


@inlined
def months_since(x, y, p, work):
    n, bound = y.shape[0], p[0]
    for i in range(n):
        y[i] = np.nan
    for t in range(x.shape[0]):
        for i in range(n):
            y[i] = 0.0 if x[t, i] > bound else y[i] + 1.0


@inlined
def yearly_change(x, y, p, work):
    now = x.shape[0] - 1
    for i in range(y.shape[0]):
        y[i] = x[now, i] - x[now - 12, i]
