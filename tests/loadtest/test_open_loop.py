"""Calls that are begun when they are due: nothing that was due is left out, and connections share them."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from loadtest.h2.client import NOT_BEGUN, Load, run
from loadtest.h2.connection import Connection
from loadtest.rates import schedule
from tests.loadtest.timed_server import TimedServer

pytestmark = pytest.mark.integration

BODIES = [number.to_bytes(2) for number in range(100)]


def put(address, **options):
    return run(Load(**{"address": address, "path": "/a.B/C", "bodies": BODIES, "distinct": 1, "grace": 15.0} | options))


def test_calls_begin_when_a_schedule_says(echo):
    due = list(schedule.due(schedule.read("50-400:1,100:0.5"), poisson=True, seed=4))
    result = put(echo.address, due=due, seconds=1.5, streams=64)
    assert result.all_ok
    np.testing.assert_array_equal(np.sort(result.due_ns), due)
    assert result.statuses == Counter({0: len(due)})
    assert len(result.lags_ns) == len(result.latencies_ns) == len(result.codes) == len(due)
    assert np.all(result.lags_ns >= 0)


def test_what_is_due_after_the_end_is_not_asked(echo):
    result = put(echo.address, due=iter(range(0, 10**12, 10_000_000)), seconds=0.3)
    assert result.all_ok
    assert result.statuses[0] == 30


def test_every_call_that_was_due_is_asked_though_the_server_is_behind():
    """Half of the calls are begun after the time of the schedule is over: without them it would look half as slow."""
    with TimedServer(0.01) as server:
        result = put(server.address, rate=200.0, seconds=0.5, streams=1)
    assert result.all_ok
    assert result.statuses[0] == 100
    assert result.latencies_ns.max() > 0.4e9
    assert result.lags_ns.max() > 0.3e9


def test_calls_that_are_never_begun_are_errors():
    with TimedServer(0.05) as server:
        result = put(server.address, rate=400.0, seconds=0.5, streams=1, grace=0.3)
    assert result.errors[NOT_BEGUN] > 100
    assert result.errors.total() + result.statuses.total() == 200
    assert not result.all_ok


def test_a_server_that_is_hopelessly_behind_is_left_alone():
    with TimedServer(0.05) as server:
        result = put(server.address, rate=100.0, seconds=30.0, streams=1, overdue=0.2)
    assert result.errors[NOT_BEGUN] > 2500, "nearly all of the half minute was not waited for"
    assert result.errors.total() + result.statuses.total() == 3000


def test_connections_share_what_is_due(echo, monkeypatch):
    begun = Counter()
    call = Connection.call

    def counted(self, *arguments):
        begun[id(self)] += 1
        call(self, *arguments)

    monkeypatch.setattr(Connection, "call", counted)
    result = put(echo.address, rate=400.0, seconds=0.5, connections=4, streams=8)
    assert result.all_ok
    assert sum(begun.values()) == 200
    assert len(begun) == 4
    assert min(begun.values()) > 20


def test_bodies_have_methods_of_their_own():
    asked = []

    class Names(grpc.GenericRpcHandler):
        def service(self, details):
            asked.append(details.method)
            return grpc.unary_unary_rpc_method_handler(lambda body, _: body)

    server = grpc.server(ThreadPoolExecutor(1), handlers=(Names(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        paths = ["/a.B/C", "/d.E/F"] * 50
        result = put(f"127.0.0.1:{port}", path="", paths=paths, calls=250, streams=1, keep=250)
    finally:
        server.stop(None).wait()
    assert result.all_ok
    assert asked == [paths[number % 100] for number in range(250)]
    assert [result.kept[number] for number in range(250)] == [BODIES[number % 100] for number in range(250)]


def test_messages_are_varied_call_by_call(echo):
    def vary(number, message):
        return message[:5] + number.to_bytes(2)

    result = put(echo.address, vary=vary, calls=250, keep=250)
    assert result.all_ok
    assert result.kept == {number: number.to_bytes(2) for number in range(250)}


def test_an_observer_sees_every_call_and_nothing_is_remembered(echo):
    seen = []
    result = put(
        echo.address,
        calls=200,
        rate=1000.0,
        remember=False,
        observe=lambda call, now: seen.append((call.number, call.outcome, now - call.began)),
    )
    assert sorted(number for number, _, _ in seen) == list(range(200))
    assert all(outcome == 0 and took > 0 for _, outcome, took in seen)
    assert result.statuses == Counter({0: 200})
    assert result.latencies_ns.size == result.codes.size == result.lags_ns.size == 0
