"""Both programs as a Numba programmer writes them for once: one function each, row by row, constants in the code.

Values of a row stay in registers, the matrix is written once. float64 inside, float32 out, without fast-math: the same
results as the gateway's kernel.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from loadtest.features.programs import (
    DEPARTMENT_RATES,
    FACTS_FEATURES,
    HISTORIES_FEATURES,
    LEVEL_RANKS,
    MONTHS,
    TITLE_BUCKETS,
    TITLE_SEED,
    WINDOW,
    Raw,
)

_RATES, _RANKS = np.array(DEPARTMENT_RATES), np.array(LEVEL_RANKS)
_SEED = np.uint64(TITLE_SEED * 0x9E3779B97F4A7C15 % (1 << 64))
_BUCKETS = np.uint64(TITLE_BUCKETS)
_compiled = njit(nogil=True, error_model="numpy")


def facts(raw: Raw) -> NDArray[np.float32]:
    """float32[n, 37]."""
    out = np.empty((raw.values.shape[0], len(FACTS_FEATURES)), np.float32)
    _facts(raw.values, out)
    return out


def histories(raw: Raw) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32[n, 29] and float32[n, 24, 5]."""
    out = np.empty((raw.values.shape[0], len(HISTORIES_FEATURES)), np.float32)
    window = np.empty((raw.values.shape[0], MONTHS, len(WINDOW)), np.float32)
    _histories(raw.values, raw.history, out, window)
    return out, window


@_compiled
def _or(x, value):
    return value if np.isnan(x) else x


@_compiled
def _held(x, low, high):
    x = low if x < low else x
    return high if x > high else x


@_compiled
def _ratio(a, b):
    return a / b if b != 0.0 else np.nan


@_compiled
def _ln(x):
    return np.log(x) if x > 0.0 else np.nan


@_compiled
def _civil(days):
    """Year, month and day of the year of days since 1970-01-01 (Howard Hinnant's algorithm)."""
    shifted = days + 719468
    era = shifted // 146097
    of_era = shifted - era * 146097
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    year += era * 400
    if month >= 10:
        return year + 1, month - 9, of_year - 305
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    return year, month + 3, of_year + 60 + leap


@_compiled
def _facts(values, out):
    for i in range(values.shape[0]):
        row, to = values[i], out[i]
        salary, low, high, bonus = row[0], row[1], row[2], row[3]
        training, overtime, absence, engagement, team = row[4], row[5], row[6], row[7], row[8]
        rating, projects, delivered = row[9], row[10], row[11]
        department, level, contract, title, hired, review = row[12], row[13], row[14], row[15], row[16], row[17]
        to[0] = _or(_held(_ratio(salary - low, high - low), -0.5, 1.5), 0.5)
        to[1] = _or((_ln(salary) - 10.9) / 0.35, 0.0)
        to[2] = _or(_held(_ratio(bonus, salary), 0.0, 0.6), 0.06)
        to[3] = _or(_ln(training + 1.0), 2.8)
        to[4] = _or((_held(overtime, 0.0, 40.0) - 9.5) / 7.5, 0.0)
        to[5] = np.isnan(overtime)
        to[6] = (
            1.0
            if np.isnan(absence)
            else float((absence >= 1.0) + (absence >= 3.0) + (absence >= 6.0) + (absence >= 12.0) + (absence >= 25.0))
        )
        to[7] = _or(engagement - team, 0.0)
        to[8] = np.isnan(engagement)
        to[9] = _or((engagement - 3.4) / 0.8, 0.0)
        to[10] = _or((_held(rating, 1.0, 5.0) - 3.1) / 0.7, 0.0)
        to[11] = np.isnan(rating)
        to[12] = _or(_held(_ratio(delivered, projects), 0.0, 1.2), 0.8)
        to[13] = _or(_ln(projects + 1.0), 1.7)
        for code in range(8):
            to[14 + code] = department == code
        to[22] = _RATES[9] if np.isnan(department) else _RATES[int(department)] if 0 <= department < 8 else _RATES[8]
        to[23] = 0.0 if np.isnan(level) else ((_RANKS[int(level)] if 0 <= level < 6 else _RANKS[6]) - 1.9) / 1.4
        for code in range(4):
            to[24 + code] = contract == code
        if np.isnan(title):
            to[28] = -1.0
        else:
            h = np.uint64(title) + _SEED
            h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            to[28] = np.float64(((h ^ (h >> np.uint64(31))) >> np.uint64(32)) * _BUCKETS >> np.uint64(32))
        tenure = _held((review - hired) / 365.25, 0.0, 45.0)
        to[29] = _or(tenure, 4.0)
        to[30] = tenure < 1.0
        to[31] = tenure >= 20.0
        if np.isnan(hired):
            to[32], to[33], to[34] = 6.0, 0.0, np.nan
        else:
            day = int(hired)
            year, month, _ = _civil(day)
            to[32] = month
            to[33] = (year - 2016.0) / 6.0
            to[34] = (day + 3) % 7
        if np.isnan(review):
            to[35], to[36] = 2.0, 0.0
        else:
            _, month, day = _civil(int(review))
            to[35] = (month + 2) // 3
            to[36] = (day - 183.0) / 105.0


@_compiled
def _mean(x, months):
    total, count = 0.0, 0
    for t in range(MONTHS - months, MONTHS):
        if not np.isnan(x[t]):
            total += x[t]
            count += 1
    return total / count


@_compiled
def _sum(x, months):
    total, count = 0.0, 0
    for t in range(MONTHS - months, MONTHS):
        if not np.isnan(x[t]):
            total += x[t]
            count += 1
    return total if count > 0 else np.nan


@_compiled
def _std(x, months):
    middle = _mean(x, months)
    total, count = 0.0, 0
    for t in range(MONTHS - months, MONTHS):
        if not np.isnan(x[t]):
            total += (x[t] - middle) * (x[t] - middle)
            count += 1
    return np.sqrt(total / count)


@_compiled
def _slope(x, months):
    total, when, count = 0.0, 0.0, 0
    for t in range(months):
        v = x[MONTHS - months + t]
        if not np.isnan(v):
            total += v
            when += t
            count += 1
    middle, when = total / count, when / count
    above, below = 0.0, 0.0
    for t in range(months):
        v = x[MONTHS - months + t]
        if not np.isnan(v):
            above += (t - when) * (v - middle)
            below += (t - when) * (t - when)
    return above / below


@_compiled
def _ewm(x, months, decay):
    total, weight = 0.0, 0.0
    for t in range(MONTHS - months, MONTHS):
        total *= decay
        weight *= decay
        if not np.isnan(x[t]):
            total += x[t]
            weight += 1.0
    return total / weight


@_compiled
def _longest_run(x, months, bound):
    best, run, given = 0, 0, False
    for t in range(MONTHS - months, MONTHS):
        given |= not np.isnan(x[t])
        run = run + 1 if x[t] > bound else 0
        best = max(best, run)
    return float(best) if given else np.nan


@_compiled
def _months_since(x, bound):
    for age in range(MONTHS):
        if x[MONTHS - 1 - age] > bound:
            return float(age)
    return np.nan


@_compiled
def _last(x):
    for age in range(MONTHS):
        if not np.isnan(x[MONTHS - 1 - age]):
            return x[MONTHS - 1 - age]
    return np.nan


@_compiled
def _histories(values, history, out, window):
    quality, regular, productivity = np.empty(MONTHS), np.empty(MONTHS), np.empty(MONTHS)
    for i in range(values.shape[0]):
        target, team, to = values[i, 0], values[i, 1], out[i]
        months = history[i]
        hours, tasks, absence, training, overtime = months[0], months[1], months[3], months[4], months[5]
        mask, hours_missing = 0.0, 0
        for t in range(MONTHS):
            see = window[i, t]
            quality[t] = (months[2, t] - 0.8) / 0.1
            regular[t] = hours[t] - overtime[t]
            productivity[t] = _held(_ratio(tasks[t], hours[t]), 0.0, 2.0)
            for k in range(6):
                if not np.isnan(months[k, t]):
                    mask = 1.0
            if t >= MONTHS - 12:
                hours_missing += np.isnan(hours[t])
            see[0] = _or((hours[t] - 150.0) / 25.0, 0.0)
            see[1] = _or(quality[t], 0.0)
            see[2] = _or(productivity[t], 0.5)
            see[3] = _or(_ln(absence[t] + 1.0), 0.0)
            see[4] = mask
        hours_3, hours_12, quality_last = _mean(hours, 3), _mean(hours, 12), _last(quality)
        lowest, highest = np.nan, np.nan
        for t in range(MONTHS - 12, MONTHS):
            if not (np.isnan(quality[t]) or lowest <= quality[t]):
                lowest = quality[t]
            if not (np.isnan(absence[t]) or highest >= absence[t]):
                highest = absence[t]
        to[0] = _last(hours)
        to[1] = hours_3
        to[2] = hours_12
        to[3] = _slope(hours, 12)
        to[4] = _std(hours, 24)
        to[5] = hours_missing
        to[6] = _mean(regular, 12)
        to[7] = _sum(tasks, 12)
        to[8] = tasks[MONTHS - 1] - tasks[MONTHS - 13]
        to[9] = quality_last
        to[10] = _ewm(quality, 24, 0.8)
        to[11] = lowest
        to[12] = _slope(quality, 24)
        to[13] = _sum(absence, 12)
        to[14] = highest
        to[15] = _longest_run(absence, 24, 0.0)
        to[16] = _or(_months_since(absence, 3.0), 36.0)
        to[17] = _sum(training, 24)
        to[18] = _or(_months_since(training, 0.0), 36.0)
        to[19] = _mean(overtime, 3)
        to[20] = _std(overtime, 12)
        to[21] = _longest_run(overtime, 12, 10.0)
        to[22] = _mean(productivity, 6)
        to[23] = _ewm(productivity, 12, 0.7)
        to[24] = productivity[MONTHS - 1] - productivity[MONTHS - 13]
        to[25] = _ratio(hours_12, target)
        to[26] = hours_3 - hours_12
        to[27] = _ln(team)
        to[28] = np.isnan(quality_last)
