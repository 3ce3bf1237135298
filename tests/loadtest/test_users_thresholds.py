"""Thresholds of the locust users: what keeps them, and the sentence for what does not."""

import pytest

from loadtest.users.figures import KindFigures, RunFigures, read, round_ms
from loadtest.users.thresholds import Thresholds, judge
from loadtest.users.verdict import verdict

pytestmark = pytest.mark.unit

KIND = "epm.v1 Predict, 1 row"


def run(calls=1000, p50=2.0, p95=4.0, p99=8.0, failures=None, user_seconds=400.0, defects=()):
    return RunFigures(10.0, user_seconds, {KIND: KindFigures(calls, failures or {}, p50, p95, p99)}, list(defects))


ECHO = run(p50=1.0, p95=2.0, p99=3.0)
LIMITS = Thresholds(p50_times=4, p99_times=5)


def test_a_run_near_the_echo_keeps_all_thresholds():
    assert judge(run(), ECHO, LIMITS) == []


def test_latencies_are_held_to_multiples_of_the_echo_of_the_same_kind():
    slow_middle, slow_end = judge(run(p50=4.1, p99=15.1), ECHO, LIMITS)
    assert slow_middle == (
        f"{KIND}: p50 was 4.1 ms, allowed are 4 ms (4 times the 1 ms of a bare echo under the same users)"
    )
    assert slow_end == (
        f"{KIND}: p99 was 15.1 ms, allowed are 15 ms (5 times the 3 ms of a bare echo under the same users)"
    )


def test_absolute_thresholds_replace_the_relative_ones_and_need_no_echo():
    limits = Thresholds(p50_times=4, p99_times=5, p50_ms=50, p95_ms=60, p99_ms=70)
    assert judge(run(p50=49, p95=59, p99=69), ECHO, limits) == []
    sentences = judge(run(p50=51, p95=61, p99=71), None, limits)
    assert sentences == [
        f"{KIND}: p50 was 51 ms, allowed are 50 ms (--p50-ms)",
        f"{KIND}: p95 was 61 ms, allowed are 60 ms (--p95-ms)",
        f"{KIND}: p99 was 71 ms, allowed are 70 ms (--p99-ms)",
    ]


def test_p99_of_few_calls_is_not_held_to_the_echo_but_p50_is():
    assert judge(run(calls=99, p99=500, user_seconds=40), ECHO, LIMITS) == []
    assert len(judge(run(calls=99, p50=500, p99=500, user_seconds=40), ECHO, LIMITS)) == 1


def test_failures_are_named_with_their_counts():
    (sentence,) = judge(run(failures={"UNAVAILABLE": 2, "RESOURCE_EXHAUSTED": 1234}, calls=2000), ECHO, LIMITS)
    assert sentence == (
        f"{KIND}: 1,236 of 2,000 calls failed (1,234 RESOURCE_EXHAUSTED, 2 UNAVAILABLE), allowed are 0 % (--failures)"
    )
    assert judge(run(failures={"UNAVAILABLE": 10}), ECHO, Thresholds(failures=0.01)) == []
    assert "allowed are 0.9 %" in judge(run(failures={"UNAVAILABLE": 10}), ECHO, Thresholds(failures=0.009))[0]


def test_calls_that_did_not_come_back_are_missed():
    (sentence,) = judge(run(calls=499), ECHO, LIMITS)
    assert sentence == (
        f"{KIND}: 499 calls came back, expected are at least 500 "
        "(0.5 of what as many users made of a bare echo in that time)"
    )


def test_fewer_users_are_expected_to_make_fewer_calls():
    assert judge(run(calls=250, user_seconds=200), ECHO, LIMITS) == []
    assert judge(run(calls=249, user_seconds=200), ECHO, LIMITS)


def test_a_kind_that_never_came_back_is_missed():
    other = RunFigures(10.0, 400.0, {"another": KindFigures(1000, {}, 1, 1, 1)})
    (sentence,) = judge(other, ECHO, LIMITS)
    assert sentence.startswith(f"{KIND}: 0 calls came back, expected are at least 500")


def test_no_call_and_defect_users_are_no_pass():
    assert judge(RunFigures(10.0, 0.0, {}), ECHO, LIMITS) == ["no call was answered at all, expected at least one"]
    assert judge(run(defects=["TypeError"]), ECHO, LIMITS) == ["the users themselves are defect: TypeError"]


def test_the_verdict_says_pass_or_fail_and_why():
    kept = verdict(run(), ECHO, [])
    assert KIND in kept
    assert kept.endswith("PASS: 1,000 calls in 10 s, 0 failed; all thresholds kept")
    failed = verdict(run(failures={"NOT_FOUND": 3}), ECHO, ["one thing", "another"])
    assert "3 NOT_FOUND" in failed
    assert failed.endswith("FAIL: 1,000 calls in 10 s, 3 failed; broken thresholds: 2\n  - one thing\n  - another")


def test_figures_come_back_from_their_file(tmp_path):
    some = run(failures={"NOT_FOUND": 3}, defects=["x"])
    some.write(tmp_path / "new" / "figures.json")
    assert read(tmp_path / "new" / "figures.json") == some


@pytest.mark.parametrize(("exact", "rounded"), [(0.123456, 0.123), (1.2345, 1.23), (60.04, 60.0), (12345.6, 12300.0)])
def test_latencies_keep_three_figures(exact, rounded):
    assert round_ms(exact) == rounded
