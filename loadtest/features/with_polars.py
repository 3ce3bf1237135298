"""Both programs in polars: expressions in few stages; missing is null, days are `pl.Date`.

What several expressions read has a stage before them. Stages are evaluated eagerly: as lazy queries they took as long
without the optimizer, and 5 to 20 % longer with it. Of histories a column a month.
"""

import functools
import operator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadtest.features.programs import (
    CATEGORIES,
    DATES,
    DEPARTMENT_RATES,
    FACTS,
    HISTORIES,
    HISTORIES_FEATURES,
    LEVEL_RANKS,
    MONTHS,
    TARGETS,
    TITLE,
    TITLE_BUCKETS,
    TITLE_SEED,
    WINDOW,
    Raw,
)

_RATES, _RANKS = pl.Series(DEPARTMENT_RATES[:-1]), pl.Series(LEVEL_RANKS)


def facts_frame(raw: Raw) -> pl.DataFrame:
    """Numbers as Float64, categories and the text's hash as integers, dates as Date."""
    frame = pl.DataFrame(
        {name: np.ascontiguousarray(raw.values[:, c]) for c, name in enumerate(FACTS)}, nan_to_null=True
    )
    return frame.with_columns(
        pl.col(DATES).cast(pl.Int32).cast(pl.Date), pl.col(*CATEGORIES).cast(pl.UInt32), pl.col(TITLE).cast(pl.UInt64)
    )


def histories_frame(raw: Raw) -> pl.DataFrame:
    """`hours_0` (oldest) to `hours_23`, and so on."""
    columns = {name: np.ascontiguousarray(raw.values[:, c]) for c, name in enumerate(TARGETS)}
    for k, name in enumerate(HISTORIES):
        columns |= {f"{name}_{t}": np.ascontiguousarray(raw.history[:, k, t]) for t in range(MONTHS)}
    return pl.DataFrame(columns, nan_to_null=True)


def facts(frame: pl.DataFrame) -> NDArray[np.float32]:
    """float32[n, 37]."""
    return frame.with_columns(_TENURE).with_columns(_TENURE_BAND).select(_FACTS).to_numpy(order="c")


def histories(frame: pl.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32[n, 29] and float32[n, 24, 5]."""
    staged = frame.with_columns(_MONTHLY).with_columns(_FIRST)
    staged = staged.with_columns(
        _longest_run(staged, "absence", 24, 0.0),
        _longest_run(staged, "overtime", 12, 10.0),
        *_since_first(staged),
    )
    made = staged.select(_HISTORIES).to_numpy(order="c")
    split = len(HISTORIES_FEATURES)
    return made[:, :split], made[:, split:].reshape(-1, MONTHS, len(WINDOW))


def _ratio(a: pl.Expr, b: pl.Expr) -> pl.Expr:
    return a / pl.when(b != 0).then(b)


def _ln(x: pl.Expr) -> pl.Expr:
    return pl.when(x > 0).then(x).log()


def _given(x: pl.Expr) -> pl.Expr:
    return x.is_not_null()


def _bucket(x: pl.Expr, *edges: float) -> pl.Expr:
    return functools.reduce(operator.add, [(x >= edge).cast(pl.Int8) for edge in edges])


def _facts_expressions() -> dict[str, pl.Expr]:
    c = pl.col
    title = c(TITLE) + (TITLE_SEED * 0x9E3779B97F4A7C15) % (1 << 64)
    title = (title ^ (title // (1 << 30))) * 0xBF58476D1CE4E5B9
    title = (title ^ (title // (1 << 27))) * 0x94D049BB133111EB
    title = (title ^ (title // (1 << 31))) // (1 << 32) * TITLE_BUCKETS // (1 << 32)
    departments, contracts = range(len(CATEGORIES["department"])), range(len(CATEGORIES["contract"]))
    return {
        "band_position": _ratio(c("salary") - c("band_low"), c("band_high") - c("band_low"))
        .clip(-0.5, 1.5)
        .fill_null(0.5),
        "salary_log": ((_ln(c("salary")) - 10.9) / 0.35).fill_null(0.0),
        "bonus_share": _ratio(c("bonus"), c("salary")).clip(0.0, 0.6).fill_null(0.06),
        "training_log": _ln(c("training_hours") + 1.0).fill_null(2.8),
        "overtime": ((c("overtime_hours").clip(0.0, 40.0) - 9.5) / 7.5).fill_null(0.0),
        "overtime_missing": c("overtime_hours").is_null(),
        "absence": _bucket(c("absence_days"), 1.0, 3.0, 6.0, 12.0, 25.0).fill_null(1),
        "engagement_gap": (c("engagement") - c("team_engagement")).fill_null(0.0),
        "engagement_missing": c("engagement").is_null(),
        "engagement_level": ((c("engagement") - 3.4) / 0.8).fill_null(0.0),
        "rating_level": ((c("rating").clip(1.0, 5.0) - 3.1) / 0.7).fill_null(0.0),
        "rating_missing": c("rating").is_null(),
        "delivered_share": _ratio(c("delivered"), c("projects")).clip(0.0, 1.2).fill_null(0.8),
        "projects_log": _ln(c("projects") + 1.0).fill_null(1.7),
        **{f"department_{code}": (c("department") == code).fill_null(False) for code in departments},
        "department_rate": pl.lit(_RATES).gather(c("department")).fill_null(DEPARTMENT_RATES[-1]),
        "level_rank": ((pl.lit(_RANKS).gather(c("level")) - 1.9) / 1.4).fill_null(0.0),
        **{f"contract_{code}": (c("contract") == code).fill_null(False) for code in contracts},
        "title_bucket": title.cast(pl.Float32).fill_null(-1.0),
        "tenure": c("tenure_held").fill_null(4.0),
        "tenure_new": (c("tenure_band") == 0).fill_null(False),
        "tenure_long": (c("tenure_band") == 5).fill_null(False),
        "hired_month": c("hired").dt.month().fill_null(6),
        "hired_year": ((c("hired").dt.year() - 2016.0) / 6.0).fill_null(0.0),
        "hired_weekday": (c("hired").dt.weekday() - 1).cast(pl.Float32).fill_null(float("nan")),
        "review_quarter": c("review").dt.quarter().fill_null(2),
        "review_day": ((c("review").dt.ordinal_day() - 183.0) / 105.0).fill_null(0.0),
    }


def _months(name: str, months: int = MONTHS) -> list[pl.Expr]:
    return [pl.col(f"{name}_{t}") for t in range(MONTHS - months, MONTHS)]


def _histories_expressions() -> dict[str, pl.Expr]:
    c = pl.col
    hours, tasks, quality, absence = (_months(name) for name in ("hours", "tasks", "quality_scaled", "absence"))
    training, overtime, productivity = (_months(name) for name in ("training", "overtime", "productivity"))
    regular = [a - b for a, b in zip(hours, overtime, strict=True)]
    hours_3, hours_12, quality_last = c("hours_mean_3"), c("hours_mean_12"), c("quality_last")
    features = {
        "hours_last": pl.coalesce(*reversed(hours)),
        "hours_mean_3": hours_3,
        "hours_mean_12": hours_12,
        "hours_slope_12": _slope(hours, 12, "hours"),
        "hours_std_24": _std(hours, 24, "hours_mean_24"),
        "hours_missing_12": pl.sum_horizontal(*(x.is_null() for x in hours[-12:])),
        "regular_mean_12": _mean(regular, 12),
        "tasks_sum_12": _sum(tasks, 12),
        "tasks_change": tasks[-1] - tasks[-13],
        "quality_last": quality_last,
        "quality_ewm": _ewm(quality, 24, 0.8),
        "quality_min_12": pl.min_horizontal(*quality[-12:]),
        "quality_slope_24": _slope(quality, 24, "quality"),
        "absence_sum_12": _sum(absence, 12),
        "absence_max_12": pl.max_horizontal(*absence[-12:]),
        "absence_run_24": c("absence_run"),
        "absence_since_filled": _months_since(absence, 3.0).fill_null(36.0),
        "training_sum_24": _sum(training, 24),
        "training_since_filled": _months_since(training, 0.0).fill_null(36.0),
        "overtime_mean_3": _mean(overtime, 3),
        "overtime_std_12": _std(overtime, 12, "overtime_mean_12"),
        "overtime_run_12": c("overtime_run"),
        "productivity_mean_6": _mean(productivity, 6),
        "productivity_ewm_12": _ewm(productivity, 12, 0.7),
        "productivity_change": productivity[-1] - productivity[-13],
        "hours_of_target": _ratio(hours_12, pl.col("target_hours")),
        "hours_recent": hours_3 - hours_12,
        "team_log": _ln(pl.col("team_size")),
        "quality_missing": quality_last.is_null(),
    }
    windows = [
        [((x - 150.0) / 25.0).fill_null(0.0) for x in hours],
        [x.fill_null(0.0) for x in quality],
        [x.fill_null(0.5) for x in productivity],
        [_ln(x + 1.0).fill_null(0.0) for x in absence],
        _months("mask"),
    ]
    return features | {f"window_{t}_{w}": windows[w][t] for t in range(MONTHS) for w in range(len(windows))}


def _count(x: list[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal(*(_given(v) for v in x))


def _mean(x: list[pl.Expr], months: int) -> pl.Expr:
    return pl.mean_horizontal(*x[-months:])


def _sum(x: list[pl.Expr], months: int) -> pl.Expr:
    return pl.when(pl.any_horizontal(*(_given(v) for v in x[-months:]))).then(pl.sum_horizontal(*x[-months:]))


def _std(x: list[pl.Expr], months: int, mean: str) -> pl.Expr:
    away = [v - pl.col(mean) for v in x[-months:]]
    return pl.mean_horizontal(*(d.pow(2) for d in away)).sqrt()


def _when(x: list[pl.Expr]) -> pl.Expr:
    """Mean of the numbers of the given months."""
    return pl.sum_horizontal(*(_given(v) * float(t) for t, v in enumerate(x))) / _count(x)


def _slope(x: list[pl.Expr], months: int, name: str) -> pl.Expr:
    middle, when = pl.col(f"{name}_mean_{months}"), pl.col(f"{name}_when_{months}")
    x = x[-months:]
    above = pl.sum_horizontal(*((v - middle) * (t - when) for t, v in enumerate(x)))
    below = pl.sum_horizontal(*((t - when).pow(2) * _given(v) for t, v in enumerate(x)))
    return above / below


def _ewm(x: list[pl.Expr], months: int, decay: float) -> pl.Expr:
    x = x[-months:]
    total = pl.sum_horizontal(*(v * decay**age for age, v in zip(reversed(range(months)), x, strict=True)))
    weights = pl.sum_horizontal(*(_given(v) * decay**age for age, v in zip(reversed(range(months)), x, strict=True)))
    return total / weights


def _longest_run(frame: pl.DataFrame, name: str, months: int, bound: float) -> pl.Series:
    """Series by series: as one expression it would be evaluated once for every month that reads it."""
    columns = frame.select(_months(name, months))
    above = columns.select((pl.all() > bound).fill_null(False).cast(pl.Int8)).get_columns()
    best = run = above[0]
    for now in above[1:]:
        run = (run + 1) * now
        best = pl.select(pl.max_horizontal(best, run)).to_series()
    given = columns.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    return pl.select(pl.when(given).then(best)).to_series().alias(f"{name}_run")


def _months_since(x: list[pl.Expr], bound: float) -> pl.Expr:
    return pl.coalesce(*(pl.when(v > bound).then(pl.lit(float(age))) for age, v in enumerate(reversed(x))))


def _since_first(frame: pl.DataFrame) -> list[pl.Series]:
    given = frame.select(
        pl.any_horizontal(*(_given(pl.col(f"{name}_{t}")) for name in HISTORIES)).alias(f"mask_{t}")
        for t in range(MONTHS)
    ).get_columns()
    mask = given[:1]
    for now in given[1:]:
        mask.append((mask[-1] | now).alias(now.name))
    return mask


def _as_float32(expressions: dict[str, pl.Expr]) -> list[pl.Expr]:
    return [x.cast(pl.Float32).fill_null(float("nan")).alias(name) for name, x in expressions.items()]


_TENURE = ((pl.col("review") - pl.col("hired")).dt.total_days() / 365.25).clip(0.0, 45.0).alias("tenure_held")
_TENURE_BAND = _bucket(pl.col("tenure_held"), 1.0, 2.0, 5.0, 10.0, 20.0).alias("tenure_band")
_FACTS = _as_float32(_facts_expressions())
_MONTHLY = [
    *(((pl.col(f"quality_{t}") - 0.8) / 0.1).alias(f"quality_scaled_{t}") for t in range(MONTHS)),
    *(
        _ratio(pl.col(f"tasks_{t}"), pl.col(f"hours_{t}")).clip(0.0, 2.0).alias(f"productivity_{t}")
        for t in range(MONTHS)
    ),
]
_FIRST = [
    *(_mean(_months("hours"), months).alias(f"hours_mean_{months}") for months in (3, 12, 24)),
    _when(_months("hours", 12)).alias("hours_when_12"),
    _mean(_months("overtime"), 12).alias("overtime_mean_12"),
    _mean(_months("quality_scaled"), 24).alias("quality_mean_24"),
    _when(_months("quality_scaled")).alias("quality_when_24"),
    pl.coalesce(*reversed(_months("quality_scaled"))).alias("quality_last"),
]
_HISTORIES = _as_float32(_histories_expressions())
