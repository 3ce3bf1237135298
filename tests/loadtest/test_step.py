"""What a step's figures say, and why a rate was not held."""

from collections import Counter

import numpy as np
import pytest

from loadtest.h2.client import NOT_BEGUN, UNANSWERED, Result
from loadtest.rates.recorded import Recording
from loadtest.rates.step import Asked, Target, judge, long_enough

pytestmark = pytest.mark.unit

TARGET = Target("127.0.0.1:1", "", Recording("x", 1, [], []), p99_ms=10.0)


def result(rate=100, seconds=3.0, took_ms=1.0, lag_ms=0.1):
    """A call every 1 / rate seconds, each answered after `took_ms`."""
    due = (np.arange(int(rate * seconds)) * 1e9 / rate).astype(np.int64)
    return Result(
        statuses=Counter({0: len(due)}),
        latencies_ns=np.full(len(due), int(took_ms * 1e6)),
        due_ns=due,
        codes=np.zeros(len(due), np.int16),
        lags_ns=np.full(len(due), int(lag_ms * 1e6)),
        seconds=seconds,
    )


def why(found, seconds=2.0, warmup=1.0):
    return judge(TARGET, Asked(found, 0.3), seconds, warmup).why


def test_the_warm_up_is_not_counted():
    found = result()
    found.latencies_ns[:100], found.lags_ns[:100] = 10**9, 10**9
    step = judge(TARGET, Asked(found, 0.3), 2.0, 1.0)
    assert (step.calls, step.asked, step.answered) == (200, 100.0, 100.0)
    assert step.p50_us == step.p99_us == step.p999_us == 1000
    assert step.lag_p99_us == 100
    assert step.server_cpu_us == pytest.approx(1000), "of all calls, for it was measured over all of them"
    assert step.held


def test_latencies_above_the_bound_break_a_step_and_a_late_generator_is_owned_up_to():
    assert why(result(took_ms=10.0)) == ""
    assert why(result(took_ms=12.0)) == "p99 12.0 ms, above 10"
    assert why(result(took_ms=12.0, lag_ms=11.0)) == "p99 12.0 ms, above 10, begun 11.0 ms late"


def test_calls_left_open_or_refused_break_a_step():
    found = result()
    found.errors.update({NOT_BEGUN: 3, UNANSWERED: 2})
    assert why(found) == "5 calls not answered in time"
    found = result()
    found.codes[-7:] = 8
    assert why(found) == "7 calls refused"


def test_a_rate_that_is_not_reached_breaks_a_step():
    found = result()
    found.seconds = 3.2
    assert why(found) == "answered 91 of 100 calls/s"


def test_nothing_answered_after_the_warm_up_is_not_held():
    found = result(seconds=1.0)
    found.errors[UNANSWERED] = 200
    step = judge(TARGET, Asked(found, None), 2.0, 1.0)
    assert not step.held
    assert step.p99_us == float("inf")
    assert step.server_cpu_us is None


def test_a_step_is_long_enough_for_its_bound_and_for_its_rate():
    assert long_enough(2.0, 10.0, 50.0) == 2.0
    assert long_enough(2.0, 1000.0, 50.0) == 10.0
    assert long_enough(2.0, 10.0, 2.0) == 10.0
