"""The project's own training data and its sample file, both from the panel generator, with different seeds."""

from exporters.data import panel, schema
from exporters.data.csv_text import csv_text
from exporters.data.dataset import Dataset
from exporters.data.table import Table
from exporters.errors import DataError
from serving.contract import Text

MONTHS = 36
REVIEWS = (11, 17, 23, 29, 35)
"""Months, counted from 0, in which everyone is reviewed."""
SAMPLE_SEED_OFFSET = 1_000_003  # the sample is never made of training employees, whatever the seed


def load(employees: int, seed: int) -> Dataset:
    """The training data of `performance_model`, one row an employee and review. Raises DataError below 50 employees."""
    if employees < 50:
        raise DataError(f"employees: got {employees}, expected at least 50")
    table = panel.reviews(panel.simulate(employees, MONTHS, seed), REVIEWS, seed + 1)
    return Dataset(
        title=Text("performance grade", "绩效等级"),
        table=table,
        inputs=schema.INPUTS,
        left_out=schema.LEFT_OUT,
        description=(
            f"synthetic data: {employees} generated employees over {MONTHS} months, "
            f"{len(REVIEWS)} reviews each, seed {seed}"
        ),
        sha256=table.sha256(),
        synthetic=True,
        groups={"gender": (), "age": schema.AGE_BANDS},
    )


def sample_csv(employees: int, seed: int) -> str:
    """A file for trying predictions: `employees` rows with an id and the model's inputs, some cells empty, no grade."""
    if employees < 1:
        raise DataError(f"employees: got {employees}, expected at least 1")
    seed += SAMPLE_SEED_OFFSET
    table = panel.reviews(panel.simulate(employees, panel.TRAILING, seed), (panel.TRAILING - 1,), seed + 1)
    return table_csv(table, {"employee": table.groups.tolist()})


def table_csv(table: Table, first: dict[str, list[str]]) -> str:
    """Columns as CSV text, those of `first` before the model's inputs; missing cells are empty."""
    return csv_text({**first, **table.columns})
