"""What calibration and stacking fit: known answers."""

import numpy as np
import pytest

from exporters.models import calibration
from exporters.quality.calibration import expected_calibration_error

pytestmark = pytest.mark.unit


def drawn(probabilities: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (random.random(len(probabilities))[:, None] > probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)


def test_vector_scaling_finds_the_slope_and_the_shifts_that_were_taken_away():
    random = np.random.default_rng(0)
    scores, shift = random.normal(size=(60_000, 3)), np.array([-0.7, 0.9, -0.2])
    target = drawn(calibration.softmax(0.4 * scores + shift), random)
    found_slope, found_shift = calibration.vector_scaling(scores, target)
    assert found_slope == pytest.approx(0.4, abs=0.02)
    assert found_shift == pytest.approx(shift, abs=0.03)
    assert found_shift.sum() == pytest.approx(0, abs=1e-6)


def test_overconfident_scores_become_probabilities_that_mean_what_they_say():
    random = np.random.default_rng(1)
    true = calibration.softmax(random.normal(size=(40_000, 3)))
    target, overconfident = drawn(true, random), 3 * np.log(true)
    slope, shift = calibration.vector_scaling(overconfident[:20_000], target[:20_000])
    before, after = (
        expected_calibration_error(p[20_000:, 0], target[20_000:] == 0)
        for p in (calibration.softmax(overconfident), calibration.softmax(slope * overconfident + shift))
    )
    assert after < 0.015 < 0.05 < before


def test_stacking_gives_weight_to_what_tells_something_and_none_below_zero():
    random = np.random.default_rng(2)
    told, wrong = random.normal(size=(2, 50_000))
    event = random.random(50_000) < calibration.sigmoid(1.5 * told - 2.0)
    weights = calibration.logistic_stack(np.stack([told, -told, wrong], axis=1), event)
    assert weights[0] - weights[1] == pytest.approx(1.5, abs=0.06)
    assert weights[1:3] == pytest.approx(0, abs=0.03)
    assert (weights[:3] >= 0).all()
    assert weights[3] == pytest.approx(-2.0, abs=0.06)


def test_sigmoid_and_softmax_do_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert calibration.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
        assert calibration.softmax(np.array([[1e4, -1e4]])).tolist() == [[1.0, 0.0]]


def test_on_a_few_rows_the_scores_are_nearly_taken_as_they_are():
    random = np.random.default_rng(3)
    scores = random.normal(size=(6, 3))
    slope, shift = calibration.vector_scaling(scores, np.array([0, 0, 1, 1, 1, 0]))  # a class that is not there
    assert slope == pytest.approx(1, abs=0.5)
    assert np.abs(shift).max() < 0.5
    weights = calibration.logistic_stack(scores[:, :2], np.array([True, False] * 3))
    assert weights == pytest.approx([0.5, 0.5, 0], abs=0.3)
