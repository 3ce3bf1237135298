"""Synthetic employees followed over months, in which the order of events matters and the best possible score is known.

A fall of recognition hurts only while a surge of workload is remembered; the same fall before the surge does nothing.
The grade is drawn from a cumulative logit over the trailing twelve months, whose true probabilities are kept beside
the rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.data import schema
from exporters.data.table import Cells, Table
from exporters.data.workforce import GENDERS, Monthly, ages, ar1, career, employee_names, month_names, places, sigmoid

TRAILING = 12  # months that a review looks back on, and that are simulated before the first one shown

# What a review looks at: column -> (weight, what is usual, how far it usually varies), means of the trailing months.
_MERITS = {
    "quality": (0.6, 3.4, 0.6),
    "goals_met": (0.8, 0.66, 0.18),
    "on_time": (0.5, 0.81, 0.12),
    "rework": (-0.4, 0.12, 0.08),
    "peer_review": (0.5, 3.5, 0.5),
    "tasks_done": (0.6, 18.5, 6.0),
    "projects": (0.6, 4.0, 1.9),
    "recognition": (0.4, 2.8, 2.0),
    "training": (0.4, 36.0, 23.0),
    "absences": (-0.5, 7.0, 3.0),
}
# What counts double in a department, so that no one line through the columns fits all of them.
_EMPHASIS = {
    "Customer Service": "peer_review",
    "Finance": "rework",
    "Human Resources": "training",
    "IT": "quality",
    "Marketing": "projects",
    "Operations": "on_time",
    "R&D": "quality",
    "Sales": "goals_met",
}
_MORE, _LESS = 3.5, 0.5
_SPREAD = 1.4  # how decided the grades are: more is less luck
_STRAIN = 2.2  # what a remembered surge followed by lost recognition costs
_LONG_HOURS = 1.2  # what each 5 h/week beyond or below 42 cost, squared
_BAR_A, _BAR_C = 4.5, -3.6  # give about 15 / 65 / 20 %

_MISSING = {
    "overtime": 0.04, "meetings": 0.08, "remote_share": 0.06, "absences": 0.03, "projects": 0.03, "tasks_done": 0.05,
    "on_time": 0.05, "rework": 0.10, "quality": 0.06, "goals_met": 0.05, "peer_review": 0.15, "recognition": 0.04,
    "training": 0.06, "months_since_promotion": 0.03, "tenure": 0.01, "level": 0.01, "team_size": 0.04,
    "department": 0.01, "job_family": 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """Everything known of n employees over T months: arrays [n, T], or [n] for what does not change."""

    months: tuple[str, ...]
    numbers: dict[str, Monthly]
    texts: dict[str, Cells]
    gender: Cells
    age: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    """float64[n, T, 3]: true probabilities of A, B and C in a review of that month."""


def strain(workload: Monthly, recognition: Monthly) -> Monthly:
    """What is felt of recognition lost while a surge of workload is remembered: 0 .. 1, float64[n, T].

    Both arguments are in standard deviations. The drop is tested before the surge of the same month is remembered:
    surge then drop hurts, drop then surge does not.
    """
    surge, drop = workload > 1.0, recognition < -1.0
    memory, felt = np.zeros(len(workload)), np.zeros(len(workload))
    out = np.empty_like(workload)
    for month in range(workload.shape[1]):
        felt = 0.8 * felt + drop[:, month] * memory
        out[:, month] = np.tanh(felt)
        memory = np.maximum(0.6 * memory, surge[:, month])
    return out


def grade_probabilities(numbers: dict[str, Monthly], department: Cells, strained: Monthly) -> NDArray[np.float64]:
    """True probabilities of A, B and C in each month: float64[n, T, 3], from complete columns [n, T].

    department: str[n]; strained: as `strain` gives it.
    """
    score = np.zeros_like(strained)
    emphasis = np.array([_EMPHASIS[name] for name in department.tolist()])
    for name, (weight, usual, spread) in _MERITS.items():
        counts = weight * np.where(emphasis == name, _MORE, _LESS)[:, None]
        score += counts * (trailing_sum(numbers[name]) / TRAILING - usual) / spread
    score -= _LONG_HOURS * ((trailing_sum(numbers["hours"]) / TRAILING - 42.0) / 5.0) ** 2
    score = _SPREAD * (score - _STRAIN * (strained - 0.35))
    a, c = sigmoid(score - _BAR_A), sigmoid(_BAR_C - score)
    return np.stack([a, 1.0 - a - c, c], axis=2)


def trailing_sum(values: Monthly) -> Monthly:
    """Sum of each month and the eleven before it (of those there are, scaled up to twelve): [n, T]."""
    total = np.cumsum(values, axis=1, dtype=np.float64)
    total[:, TRAILING:] -= total[:, :-TRAILING].copy()
    there = np.minimum(np.arange(1, values.shape[1] + 1), TRAILING)
    return total * (TRAILING / there)


def simulate(employees: int, months: int, seed: int) -> Panel:
    """A panel of `employees` over `months`; the same arguments always give the same panel."""
    rng = np.random.default_rng(seed)
    n, T = employees, months + TRAILING
    skill = rng.normal(size=n)[:, None]
    workload, esteem, drive = (ar1(rng, n, T, rho) for rho in (0.6, 0.6, 0.85))
    strained = strain(workload, esteem)
    numbers = career(rng, skill, T)
    department, family, team = places(rng, n, T)
    numbers["team_size"] = team
    numbers |= _work(rng, skill, workload, esteem, drive, strained, numbers["level"])
    numbers = {name: np.round(values, _decimals(name)) for name, values in numbers.items()}
    probabilities = grade_probabilities(numbers, department, strained)
    age = ages(rng, numbers["tenure"][:, -1])
    return Panel(
        month_names(months),
        {name: values[:, TRAILING:] for name, values in numbers.items()},
        {"department": np.repeat(department[:, None], months, 1), "job_family": np.repeat(family[:, None], months, 1)},
        np.array(GENDERS)[rng.integers(0, 2, n)],
        age,
        probabilities[:, TRAILING:],
    )


def reviews(panel: Panel, at: tuple[int, ...], seed: int) -> Table:
    """One row for each employee and review month in `at` (positions), cells missing here and there, grades drawn."""
    rng = np.random.default_rng(seed)
    n = len(panel.age)
    months = list(at)
    numbers = {name: values[:, months].T.ravel() for name, values in panel.numbers.items()}
    texts = {name: values[:, months].T.ravel() for name, values in panel.texts.items()}
    columns: dict[str, Cells] = {}
    for column in schema.INPUTS:  # in the order of the schema, so that the draws do not depend on a dictionary's
        cells = (numbers if column.kind == "number" else texts)[column.name].copy()
        lost = rng.random(len(cells)) < _MISSING.get(column.name, 0.0)
        cells[lost] = np.nan if column.kind == "number" else ""
        columns[column.name] = cells
    probabilities = panel.probabilities[:, months].transpose(1, 0, 2).reshape(-1, len(schema.GRADES))
    drawn = (rng.random(len(probabilities))[:, None] > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
    numbered = employee_names(n)
    attributes = {
        "month": np.repeat([panel.months[month] for month in months], n),
        "gender": np.tile(panel.gender, len(months)),
        "age": np.tile(panel.age, len(months)),
    }
    return Table(
        columns, drawn.astype(np.int64), schema.GRADES, np.tile(numbered, len(months)), attributes, probabilities
    )


def _work(
    rng: np.random.Generator,
    skill: Monthly,
    workload: Monthly,
    esteem: Monthly,
    drive: Monthly,
    strained: Monthly,
    level: Monthly,
) -> dict[str, Monthly]:
    """What the month's work leaves in the records. skill: [n, 1]; the rest [n, T]; all but level without unit."""
    shape = workload.shape

    def noise(width: float) -> Monthly:
        return rng.normal(scale=width, size=shape)

    def count(rate: Monthly | float) -> Monthly:
        return rng.poisson(rate, shape).astype(np.float64)

    frailty = 0.2 * rng.normal(size=(shape[0], 1))
    remote = rng.beta(2.0, 2.0, (shape[0], 1))
    hours = np.clip(40.5 + 0.4 * (level - 4) + 4.5 * workload + noise(1.2), 16, 90)
    return {
        "hours": hours,
        "overtime": np.clip(3.4 * np.maximum(hours - 40, 0) + np.abs(noise(3.0)), 0, 200),
        "meetings": np.clip(4 + 1.4 * level + 0.5 * workload + noise(2.0), 0, 45),
        "remote_share": np.clip(remote + noise(0.08), 0, 1),
        "absences": trailing_sum(count(0.5 * np.exp(0.6 * strained + frailty))),
        "projects": 1.0 + trailing_sum(count(0.25 * np.exp(0.25 * drive))),
        "tasks_done": count(np.exp(2.9 + 0.2 * skill + 0.15 * drive + 0.1 * workload - 0.1 * strained)),
        "on_time": sigmoid(1.7 + 0.7 * skill + 0.3 * drive - 0.35 * workload + noise(0.4)),
        "rework": sigmoid(-2.2 - 0.6 * skill - 0.2 * drive + 0.25 * workload + noise(0.4)),
        "quality": np.clip(3.5 + 0.5 * skill + 0.25 * drive - 0.3 * strained + noise(0.4), 0, 5),
        "goals_met": sigmoid(0.9 + 0.6 * skill + 0.5 * drive - 0.5 * strained + noise(0.6)),
        "peer_review": np.clip(3.5 + 0.35 * skill + 0.35 * esteem + noise(0.3), 1, 5),
        "recognition": trailing_sum(count(0.18 * np.exp(0.7 * esteem))),
        "training": trailing_sum(count(0.3) * rng.gamma(2.0, 6.0, shape)),
    }


def _decimals(name: str) -> int:
    """How exactly a column is recorded."""
    if name in ("on_time", "rework", "remote_share", "goals_met"):
        return 2
    return 1 if name in ("hours", "meetings", "quality", "peer_review", "training") else 0
