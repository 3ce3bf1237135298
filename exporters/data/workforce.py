"""What every generator of synthetic employees draws alike: series of months, careers, places, names, months."""

import numpy as np
from numpy.typing import NDArray

from exporters.data.table import Cells

DEPARTMENTS = ("Customer Service", "Finance", "Human Resources", "IT", "Marketing", "Operations", "R&D", "Sales")
JOB_FAMILIES = ("Administration", "Analyst", "Engineer", "Manager", "Specialist", "Support")
GENDERS = ("female", "male")
FIRST_YEAR = 2022

Monthly = NDArray[np.float64]
"""float64[n, T]: one value an employee and month."""


def month_names(months: int) -> tuple[str, ...]:
    """The first `months` months of generated data, each as YYYY-MM."""
    return tuple(f"{FIRST_YEAR + month // 12}-{month % 12 + 1:02d}" for month in range(months))


def employee_names(employees: int, first: int = 1) -> Cells:
    """Employee numbers from `first` on: str[n]."""
    last = first + employees - 1
    width = max(4, len(str(last)))
    return np.array([f"E{number:0{width}d}" for number in range(first, last + 1)])


def ar1(rng: np.random.Generator, n: int, T: int, rho: float) -> Monthly:
    """A stationary series of unit variance for each employee, each month keeping `rho` of the one before: [n, T]."""
    shocks = rng.normal(size=(n, T))
    values = shocks.copy()
    for month in range(1, T):
        values[:, month] = rho * values[:, month - 1] + np.sqrt(1 - rho**2) * shocks[:, month]
    return values


def career(rng: np.random.Generator, skill: Monthly, T: int) -> dict[str, Monthly]:
    """Tenure, time since promotion and level: promotions come by chance, sooner for the skilled. skill: [n, 1]."""
    n = len(skill)
    tenure = np.floor(rng.gamma(1.6, 30.0, n))[:, None] + np.arange(T)
    waited = np.minimum(np.floor(rng.gamma(1.5, 12.0, n)), tenure[:, 0])
    level = np.clip(np.round(2.5 + tenure[:, 0] / 40 + 0.8 * skill[:, 0] + rng.normal(size=n)), 1, 10)
    since, levels = np.empty((n, T)), np.empty((n, T))
    for month in range(T):
        promoted = (rng.random(n) < 0.015 * np.exp(0.3 * skill[:, 0])) & (waited >= 12) & (level < 10)
        waited = np.where(promoted, 0.0, waited + 1.0)
        level = level + promoted
        since[:, month], levels[:, month] = waited, level
    return {"tenure": tenure, "months_since_promotion": np.minimum(since, tenure), "level": levels}


def places(rng: np.random.Generator, n: int, T: int) -> tuple[Cells, Cells, Monthly]:
    """Department, job family (what is usual differs between departments) and team size."""
    department = rng.integers(0, len(DEPARTMENTS), n)
    likely = np.random.default_rng(len(DEPARTMENTS)).dirichlet(np.ones(len(JOB_FAMILIES)), len(DEPARTMENTS))
    family = (rng.random(n)[:, None] > likely[department].cumsum(axis=1)[:, :-1]).sum(axis=1)
    team = np.maximum(2.0, np.round(rng.normal(6 + department, 2.0)))
    return np.array(DEPARTMENTS)[department], np.array(JOB_FAMILIES)[family], np.repeat(team[:, None], T, 1)


def ages(rng: np.random.Generator, tenure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Years of age that go with months of tenure: float64[n]."""
    return np.clip(np.round(22 + tenure / 12 + rng.gamma(2.0, 5.0, len(tenure))), 18, 66)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-x))
