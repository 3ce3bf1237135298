"""Groups are measured as fairlearn and plain counting measure them, and small ones do not make differences."""

import numpy as np
import pytest
from fairlearn.metrics import demographic_parity_ratio, equal_opportunity_difference

from exporters.cards import groups
from exporters.cards.outcomes import Outcome
from exporters.quality import calibration
from serving.contract import Text

pytestmark = pytest.mark.unit
TITLE = Text("leaves", "离职")


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """An event of 6000 rows that probabilities tell rightly, selected above 0.4."""
    rng = np.random.default_rng(0)
    p = rng.beta(2, 5, 6000).astype(np.float32)
    return Outcome(TITLE, rng.random(6000) < p, p, p > 0.4)


@pytest.fixture(scope="module")
def names() -> np.ndarray:
    """3000 women, 2900 men, 100 of whom nothing is known."""
    return np.array(["female"] * 3000 + ["male"] * 2900 + ["unknown"] * 100)


def test_figures_of_a_group_by_hand():
    happened = np.array([1, 1, 0, 0, 1, 0], bool)
    selected = np.array([1, 0, 1, 0, 0, 0], bool)
    p = np.array([0.9, 0.4, 0.6, 0.1, 0.3, 0.2], np.float32)
    first, second = groups.compare(Outcome(TITLE, happened, p, selected), np.array(list("xxxxyy"))).groups
    assert (first.name, first.rows, first.selected, first.found, first.observed) == ("x", 4, 0.5, 0.5, 0.5)
    assert (second.name, second.rows, second.selected, second.found, second.observed) == ("y", 2, 0.0, 0.0, 0.5)
    assert (first.predicted, second.predicted) == (pytest.approx(0.5), pytest.approx(0.25))


def test_true_positives_of_a_group_to_whom_it_never_happened_cannot_be_told():
    one = Outcome(TITLE, np.array([True, False]), np.array([0.5, 0.5], np.float32), np.array([True, True]))
    first, second = groups.compare(one, np.array(["x", "y"])).groups
    assert first.found == 1.0
    assert np.isnan(second.found)


def test_ratio_and_difference_are_fairlearns_over_groups_that_are_large_enough(outcome, names):
    found, known = groups.compare(outcome, names), names != "unknown"
    of_known = {"sensitive_features": names[known]}
    truth, selected = outcome.happened[known], outcome.labelled()[known]
    assert found.selection_ratio == pytest.approx(demographic_parity_ratio(truth, selected, **of_known))
    assert found.opportunity_difference == pytest.approx(equal_opportunity_difference(truth, selected, **of_known))
    assert len(found.groups) == 3


def test_one_large_group_alone_is_not_apart_from_anyone(outcome):
    found = groups.compare(outcome, np.array(["many"] * 5900 + ["few"] * 100))
    assert np.isnan([found.selection_ratio, found.opportunity_difference]).all()


def test_a_model_that_passes_over_a_group_shows(outcome, names):
    selected = outcome.labelled() & ~((names == "female") & (np.arange(6000) % 2 == 0))
    unfair = groups.compare(Outcome(TITLE, outcome.happened, outcome.probability, selected), names)
    assert unfair.selection_ratio == pytest.approx(0.5, abs=0.1)
    assert unfair.opportunity_difference > 0.15


def test_calibration_is_measured_in_groups_with_enough_rows(outcome, names):
    female, male, unknown = groups.compare(outcome, names).groups
    rows = names == "female"
    error = calibration.expected_calibration_error(outcome.probability[rows], outcome.happened[rows])
    assert female.calibration_error == pytest.approx(error)
    assert 0 < male.by_chance < 0.03
    assert np.isnan([unknown.calibration_error, unknown.by_chance]).all()


def test_an_outcome_without_a_label_is_refused(outcome, names):
    with pytest.raises(ValueError, match="leaves"):
        groups.compare(Outcome(TITLE, outcome.happened, outcome.probability, None), names)
