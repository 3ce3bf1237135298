"""Synthetic employees followed until they leave, in which the best possible score is known.

At marks half a year apart everyone who is there is looked at: the last twelve months, and what is known of the
employee. Who leaves in the six months that follow is drawn from the true probabilities, which are kept beside the
rows; whoever has left is in no later row.
"""

import numpy as np
from numpy.typing import NDArray

from exporters.data import schema
from exporters.data.attrition_effects import EFFECTS
from exporters.data.attrition_panel import (
    CLASSES,
    HISTORIES,
    HORIZON,
    STATIC,
    STAYS,
    WINDOW,
    Followed,
    People,
    follow,
    simulate,
    with_gaps,
)
from exporters.data.csv_text import csv_text
from exporters.data.dataset import Dataset
from exporters.data.synthetic import SAMPLE_SEED_OFFSET
from exporters.data.table import Cells, Table
from exporters.data.workforce import employee_names, month_names
from exporters.errors import DataError

MONTHS = 36
MARKS = (11, 17, 23, 29)
"""Months, counted from 0, in which everyone is looked at."""
GROUPS: dict[str, tuple[float, ...]] = {"gender": (), "age": schema.AGE_BANDS}
FIRST_OF_SAMPLE = 1001
"""Number of the first employee of a sample: beyond those of the sample of `performance_model`."""


def load(employees: int, seed: int, effects: str = "first") -> Dataset:
    """The training data of `attrition_model`: one row for each mark and employee then there.

    effects: "first", or "second" for a proof on other effects. Raises DataError below 50 employees.
    """
    people, followed = _followed(employees, seed, effects)
    table = rows(people, followed)
    return Dataset(
        title=schema.RISK,
        table=table,
        inputs=schema.ATTRITION_INPUTS,
        left_out=schema.LEFT_OUT,
        description=(
            f"synthetic data: {employees} generated employees over {MONTHS} months, looked at every {HORIZON} months "
            f"until they left, {effects} set of effects, seed {seed}"
        ),
        sha256=table.sha256(),
        synthetic=True,
        groups=GROUPS,
    )


def rows(people: People, followed: Followed) -> Table:
    """One row for each mark and employee then there."""
    who, mark = followed.employee, followed.mark
    window = mark[:, None] + np.arange(1 - WINDOW, 1)
    columns: dict[str, Cells] = {name: people.facts[name][who, mark] for name in STATIC}
    columns |= {name: people.histories[name][who[:, None], window] for name in HISTORIES}
    attributes = {
        "month": np.array(month_names(MONTHS))[mark],
        "gender": people.gender[who],
        "age": people.age[who],
    }
    numbered = employee_names(len(people.hired))
    return Table(columns, followed.target, CLASSES, numbered[who], attributes, followed.probabilities, HORIZON)


def history_csv(employees: int, seed: int, effects: str = "first") -> str:
    """The same people as `load` gives, as a file: one row an employee and month, and when he left.

    What `attrition_table.load` makes of it are the rows of `load`.
    """
    people, followed = _followed(employees, seed, effects)
    worked = _worked(people, followed.left)
    left = np.array(["", *month_names(MONTHS)])[followed.left + 1]
    person = worked[0]
    return csv_text(
        {
            **_months(people, worked, first=1),
            **{name: cells[worked] for name, cells in {**people.facts, **people.histories}.items()},
            "gender": people.gender[person],
            "age": people.age[person],
            schema.LEFT: left[person],
        }
    )


def sample_csv(employees: int, seed: int) -> str:
    """A file for trying predictions: the last twelve months of employees of whom none is a training one, and facts."""
    people = _sample(employees, seed)
    worked = _worked(people, np.full(employees, STAYS))
    cells = {name: values[worked] for name, values in {**people.facts, **people.histories}.items()}
    return csv_text(_months(people, worked, FIRST_OF_SAMPLE) | cells)


def facts_csv(employees: int, seed: int) -> str:
    """A file for trying predictions by id: the last twelve months of employees of whom none is a training one."""
    people = _sample(employees, seed)
    worked = _worked(people, np.full(employees, STAYS))
    histories = {name: values[worked] for name, values in people.histories.items()}
    return csv_text(_months(people, worked, FIRST_OF_SAMPLE) | histories)


def static_csv(employees: int, seed: int) -> str:
    """What belongs to `facts_csv`: the facts that have no months, one row an employee."""
    people = _sample(employees, seed)
    facts = {name: cells[:, -1] for name, cells in people.facts.items()}
    return csv_text({"employee": employee_names(employees, FIRST_OF_SAMPLE), **facts})


def _followed(employees: int, seed: int, effects: str) -> tuple[People, Followed]:
    if employees < 50:
        raise DataError(f"employees: got {employees}, expected at least 50")
    if effects not in EFFECTS:
        raise DataError(f"effects: got {effects!r}, expected one of {', '.join(EFFECTS)}")
    people = simulate(employees, MONTHS, seed)
    return with_gaps(people, seed + 2), follow(people, MARKS, EFFECTS[effects], seed + 1)


def _sample(employees: int, seed: int) -> People:
    if employees < 1:
        raise DataError(f"employees: got {employees}, expected at least 1")
    seed += SAMPLE_SEED_OFFSET
    return with_gaps(simulate(employees, WINDOW, seed), seed + 2)


def _worked(people: People, left: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Employees and months in which they worked, those of an employee in order. left: int64[n], -1 for never."""
    month = np.arange(next(iter(people.histories.values())).shape[1])
    gone = (left != STAYS)[:, None] & (month >= left[:, None])
    who, when = np.nonzero((month >= people.hired[:, None]) & ~gone)
    return who, when


def _months(people: People, worked: tuple[NDArray[np.int64], NDArray[np.int64]], first: int) -> dict[str, Cells]:
    """Employee and month of each row of a file. first: number of the first employee."""
    who, when = worked
    return {
        "employee": employee_names(len(people.hired), first)[who],
        "month": np.array(month_names(MONTHS))[when],
    }
