"""Callers in a hurry, too many, leaving, or less important, at a gateway whose real Triton needs 50 ms and more."""

import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import grpc
import numpy as np
import pytest

from tests.conftest import MODEL_REPO
from tests.support.gateways import Running, gateway
from tests.support.load import OK, Call, Caller, Load, Rows, failed, wrong
from tests.support.metrics import sample, until
from tests.support.triton import TritonServer, slowed

pytestmark = [pytest.mark.faults, pytest.mark.alone]

MODEL = "performance_model"
SECONDS = 0.05
"""What a batch takes at least."""
HASTY = 0.005
QUEUE = 96
OPTIONS = {"backends": f"onnxruntime;{MODEL}=triton", "cache": "off", "batches_running": 1, "batch_rows": 16}
STUMBLED = ("Traceback", "defect", "never retrieved", "never awaited", "CancelledError")
UNAVAILABLE, TOO_LATE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
SLACK = 3.0


def check_log(at: Running) -> None:
    log = "".join(at.log)
    assert [word for word in STUMBLED if word in log] == [], log[-3000:]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows(MODEL)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    with TritonServer(slowed(MODEL_REPO, tmp_path_factory.mktemp("slow") / "models", SECONDS * 1000)) as running:
        yield running


@pytest.fixture(scope="module")
def at(triton: TritonServer) -> Iterator[Running]:
    limits = {"batch_queue_rows": QUEUE, "max_rows": QUEUE, "backend_timeout_seconds": 10}
    with gateway(MODEL_REPO, triton_address=triton.grpc, **OPTIONS, **limits) as running:
        yield running
    check_log(running)


def median(calls: Iterable[Call]) -> float:
    return float(np.median([call.seconds for call in calls]))


def computed(triton: TritonServer) -> int:
    """Rows that Triton has computed."""
    with triton.client() as client:
        (statistics,) = client.get_inference_statistics(MODEL).model_stats
    return int(statistics.inference_count)


def test_callers_in_too_great_a_hurry_fail_in_time_and_cost_their_neighbours_nothing(
    at: Running, triton: TritonServer, rows: Rows
) -> None:
    patient = Caller("patient", rows, most=2, pause=0)
    hasty = Caller("hasty", rows, HASTY, most=1, pause=0.002)
    before = computed(triton)
    with Load(at, [patient] * 3 + [hasty] * 8) as load:
        load.more(20, "patient")
    assert until(lambda: sample(at, "epm_rows_in_flight") == 0), "rows are left behind"
    late = load.of("hasty")
    assert {call.status for call in late} == {TOO_LATE}
    assert {call.status for call in load.of("patient")} == {OK}
    assert not wrong(load.calls)
    assert median(late) < median(load.of("patient")) / 2
    for_late = computed(triton) - before - sum(call.rows for call in load.of("patient"))
    assert for_late < len(late) / 2, "most of them left the queue before anything was sent"


def test_more_rows_than_may_wait_are_refused_at_once_and_the_others_answered(at: Running, rows: Rows) -> None:
    with Load(at, [Caller("many", rows, pause=0)] * 40) as load:
        assert until(lambda: len([call for call in load.of() if call.status is OK]) > 60, 20)
    refused = failed(load.calls)
    assert {call.status for call in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert not wrong(load.calls)
    assert median(refused) < median([call for call in load.calls if call.status is OK]) / 2
    assert until(lambda: sample(at, "epm_rows_in_flight") == 0), "rows are left behind"


def test_callers_that_leave_are_not_noticed_by_those_that_stay(at: Running, rows: Rows) -> None:
    staying, leaving = Caller("staying", rows, most=2, pause=0), Caller("leaving", rows, most=2, leaves_after=0.02)
    with Load(at, [staying] * 6 + [leaving] * 6) as load:
        load.more(60, "staying")
    assert {call.status for call in load.of("staying")} == {OK}
    assert {call.status for call in load.of("leaving")} == {grpc.StatusCode.CANCELLED}
    assert not wrong(load.calls)
    assert until(lambda: sample(at, "epm_rows_in_flight") == 0), "rows are left behind"


def test_calls_of_low_priority_wait_longer_but_not_for_ever(at: Running, rows: Rows) -> None:
    normal = Caller("normal", rows, most=4, pause=0)
    low = replace(normal, name="low", priority="low")
    with Load(at, [normal] * 12 + [low] * 12) as load:
        load.more(100, "normal")
        assert until(lambda: len(load.of("low")) >= 12, 20)
    assert {call.status for call in load.calls} == {OK}
    assert not wrong(load.calls)
    assert median(load.of("normal")) < median(load.of("low"))


def test_what_waits_for_a_slow_triton_is_answered_before_a_gateway_leaves(triton: TritonServer, rows: Rows) -> None:
    drain = 10
    with gateway(MODEL_REPO, triton_address=triton.grpc, drain_seconds=drain, **OPTIONS) as at:
        with Load(at, [Caller("any", rows, most=4, pause=0)] * 24) as load:
            load.more(24)
            time.sleep(0.3)
            left = time.monotonic()
            at.process.send_signal(signal.SIGTERM)
            at.process.wait(drain + SLACK)
        seconds = time.monotonic() - left
    accepted = [call for call in load.calls if call.sent < left - 0.1]
    assert len([call for call in accepted if call.ended > left]) > 8, "too few were waiting"
    assert {call.status for call in accepted} == {OK}
    assert {call.status for call in failed(load.calls)} <= {UNAVAILABLE, grpc.StatusCode.CANCELLED}  # sent too late
    assert not wrong(load.calls)
    assert seconds < drain
    assert at.process.returncode == 0
    check_log(at)


def test_a_gateway_does_not_wait_longer_than_it_drains_for_a_triton_that_stands_still(rows: Rows) -> None:
    drain = 1
    options = {"drain_seconds": drain, "backend_timeout_seconds": 60, **OPTIONS}
    with (
        TritonServer(MODEL_REPO) as triton,
        gateway(MODEL_REPO, triton_address=triton.grpc, **options) as at,
        Load(at, [Caller("any", rows, most=4, pause=0.05)] * 8) as load,
    ):
        load.more(24)
        triton.pause()
        time.sleep(0.3)
        left = time.monotonic()
        at.process.send_signal(signal.SIGTERM)
        at.process.wait(drain + 2 + SLACK)
    waited = [call for call in load.calls if call.sent < left < call.ended]
    assert len(waited) == 8
    assert not wrong(load.calls)
    assert {call.status for call in failed(load.calls)} <= {UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert at.process.returncode == 0
    check_log(at)
