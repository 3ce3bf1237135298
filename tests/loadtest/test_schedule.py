"""When calls are due."""

from itertools import islice

import numpy as np
import pytest

from loadtest.measure import MeasurementError
from loadtest.rates import schedule
from loadtest.rates.schedule import Segment

pytestmark = pytest.mark.unit

RISING = [Segment(100, 3000, 10), Segment(3000, 3000, 5), Segment(3000, 0, 4)]


def due(segments, poisson, seed=1):
    return np.array(list(schedule.due(segments, poisson, seed))) / 1e9


@pytest.mark.parametrize("poisson", [True, False])
@pytest.mark.parametrize("segments", [schedule.constant(700, 20), schedule.steps([100, 400, 50], 10), RISING])
def test_as_many_calls_are_due_as_the_rate_says_and_never_falling(segments, poisson):
    times = due(segments, poisson)
    expected = sum(segment.calls for segment in segments)
    assert abs(len(times) - expected) <= (5 * np.sqrt(expected) if poisson else 1)
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] <= schedule.seconds(segments)


@pytest.mark.parametrize("poisson", [True, False])
def test_every_second_of_a_ramp_has_the_calls_of_its_rate(poisson):
    times = due(RISING, poisson)
    for second in range(10):
        expected = 100 + 290 * (second + 0.5)
        found = np.count_nonzero((times >= second) & (times < second + 1))
        assert abs(found - expected) <= (5 * np.sqrt(expected) if poisson else 1)


def test_even_calls_have_equal_gaps_and_begin_at_once():
    times = due(schedule.constant(250, 4), poisson=False)
    assert times[0] == 0
    np.testing.assert_allclose(np.diff(times), 1 / 250, atol=2e-9)


def test_gaps_of_a_poisson_process_are_exponential():
    from scipy import stats

    gaps = np.diff(due(schedule.constant(500, 60), poisson=True, seed=3))
    assert stats.kstest(gaps * 500, "expon").pvalue > 0.001
    assert np.corrcoef(gaps[1:], gaps[:-1])[0, 1] == pytest.approx(0, abs=0.05)


def test_the_same_seed_gives_the_same_times_and_another_one_others():
    first, again, other = (due(RISING, True, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:100], other[:100])


def test_times_are_made_as_they_are_needed():
    endless = schedule.due(schedule.constant(1e6, 1e9), True, 1)
    assert len(list(islice(endless, 10_000))) == 10_000


def test_a_schedule_is_read():
    assert schedule.read("100-2000:20, 2000:10") == [Segment(100, 2000, 20), Segment(2000, 2000, 10)]


@pytest.mark.parametrize("text", ["", "100", "100:0", "0:5", "100-:5", "1..2:5", "100:5,", "-5:5"])
def test_what_is_no_schedule_is_told(text):
    with pytest.raises(MeasurementError, match="RATE:SECONDS"):
        schedule.read(text)
