"""What a batch is expected to take: a line that is found, that follows changes, and that a pause does not bend."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.backends.estimate import OUTLIER, Estimate

pytestmark = pytest.mark.unit

FIXED, PER_ROW = 0.002, 0.000_005


def true(rows: int, times: float = 1.0) -> float:
    return times * (FIXED + PER_ROW * rows)


def learned(batches: int = 200, times: float = 1.0, estimate: Estimate | None = None, noise: float = 0.0) -> Estimate:
    random = np.random.default_rng(5)
    estimate = estimate or Estimate()
    for rows in random.integers(1, 512, batches).tolist():
        estimate.learn(rows, true(rows, times) * (1 + noise * random.standard_normal()))
    return estimate


def test_it_knows_nothing_before_the_first_batch() -> None:
    assert Estimate().seconds(1000) == 0


def test_it_finds_both_parts() -> None:
    estimate = learned()
    assert estimate.fixed == pytest.approx(FIXED)
    assert estimate.per_row == pytest.approx(PER_ROW)


def test_it_bears_noise() -> None:
    estimate = learned(noise=0.1)
    for rows in (1, 64, 512):
        assert estimate.seconds(rows) == pytest.approx(true(rows), rel=0.25)


def test_it_follows_a_backend_that_becomes_slower_or_faster() -> None:
    for times in (10.0, 0.1):
        estimate = learned(200, times, learned())
        assert estimate.seconds(64) == pytest.approx(true(64, times), rel=0.01)


def test_one_pause_of_ten_seconds_changes_little() -> None:
    estimate = learned()
    estimate.learn(64, 10.0)
    assert estimate.seconds(64) < 1.5 * true(64)


def test_batches_of_one_size_say_nothing_about_rows() -> None:
    estimate = Estimate()
    for _ in range(50):
        estimate.learn(1, 0.002)
    assert (estimate.fixed, estimate.per_row) == (pytest.approx(0.002), 0)


def test_after_thousands_of_batches_of_one_size_it_still_knows_what_a_row_costs() -> None:
    estimate = learned()
    for _ in range(1000):
        estimate.learn(64, true(64))
    assert estimate.seconds(512) == pytest.approx(true(512), rel=0.05)


def test_a_batch_that_was_given_up_counts_only_when_it_was_longer_than_expected() -> None:
    estimate = learned()
    before = estimate.seconds(64)
    estimate.learn_at_least(64, true(64) / 2)
    assert estimate.seconds(64) == before
    estimate.learn_at_least(64, true(64) * 3)
    assert estimate.seconds(64) > before


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 1e6)), max_size=50), st.integers(0, 100_000))
def test_neither_part_is_ever_below_zero(batches: list[tuple[int, float]], rows: int) -> None:
    estimate = Estimate()
    for batch in batches:
        estimate.learn(*batch)
        assert estimate.per_row >= 0
        assert estimate.fixed >= -1e-6
    assert np.isfinite(estimate.seconds(rows))


@settings(deadline=None)
@given(st.integers(1, 512), st.floats(1e-6, 1e6))
def test_one_batch_moves_it_by_a_bounded_factor(rows: int, seconds: float) -> None:
    estimate = learned()
    before = estimate.seconds(rows)
    estimate.learn(rows, seconds)
    assert estimate.seconds(rows) <= OUTLIER * before + 1e-6
