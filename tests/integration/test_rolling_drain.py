"""Gateways behind a client that spreads its calls are restarted one after the other, and no call fails."""

from pathlib import Path

import pytest

from tests.support.rolling import Pair, SteadyLoad, rolled

pytestmark = pytest.mark.integration

CONFIG = Path(__file__).resolve().parents[2] / "docs" / "service-config.json"
DRAIN_SECONDS = 20
GRACE_SECONDS = DRAIN_SECONDS + 10
OPTIONS = [("grpc.service_config", CONFIG.read_text("utf-8")), ("grpc.initial_reconnect_backoff_ms", 200)]


@pytest.mark.parametrize(
    ("calls", "least"), [(5_000, 2), pytest.param(50_000, 20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_no_call_fails_while_gateways_are_restarted_in_turn(calls, least, small_repository):
    with Pair(small_repository, drain_seconds=DRAIN_SECONDS) as pair, SteadyLoad(pair.target, 250, OPTIONS) as load:
        restarts = list(rolled(pair, load, calls, least, GRACE_SECONDS))
    print(f"{load.done} calls, {len(restarts)} restarts, {load.reopened} streams went on elsewhere: {load.outcomes}")
    assert load.failed() == {}
    assert load.done >= calls
    assert {status for status, _ in restarts} == {0}
    assert all("draining, at most 20 s" in log for _, log in restarts)
    assert not any("Traceback" in log or "defect" in log for _, log in restarts)
