"""Too much at once is refused at once; what was taken is answered right; and afterwards nothing is left behind."""

import concurrent.futures

import numpy as np
import pytest

from tests.faults.conftest import BATCH_ROWS as ROWS
from tests.faults.protocols import PROTOCOLS, Ask
from tests.support.metrics import sample, until

pytestmark = pytest.mark.faults

BATCH = Ask(
    [
        ("hours", np.linspace(0, 168, ROWS)),
        ("department", [("sales", "研发", "", "elsewhere")[row % 4] for row in range(ROWS)]),
    ]
)
ONE = Ask([("hours", np.array([40.0]))])


@pytest.fixture(params=PROTOCOLS)
def asking(request, crowded):
    """Each protocol, and the right answers to BATCH and ONE."""
    protocol = PROTOCOLS[request.param](crowded.grpc, crowded.http)
    batch, one = protocol.ask(BATCH), protocol.ask(ONE)
    assert (batch.status, one.status) == ("OK", "OK")
    yield protocol, batch, one
    assert until(lambda: sample(crowded, "epm_rows_in_flight") == 0), "rows left behind"
    assert protocol.ask(BATCH) == batch
    assert protocol.ask(ONE) == one
    protocol.close()


def test_overload_is_said_and_what_was_taken_is_answered_right(asking, crowded):
    protocol, right, _ = asking
    body = protocol.encode(BATCH)
    with concurrent.futures.ThreadPoolExecutor(24) as threads:
        outcomes = list(threads.map(lambda _: protocol.send(body, BATCH), range(48)))
    statuses = {outcome.status for outcome in outcomes}
    assert statuses <= {"OK", "RESOURCE_EXHAUSTED"}
    assert "OK" in statuses
    assert all(outcome == right for outcome in outcomes if outcome.status == "OK")


def test_overload_does_happen_here(crowded):
    protocol = PROTOCOLS["tf_serving"](crowded.grpc, crowded.http)
    body = protocol.encode(BATCH)
    calls = [protocol.channel.unary_unary(protocol.method).future(body, timeout=20) for _ in range(40)]
    codes = [call.code().name for call in calls]
    protocol.close()
    assert codes.count("RESOURCE_EXHAUSTED") > 0
    assert codes.count("OK") > 0
    assert sample(crowded, "epm_requests_total", status="RESOURCE_EXHAUSTED", protocol="tf_serving") > 0


@pytest.mark.parametrize("asking", ["tf_serving", "kserve", "epm"], indirect=True)
def test_cancelled_calls_do_not_hurt_their_neighbours(asking):
    protocol, right, _ = asking
    body = protocol.encode(BATCH)
    method = protocol.channel.unary_unary(protocol.method)
    for _ in range(10):
        calls = [method.future(body, timeout=20) for _ in range(4)]
        for call in calls[::2]:
            call.cancel()
        for call in calls[1::2]:
            if call.code().name != "RESOURCE_EXHAUSTED":
                assert protocol.decode(call.result()) == right


@pytest.mark.parametrize("asking", ["tf_serving", "kserve", "epm"], indirect=True)
@pytest.mark.parametrize("seconds", [-1, 0.00001, 0.0005, 0.002, 0.005, 0.02])
def test_a_deadline_that_passes_is_said_and_the_next_call_is_answered(asking, seconds):
    protocol, right, one = asking
    for question, expected in ((BATCH, right), (ONE, one)):
        for _ in range(5):
            outcome = protocol.ask(question, timeout=seconds)
            assert outcome.status in {"DEADLINE_EXCEEDED", "OK", "RESOURCE_EXHAUSTED"}
            assert outcome.status != "OK" or outcome == expected
            if seconds < 0:
                assert outcome.status == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("asking", ["tf_serving"], indirect=True)
def test_no_work_is_done_for_a_deadline_that_passed_while_the_call_waited(asking, crowded):
    protocol, _, _ = asking
    body = protocol.encode(BATCH)
    method = protocol.channel.unary_unary(protocol.method)
    answered = sample(crowded, "epm_requests_total", protocol="tf_serving", status="OK")
    calls = [method.future(body, timeout=0.004) for _ in range(60)]
    codes = [call.code().name for call in calls]
    assert set(codes) <= {"DEADLINE_EXCEEDED", "OK", "RESOURCE_EXHAUSTED"}
    assert "DEADLINE_EXCEEDED" in codes
    assert until(lambda: sample(crowded, "epm_rows_in_flight") == 0)
    worked = sample(crowded, "epm_requests_total", protocol="tf_serving", status="OK") - answered
    assert worked < len(calls) / 2, "most of these calls were given up before they were computed"
