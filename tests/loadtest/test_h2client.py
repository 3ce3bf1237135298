"""The load generator against real servers and against servers that misbehave."""

import contextlib
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import hpack
import numpy as np
import pytest

from loadtest.h2 import frames
from loadtest.h2.client import Load, LoadError, run
from tests.loadtest.fake_server import HEADERS, TRAILERS, FakeServer, answer

pytestmark = pytest.mark.integration

_EDGES = (0, 1, 16_379, 16_380, 65_530, 65_531, 200_000)


def bodies(count, sizes):
    """`count` distinct bodies whose sizes go through `sizes`."""
    source = random.Random(5)
    made = [number.to_bytes(4) * (sizes[number % len(sizes)] >= 4) for number in range(count)]
    return [head + source.randbytes(sizes[number % len(sizes)] - len(head)) for number, head in enumerate(made)]


def put(address, some=None, **options):
    """Run a load of distinct bodies, `calls` of them being as many as there are."""
    some = some or bodies(20, (100,))
    options = {"calls": len(some), "path": "/a.B/C", "distinct": 1, "grace": 10.0} | options
    return run(Load(address=address, bodies=some, **options))


@pytest.mark.parametrize(("connections", "streams"), [(1, 1), (1, 16), (3, 4)])
def test_the_echo_gives_back_bodies_of_every_size(echo, connections, streams):
    some = bodies(70, _EDGES)
    result = put(echo.address, some, connections=connections, streams=streams, keep=len(some))
    assert result.all_ok
    assert result.statuses == Counter({0: 70})
    assert [result.kept[number] for number in range(70)] == some
    assert result.latencies_ns.shape == (70,)


@pytest.mark.parametrize("window", [1000, 65_535, 100_000])
def test_answers_larger_than_the_receive_window_arrive(echo, window):
    some = bodies(20, (200_000,))
    result = put(echo.address, some, window=window, keep=20)
    assert result.all_ok
    assert [result.kept[number] for number in range(20)] == some
    assert result.window_updates > 20 * 200_000 / (2 * 100_000)


def test_grpc_honours_the_header_table_size(echo):
    assert put(echo.address).stateless


def test_a_thousand_distinct_bodies_go_round_until_time_is_up(echo):
    some = bodies(1000, (300,))
    began = time.monotonic()
    result = run(Load(address=echo.address, path="/a.B/C", bodies=some, seconds=0.5, keep=3000))
    assert time.monotonic() - began < 10
    assert result.all_ok
    assert 0.4 < result.seconds < 5
    assert result.rate == pytest.approx(result.statuses[0] / result.seconds)
    assert all(body == some[number % 1000] for number, body in result.kept.items())


def test_at_a_fixed_rate_calls_begin_when_they_are_due(echo):
    result = put(echo.address, calls=10_000, seconds=1.0, rate=150.0)
    assert result.all_ok
    assert 145 <= result.statuses[0] <= 150


@contextlib.contextmanager
def grpc_server(handle):
    """A grpcio server whose one unary handler is `handle(body, context)`; its address."""
    server = grpc.server(ThreadPoolExecutor(4))

    class Handler(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(handle)

    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_calls_that_the_server_aborts_are_counted_under_their_status():
    def handle(body, context):
        if body.startswith(b"bad"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no good: {body[3:].decode()}")
        if body.startswith(b"busy"):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
        return body

    some = [kind + str(number).encode() for number in range(20) for kind in (b"good", b"bad", b"busy")]
    with grpc_server(handle) as address:
        result = put(address, some, keep=60)
    assert result.statuses == Counter({0: 20, 3: 20, 8: 20})
    assert not result.errors
    assert not result.all_ok
    assert set(result.kept.values()) == {body for body in some if body.startswith(b"good")}
    assert result.rate < 60 / result.seconds


def test_a_queue_that_grows_shows_in_the_latency_at_a_fixed_rate():
    def handle(body, _):
        time.sleep(0.02)
        return body

    with grpc_server(handle) as address:
        result = put(address, calls=40, streams=1, rate=200.0)  # each takes 20 ms and is due after 5
    assert result.all_ok
    assert result.latencies_ns[-1] > 5 * result.latencies_ns[0]
    assert result.latencies_ns[-1] > 0.4e9


def test_a_call_without_an_answer_is_an_error_and_the_run_ends_all_the_same():
    def respond(stream):
        return answer(stream, first=HEADERS) if stream != 5 else b""

    began = time.monotonic()
    with FakeServer(respond) as server:
        result = put(server.address, grace=3.0, seconds=0.5)
    assert time.monotonic() - began < 20
    assert result.statuses == Counter({0: 19})
    assert result.errors == Counter({"unanswered": 1})
    assert not result.all_ok


def test_a_lost_connection_is_an_error_for_each_open_call():
    with FakeServer(lambda stream: answer(stream) if stream < 9 else None) as server:
        result = put(server.address, streams=4)
    assert result.statuses == Counter({0: 4})
    assert sum(result.errors.values()) >= 1
    assert not result.all_ok
    assert all("closed" in reason or "reset" in reason.lower() for reason in result.errors)


def test_a_server_that_says_goaway_between_calls_does_not_pass_for_a_success():
    goaway = frames.frame(frames.GOAWAY, 0, 0, (9).to_bytes(4) + (0).to_bytes(4))
    with FakeServer(lambda stream: answer(stream) + goaway * (stream == 9)) as server:
        result = put(server.address, streams=1)
    assert result.statuses == Counter({0: 5})
    assert result.errors == Counter({"GOAWAY 0": 1})
    assert not result.all_ok


def test_resets_and_http_errors_are_no_answers():
    def respond(stream):
        return {1: frames.reset(1, 11), 3: answer(3, first=b"\x20\x8e")}.get(stream, answer(stream))

    with FakeServer(respond) as server:
        result = put(server.address, streams=1)
    assert result.statuses == Counter({0: 18})
    assert result.errors == Counter({"RST_STREAM 11": 1, "HTTP 500": 1})


def test_a_server_that_ignores_the_header_table_size_is_still_understood():
    encoder = hpack.Encoder()

    def respond(stream):
        first = encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
        return answer(stream, first=first, last=encoder.encode([("grpc-status", "3" if stream % 4 == 1 else "0")]))

    with FakeServer(respond) as server:
        result = put(server.address)
    assert result.statuses == Counter({0: 10, 3: 10})
    assert not result.errors
    assert not result.stateless


def test_no_more_calls_are_open_than_the_server_allows():
    waiting = []

    def respond(stream):
        waiting.append(stream)
        if len(waiting) < 3:
            return b""
        ready, waiting[:] = list(waiting), []
        return b"".join(answer(number, first=HEADERS, last=TRAILERS) for number in ready)

    with FakeServer(respond, {frames.MAX_CONCURRENT_STREAMS: 3}) as server:
        result = put(server.address, bodies(30, (10,)), streams=8)
    assert result.statuses == Counter({0: 30})


def test_what_the_socket_does_not_take_at_once_is_sent_later():
    some = bodies(3, (8_000_000,))
    room = 1 << 30
    with FakeServer(lambda stream: answer(stream, first=HEADERS), {frames.INITIAL_WINDOW_SIZE: room}, room) as server:
        result = put(server.address, some, grace=20.0)
    assert result.all_ok
    assert result.statuses == Counter({0: 3})


def test_nothing_is_counted_without_an_answer():
    with FakeServer(lambda stream: None) as server:
        result = put(server.address, streams=1, calls=1)
    assert not result.all_ok
    assert result.rate == 0
    assert np.isnan(result.percentile_us(50))


@pytest.mark.parametrize("address", ["192.0.2.1:80", "example.org:80", "0.0.0.0:80", "127.0.0.1"])
def test_load_goes_to_this_machine_only(address):
    with pytest.raises(LoadError):
        put(address)


def test_nobody_listening_is_said():
    with pytest.raises(LoadError, match="Connection refused"):
        put("127.0.0.1:1")


def test_too_few_distinct_bodies_are_refused():
    with pytest.raises(LoadError, match="2 distinct"):
        run(Load(address="127.0.0.1:1", path="/a.B/C", bodies=[b"a", b"b"] * 1000))
