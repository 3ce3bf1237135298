"""What the client counted is held against what the gateway counted."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from loadtest.h2.client import UNANSWERED, run
from loadtest.h2.load import Load, Result
from loadtest.measure import MeasurementError
from loadtest.rates import counters, mix, schedule
from loadtest.rates.step import Target, put, refuse_failures

pytestmark = pytest.mark.integration

REPO = Path("model_repo")


@pytest.fixture(scope="module")
def mixed():
    return mix.make(REPO, 5, 1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(counters, "_PATIENCE", 0.2)


def ask(running, mixed, calls=120, bodies=None):
    load = Load(
        address=running.grpc,
        path="",
        paths=mixed.recording.methods,
        bodies=bodies or mixed.recording.bodies,
        distinct=1,
        calls=calls,
    )
    before = counters.answered(running.http)
    return before, run(load)


def test_both_count_the_same_whatever_the_status(performance, mixed):
    bodies = [body if number % 10 else b"\xff" for number, body in enumerate(mixed.recording.bodies)]
    before, result = ask(performance, mixed, bodies=bodies)
    assert result.statuses == Counter({0: 108, 3: 12})
    assert counters.check(performance.http, before, result) == Counter({"OK": 108, "INVALID_ARGUMENT": 12})


@pytest.mark.parametrize("status", [0, 3, 14])
@pytest.mark.parametrize("change", [-1, 1])
def test_one_call_more_or_less_is_an_error_that_names_both_figures(performance, mixed, status, change):
    before, result = ask(performance, mixed)
    result.statuses[status] = max(result.statuses[status] + change, 0) if status == 0 else 1
    with pytest.raises(MeasurementError, match=r"client counts .*'OK'.*; the server .*'OK': 120"):
        counters.check(performance.http, before, result)


def test_calls_that_were_given_up_may_be_among_the_servers_or_not(performance, mixed):
    before, result = ask(performance, mixed)
    result.errors[UNANSWERED] = 3
    counters.check(performance.http, before, result)
    result.statuses[0] -= 3
    counters.check(performance.http, before, result)
    result.statuses[0] -= 1
    with pytest.raises(MeasurementError, match="3 unanswered"):
        counters.check(performance.http, before, result)


def test_a_step_against_a_gateway_whose_counters_are_elsewhere_is_an_error(performance, small, mixed):
    target = Target(performance.grpc, small.http, mixed.recording, distinct=1)
    with pytest.raises(MeasurementError, match="the server"):
        put(target, schedule.constant(50, 0.3))


def test_a_step_counts_only_what_was_due_after_the_warm_up(performance, mixed):
    target = Target(performance.grpc, performance.http, mixed.recording, p99_ms=5000.0, poisson=False, distinct=1)
    step = put(target, schedule.constant(50, 1.0), warmup=1.0)
    assert step.calls == 50
    assert step.asked == pytest.approx(50)
    assert step.p50_us <= step.p99_us <= step.p999_us


def test_no_metrics_there_is_told():
    with pytest.raises(MeasurementError, match=r"127\.0\.0\.1:1/metrics"):
        counters.answered("127.0.0.1:1")


def test_calls_that_fail_are_no_capacity():
    refuse_failures(Result(statuses=Counter({0: 5, 8: 3}), errors=Counter({UNANSWERED: 1})), "x")
    for result in (
        Result(statuses=Counter({0: 5, 3: 1})),
        Result(statuses=Counter({0: 5}), errors=Counter({"RST_STREAM 8": 1})),
    ):
        with pytest.raises(MeasurementError, match="x: grpc-status counts"):
            refuse_failures(result, "x")


def test_every_body_of_the_mix_is_answered_and_so_is_every_variation(performance, mixed):
    kinds = {(method, len(body) > 4000) for method, body in zip(*recording_of(mixed), strict=True)}
    assert len(kinds) == 6, "three protocols, small and large"
    assert len(set(mixed.recording.bodies)) == len(mixed.recording.bodies) == 5 * 24
    assert mixed.new_share > 0.3
    for first_turn in (0, 777, 2047):
        load = Load(
            address=performance.grpc,
            path="",
            paths=mixed.recording.methods,
            bodies=mixed.recording.bodies,
            vary=mixed.vary(first_turn),
            distinct=1,
            calls=240,
        )
        assert run(load).statuses == Counter({0: 240})


def test_varied_rows_differ_from_turn_to_turn(mixed):
    vary, count = mixed.vary(0), len(mixed.places)
    messages = [b"12345" + body for body in mixed.recording.bodies]
    for place, message in itertools.islice(enumerate(messages), 60):
        sent = {vary(turn * count + place, message) for turn in range(100)}
        assert len(sent) == (51 if mixed.places[place] >= 0 else 1)
        assert {len(one) for one in sent} == {len(message)}


def recording_of(mixed):
    return mixed.recording.methods, mixed.recording.bodies
