"""A slope whose interval can be believed: flat series include 0, rising ones do not."""

import numpy as np
import pytest

from loadtest.measure import MeasurementError
from loadtest.rates import slope

pytestmark = pytest.mark.unit

SECONDS = np.arange(600.0)
TRIES = 300


def flat(random):
    return 300_000 + random.normal(0, 50, 600)


def autocorrelated(random, factor):
    """Noise of which each second keeps `factor` of the one before."""
    values = [0.0]
    for _ in range(1000):
        values.append(factor * values[-1] + random.normal(0, 10))
    return 300_000 + np.array(values[-600:])


def share_that_includes_zero(make):
    found = [slope.fit(SECONDS, make(np.random.default_rng(seed))).includes_zero for seed in range(TRIES)]
    return np.mean(found)


def test_a_flat_series_includes_zero_as_often_as_was_promised():
    assert 0.91 <= share_that_includes_zero(flat) <= 0.99


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.97])
def test_a_flat_series_whose_samples_resemble_each_other_still_includes_zero(factor):
    assert share_that_includes_zero(lambda random: autocorrelated(random, factor)) >= 0.9


def test_a_plain_line_through_the_samples_would_cry_wolf():
    """What the blocks and their correlation are for."""
    from scipy import stats

    def plain(seed):
        line = stats.linregress(SECONDS, autocorrelated(np.random.default_rng(seed), 0.97))
        return abs(line.slope) <= 1.96 * line.stderr

    assert np.mean([plain(seed) for seed in range(TRIES)]) < 0.5


@pytest.mark.parametrize("make", [flat, lambda random: autocorrelated(random, 0.9)])
def test_a_rising_series_does_not_include_zero_and_its_slope_is_found(make):
    for seed in range(50):
        found = slope.fit(SECONDS, make(np.random.default_rng(seed)) + 100 / 60 * SECONDS)
        assert not found.includes_zero
        assert found.low < found.per_minute < found.high
        assert found.per_minute == pytest.approx(100, rel=0.2)


def test_steps_that_go_on_are_a_growth():
    random = np.random.default_rng(1)
    assert not slope.fit(SECONDS, flat(random) + 256 * (SECONDS // 60)).includes_zero


def test_a_straight_line_and_a_constant_are_exact():
    line = slope.fit(SECONDS, 5 + 2 * SECONDS)
    assert (line.low, line.per_minute, line.high, line.start) == pytest.approx((120, 120, 120, 5), abs=1e-6)
    still = slope.fit(SECONDS, np.full(600, 7.0))
    assert still.includes_zero
    assert (still.low, still.high) == (0, 0)


def test_missing_samples_and_an_unfinished_block_do_no_harm():
    kept = np.random.default_rng(2).random(600) < 0.7
    found = slope.fit(SECONDS[kept][:-3], (5 + 2 * SECONDS)[kept][:-3])
    assert found.per_minute == pytest.approx(120)


def test_too_short_a_series_has_no_slope():
    with pytest.raises(MeasurementError, match="at least 5"):
        slope.fit(SECONDS[:60], SECONDS[:60])
    with pytest.raises(MeasurementError):
        slope.fit([], [])
