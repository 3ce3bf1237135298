"""Splits: other people, later months, and answers that were known when the held-out months had come."""

import numpy as np
import pytest

from exporters.data import attrition, splits, synthetic
from exporters.data.table import Table
from exporters.errors import DataError

pytestmark = pytest.mark.unit


def table(months: list[str] | None, people: int = 40, horizon: int = 0) -> Table:
    """Everyone in every month, the two classes in turn."""
    names = np.tile([f"p{number}" for number in range(people)], len(months or [""]))
    target = np.arange(len(names)) % 2
    attributes = {} if months is None else {"month": np.repeat(months, people)}
    return Table({"x": np.arange(len(names)) * 1.0}, target, ("no", "yes"), names, attributes, horizon=horizon)


@pytest.mark.parametrize("data", [attrition.load(400, 3).table, synthetic.load(400, 3).table])
def test_held_out_rows_are_of_other_people_and_later_than_every_answer_trained_on(data: Table):
    training, held_out = splits.split(data, 0.25, 7)
    assert not (training & held_out).any()
    assert not set(data.groups[training].tolist()) & set(data.groups[held_out].tolist())
    months = splits.month_numbers(data)
    assert months[held_out].min() >= months[training].max() + max(data.horizon, 1)
    assert len(np.unique(data.groups[held_out])) == pytest.approx(0.25 * 400, rel=0.5)
    assert (months[held_out] == months.max()).all()


def test_answers_that_are_known_later_leave_the_months_between_aside():
    months = [f"2024-{month:02d}" for month in range(1, 11)]
    data = table(months, horizon=3)
    training, held_out = splits.split(data, 0.25, 1)
    assert sorted(set(data.attributes["month"][training].tolist())) == months[:7]
    assert set(data.attributes["month"][held_out].tolist()) == {"2024-10"}


def test_as_many_of_the_newest_months_are_held_out_as_are_asked_for():
    data = table([f"20{year}-{month:02d}" for year in (22, 23) for month in range(1, 13)])
    for newest, first in ((0.1, "2023-10"), (0.5, "2023-01"), (1.0, "2022-02")):
        _, held_out = splits.split(data, 0.25, 1, newest)
        assert min(data.attributes["month"][held_out].tolist()) == first


@pytest.mark.parametrize("months", [None, ["2024-06"]])
def test_a_table_without_several_months_is_split_by_group_alone_as_ever(months):
    data = table(months, people=100)
    training, held_out = splits.split(data, 0.25, 7)
    assert (training ^ held_out).all()
    chosen = np.random.default_rng(7).permutation(100)[:25]
    assert set(data.groups[held_out].tolist()) == set(np.unique(data.groups)[chosen].tolist())


def test_the_groups_of_a_validation_part_are_drawn_whole_and_the_same_again():
    groups = np.repeat([f"p{number}" for number in range(50)], 4)
    mask = splits.split_groups(groups, 0.2, 1)
    assert np.array_equal(mask, splits.split_groups(groups, 0.2, 1))
    assert not np.array_equal(mask, splits.split_groups(groups, 0.2, 2))
    assert mask.reshape(50, 4).all(axis=1).sum() == 10
    assert mask.sum() == 40


@pytest.mark.parametrize("cells", [["2024-01", "2024-03"], ["202401", "202403"], [202401.0, 202403.0]])
def test_months_are_read_with_and_without_a_dash(cells):
    data = table(None, people=2)
    data.attributes["month"] = np.array(cells)
    assert splits.month_numbers(data).tolist() == [2024 * 12, 2024 * 12 + 2]


def test_a_month_that_is_none_is_refused():
    with pytest.raises(DataError, match="column 'month': got 'January', expected a month as in 2024-06"):
        splits.split(table(["January", "2024-02"]), 0.25, 1)


def test_a_class_that_a_part_lacks_is_named():
    data = table(["2024-01", "2024-02"])
    data.target[data.attributes["month"] == "2024-02"] = 0
    with pytest.raises(DataError, match="class 'yes' has no row in the held-out part: more rows and months"):
        splits.split(data, 0.25, 1)
    with pytest.raises(DataError, match="class 'no' has no row in the training part"):
        splits.split(table(["2024-01", "2024-02"], horizon=6), 0.25, 1)
