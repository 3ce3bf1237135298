"""Employees in whom the order of events matters, month by month, and who of them leaves when.

Who leaves in the six months after a mark is drawn from the true probabilities; whoever has left is at no later mark.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exporters.data import schema
from exporters.data.attrition_effects import Effects
from exporters.data.table import Cells
from exporters.data.workforce import GENDERS, Monthly, ages, ar1, career, places, sigmoid

WINDOW = 12
"""Months that are looked back on."""
HORIZON = 6
"""Months in which to leave."""
CLASSES = ("within 3 months", "within 6 months", "stays")
STAYS = -1
STATIC = tuple(column.name for column in schema.ATTRITION_INPUTS if column.kind != "history")
HISTORIES = tuple(column.name for column in schema.ATTRITION_INPUTS if column.kind == "history")

_NEWCOMERS = 0.2  # share hired in the months shown
_MISSING = 0.03  # share of the cells that are missing, whatever else is known


@dataclass(frozen=True)
class People:
    """Everything recorded of n employees over T months, as if nobody left."""

    hired: NDArray[np.int64]
    """int64[n]: position of the month of hiring; negative for those hired before the first month shown."""
    facts: dict[str, Cells]
    """Columns that are no history, [n, T]; before hiring they mean nothing."""
    histories: dict[str, Monthly]
    """Monthly columns, float64[n, T], NaN before hiring."""
    gender: Cells
    age: NDArray[np.float64]

    def window(self, mark: int) -> dict[str, Monthly]:
        """The twelve months that end with `mark`: float64[n, 12]."""
        return {name: values[:, mark + 1 - WINDOW : mark + 1] for name, values in self.histories.items()}


@dataclass(frozen=True)
class Followed:
    """What came of n employees: r rows, one for each mark and employee then there."""

    employee: NDArray[np.int64]
    """int64[r]: positions."""
    mark: NDArray[np.int64]
    """int64[r]: positions of months."""
    target: NDArray[np.int64]
    """int64[r]: positions in CLASSES."""
    probabilities: NDArray[np.float64]
    """float64[r, 3]: true probabilities of CLASSES."""
    left: NDArray[np.int64]
    """int64[n]: position of the month of leaving, -1 for those who stay."""


def simulate(employees: int, months: int, seed: int) -> People:
    """Complete records of `employees` over `months`; the same arguments always give the same people."""
    rng = np.random.default_rng(seed)
    n, T = employees, months
    skill = rng.normal(size=n)[:, None]
    workload, esteem, drive = (ar1(rng, n, T, rho) for rho in (0.6, 0.6, 0.85))
    histories = _work(rng, skill, workload, esteem, drive)
    numbers = career(rng, skill, T)
    department, family, numbers["team_size"] = places(rng, n, T)
    numbers["pay_ratio"] = np.repeat(np.clip(rng.normal(1.0, 0.12, (n, 1)).round(2), 0.2, 5.0), T, 1)
    numbers["remote_share"] = np.repeat(rng.beta(2.0, 2.0, (n, 1)).round(2), T, 1)
    new = rng.random(n) < _NEWCOMERS
    hired = np.where(new, rng.integers(0, T, n), -numbers["tenure"][:, 0].astype(np.int64))
    worked = np.arange(T) - hired[:, None]
    numbers["tenure"] = worked.astype(np.float64)
    numbers["months_since_promotion"] = np.minimum(numbers["months_since_promotion"], numbers["tenure"])
    texts = {"department": department, "job_family": family}
    return People(
        hired,
        {**numbers, **{name: np.repeat(values[:, None], T, 1) for name, values in texts.items()}},
        {name: np.where(worked < 0, np.nan, values) for name, values in histories.items()},
        np.array(GENDERS)[rng.integers(0, len(GENDERS), n)],
        ages(rng, numbers["tenure"][:, -1]),
    )


def follow(people: People, marks: tuple[int, ...], effects: Effects, seed: int) -> Followed:
    """Draw who leaves after each mark; whoever has left is at no later one. marks: ascending, HORIZON apart."""
    rng = np.random.default_rng(seed)
    n = len(people.hired)
    left = np.full(n, STAYS, np.int64)
    who, targets, chances = [], [], []
    for mark in marks:
        probabilities = leaving(people, mark, effects)
        drawn = (rng.random(n)[:, None] > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
        months = 1 + 3 * drawn + rng.integers(0, 3, n)
        there = np.flatnonzero((people.hired <= mark) & (left == STAYS))
        leavers = there[drawn[there] < CLASSES.index("stays")]
        left[leavers] = mark + months[leavers]
        who.append(there)
        targets.append(drawn[there])
        chances.append(probabilities[there])
    return Followed(
        np.concatenate(who),
        np.repeat(marks, [len(there) for there in who]),
        np.concatenate(targets).astype(np.int64),
        np.concatenate(chances),
        left,
    )


def leaving(people: People, mark: int, effects: Effects) -> NDArray[np.float64]:
    """True probabilities of CLASSES for everyone after `mark`: float64[n, 3], from complete records."""
    logits = effects(people.window(mark), {name: cells[:, mark] for name, cells in people.facts.items()})
    hazards = sigmoid(logits)
    within_3 = hazards[:, 0]
    within_6 = (1.0 - within_3) * hazards[:, 1]
    return np.stack([within_3, within_6, 1.0 - within_3 - within_6], axis=1)


def with_gaps(people: People, seed: int) -> People:
    """The records with cells missing here and there, by chance alone."""
    rng = np.random.default_rng(seed)

    def gaps(cells: Cells) -> Cells:
        lost = rng.random(cells.shape) < _MISSING
        return np.where(lost, "" if cells.dtype.kind == "U" else np.nan, cells)

    facts = {name: gaps(people.facts[name]) for name in STATIC}
    return replace(people, facts=facts, histories={name: gaps(people.histories[name]) for name in HISTORIES})


def _work(
    rng: np.random.Generator, skill: Monthly, workload: Monthly, esteem: Monthly, drive: Monthly
) -> dict[str, Monthly]:
    """What each month leaves in the records. skill: [n, 1]; the rest [n, T]; all without unit."""
    shape = workload.shape

    def noise(width: float) -> Monthly:
        return rng.normal(scale=width, size=shape)

    def count(rate: Monthly | float) -> Monthly:
        return rng.poisson(rate, shape).astype(np.float64)

    hours = np.clip(40.5 + 4.5 * workload + noise(1.2), 16, 90).round(1)
    beyond = 3.4 * np.maximum(hours - 40, 0) + np.abs(noise(3.0))
    frailty = 0.3 * rng.normal(size=(shape[0], 1))
    return {
        "monthly_overtime": np.clip(beyond, 0, 200).round(),
        "monthly_hours": hours,
        "monthly_kudos": count(4.0 * np.exp(0.5 * esteem)),
        "monthly_absences": np.minimum(count(0.5 * np.exp(0.3 * workload + frailty)), 31),
        "monthly_training": np.minimum((count(0.4) * rng.gamma(2.0, 4.0, shape)).round(), 744),
        "monthly_goals_met": sigmoid(0.9 + 0.6 * skill + 0.5 * drive + noise(0.6)).round(2),
    }
