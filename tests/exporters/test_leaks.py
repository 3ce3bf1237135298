"""Leaks, planted one at a time: each is found, and clean data passes."""

from dataclasses import replace

import numpy as np
import pytest

from exporters.data import attrition, leaks, splits, synthetic
from exporters.data.dataset import Dataset, with_attributes
from exporters.data.table import Cells, Table
from exporters.errors import DataError
from exporters.public.tables import INX
from tests.exporters.conftest import DATA

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def leavers() -> Dataset:
    return attrition.load(1500, 3)


@pytest.fixture(scope="module")
def parts(leavers: Dataset) -> tuple[Table, Table]:
    """Training and held-out rows of a clean split."""
    training, held_out = splits.split(leavers.table, 0.25, 7)
    return leavers.table.rows(training), leavers.table.rows(held_out)


def planted(dataset: Dataset, name: str, cells: Cells) -> Dataset:
    """A few columns of the dataset, and one more (or another one of that name)."""
    columns = {few: dataset.table.columns[few] for few in ("tenure", "department", "monthly_hours")}
    return replace(dataset, table=replace(dataset.table, columns={**columns, name: cells}))


def noise(rows: int, width: float = 1.0) -> np.ndarray:
    return np.random.default_rng(5).normal(scale=width, size=rows)


def found(dataset: Dataset) -> set[str]:
    return {suspect.column for suspect in leaks.suspects(dataset.table)}


def test_clean_splits_pass(parts):
    leaks.check_split(*parts)
    table = synthetic.load(400, 3).table
    training, held_out = splits.split(table, 0.25, 7)
    leaks.check_split(table.rows(training), table.rows(held_out))


def test_an_employee_on_both_sides_is_found(parts):
    training, held_out = parts
    training.groups[5] = held_out.groups[0]
    with pytest.raises(DataError, match=r"1 of \d+ groups of the held-out rows are trained on as well"):
        leaks.check_split(training, held_out)


@pytest.mark.parametrize(("month", "ahead"), [("2024-02", 4), ("2024-06", 0), ("2024-08", -2)])
def test_an_answer_that_was_not_yet_known_in_the_held_out_months_is_found(leavers, month, ahead):
    training, held_out = (leavers.table.rows(mask) for mask in splits.split(leavers.table, 0.25, 7))
    training.attributes["month"][3] = month
    with pytest.raises(DataError, match=f"comes {ahead} months after the last one trained on, expected at least 6"):
        leaks.check_split(training, held_out)


def test_a_held_out_row_that_is_trained_on_under_another_name_is_found(leavers):
    training, held_out = (leavers.table.rows(mask) for mask in splits.split(leavers.table, 0.25, 7))
    twin = int(np.flatnonzero(training.target == held_out.target[0])[0])
    for name, cells in training.columns.items():
        cells[twin] = held_out.columns[name][0]
    with pytest.raises(DataError, match="1 held-out rows are equal to training rows in every input"):
        leaks.check_split(training, held_out)


def test_people_who_are_alike_because_columns_are_coarse_are_no_copies():
    rows = 400
    columns = {"team": np.array(["a", "b"])[np.arange(rows) % 2], "level": np.arange(rows) % 5 * 1.0}
    table = Table(columns, np.arange(rows) % 2, ("no", "yes"), np.array([f"p{row}" for row in range(rows)]))
    training, held_out = splits.split(table, 0.25, 7)
    leaks.check_split(table.rows(training), table.rows(held_out))


def test_a_split_within_one_month_needs_no_time_between():
    table = synthetic.load(400, 3).table
    table = table.rows(table.attributes["month"] == "2024-12")
    training, held_out = splits.split(table, 0.25, 7)
    leaks.check_split(table.rows(training), table.rows(held_out))


def test_clean_data_has_no_suspect(leavers):
    assert found(leavers) == set()
    assert found(synthetic.load(1500, 3)) == set()
    leaks.check_inputs(leavers)


@pytest.mark.skipif(not (DATA / INX.file).exists(), reason="public data is not there")
def test_the_public_table_with_all_its_columns_has_no_suspect():
    dataset = INX.load(DATA)
    (whole,) = (variant for variant in INX.variants if variant.title == "all columns")
    everything = with_attributes(dataset, whole.brought_back)
    assert len(everything.inputs) > len(dataset.inputs)
    assert found(everything) == set()


def test_a_number_made_of_the_answer_with_some_noise_is_found_and_a_good_honest_one_is_not(leavers):
    rows, stays = len(leavers.table), leavers.table.target == 2
    assert found(planted(leavers, "exit_score", stays + noise(rows, 0.2))) == {"exit_score"}
    assert found(planted(leavers, "mood", stays + noise(rows, 0.6))) == set()


def test_a_number_in_which_the_answer_stands_out_of_order_is_found(leavers):
    assert found(planted(leavers, "code", np.array([5.0, 9.0, 1.0])[leavers.table.target])) == {"code"}
    middle = np.where(leavers.table.target == 2, noise(len(leavers.table), 0.1), 3.0)
    both_ends = np.where(noise(len(middle)) > 0, middle, -middle)
    assert found(planted(leavers, "distance", both_ends)) == {"distance"}


def test_a_category_or_a_gap_that_gives_the_answer_away_is_found(leavers):
    target = leavers.table.target
    status = np.array(["notice", "notice", ""])[target]
    assert found(planted(leavers, "status", status)) == {"status"}
    assert found(planted(leavers, "exit_interview", np.where(target == 2, np.nan, 3.0))) == {"exit_interview"}


def test_a_category_that_is_different_in_every_row_tells_nothing(leavers):
    names = np.array([f"name {row}" for row in range(len(leavers.table))])
    assert found(planted(leavers, "name", names)) == set()


@pytest.mark.parametrize("month", [0, 11])
def test_a_month_of_a_history_that_gives_the_answer_away_is_found(leavers, month):
    hours = leavers.table.columns["monthly_hours"].copy()
    hours[leavers.table.target < 2, month] = 0.0
    assert found(planted(leavers, "monthly_hours", hours)) == {"monthly_hours"}


def test_what_names_a_person_tells_nothing_of_an_answer_that_is_the_same_in_all_his_rows():
    people = np.repeat(np.arange(100), 20)
    left = np.random.default_rng(5).random(100) < 0.4
    columns = {"person": np.array([f"p{number}" for number in range(100)])[people], "badge": people * 7.0}
    table = Table(columns, left[people] * 1, ("stays", "leaves"), columns["person"])
    assert leaks.suspects(table) == []


def test_what_stands_in_every_row_of_a_leaver_hides_from_the_classes_and_not_from_leaving_at_all(leavers):
    table = leavers.table
    ever = np.isin(table.groups, table.groups[table.target < 2])
    told = planted(leavers, "exit_score", ever + noise(len(table), 0.1))
    leaks.check_inputs(told)
    with pytest.raises(DataError, match="'exit_score' tells 'leaves at any time' with an area under the curve of"):
        leaks.check_leavers(told, ever)
    leaks.check_leavers(replace(told, known_in_time=("exit_score",)), ever)


def test_an_input_that_tells_who_leaves_next_in_the_newest_month_alone_is_found(leavers):
    table = leavers.table
    newest = table.attributes["month"] == max(table.attributes["month"].tolist())
    cells = np.where(newest, (table.target < 2) * 1.0, 0.0) + noise(len(table), 0.01)
    told = planted(leavers, "notice", cells)
    ever = np.isin(table.groups, table.groups[table.target < 2])
    with pytest.raises(DataError, match="'notice' tells 'leaves within 6 months of 2024-06'"):
        leaks.check_leavers(told, ever)


def test_where_everyone_leaves_being_known_of_leavers_proves_nothing(leavers):
    half = np.where(noise(len(leavers.table)) > 0, 1.0, np.nan)
    leaks.check_leavers(planted(leavers, "half", half), np.ones(len(half), bool))


def test_a_few_rows_prove_nothing(leavers):
    few = leavers.table.rows(np.arange(30))
    few.columns["code"] = few.target * 1.0
    assert leaks.suspects(few) == []


def test_training_is_refused_in_words_unless_somebody_says_that_it_is_known_in_time(leavers):
    spoilt = planted(leavers, "exit_score", leavers.table.target + noise(len(leavers.table), 0.05))
    with pytest.raises(DataError) as refusal:
        leaks.check_inputs(spoilt)
    assert "'exit_score' tells" in refusal.value.message
    assert "known_in_time = ['exit_score']" in refusal.value.message
    assert refusal.value.field == "exit_score"
    leaks.check_inputs(replace(spoilt, known_in_time=("exit_score",)))
