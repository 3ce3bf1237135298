"""The generator: the order of events matters, the same seed gives the same rows, the truth is known."""

import numpy as np
import pytest

from exporters.data import panel, schema, synthetic
from exporters.quality import measures
from tests.exporters.conftest import nans_agree

pytestmark = pytest.mark.unit
T = 24


def history(surge: int, drop: int) -> tuple[np.ndarray, np.ndarray]:
    """Workload and recognition, [1, T], ordinary but for one surge and one drop in the given months."""
    workload, recognition = np.zeros((1, T)), np.zeros((1, T))
    workload[0, surge], recognition[0, drop] = 2.0, -2.0
    return workload, recognition


def test_recognition_lost_after_a_surge_hurts_and_the_same_loss_before_it_does_not():
    assert panel.strain(*history(surge=12, drop=14))[0, -1] > 0.03
    assert not panel.strain(*history(surge=14, drop=12)).any()


def test_a_surge_that_is_long_past_is_forgotten():
    soon = panel.strain(*history(surge=10, drop=11)).max()
    late = panel.strain(*history(surge=2, drop=11)).max()
    assert soon > 10 * late


def test_the_order_of_the_same_months_changes_the_true_grade_probabilities():
    whole = panel.simulate(3, 12, seed=1)
    numbers = {name: values[:1] for name, values in whole.numbers.items()}
    department = whole.texts["department"][:1, 0]
    hurt, unhurt = (
        panel.grade_probabilities(numbers, department, panel.strain(*history(surge, drop))[:, -12:])[0, -1]
        for surge, drop in ((20, 22), (22, 20))
    )
    assert hurt[2] > unhurt[2]
    assert hurt[0] < unhurt[0]


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    one, same, other = (synthetic.load(60, seed) for seed in (5, 5, 6))
    assert nans_agree(one.table, same.table)
    assert one.sha256 == same.sha256
    assert one.sha256 != other.sha256


def test_grades_are_roughly_fifteen_sixty_five_and_twenty_in_a_hundred():
    table = synthetic.load(2000, 11).table
    shares = np.bincount(table.target) / len(table)
    assert shares == pytest.approx([0.15, 0.65, 0.20], abs=0.04)


def test_drawn_grades_follow_the_true_probabilities():
    table = synthetic.load(4000, 11).table
    for c in range(3):
        likely = table.true_probabilities[:, c] > 0.7
        assert likely.sum() > 200
        expected = table.true_probabilities[likely, c].mean()
        assert (table.target[likely] == c).mean() == pytest.approx(expected, abs=0.04)


def test_every_number_is_physically_possible_and_only_hours_are_always_there():
    table = synthetic.load(500, 2).table
    assert tuple(table.columns) == tuple(column.name for column in schema.INPUTS)
    for column in schema.INPUTS:
        cells = table.columns[column.name]
        if column.kind == "category":
            assert (cells == "").any()
            continue
        assert np.nanmin(cells) >= (column.low if column.low is not None else -np.inf)
        assert np.nanmax(cells) <= (column.high if column.high is not None else np.inf)
        assert np.isnan(cells).any() == (column.name != "hours")


def test_a_trailing_sum_looks_back_twelve_months_and_no_further():
    values = np.zeros((1, 30))
    values[0, 10] = 1.0
    assert panel.trailing_sum(values)[0, 10:23].tolist() == [12 / 11, *[1.0] * 11, 0.0]


def test_nobody_scores_better_than_the_best_possible():
    table = synthetic.load(3000, 4).table
    best = measures.best_possible(table.true_probabilities)
    guess = table.true_probabilities.argmax(axis=1)
    reached = measures.score(measures.confusion(table.target, guess, 3))
    assert reached.accuracy == pytest.approx(best.accuracy, abs=0.01)
    assert reached.macro_f1 < best.macro_f1 + 0.01


def test_a_sample_has_ids_empty_cells_and_nobody_from_the_training_rows():
    lines = synthetic.sample_csv(200, 7).splitlines()
    header = lines[0].split(",")
    assert header == ["employee", *(column.name for column in schema.INPUTS)]
    rows = [line.split(",") for line in lines[1:]]
    assert [row[0] for row in rows[:2]] == ["E0001", "E0002"]
    assert len({row[0] for row in rows}) == 200
    assert any("" in row for row in rows)
    assert all(row[1] for row in rows)
    training = synthetic.load(200, 7).table
    hours, tenure = header.index("hours"), header.index("tenure")
    known = set(zip(training.columns["hours"].tolist(), training.columns["tenure"].tolist(), strict=True))
    shared = [row for row in rows if row[tenure] and (float(row[hours]), float(row[tenure])) in known]
    assert len(shared) < 100
