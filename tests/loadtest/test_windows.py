"""Histograms of windows say what all latencies would, and take the same memory however many there are."""

import numpy as np
import pytest

from loadtest.h2.connection import Call
from loadtest.rates.windows import Windows

pytestmark = pytest.mark.unit

_START = 5_000_000_000


def observe(windows, due_seconds, micros, outcome=0):
    call = Call(0, _START + int(due_seconds * 1e9), False)
    call.outcome = outcome
    windows.observe(call, call.began + int(micros * 1e3))


@pytest.mark.parametrize("percent", [50, 99, 99.9])
def test_percentiles_are_those_of_all_latencies_to_a_hundredth(percent):
    windows = Windows(10.0, 5)
    took = np.random.default_rng(1).lognormal(7, 1.2, 20_000)
    for number, micros in enumerate(took):
        observe(windows, number / 1000, micros)
    assert windows.percentile_us(percent, [0, 1]) == pytest.approx(np.percentile(took, percent), rel=0.02)
    assert windows.percentile_us(percent, [1]) == pytest.approx(np.percentile(took[10_000:], percent), rel=0.02)


def test_calls_belong_to_when_they_were_due_and_failures_are_counted_apart():
    windows = Windows(1.0, 3)
    observe(windows, 0, 5e6)
    observe(windows, 1.5, 100)
    observe(windows, 1.6, 100, outcome=8)
    observe(windows, 1.7, 100, outcome="RST_STREAM 8")
    observe(windows, 99, 100)
    told = windows.as_dicts()
    assert [window["calls"] for window in told] == [1, 1, 1]
    assert [window["failed"] for window in told] == [0, 2, 0]
    assert told[0]["p99_us"] == pytest.approx(5e6, rel=0.01)


def test_extremes_have_their_place_and_nothing_has_no_percentile():
    windows = Windows(1.0, 1)
    assert windows.as_dicts() == []
    observe(windows, 0, 1, outcome=8)
    assert np.isnan(windows.percentile_us(99, [0]))
    observe(windows, 0, 0)
    observe(windows, 0, 1e12)
    assert windows.percentile_us(1, [0]) == pytest.approx(1, rel=0.01)
    assert windows.percentile_us(100, [0]) == pytest.approx(1e9, rel=0.02)


def test_windows_between_two_times():
    windows = Windows(10.0, 100)
    for second in range(0, 130, 5):
        observe(windows, second, 100)
    assert list(windows.between(60, 120)) == [6, 7, 8, 9, 10, 11]
    assert list(windows.between(0, 15)) == [0]
    assert list(windows.between(65, 1e6)) == [7, 8, 9, 10, 11, 12]
