"""The generator of who leaves: the order of events matters, nobody returns, the truth is known."""

import csv
import io

import numpy as np
import pytest

from exporters.data import attrition, attrition_effects, schema
from exporters.data.attrition import MARKS
from exporters.data.attrition_panel import CLASSES, HORIZON, WINDOW
from exporters.data.dataset import Dataset
from exporters.data.workforce import month_names
from exporters.errors import DataError
from tests.exporters.conftest import nans_agree

pytestmark = pytest.mark.unit
ORDINARY = {
    "monthly_overtime": 0.0,
    "monthly_hours": 40.0,
    "monthly_kudos": 4.0,
    "monthly_absences": 0.0,
    "monthly_training": 3.0,
    "monthly_goals_met": 0.7,
}
FACTS = {
    "tenure": 40.0,
    "months_since_promotion": 10.0,
    "level": 4.0,
    "pay_ratio": 1.0,
    "team_size": 9.0,
    "remote_share": 0.4,
    "department": "IT",
    "job_family": "Analyst",
}


@pytest.fixture(scope="module")
def some() -> Dataset:
    """A dataset large enough for rates."""
    return attrition.load(4000, 11)


def hazards(effects: str, **changes: dict[int, float]) -> np.ndarray:
    """Log-odds of an ordinary employee but for some months of some histories: float64[2]. changes: month -> value."""
    histories = {name: np.full((1, WINDOW), value) for name, value in ORDINARY.items()}
    for name, months in changes.items():
        for month, value in months.items():
            histories[name][0, month] = value
    facts = {name: np.array([value]) for name, value in FACTS.items()}
    return attrition_effects.EFFECTS[effects](histories, facts)[0]


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Share of pairs of one who left and one who stayed in which the one who left has the greater score (no ties)."""
    rank = np.empty(len(score))
    rank[score.argsort()] = np.arange(1, len(score) + 1)
    left = truth.sum()
    return float((rank[truth].sum() - left * (left + 1) / 2) / (left * (len(truth) - left)))


def expected_auc(chances: np.ndarray) -> float:
    """The area that these very chances reach on average, when they are the truth."""
    ordered = np.sort(chances)
    pairs = (ordered * np.concatenate([[0.0], (1 - ordered).cumsum()[:-1]])).sum()
    every = ordered.sum() * (1 - ordered).sum() - (ordered * (1 - ordered)).sum()
    return float(pairs / every)


@pytest.mark.parametrize(
    ("effects", "cause", "blow"),
    [
        ("first", ("monthly_overtime", 60.0), ("monthly_kudos", 0.0)),
        ("second", ("monthly_absences", 4.0), ("monthly_goals_met", 0.3)),
    ],
)
def test_a_blow_after_its_cause_makes_leave_and_the_same_blow_before_it_does_not(effects, cause, blow):
    def with_order(cause_month: int, blow_month: int) -> np.ndarray:
        return hazards(effects, **{cause[0]: {cause_month: cause[1]}, blow[0]: {blow_month: blow[1]}})

    hurt, unhurt = with_order(8, 10), with_order(10, 8)
    assert hurt[0] - unhurt[0] > 0.5
    assert hurt[1] - unhurt[1] > 0.2


def test_a_surge_that_is_long_past_is_forgotten():
    blow = np.zeros((1, WINDOW))
    blow[0, 11] = 1.0

    def after(month: int) -> float:
        cause = np.zeros((1, WINDOW))
        cause[0, month] = 1.0
        return attrition_effects.felt(cause, blow, memory=0.6, decay=0.8)[0]

    assert after(11) == 0.0  # the same month is not before
    assert after(10) == pytest.approx(np.tanh(1.0))
    assert after(2) < 0.02


def test_months_before_hiring_make_nobody_leave_and_give_no_nan():
    histories = {name: np.full((1, WINDOW), np.nan) for name in ORDINARY}
    for name, value in ORDINARY.items():
        histories[name][0, -1] = value
    facts = {name: np.array([value]) for name, value in FACTS.items()}
    for effects in attrition_effects.EFFECTS.values():
        assert np.isfinite(effects(histories, facts)).all()
    assert attrition_effects.first(histories, facts)[0, 0] == pytest.approx(hazards("first")[0], abs=0.05)


def test_the_same_seed_gives_the_same_rows_and_another_seed_or_other_effects_others():
    one, same, other, second = (
        attrition.load(60, 5),
        attrition.load(60, 5),
        attrition.load(60, 6),
        attrition.load(60, 5, "second"),
    )
    assert nans_agree(one.table, same.table)
    assert np.array_equal(one.table.target, same.table.target)
    assert one.sha256 == same.sha256
    assert len({one.sha256, other.sha256, second.sha256}) == 3
    assert one.synthetic
    assert "synthetic" in one.description


def test_nobody_is_there_after_having_left_or_before_having_come(some: Dataset):
    table = some.table
    position = {month: number for number, month in enumerate(month_names(attrition.MONTHS))}
    marks = np.array([position[month] for month in table.attributes["month"].tolist()])
    assert set(marks.tolist()) == set(MARKS)
    last = {}
    for employee, _, target in sorted(zip(table.groups.tolist(), marks.tolist(), table.target.tolist(), strict=True)):
        assert last.get(employee, CLASSES.index("stays")) == CLASSES.index("stays")
        last[employee] = target
    tenure = table.columns["tenure"]
    assert np.nanmin(tenure) == 0
    months = (~np.isnan(np.stack([table.columns[name] for name in ORDINARY]))).any(axis=0)
    known = ~np.isnan(tenure)
    before = np.arange(WINDOW) < WINDOW - 1 - tenure[known, None]
    assert before.any()
    assert not (months[known] & before).any()
    assert months[known][~before].mean() > 0.999


def test_about_a_sixth_leaves_within_six_months_as_the_true_probabilities_say(some: Dataset):
    table, p = some.table, some.table.true_probabilities
    assert p.sum(axis=1) == pytest.approx(1.0)
    assert (p > 0).all()
    for threshold in (0.0, 0.3):
        likely = p[:, :2].sum(axis=1) > threshold
        assert likely.sum() > 300
        shares = np.bincount(table.target[likely], minlength=3) / likely.sum()
        assert shares == pytest.approx(p[likely].mean(axis=0), abs=0.04)
    assert np.bincount(table.target) / len(table) == pytest.approx([0.08, 0.07, 0.85], abs=0.02)


@pytest.mark.parametrize("effects", ["first", "second"])
def test_the_truth_reaches_the_best_possible_area_and_no_single_cell_comes_near(effects):
    table = attrition.load(6000, 4, effects).table
    within_3, within_6 = table.true_probabilities[:, 0], table.true_probabilities[:, :2].sum(axis=1)
    for truth, chances in ((table.target == 0, within_3), (table.target <= 1, within_6)):
        assert auc(truth, chances) == pytest.approx(expected_auc(chances), abs=0.02)
        assert 0.68 < expected_auc(chances) < 0.80
    newest = np.nan_to_num(table.columns["monthly_overtime"][:, -1])
    assert auc(table.target <= 1, newest) < expected_auc(within_6) - 0.1


def test_cells_are_possible_and_three_in_a_hundred_are_missing(some: Dataset):
    table = some.table
    assert tuple(table.columns) == tuple(column.name for column in schema.ATTRITION_INPUTS)
    hired = table.columns["tenure"] >= WINDOW - 1
    for column in schema.ATTRITION_INPUTS:
        cells = table.columns[column.name]
        if column.kind == "category":
            assert (cells == "").mean() == pytest.approx(0.03, abs=0.01)
            continue
        assert cells.shape == ((len(table), WINDOW) if column.kind == "history" else (len(table),))
        assert np.nanmin(cells) >= (column.low if column.low is not None else -np.inf)
        assert np.nanmax(cells) <= (column.high if column.high is not None else np.inf)
        assert np.isnan(cells[hired] if column.name != "tenure" else cells).mean() == pytest.approx(0.03, abs=0.01)


def test_windows_of_an_employee_overlap_month_by_month(some: Dataset):
    first, later = (some.table.rows(some.table.attributes["month"] == month) for month in ("2022-12", "2023-06"))
    _, old, new = np.intersect1d(first.groups, later.groups, return_indices=True)
    assert len(old) > 1000
    for name in ORDINARY:
        assert np.array_equal(first.columns[name][old, HORIZON:], later.columns[name][new, :HORIZON], equal_nan=True)


def test_a_sample_has_histories_and_facts_of_the_same_people_and_none_from_the_training_rows():
    facts = list(csv.DictReader(io.StringIO(attrition.static_csv(80, 7))))
    months = list(csv.DictReader(io.StringIO(attrition.facts_csv(80, 7))))
    histories = [column.name for column in schema.ATTRITION_INPUTS if column.kind == "history"]
    assert list(months[0]) == ["employee", "month", *histories]
    assert list(facts[0]) == [
        "employee",
        *(column.name for column in schema.ATTRITION_INPUTS if column.kind != "history"),
    ]
    assert [row["employee"] for row in facts] == [f"E{number}" for number in range(1001, 1081)]
    assert {row["employee"] for row in months} == {row["employee"] for row in facts}
    counts = [sum(row["employee"] == fact["employee"] for row in months) for fact in facts]
    assert max(counts) == WINDOW
    assert min(counts) < WINDOW  # newcomers
    assert any(row["monthly_hours"] == "" for row in months)
    training = attrition.load(80, 7).table.columns["monthly_hours"]
    trained_on = {tuple(window) for window in training[~np.isnan(training).any(axis=1)].tolist()}
    assert trained_on
    for fact, count in zip(facts, counts, strict=True):
        window = [row["monthly_hours"] for row in months if row["employee"] == fact["employee"]]
        if count == WINDOW and "" not in window:
            assert tuple(map(float, window)) not in trained_on


def test_the_schema_is_printed_with_histories_and_the_month_of_leaving():
    lines = schema.describe(schema.ATTRITION_COLUMNS).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*(column.name for column in schema.ATTRITION_COLUMNS), "left"]
    (overtime,) = (line for line in lines if line.startswith("monthly_overtime"))
    for part in ("input", "history", "h/month", "0 .. 744", "逐月加班时长"):
        assert part in overtime
    assert "grade" in schema.describe()
    assert "monthly" not in schema.describe()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: attrition.load(49, 1), "employees: got 49, expected at least 50"),
        (lambda: attrition.load(60, 1, "third"), "effects: got 'third', expected one of first, second"),
        (lambda: attrition.facts_csv(0, 1), "employees: got 0"),
    ],
)
def test_what_cannot_be_generated_is_refused(call, says):
    with pytest.raises(DataError, match=says):
        call()
