"""The calibration error is what its definition gives by hand, and chance is told from error."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from exporters.quality import calibration

pytestmark = pytest.mark.unit


def test_the_error_by_hand():
    p = np.array([0.1, 0.3, 0.6, 0.8])  # two bins: said 0.2, happened 0.5; said 0.7, happened 1
    y = np.array([0, 1, 1, 1])
    curve = calibration.reliability(p, y, bins=2)
    assert curve.rows.tolist() == [2, 2]
    assert curve.predicted == pytest.approx([0.2, 0.7])
    assert curve.observed == pytest.approx([0.5, 1.0])
    assert calibration.expected_calibration_error(p, y, bins=2) == pytest.approx(0.3)


def test_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    p, y, order = rng.random(1000), rng.integers(0, 2, 1000), rng.permutation(1000)
    shuffled = calibration.expected_calibration_error(p[order], y[order])
    assert calibration.expected_calibration_error(p, y) == pytest.approx(shuffled)


def test_bins_are_those_of_scikit_learn_where_no_two_rows_are_equal():
    rng = np.random.default_rng(1)
    p, y = rng.random(3000), rng.integers(0, 2, 3000)
    curve = calibration.reliability(p, y)
    observed, predicted = calibration_curve(y, p, n_bins=15, strategy="quantile")
    assert (curve.rows == 200).all()
    assert curve.predicted == pytest.approx(predicted, abs=1e-3)  # its edges are interpolated: a row may move
    assert curve.observed == pytest.approx(observed, abs=1e-2)


def test_equal_probabilities_share_a_bin():
    y = np.arange(100) < 30  # sorted: bins by position alone would all be off
    curve = calibration.reliability(np.full(100, 0.3), y)
    assert curve.rows.tolist() == [100]
    assert curve.error() == pytest.approx(0)


def test_what_is_calibrated_shows_the_error_of_chance_and_no_more():
    rng = np.random.default_rng(2)
    p = rng.beta(1, 5, 20_000)
    curves = [calibration.reliability(p, rng.random(20_000) < p) for _ in range(30)]
    assert np.mean([curve.error() for curve in curves]) == pytest.approx(curves[0].by_chance(), rel=0.1)
    assert curves[0].error() < 0.01


def test_what_is_too_sure_shows_its_error():
    rng = np.random.default_rng(3)
    p = rng.random(20_000)
    y = rng.random(20_000) < 0.5 + 0.8 * (p - 0.5)  # off by 0.2 |p - 0.5|: 0.05 on average
    curve = calibration.reliability(p, y)
    assert curve.error() == pytest.approx(0.05, abs=0.01)
    assert curve.error() > 3 * curve.by_chance()


def test_bounds_of_shares_are_wilsons_and_stay_between_0_and_1():
    curve = calibration.Reliability(np.array([10, 10]), np.array([0.1, 0.5]), np.array([0.0, 0.5]))
    low, high = curve.bounds()
    assert low == pytest.approx([0.0, 0.2366], abs=1e-4)
    assert high == pytest.approx([0.2775, 0.7634], abs=1e-4)
