"""The compiled load generator against real servers: it counts what came, and says what went wrong."""

import threading

import numpy as np
import pytest

from loadtest import servers
from loadtest.h2.client import UNANSWERED, LoadError
from loadtest.listener.generator import Load, run
from loadtest.listener.trailers import TrailerReader

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]  # it is compiled first
PATH = "/any.Service/Method"


def bodies(count=1000, size=40):
    return [number.to_bytes(4, "little") + bytes(size) for number in range(count)]


def load(address, **more):
    return Load(**{"address": address, "path": PATH, "bodies": bodies(), "seconds": 30.0, "calls": 3000, **more})


def test_every_call_takes_the_next_body_and_gets_its_own_answer(echo):
    result = run(load(echo.address, connections=3, streams=5, keep=1500))
    assert result.all_ok, result
    assert result.statuses == {0: 3000}
    assert len(result.latencies_ns) == 3000
    assert result.latencies_ns.min() > 0
    assert [result.kept[number] for number in range(1500)] == [bodies()[number % 1000] for number in range(1500)]
    assert result.cpu_seconds > 0
    assert result.seconds > 0


def test_messages_larger_than_a_frame_come_back_whole(echo):
    large = [np.random.default_rng(number).bytes(40_000) for number in range(20)]
    result = run(load(echo.address, bodies=large, calls=60, keep=20, distinct=20))
    assert result.all_ok, result
    assert [result.kept[number] for number in range(20)] == large


def test_at_a_rate_calls_begin_when_they_are_due(echo):
    result = run(load(echo.address, rate=200.0, seconds=2.0, streams=50))
    assert result.all_ok, result
    assert result.statuses == {0: 400}
    assert result.late_ns >= 0


def test_errors_are_counted_by_status_and_message(tmp_path):
    with servers.canned() as server:
        result = run(load(server.address, calls=10))
    assert result.statuses.total() + result.errors.total() == 10
    assert not result.kept or set(result.statuses) == {0}


def test_a_server_that_ends_leaves_calls_without_a_status():
    server = servers.echo()
    try:
        ender = threading.Timer(1.0, server.stop)
        ender.start()
        result = run(load(server.address, rate=1000.0, seconds=8.0, calls=8000, grace=3.0))
        ender.join()
    finally:
        server.stop()
    assert not result.all_ok
    assert result.statuses[0] > 0
    assert result.errors["connections that were lost"] == 1 or UNANSWERED in result.errors


def test_load_is_put_on_this_machine_only():
    with pytest.raises(LoadError, match="this machine only"):
        run(load("192.0.2.1:80"))


def test_few_bodies_are_refused():
    with pytest.raises(LoadError, match="at least 1000"):
        run(load("127.0.0.1:1", bodies=bodies(10)))


def test_trailers_are_read_with_what_they_say():
    import hpack

    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    fields = [("grpc-status", "3"), ("grpc-message", "50%25 of %E7%A0%94"), ("grpc-status-details-bin", "QUI")]
    reader = TrailerReader()
    for _ in range(3):
        assert reader.said(encoder.encode(fields)) == (3, "50% of 研", b"AB")
    with pytest.raises(LoadError, match="without a status"):
        reader.said(encoder.encode([("a", "b")]))


def test_trailers_that_use_a_table_are_refused():
    with pytest.raises(LoadError, match="without a table"):
        TrailerReader().said(bytes((0x80 | 62,)))
