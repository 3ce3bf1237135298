"""Both programs as scikit-learn pipelines: built-in transformers, else FunctionTransformer over NumPy.

Their state is given, not fitted: it is the programs' parameters. Columns come as one float64 matrix, NaN is missing;
of histories the 24 months of one after the other.
"""

import functools

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from loadtest.features.programs import (
    CATEGORIES,
    DEPARTMENT_RATES,
    FACTS,
    FACTS_FEATURES,
    HISTORIES,
    HISTORIES_FEATURES,
    LEVEL_RANKS,
    MONTHS,
    TARGETS,
    TITLE_BUCKETS,
    TITLE_SEED,
    WINDOW,
    Raw,
    facts_rows,
    histories_rows,
)

Matrix = NDArray[np.float64]
_RATES, _RANKS = np.array(DEPARTMENT_RATES), np.array((*LEVEL_RANKS, np.nan))
_ABSENCE, _TENURE = np.array([1.0, 3.0, 6.0, 12.0, 25.0]), np.array([1.0, 2.0, 5.0, 10.0, 20.0])
_SEED = np.uint64(TITLE_SEED * 0x9E3779B97F4A7C15 % (1 << 64))


@functools.cache
def facts_pipeline() -> Pipeline:
    """float64[n, 18] -> float32[n, 37]."""
    scaled = {"salary": (10.9, 0.35), "overtime_hours": (9.5, 7.5), "engagement": (3.4, 0.8), "rating": (3.1, 0.7)}
    level, days = make_pipeline(_plain(_level), _scaler((1.9, 1.4)), _imputer(0.0)), _plain(_days)
    parts = [
        ("ratios", make_pipeline(_plain(_ratios), _imputer(0.5, 0.06, 0.0, 0.8)), _facts(*_RATIO_COLUMNS)),
        ("logs", make_pipeline(_plain(_logs), _imputer(2.8, 1.7)), _facts("training_hours", "projects")),
        ("scaled", make_pipeline(_plain(_held), _scaler(*scaled.values()), _imputer(*[0.0] * 4)), _facts(*scaled)),
        ("missing", _plain(np.isnan), _facts("overtime_hours", "engagement", "rating")),
        ("absence", make_pipeline(_plain(_absence), _imputer(1.0)), _facts("absence_days")),
        ("one_hot", _one_hot("department", "contract"), _facts("department", "contract")),
        ("department", _plain(_department_rate), _facts("department")),
        ("level", level, _facts("level")),
        ("title", make_pipeline(_plain(_title), _imputer(-1.0)), _facts("job_title")),
        ("tenure", _plain(_tenure), _facts("hired", "review")),
        ("days", make_pipeline(days, _imputer(6.0, 0.0, _KEPT, 2.0, 0.0)), _facts("hired", "review")),
    ]
    made = [
        *("band_position", "bonus_share", "engagement_gap", "delivered_share"),
        *("training_log", "projects_log"),
        *("salary_log", "overtime", "engagement_level", "rating_level"),
        *("overtime_missing", "engagement_missing", "rating_missing", "absence"),
        *(f"{name}_{code}" for name in ("department", "contract") for code in range(len(CATEGORIES[name]))),
        *("department_rate", "level_rank", "title_bucket", "tenure", "tenure_new", "tenure_long"),
        *("hired_month", "hired_year", "hired_weekday", "review_quarter", "review_day"),
    ]
    order = [made.index(name) for name in FACTS_FEATURES]
    pipeline = Pipeline([("features", ColumnTransformer(parts)), ("order", _plain(_Ordered(order)))])
    return pipeline.fit(facts_rows(1000, 0).values)


@functools.cache
def histories_pipeline() -> Pipeline:
    """float64[n, 2 + 6 * 24] -> float32[n, 29 + 24 * 5]; what belongs together is one transformer."""
    parts = [
        ("hours", _plain(_hours), [*_months("hours"), 0]),
        ("regular", _plain(_regular), _months("hours", "overtime")),
        ("tasks", _plain(_tasks), _months("tasks")),
        ("quality", _plain(_quality), _months("quality")),
        ("absence", _plain(_absences), _months("absence")),
        ("training", _plain(_trainings), _months("training")),
        ("overtime", _plain(_overtimes), _months("overtime")),
        ("productivity", _plain(_productivities), _months("hours", "tasks")),
        ("team", _plain(_ln), [1]),
        ("window", _plain(_window), _months(*HISTORIES)),
    ]
    made = [
        *("hours_last", "hours_mean_3", "hours_mean_12", "hours_slope_12", "hours_std_24", "hours_missing_12"),
        *("hours_of_target", "hours_recent", "regular_mean_12", "tasks_sum_12", "tasks_change"),
        *("quality_last", "quality_ewm", "quality_min_12", "quality_slope_24", "quality_missing"),
        *("absence_sum_12", "absence_max_12", "absence_run_24", "absence_since_filled"),
        *("training_sum_24", "training_since_filled", "overtime_mean_3", "overtime_std_12", "overtime_run_12"),
        *("productivity_mean_6", "productivity_ewm_12", "productivity_change", "team_log"),
    ]
    order = [made.index(name) for name in HISTORIES_FEATURES]
    order += range(len(made), len(made) + MONTHS * len(WINDOW))
    pipeline = Pipeline([("features", ColumnTransformer(parts)), ("order", _plain(_Ordered(order)))])
    return pipeline.fit(histories_matrix(histories_rows(1000, 0)))


def histories_matrix(raw: Raw) -> Matrix:
    """float64[n, 2 + 6 * 24]."""
    return np.hstack([raw.values, raw.history.reshape(len(raw.values), -1)])


def facts(pipeline: Pipeline, matrix: Matrix) -> NDArray[np.float32]:
    """float32[n, 37]."""
    return pipeline.transform(matrix)


def histories(pipeline: Pipeline, matrix: Matrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32[n, 29] and float32[n, 24, 5]."""
    made, split = pipeline.transform(matrix), len(HISTORIES_FEATURES)
    return made[:, :split], made[:, split:].reshape(-1, MONTHS, len(WINDOW))


_RATIO_COLUMNS = (
    *("salary", "band_low", "band_high", "bonus", "engagement", "team_engagement", "delivered", "projects"),
)
_KEPT = np.nan
"""Imputing NaN leaves a column as it is."""


class _GivenImputer(SimpleImputer):
    """A SimpleImputer with these values."""

    def __init__(self, values: tuple[float, ...]) -> None:
        super().__init__(keep_empty_features=True)
        self.values = values

    def fit(self, X, y=None):
        super().fit(np.zeros((1, len(self.values))))
        self.statistics_ = np.array(self.values)
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


class _GivenScaler(StandardScaler):
    """A StandardScaler with these (center, width)."""

    def __init__(self, parameters: tuple[tuple[float, float], ...]) -> None:
        super().__init__()
        self.parameters = parameters

    def fit(self, X, y=None):
        super().fit(np.zeros((1, len(self.parameters))))
        self.mean_, self.scale_ = (np.array(part) for part in zip(*self.parameters, strict=True))
        return self

    def fit_transform(self, X, y=None):
        return self.fit(X).transform(X)


class _Ordered:
    """Columns in the order of the features, as float32."""

    def __init__(self, order: list[int]) -> None:
        self.order = order

    def __call__(self, x: Matrix) -> NDArray[np.float32]:
        return x[:, self.order].astype(np.float32, order="C")


def _facts(*names: str) -> list[int]:
    return [FACTS.index(name) for name in names]


def _months(*names: str) -> list[int]:
    return [len(TARGETS) + HISTORIES.index(name) * MONTHS + t for name in names for t in range(MONTHS)]


def _plain(function) -> FunctionTransformer:
    return FunctionTransformer(function, check_inverse=False)


def _imputer(*values: float) -> SimpleImputer:
    return _GivenImputer(values)


def _scaler(*parameters: tuple[float, float]) -> StandardScaler:
    return _GivenScaler(parameters)


def _one_hot(*names: str) -> OneHotEncoder:
    codes = [np.arange(float(len(CATEGORIES[name]))) for name in names]
    return OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)


def _ln(x: Matrix) -> Matrix:
    return np.log(x, out=np.full(x.shape, np.nan), where=x > 0)


def _divided(a: Matrix, b: Matrix) -> Matrix:
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)


def _ratios(x: Matrix) -> Matrix:
    salary, low, high, bonus, engagement, team, delivered, projects = x.T
    return np.stack(
        [
            np.clip(_divided(salary - low, high - low), -0.5, 1.5),
            np.clip(_divided(bonus, salary), 0.0, 0.6),
            engagement - team,
            np.clip(_divided(delivered, projects), 0.0, 1.2),
        ],
        axis=1,
    )


def _logs(x: Matrix) -> Matrix:
    return _ln(x + 1.0)


def _held(x: Matrix) -> Matrix:
    salary, overtime, engagement, rating = x.T
    return np.stack([_ln(salary), np.clip(overtime, 0.0, 40.0), engagement, np.clip(rating, 1.0, 5.0)], axis=1)


def _absence(x: Matrix) -> Matrix:
    return np.where(np.isnan(x), np.nan, _ABSENCE.searchsorted(x, side="right"))


def _codes(x: Matrix, missing: int) -> NDArray[np.int64]:
    return np.where(np.isnan(x), missing, x).astype(np.int64)


def _department_rate(x: Matrix) -> Matrix:
    return _RATES[_codes(x, len(_RATES) - 1)]


def _level(x: Matrix) -> Matrix:
    return _RANKS[_codes(x, len(_RANKS) - 1)]


def _title(x: Matrix) -> Matrix:
    h = np.where(np.isnan(x), 0.0, x).astype(np.uint64) + _SEED
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = ((h ^ (h >> np.uint64(31))) >> np.uint64(32)) * np.uint64(TITLE_BUCKETS) >> np.uint64(32)
    return np.where(np.isnan(x), np.nan, h)


def _tenure(x: Matrix) -> Matrix:
    tenure = np.clip((x[:, 1] - x[:, 0]) / 365.25, 0.0, 45.0)
    band = _TENURE.searchsorted(tenure, side="right")  # NaN stands behind all edges
    missing = np.isnan(tenure)
    return np.stack([np.where(missing, 4.0, tenure), band == 0, (band == 5) & ~missing], axis=1)


def _days(x: Matrix) -> Matrix:
    missing = np.isnan(x)
    hired, review = np.where(missing, 0.0, x).astype(np.int64).astype("datetime64[D]").T
    months, year = hired.astype("datetime64[M]").astype(np.int64), review.astype("datetime64[Y]")
    parts = np.stack(
        [
            months % 12 + 1.0,
            (months // 12 - 46.0) / 6.0,
            (hired.astype(np.int64) + 3.0) % 7,
            review.astype("datetime64[M]").astype(np.int64) % 12 // 3 + 1.0,
            ((review - year.astype("datetime64[D]")).astype(np.int64) + 1.0 - 183.0) / 105.0,
        ],
        axis=1,
    )
    parts[missing[:, 0], :3] = np.nan
    parts[missing[:, 1], 3:] = np.nan
    return parts


def _total(x: Matrix) -> tuple[Matrix, Matrix]:
    """Sum and number of the given values of each row."""
    given = ~np.isnan(x)
    return np.sum(x, axis=1, where=given), given.sum(axis=1)


def _mean(x: Matrix) -> Matrix:
    total, count = _total(x)
    return _divided(total, count.astype(np.float64))


def _sum(x: Matrix) -> Matrix:
    total, count = _total(x)
    return np.where(count > 0, total, np.nan)


def _std(x: Matrix) -> Matrix:
    away = x - _mean(x)[:, None]
    return np.sqrt(_mean(away * away))


def _slope(x: Matrix) -> Matrix:
    given, t = ~np.isnan(x), np.arange(float(x.shape[1]))
    count = given.sum(axis=1).astype(np.float64)
    away = t - _divided(given @ t, count)[:, None]
    above = np.sum(away * (x - _mean(x)[:, None]), axis=1, where=given)
    return _divided(above, np.sum(away * away, axis=1, where=given))


def _ewm(x: Matrix, decay: float) -> Matrix:
    weights, given = decay ** np.arange(x.shape[1] - 1.0, -1.0, -1.0), ~np.isnan(x)
    return _divided(np.where(given, x, 0.0) @ weights, given @ weights)


def _extreme(function, x: Matrix) -> Matrix:
    return function.reduce(x, axis=1)


def _last(x: Matrix) -> Matrix:
    newest = x.shape[1] - 1 - np.argmax(~np.isnan(x[:, ::-1]), axis=1)
    return x[np.arange(len(x)), newest]


def _longest_run(x: Matrix, bound: float) -> Matrix:
    count = np.arange(1, x.shape[1] + 1)
    reset = np.maximum.accumulate(np.where(x > bound, 0, count), axis=1)
    return np.where(np.isnan(x).all(axis=1), np.nan, (count - reset).max(axis=1))


def _months_since(x: Matrix, bound: float) -> Matrix:
    above = x[:, ::-1] > bound
    return np.where(above.any(axis=1), np.argmax(above, axis=1), 36.0)


def _hours(x: Matrix) -> Matrix:
    hours, target = x[:, :MONTHS], x[:, MONTHS]
    mean_3, mean_12 = _mean(hours[:, -3:]), _mean(hours[:, -12:])
    return np.stack(
        [
            _last(hours),
            mean_3,
            mean_12,
            _slope(hours[:, -12:]),
            _std(hours),
            np.isnan(hours[:, -12:]).sum(axis=1),
            _divided(mean_12, target),
            mean_3 - mean_12,
        ],
        axis=1,
    )


def _regular(x: Matrix) -> Matrix:
    return _mean(x[:, MONTHS - 12 : MONTHS] - x[:, -12:])[:, None]


def _tasks(x: Matrix) -> Matrix:
    return np.stack([_sum(x[:, -12:]), x[:, -1] - x[:, -13]], axis=1)


def _quality(x: Matrix) -> Matrix:
    x = (x - 0.8) / 0.1
    last = _last(x)
    return np.stack([last, _ewm(x, 0.8), _extreme(np.fmin, x[:, -12:]), _slope(x), np.isnan(last)], axis=1)


def _absences(x: Matrix) -> Matrix:
    year = x[:, -12:]
    return np.stack([_sum(year), _extreme(np.fmax, year), _longest_run(x, 0.0), _months_since(x, 3.0)], axis=1)


def _trainings(x: Matrix) -> Matrix:
    return np.stack([_sum(x), _months_since(x, 0.0)], axis=1)


def _overtimes(x: Matrix) -> Matrix:
    return np.stack([_mean(x[:, -3:]), _std(x[:, -12:]), _longest_run(x[:, -12:], 10.0)], axis=1)


def _productivity(hours: Matrix, tasks: Matrix) -> Matrix:
    return np.clip(_divided(tasks, hours), 0.0, 2.0)


def _productivities(x: Matrix) -> Matrix:
    x = _productivity(x[:, MONTHS - 13 : MONTHS], x[:, -13:])
    return np.stack([_mean(x[:, -6:]), _ewm(x[:, -12:], 0.7), x[:, -1] - x[:, 0]], axis=1)


def _window(x: Matrix) -> Matrix:
    months = x.reshape(-1, len(HISTORIES), MONTHS)
    hours, tasks, quality, absence = (months[:, k] for k in range(4))
    window = np.empty((len(x), MONTHS, len(WINDOW)))
    window[:, :, 0] = _or((hours - 150.0) / 25.0, 0.0)
    window[:, :, 1] = _or((quality - 0.8) / 0.1, 0.0)
    window[:, :, 2] = _or(_productivity(hours, tasks), 0.5)
    window[:, :, 3] = _or(_ln(absence + 1.0), 0.0)
    window[:, :, 4] = np.logical_or.accumulate(~np.isnan(months).all(axis=1), axis=1)
    return window.reshape(len(x), -1)


def _or(x: Matrix, value: float) -> Matrix:
    return np.where(np.isnan(x), value, x)
