"""The operations in plain NumPy: what they mean, and what the compiled ones are held to.

Values are float64, NaN is missing; an operation of a history reads float64[n, months] and gives float64[n]. Sums go
from the oldest month to the newest, as the kernels do: floating-point addition is not associative.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def impute(x: Values, value: float) -> Values:
    return np.where(np.isnan(x), value, x)


def clip(x: Values, low: float, high: float) -> Values:
    return np.where(x < low, low, np.where(x > high, high, x))


def scale(x: Values, center: float, width: float) -> Values:
    return (x - center) / width


def log(x: Values, shift: float) -> Values:
    v = x + shift
    return np.where(v > 0, np.log(np.where(v > 0, v, 1.0)), np.nan)


def ratio(a: Values, b: Values) -> Values:
    return np.where(b != 0, a / np.where(b != 0, b, 1.0), np.nan)


def difference(a: Values, b: Values) -> Values:
    return a - b


def bucket(x: Values, edges: tuple[float, ...]) -> Values:
    return np.where(np.isnan(x), np.nan, np.searchsorted(np.array(edges), x, side="right"))


def missing_flag(x: Values) -> Values:
    return np.isnan(x) * 1.0


def one_hot(x: Values, code: float) -> Values:
    return (x == code) * 1.0


def ordinal(x: Values, ranks: tuple[float, ...]) -> Values:
    return np.where(np.isnan(x), np.nan, _look_up(x, ranks))


def target_encode(x: Values, values: tuple[float, ...], unknown: float, missing: float) -> Values:
    return np.where(np.isnan(x), missing, _look_up(x, (*values, unknown)))


def _look_up(x: Values, table: tuple[float, ...]) -> Values:
    """The entry that a category's code stands for; the last one for what is no code."""
    known = (x >= 0) & (x < len(table) - 1)
    return np.array(table)[np.where(known, x, len(table) - 1).astype(np.int64)]


def hash_bucket(x: Values, buckets: float, seed: float) -> Values:
    with np.errstate(over="ignore"):
        h = np.where(np.isnan(x), 0, x).astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        h = ((h ^ (h >> np.uint64(31))) >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)
    return np.where(np.isnan(x), np.nan, h.astype(np.float64))


def _dates(x: Values) -> tuple[Any, NDArray[np.bool_]]:
    """Dates, and which of them lie in the years 1 to 9999."""
    inside = (x >= -719162) & (x < 2932897)
    return np.floor(np.where(inside, x, 0)).astype("datetime64[D]"), inside


def year(x: Values) -> Values:
    dates, inside = _dates(x)
    return np.where(inside, dates.astype("datetime64[Y]").astype(np.int64) + 1970.0, np.nan)


def quarter(x: Values) -> Values:
    return np.floor((month(x) + 2) / 3)


def month(x: Values) -> Values:
    dates, inside = _dates(x)
    return np.where(inside, dates.astype("datetime64[M]").astype(np.int64) % 12 + 1.0, np.nan)


def day(x: Values) -> Values:
    dates, inside = _dates(x)
    return np.where(inside, (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1.0, np.nan)


def weekday(x: Values) -> Values:
    dates, inside = _dates(x)
    return np.where(inside, (dates.astype(np.int64) + 3) % 7 * 1.0, np.nan)


def day_of_year(x: Values) -> Values:
    dates, inside = _dates(x)
    return np.where(inside, (dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1.0, np.nan)


def _newest(x: Values, months: float) -> list[Values]:
    """The newest `months` months, each float64[n], oldest first."""
    return [x[:, t] for t in range(x.shape[1] - int(months), x.shape[1])]


def _total(columns: list[Values]) -> Values:
    total = np.zeros(len(columns[0]))
    for v in columns:
        total = total + v
    return total


def last(x: Values) -> Values:
    found = np.full(len(x), np.nan)
    for v in x.T:
        found = np.where(np.isnan(v), found, v)
    return found


def _given(columns: list[Values]) -> tuple[Values, Values]:
    """Sum and number of the given values."""
    return _total([np.where(np.isnan(v), 0.0, v) for v in columns]), _total([~np.isnan(v) * 1.0 for v in columns])


def sum_(x: Values, months: float) -> Values:
    total, count = _given(_newest(x, months))
    return np.where(count > 0, total, np.nan)


def mean(x: Values, months: float) -> Values:
    total, count = _given(_newest(x, months))
    return total / count


def std(x: Values, months: float) -> Values:
    columns = _newest(x, months)
    total, count = _given(columns)
    away = [v - total / count for v in columns]
    return np.sqrt(_total([np.where(np.isnan(d), 0.0, d * d) for d in away]) / count)


def slope(x: Values, months: float) -> Values:
    columns = _newest(x, months)
    total, count = _given(columns)
    middle = total / count
    when = _total([np.where(np.isnan(v), 0.0, float(t)) for t, v in enumerate(columns)]) / count
    above = [np.where(np.isnan(v), 0.0, (t - when) * (v - middle)) for t, v in enumerate(columns)]
    below = [np.where(np.isnan(v), 0.0, (t - when) * (t - when)) for t, v in enumerate(columns)]
    return _total(above) / _total(below)


def min_(x: Values, months: float) -> Values:
    found = np.full(len(x), np.nan)
    for v in _newest(x, months):
        found = np.where(np.isnan(v) | (found <= v), found, v)
    return found


def max_(x: Values, months: float) -> Values:
    found = np.full(len(x), np.nan)
    for v in _newest(x, months):
        found = np.where(np.isnan(v) | (found >= v), found, v)
    return found


def ewm(x: Values, months: float, decay: float) -> Values:
    total = weight = np.zeros(len(x))
    for v in _newest(x, months):
        total = total * decay + np.where(np.isnan(v), 0.0, v)
        weight = weight * decay + np.where(np.isnan(v), 0.0, 1.0)
    return total / weight


def longest_run(x: Values, months: float, bound: float) -> Values:
    best, run = np.full(len(x), np.nan), np.zeros(len(x))
    for v in _newest(x, months):
        run = np.where(v > bound, run + 1.0, 0.0)
        best = np.where(np.isnan(v) | (best >= run), best, run)
    return best


def months_since(x: Values, bound: float) -> Values:
    since = np.full(len(x), np.nan)
    for v in x.T:
        since = np.where(v > bound, 0.0, since + 1.0)
    return since


def yearly_change(x: Values) -> Values:
    return x[:, -1] - x[:, -13]
