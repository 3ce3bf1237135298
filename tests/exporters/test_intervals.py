"""Intervals cover the truth as often as they promise, people are drawn whole, and candidates are compared in pairs."""

import time

import numpy as np
import pytest

from exporters.quality import measures
from exporters.quality.intervals import Bootstrap

pytestmark = pytest.mark.unit


def test_the_mean_of_independent_rows_has_the_interval_of_the_textbook():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = Bootstrap(np.arange(400), seed=1, draws=2000).measure(measures.mean_measure(values)).interval()
    half = 1.96 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng, covered = np.random.default_rng(2), 0
    for seed in range(200):
        groups = np.repeat(np.arange(60), 4)
        values = rng.normal(size=60)[groups] + 0.3 * rng.normal(size=240)
        found = Bootstrap(groups, seed, draws=200).measure(measures.mean_measure(values)).interval()
        covered += found.low <= 0 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_rows_of_one_person_are_drawn_together():
    values = np.repeat(np.random.default_rng(3).normal(size=100), 10)  # ten equal rows a person: 100 facts, not 1000
    by_person = Bootstrap(np.repeat(np.arange(100), 10), seed=0).measure(measures.mean_measure(values)).interval()
    by_row = Bootstrap(np.arange(1000), seed=0).measure(measures.mean_measure(values)).interval()
    assert (by_person.high - by_person.low) / (by_row.high - by_row.low) == pytest.approx(np.sqrt(10), rel=0.25)


def test_differences_are_paired():
    rng = np.random.default_rng(4)
    luck = rng.normal(size=500)
    bootstrap = Bootstrap(np.arange(500), seed=0)
    one, other = (
        bootstrap.measure(measures.mean_measure(luck + 0.1)),
        bootstrap.measure(measures.mean_measure(luck + 0.001 * rng.normal(size=500))),
    )
    apart = (one - other).interval()
    assert apart.low > 0.099
    assert apart.high < 0.101
    assert one.interval().high - one.interval().low > 0.1  # each alone is far less sure


def test_names_of_people_do_not_matter_and_a_seed_gives_the_same_draws():
    values = np.random.default_rng(5).normal(size=50)
    numbers, names = np.arange(50), np.array([f"{i:03d}" for i in range(50)])
    drawn = [Bootstrap(groups, 7).measure(measures.mean_measure(values)).drawn for groups in (numbers, numbers, names)]
    assert np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], Bootstrap(numbers, 8).measure(measures.mean_measure(values)).drawn)


def test_shares_of_all_draws_at_once_are_those_of_each_draw():
    rng = np.random.default_rng(9)
    groups, event, among = rng.integers(0, 40, 300), rng.random(300) < 0.3, rng.random(300) < 0.5
    bootstrap = Bootstrap(groups, seed=0, draws=50)
    one_by_one = bootstrap.measure(lambda w: float(np.average(event[among], weights=None if w is None else w[among])))
    at_once = bootstrap.share(event, among)
    assert at_once.value == pytest.approx(one_by_one.value)
    assert at_once.drawn == pytest.approx(one_by_one.drawn)
    assert np.isnan(bootstrap.share(event, np.zeros(300, bool)).interval().low)


def test_draws_in_which_nothing_can_be_told_are_left_out():
    p, y = np.array([0.9, 0.2, 0.4, 0.1]), np.array([1, 0, 0, 0])  # a third of the draws miss the only event
    found = Bootstrap(np.arange(4), seed=0).measure(measures.auc_measure(p, y))
    assert np.isnan(found.drawn).mean() > 0.2
    assert found.interval().low == 1.0
    nobody = Bootstrap(np.arange(4), seed=0).measure(measures.auc_measure(p, np.zeros(4))).interval()
    assert np.isnan([nobody.value, nobody.low, nobody.high]).all()


def test_400_draws_of_24000_rows_take_seconds():
    rng = np.random.default_rng(6)
    groups, p, truth = rng.integers(0, 7000, 24_000), rng.random(24_000), rng.integers(0, 3, 24_000)
    started = time.process_time()
    bootstrap = Bootstrap(groups, seed=0)
    bootstrap.measure(measures.auc_measure(p, truth == 0))
    bootstrap.measure(lambda w: measures.score(measures.confusion(truth, truth[::-1], 3, w)).macro_f1)
    bootstrap.share(truth == 0, p > 0.5)
    assert time.process_time() - started < 6
