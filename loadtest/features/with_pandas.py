"""Both programs in pandas: vectorised over rows, never `apply`; missing is NaN, days are datetime64.

Of a history one frame of 24 columns.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from loadtest.features.programs import (
    CATEGORIES,
    DATES,
    DEPARTMENT_RATES,
    FACTS,
    FACTS_FEATURES,
    HISTORIES,
    HISTORIES_FEATURES,
    LEVEL_RANKS,
    TARGETS,
    TITLE,
    TITLE_BUCKETS,
    TITLE_SEED,
    Raw,
)

_UNKNOWN_DEPARTMENT, _UNKNOWN_LEVEL = len(CATEGORIES["department"]), len(CATEGORIES["level"])
_RATES = np.array(DEPARTMENT_RATES)
_RANKS = np.array((*LEVEL_RANKS, np.nan))
_ABSENCE, _TENURE = np.array([1.0, 3.0, 6.0, 12.0, 25.0]), np.array([1.0, 2.0, 5.0, 10.0, 20.0])
_SEED = np.uint64(TITLE_SEED * 0x9E3779B97F4A7C15 % (1 << 64))


def facts_frame(raw: Raw) -> pd.DataFrame:
    """Numbers and the text's hash as float64, categories as codes (-1 is missing, as `Categorical.codes`), dates."""
    frame = pd.DataFrame({name: raw.values[:, c] for c, name in enumerate(FACTS)})
    for name in CATEGORIES:
        frame[name] = frame[name].fillna(-1).astype(np.int8)
    for name in DATES:
        frame[name] = pd.to_datetime(frame[name], unit="D")
    return frame


def histories_frames(raw: Raw) -> dict[str, pd.DataFrame]:
    """One frame a history, oldest month first, and `now`, the frame of the numbers."""
    months = {name: pd.DataFrame(np.ascontiguousarray(raw.history[:, k])) for k, name in enumerate(HISTORIES)}
    return months | {"now": pd.DataFrame(raw.values, columns=list(TARGETS))}


def facts(frame: pd.DataFrame) -> NDArray[np.float32]:
    """float32[n, 37]."""
    f = frame
    tenure = ((f["review"] - f["hired"]).dt.days / 365.25).clip(0.0, 45.0)
    tenure_band = _bucket(tenure, _TENURE)
    department, level, contract = f["department"], f["level"], f["contract"]
    features = {
        "band_position": _ratio(f["salary"] - f["band_low"], f["band_high"] - f["band_low"])
        .clip(-0.5, 1.5)
        .fillna(0.5),
        "salary_log": ((_ln(f["salary"]) - 10.9) / 0.35).fillna(0.0),
        "bonus_share": _ratio(f["bonus"], f["salary"]).clip(0.0, 0.6).fillna(0.06),
        "training_log": _ln(f["training_hours"] + 1.0).fillna(2.8),
        "overtime": ((f["overtime_hours"].clip(0.0, 40.0) - 9.5) / 7.5).fillna(0.0),
        "overtime_missing": f["overtime_hours"].isna(),
        "absence": _bucket(f["absence_days"], _ABSENCE).fillna(1.0),
        "engagement_gap": (f["engagement"] - f["team_engagement"]).fillna(0.0),
        "engagement_missing": f["engagement"].isna(),
        "engagement_level": ((f["engagement"] - 3.4) / 0.8).fillna(0.0),
        "rating_level": ((f["rating"].clip(1.0, 5.0) - 3.1) / 0.7).fillna(0.0),
        "rating_missing": f["rating"].isna(),
        "delivered_share": _ratio(f["delivered"], f["projects"]).clip(0.0, 1.2).fillna(0.8),
        "projects_log": _ln(f["projects"] + 1.0).fillna(1.7),
        **{f"department_{code}": department == code for code in range(_UNKNOWN_DEPARTMENT)},
        "department_rate": _RATES[department],
        "level_rank": ((pd.Series(_RANKS[level]) - 1.9) / 1.4).fillna(0.0),
        **{f"contract_{code}": contract == code for code in range(len(CATEGORIES["contract"]))},
        "title_bucket": _hash(f[TITLE]),
        "tenure": tenure.fillna(4.0),
        "tenure_new": tenure_band == 0.0,
        "tenure_long": tenure_band == 5.0,
        "hired_month": f["hired"].dt.month.fillna(6.0),
        "hired_year": ((f["hired"].dt.year - 2016.0) / 6.0).fillna(0.0),
        "hired_weekday": f["hired"].dt.day_of_week,
        "review_quarter": f["review"].dt.quarter.fillna(2.0),
        "review_day": ((f["review"].dt.day_of_year - 183.0) / 105.0).fillna(0.0),
    }
    return _matrix(features, FACTS_FEATURES, len(frame))


def histories(frames: dict[str, pd.DataFrame]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32[n, 29] and float32[n, 24, 5]."""
    hours, tasks, absence, training = frames["hours"], frames["tasks"], frames["absence"], frames["training"]
    overtime, now = frames["overtime"], frames["now"]
    productivity = (tasks / hours.where(hours != 0)).clip(0.0, 2.0)
    quality = (frames["quality"] - 0.8) / 0.1
    hours_3, hours_12, quality_last = hours.iloc[:, -3:].mean(axis=1), hours.iloc[:, -12:].mean(axis=1), _last(quality)
    features = {
        "hours_last": _last(hours),
        "hours_mean_3": hours_3,
        "hours_mean_12": hours_12,
        "hours_slope_12": _slope(hours.iloc[:, -12:]),
        "hours_std_24": hours.std(axis=1, ddof=0),
        "hours_missing_12": hours.iloc[:, -12:].isna().sum(axis=1),
        "regular_mean_12": (hours - overtime).iloc[:, -12:].mean(axis=1),
        "tasks_sum_12": tasks.iloc[:, -12:].sum(axis=1, min_count=1),
        "tasks_change": tasks.iloc[:, -1] - tasks.iloc[:, -13],
        "quality_last": quality_last,
        "quality_ewm": _ewm(quality, 0.8),
        "quality_min_12": quality.iloc[:, -12:].min(axis=1),
        "quality_slope_24": _slope(quality),
        "absence_sum_12": absence.iloc[:, -12:].sum(axis=1, min_count=1),
        "absence_max_12": absence.iloc[:, -12:].max(axis=1),
        "absence_run_24": _longest_run(absence, 0.0),
        "absence_since_filled": _months_since(absence, 3.0).fillna(36.0),
        "training_sum_24": training.sum(axis=1, min_count=1),
        "training_since_filled": _months_since(training, 0.0).fillna(36.0),
        "overtime_mean_3": overtime.iloc[:, -3:].mean(axis=1),
        "overtime_std_12": overtime.iloc[:, -12:].std(axis=1, ddof=0),
        "overtime_run_12": _longest_run(overtime.iloc[:, -12:], 10.0),
        "productivity_mean_6": productivity.iloc[:, -6:].mean(axis=1),
        "productivity_ewm_12": _ewm(productivity.iloc[:, -12:], 0.7),
        "productivity_change": productivity.iloc[:, -1] - productivity.iloc[:, -13],
        "hours_of_target": _ratio(hours_12, now["target_hours"]),
        "hours_recent": hours_3 - hours_12,
        "team_log": _ln(now["team_size"]),
        "quality_missing": quality_last.isna(),
    }
    given = hours.notna()
    for name in HISTORIES[1:]:
        given |= frames[name].notna()
    window = (
        ((hours - 150.0) / 25.0).fillna(0.0),
        quality.fillna(0.0),
        productivity.fillna(0.5),
        _ln(absence + 1.0).fillna(0.0),
        given.cummax(axis=1),
    )
    matrix = _matrix(features, HISTORIES_FEATURES, len(now))
    return matrix, np.stack([x.to_numpy(np.float32) for x in window], axis=2)


def _matrix(features: dict[str, pd.Series], names: tuple[str, ...], n: int) -> NDArray[np.float32]:
    """Straight into the matrix: a DataFrame in between would cost a copy more."""
    matrix = np.empty((n, len(names)), np.float32)
    for number, name in enumerate(names):
        matrix[:, number] = features[name]
    return matrix


def _ratio(a: pd.Series, b: pd.Series) -> pd.Series:
    return a / b.where(b != 0)


def _ln(x):
    return np.log(x.where(x > 0))


def _bucket(x: pd.Series, edges: NDArray[np.float64]) -> pd.Series:
    return pd.Series(edges.searchsorted(x, side="right").astype(np.float64)).where(x.notna())


def _hash(x: pd.Series) -> pd.Series:
    h = x.fillna(0.0).to_numpy().astype(np.uint64) + _SEED
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = ((h ^ (h >> np.uint64(31))) >> np.uint64(32)) * np.uint64(TITLE_BUCKETS) >> np.uint64(32)
    return pd.Series(h).where(x.notna(), -1)


def _last(x: pd.DataFrame) -> pd.Series:
    return x.ffill(axis=1).iloc[:, -1]


def _slope(x: pd.DataFrame) -> pd.Series:
    given = x.notna()
    when = given * np.arange(float(x.shape[1]))
    away = pd.DataFrame(np.arange(float(x.shape[1])) - (when.sum(axis=1) / given.sum(axis=1)).to_numpy()[:, None])
    away = away.where(given.to_numpy(), 0.0)
    middle = x.sub(x.mean(axis=1), axis=0)
    return (away * middle.to_numpy()).sum(axis=1) / (away * away).sum(axis=1)


def _ewm(x: pd.DataFrame, decay: float) -> pd.Series:
    weights = decay ** np.arange(x.shape[1] - 1.0, -1.0, -1.0)
    return (x * weights).sum(axis=1) / (x.notna() * weights).sum(axis=1)


def _longest_run(x: pd.DataFrame, bound: float) -> pd.Series:
    above = x > bound
    count = above.cumsum(axis=1)
    run = count - count.where(~above).ffill(axis=1).fillna(0)
    return run.max(axis=1).where(x.notna().any(axis=1))


def _months_since(x: pd.DataFrame, bound: float) -> pd.Series:
    age = x.shape[1] - ((x > bound) * np.arange(1, x.shape[1] + 1)).max(axis=1)
    return age.where(age < x.shape[1])
