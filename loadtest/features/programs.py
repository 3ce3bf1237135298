"""The two programs that are measured, as contracts, with rows for them.

`facts`: what is known of an employee now, 18 columns. `histories`: what happened in the last 24 months, six columns of
months and two numbers. The other implementations have the same constants in their code.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from serving.contract import (
    MASK,
    CategoryInput,
    Contract,
    DateInput,
    GraphInput,
    HistoryInput,
    NumberInput,
    Program,
    Provenance,
    ScalarOutput,
    Step,
    Text,
    TextInput,
)

MONTHS = 24
MISSING = 0.1
"""Share of cells that are missing."""
UNKNOWN = 0.03
"""Share of category cells with a name that training has not seen."""
NUMBERS = (
    "salary",
    "band_low",
    "band_high",
    "bonus",
    "training_hours",
    "overtime_hours",
    "absence_days",
    "engagement",
    "team_engagement",
    "rating",
    "projects",
    "delivered",
)
CATEGORIES = {
    "department": ("sales", "engineering", "support", "finance", "legal", "people", "operations", "research"),
    "level": ("junior", "professional", "senior", "principal", "manager", "director"),
    "contract": ("permanent", "fixed term", "part time", "apprentice"),
}
TITLE = "job_title"
DATES = ("hired", "review")
FACTS = (*NUMBERS, *CATEGORIES, TITLE, *DATES)
HISTORIES = ("hours", "tasks", "quality", "absence", "training", "overtime")
TARGETS = ("target_hours", "team_size")


def _facts_steps() -> tuple[Step, ...]:
    def step(into: str, op: str, *inputs: str, params: tuple[float, ...] = ()) -> Step:
        return Step(op, into, inputs, params)

    departments, contracts = len(CATEGORIES["department"]), len(CATEGORIES["contract"])
    return (
        step("band_width", "difference", "band_high", "band_low"),
        step("above_band", "difference", "salary", "band_low"),
        step("band_share", "ratio", "above_band", "band_width"),
        step("band_share_held", "clip", "band_share", params=(-0.5, 1.5)),
        step("band_position", "impute", "band_share_held", params=(0.5,)),
        step("salary_ln", "log", "salary", params=(0.0,)),
        step("salary_scaled", "scale", "salary_ln", params=(10.9, 0.35)),
        step("salary_log", "impute", "salary_scaled", params=(0.0,)),
        step("bonus_ratio", "ratio", "bonus", "salary"),
        step("bonus_ratio_held", "clip", "bonus_ratio", params=(0.0, 0.6)),
        step("bonus_share", "impute", "bonus_ratio_held", params=(0.06,)),
        step("training_ln", "log", "training_hours", params=(1.0,)),
        step("training_log", "impute", "training_ln", params=(2.8,)),
        step("overtime_held", "clip", "overtime_hours", params=(0.0, 40.0)),
        step("overtime_scaled", "scale", "overtime_held", params=(9.5, 7.5)),
        step("overtime", "impute", "overtime_scaled", params=(0.0,)),
        step("overtime_missing", "missing_flag", "overtime_hours"),
        step("absence_bucket", "bucket", "absence_days", params=(1.0, 3.0, 6.0, 12.0, 25.0)),
        step("absence", "impute", "absence_bucket", params=(1.0,)),
        step("engagement_difference", "difference", "engagement", "team_engagement"),
        step("engagement_gap", "impute", "engagement_difference", params=(0.0,)),
        step("engagement_missing", "missing_flag", "engagement"),
        step("engagement_scaled", "scale", "engagement", params=(3.4, 0.8)),
        step("engagement_level", "impute", "engagement_scaled", params=(0.0,)),
        step("rating_held", "clip", "rating", params=(1.0, 5.0)),
        step("rating_scaled", "scale", "rating_held", params=(3.1, 0.7)),
        step("rating_level", "impute", "rating_scaled", params=(0.0,)),
        step("rating_missing", "missing_flag", "rating"),
        step("delivered_ratio", "ratio", "delivered", "projects"),
        step("delivered_ratio_held", "clip", "delivered_ratio", params=(0.0, 1.2)),
        step("delivered_share", "impute", "delivered_ratio_held", params=(0.8,)),
        step("projects_ln", "log", "projects", params=(1.0,)),
        step("projects_log", "impute", "projects_ln", params=(1.7,)),
        *(step(f"department_{c}", "one_hot", "department", params=(float(c),)) for c in range(departments)),
        step("department_rate", "target_encode", "department", params=DEPARTMENT_RATES),
        step("level_ordinal", "ordinal", "level", params=LEVEL_RANKS),
        step("level_scaled", "scale", "level_ordinal", params=(1.9, 1.4)),
        step("level_rank", "impute", "level_scaled", params=(0.0,)),
        *(step(f"contract_{c}", "one_hot", "contract", params=(float(c),)) for c in range(contracts)),
        step("title_hash", "hash_bucket", TITLE, params=(float(TITLE_BUCKETS), float(TITLE_SEED))),
        step("title_bucket", "impute", "title_hash", params=(-1.0,)),
        step("tenure_days", "difference", "review", "hired"),
        step("tenure_years", "scale", "tenure_days", params=(0.0, 365.25)),
        step("tenure_held", "clip", "tenure_years", params=(0.0, 45.0)),
        step("tenure", "impute", "tenure_held", params=(4.0,)),
        step("tenure_band", "bucket", "tenure_held", params=(1.0, 2.0, 5.0, 10.0, 20.0)),
        step("tenure_new", "one_hot", "tenure_band", params=(0.0,)),
        step("tenure_long", "one_hot", "tenure_band", params=(5.0,)),
        step("hired_month_given", "month", "hired"),
        step("hired_month", "impute", "hired_month_given", params=(6.0,)),
        step("hired_year_given", "year", "hired"),
        step("hired_year_scaled", "scale", "hired_year_given", params=(2016.0, 6.0)),
        step("hired_year", "impute", "hired_year_scaled", params=(0.0,)),
        step("hired_weekday", "weekday", "hired"),
        step("review_quarter_given", "quarter", "review"),
        step("review_quarter", "impute", "review_quarter_given", params=(2.0,)),
        step("review_day_given", "day_of_year", "review"),
        step("review_day_scaled", "scale", "review_day_given", params=(183.0, 105.0)),
        step("review_day", "impute", "review_day_scaled", params=(0.0,)),
    )


DEPARTMENT_RATES = (0.31, 0.42, 0.27, 0.38, 0.36, 0.33, 0.29, 0.45, 0.34, 0.335)
"""Target encoding of the departments, then of an unknown and of a missing one."""
LEVEL_RANKS = (0.0, 1.0, 2.0, 3.0, 3.5, 5.0, 1.5)
TITLE_BUCKETS, TITLE_SEED = 64, 7
FACTS_FEATURES = (
    "band_position",
    "salary_log",
    "bonus_share",
    "training_log",
    "overtime",
    "overtime_missing",
    "absence",
    "engagement_gap",
    "engagement_missing",
    "engagement_level",
    "rating_level",
    "rating_missing",
    "delivered_share",
    "projects_log",
    *(f"department_{code}" for code in range(len(CATEGORIES["department"]))),
    "department_rate",
    "level_rank",
    *(f"contract_{code}" for code in range(len(CATEGORIES["contract"]))),
    "title_bucket",
    "tenure",
    "tenure_new",
    "tenure_long",
    "hired_month",
    "hired_year",
    "hired_weekday",
    "review_quarter",
    "review_day",
)

HISTORIES_STEPS = (
    Step("ratio", "productivity_raw", ("tasks", "hours")),
    Step("clip", "productivity", ("productivity_raw",), (0.0, 2.0)),
    Step("difference", "regular_hours", ("hours", "overtime")),
    Step("scale", "hours_scaled", ("hours",), (150.0, 25.0)),
    Step("impute", "hours_window", ("hours_scaled",), (0.0,)),
    Step("scale", "quality_scaled", ("quality",), (0.8, 0.1)),
    Step("impute", "quality_window", ("quality_scaled",), (0.0,)),
    Step("impute", "productivity_window", ("productivity",), (0.5,)),
    Step("log", "absence_log", ("absence",), (1.0,)),
    Step("impute", "absence_window", ("absence_log",), (0.0,)),
    Step("missing_flag", "hours_missing", ("hours",)),
    Step("last", "hours_last", ("hours",)),
    Step("mean", "hours_mean_3", ("hours",), (3.0,)),
    Step("mean", "hours_mean_12", ("hours",), (12.0,)),
    Step("slope", "hours_slope_12", ("hours",), (12.0,)),
    Step("std", "hours_std_24", ("hours",), (24.0,)),
    Step("sum", "hours_missing_12", ("hours_missing",), (12.0,)),
    Step("mean", "regular_mean_12", ("regular_hours",), (12.0,)),
    Step("sum", "tasks_sum_12", ("tasks",), (12.0,)),
    Step("yearly_change", "tasks_change", ("tasks",)),
    Step("last", "quality_last", ("quality_scaled",)),
    Step("ewm", "quality_ewm", ("quality_scaled",), (24.0, 0.8)),
    Step("min", "quality_min_12", ("quality_scaled",), (12.0,)),
    Step("slope", "quality_slope_24", ("quality_scaled",), (24.0,)),
    Step("sum", "absence_sum_12", ("absence",), (12.0,)),
    Step("max", "absence_max_12", ("absence",), (12.0,)),
    Step("longest_run", "absence_run_24", ("absence",), (24.0, 0.0)),
    Step("months_since", "absence_since", ("absence",), (3.0,)),
    Step("sum", "training_sum_24", ("training",), (24.0,)),
    Step("months_since", "training_since", ("training",), (0.0,)),
    Step("mean", "overtime_mean_3", ("overtime",), (3.0,)),
    Step("std", "overtime_std_12", ("overtime",), (12.0,)),
    Step("longest_run", "overtime_run_12", ("overtime",), (12.0, 10.0)),
    Step("mean", "productivity_mean_6", ("productivity",), (6.0,)),
    Step("ewm", "productivity_ewm_12", ("productivity",), (12.0, 0.7)),
    Step("yearly_change", "productivity_change", ("productivity",)),
    Step("ratio", "hours_of_target", ("hours_mean_12", "target_hours")),
    Step("difference", "hours_recent", ("hours_mean_3", "hours_mean_12")),
    Step("log", "team_log", ("team_size",), (0.0,)),
    Step("impute", "absence_since_filled", ("absence_since",), (36.0,)),
    Step("impute", "training_since_filled", ("training_since",), (36.0,)),
    Step("missing_flag", "quality_missing", ("quality_last",)),
)
HISTORIES_FEATURES = (
    "hours_last",
    "hours_mean_3",
    "hours_mean_12",
    "hours_slope_12",
    "hours_std_24",
    "hours_missing_12",
    "regular_mean_12",
    "tasks_sum_12",
    "tasks_change",
    "quality_last",
    "quality_ewm",
    "quality_min_12",
    "quality_slope_24",
    "absence_sum_12",
    "absence_max_12",
    "absence_run_24",
    "absence_since_filled",
    "training_sum_24",
    "training_since_filled",
    "overtime_mean_3",
    "overtime_std_12",
    "overtime_run_12",
    "productivity_mean_6",
    "productivity_ewm_12",
    "productivity_change",
    "hours_of_target",
    "hours_recent",
    "team_log",
    "quality_missing",
)
WINDOW = ("hours_window", "quality_window", "productivity_window", "absence_window", MASK)


def facts() -> Contract:
    """The program of facts: 18 inputs, 38 features."""
    inputs = (
        *(NumberInput(name, _TEXT, "") for name in NUMBERS),
        *(CategoryInput(name, _TEXT, names) for name, names in CATEGORIES.items()),
        TextInput(TITLE, _TEXT),
        *(DateInput(name, _TEXT) for name in DATES),
    )
    program = Program(steps=_facts_steps(), features=FACTS_FEATURES)
    return _contract("facts", inputs, program, (GraphInput("features", (len(FACTS_FEATURES),), True),))


def histories() -> Contract:
    """The program with histories: six of 24 months and two numbers, 29 features and a window of five columns."""
    inputs = (
        *(NumberInput(name, _TEXT, "") for name in TARGETS),
        *(HistoryInput(name, _TEXT, "") for name in HISTORIES),
    )
    program = Program(steps=HISTORIES_STEPS, features=HISTORIES_FEATURES, window=WINDOW)
    tensors = (
        GraphInput("features", (len(HISTORIES_FEATURES),), True),
        GraphInput("window", (MONTHS, len(WINDOW))),
    )
    return _contract("histories", inputs, program, tensors, MONTHS)


_TEXT = Text("a", "甲")


def _contract(name, inputs, program, tensors, months=0) -> Contract:
    return Contract(
        format=1,
        model=name,
        entity_type="employee",
        title=_TEXT,
        inputs=inputs,
        program=program,
        tensors=tensors,
        outputs=(ScalarOutput("score", _TEXT, "score", ""),),
        min_coverage=0.0,
        left_out=(),
        provenance=Provenance("none", "0" * 64, 0, "0", "none", 0, True, {}),
        months=months,
    )


@dataclass(frozen=True)
class Raw:
    """Raw rows as the gateway's kernel takes them. values: float64[n, C]; history: float64[n, K, months]."""

    values: NDArray[np.float64]
    history: NDArray[np.float64]


def facts_rows(n: int, seed: int) -> Raw:
    """n rows for `facts`, a tenth of the cells missing."""
    random = np.random.default_rng(seed)
    band = random.uniform(35e3, 120e3, n)
    projects = random.poisson(5, n).astype(float)  # 0 at times: a ratio by it is missing
    review = random.integers(19_700, 20_500, n).astype(float)
    columns = [
        np.round(band * random.uniform(0.9, 1.6, n), 2),
        np.round(band, 2),
        np.round(band * random.uniform(1.2, 1.5, n), 2),
        np.round(random.exponential(4000, n), 2),
        np.round(random.exponential(20, n), 1),
        np.round(random.exponential(9, n), 1),
        random.poisson(5, n).astype(float),
        np.round(random.uniform(1, 5, n), 1),
        np.round(random.uniform(2, 4.5, n), 2),
        np.round(random.normal(3.1, 0.8, n), 1),
        projects,
        random.binomial(projects.astype(int), 0.8).astype(float),
        *(_codes(random, n, len(names)) for names in CATEGORIES.values()),
        random.integers(0, 1 << 53, n).astype(float),
        review - random.integers(10, 9000, n),
        review,
    ]
    values = np.stack(columns, axis=1)
    values[random.random(values.shape) < MISSING] = np.nan
    return Raw(values, np.empty((n, 0, 0)))


def histories_rows(n: int, seed: int) -> Raw:
    """n rows for `histories`: a third of them with fewer than 24 months, a tenth of the months in between missing."""
    random = np.random.default_rng(seed)
    shape = (n, MONTHS)
    hours = np.round(random.normal(150, 25, shape), 1)
    months = [
        np.where(random.random(shape) < 0.02, 0.0, hours),  # 0 hours: a ratio by them is missing
        random.poisson(70, shape).astype(float),
        np.round(random.uniform(0.5, 1.0, shape), 3),
        np.where(random.random(shape) < 0.6, 0.0, random.poisson(2, shape)),
        np.where(random.random(shape) < 0.7, 0.0, np.round(random.exponential(8, shape), 1)),
        np.round(random.exponential(9, shape), 1),
    ]
    history = np.stack(months, axis=1)
    known = np.where(random.random(n) < 0.33, random.integers(0, MONTHS, n), MONTHS)
    history = np.where(np.arange(MONTHS) < MONTHS - known[:, None, None], np.nan, history)
    history[random.random(history.shape) < MISSING] = np.nan
    values = np.stack([random.choice([120.0, 150.0, 160.0], n), random.integers(1, 40, n).astype(float)], axis=1)
    values[random.random(values.shape) < MISSING] = np.nan
    return Raw(values, history)


def _codes(random: np.random.Generator, n: int, known: int) -> NDArray[np.float64]:
    codes = random.integers(0, known, n).astype(float)
    codes[random.random(n) < UNKNOWN] = known
    return codes
