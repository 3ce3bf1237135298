"""SIGTERM under load: clients hear where a connection ends, each call before it is answered, nobody holds it up."""

import queue
import signal
import threading
import time
from collections import Counter

import grpc
import pytest

from loadtest.h2 import frames
from serving.listeners.h2.counted import counts_of
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.faults.protocols import Epm, ask
from tests.h2 import raw
from tests.h2.inside import Inside
from tests.h2.raw import IS_LIVE, LIVE, STREAM, Raw
from tests.support.gateways import gateway
from tests.support.metrics import scrape, total, until

pytestmark = pytest.mark.integration

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
PREDICT = "/epm.v1.PredictionService/Predict"
GOOD = Epm.encode(None, ask(hours=[40.5]))
ROWS = 15_000
LARGE = Epm.encode(None, ask(hours=[40.5] * ROWS))
LIMITS = {"max_rows": ROWS, "max_rows_in_flight": 20 * ROWS, "max_message_bytes": 4 << 20, "worker_threads": 1}


@pytest.fixture
def leaving(small_repository):
    """A gateway that a test ends; it leaves in time, with 0 and without a defect."""
    with gateway(small_repository, listener="h2", drain_seconds=60, **LIMITS) as running:
        yield running
        assert running.process.wait(60) == 0
    log = "".join(running.log)
    assert not any(word in log for word in ("defect", "Traceback", "cut off")), log[-3000:]


def _taken(running):
    """How many large messages are being answered or have been, counted at one moment."""
    samples = scrape(running)
    return total(samples, "epm_rows_in_flight") / ROWS + total(samples, "epm_requests_total", status="OK")


def test_what_is_under_way_is_answered_and_open_streams_are_sent_elsewhere(leaving):
    """Unary calls and a stream whose client has sent everything are answered whole."""
    waiting = queue.Queue()
    with grpc.insecure_channel(leaving.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stream = channel.stream_stream(STREAM)
        resting = stream(iter(waiting.get, None), timeout=120)
        for _ in range(3):
            waiting.put(GOOD)
        assert len([next(resting) for _ in range(3)]) == 3
        complete = stream(iter([LARGE] * 4), timeout=120)
        calls = [channel.unary_unary(PREDICT).future(LARGE, timeout=120) for _ in range(4)]
        assert until(lambda: _taken(leaving) >= 8, 60)
        time.sleep(0.1)  # that there is nothing more to come must have come too
        leaving.process.send_signal(signal.SIGTERM)
        assert [(call.code(), call.details()) for call in calls] == [(OK, "")] * 4
        assert len(list(complete)) == 4
        assert complete.code() == OK
        with pytest.raises(grpc.RpcError):
            next(resting)
        assert resting.code() == UNAVAILABLE
        assert "shutting down" in resting.details()
        waiting.put(None)


def test_a_client_is_told_twice_and_what_it_asks_between_is_answered(leaving):
    with Raw(leaving.grpc) as asked:
        assert asked.ask(1).messages == [IS_LIVE]
        leaving.process.send_signal(signal.SIGTERM)
        asked.until(lambda: asked.goaway)
        notice = asked.goaway
        assert (notice.code, frames.word(notice.payload)) == (raw.NO_ERROR, 2**31 - 1)
        time.sleep(0.5)  # as if it were far away: these were sent before it knew
        asked.send(b"".join(asked.call(stream) for stream in (3, 5, 7)))
        assert [asked.outcome(stream).messages for stream in (3, 5, 7)] == [[IS_LIVE]] * 3
        asked.end()
        assert frames.word(asked.goaway.payload) == 7


def test_an_answer_on_its_way_arrives_although_its_client_still_says_something(leaving):
    """A socket that is closed while bytes come in is reset, and what it had to send is thrown away."""
    rows = 4_000
    with Raw(leaving.grpc, settings={frames.INITIAL_WINDOW_SIZE: 1 << 24}, buffer=4096) as asked:
        asked.send(frames.window_update(0, 1 << 24))
        asked.send(asked.call(1, Epm.encode(None, ask(hours=[40.5] * rows)), PREDICT))
        assert until(lambda: total(scrape(leaving), "epm_requests_total", status="OK") == 1, 60)
        leaving.process.send_signal(signal.SIGTERM)
        for _ in range(30):  # it reads nothing meanwhile
            time.sleep(0.1)
            asked.send(frames.frame(frames.PING, 0, 0, bytes(8)))
        (answer,) = asked.outcome(1).messages
        assert len(v1.PredictResponse.FromString(answer).coverage) == rows
        assert asked.end() == raw.NO_ERROR
        assert frames.word(asked.goaway.payload) == 1


def test_idle_and_half_open_connections_do_not_hold_it_up(leaving):
    with (
        Raw(leaving.grpc) as idle,
        Raw(leaving.grpc, greet=False) as silent,
        Raw(leaving.grpc) as resting,
        grpc.insecure_channel(leaving.grpc) as channel,
    ):
        assert idle.ask(1).messages == [IS_LIVE]
        resting.send(resting.headers(1, resting.fields(STREAM)))
        resting.settle()
        assert channel.unary_unary(LIVE)(b"", timeout=60) == IS_LIVE
        leaving.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert resting.outcome(1).status == UNAVAILABLE.value[0]
        assert idle.end() == raw.NO_ERROR
        assert silent.end() in (None, raw.NO_ERROR)
        assert leaving.process.wait(60) == 0
        assert time.monotonic() - began < 50, "not only because its time was over"


def test_no_call_of_a_steady_load_is_lost(small_repository):
    """Clients that do not retry: each call that has reached the gateway is answered.

    Others are told that it is gone, or that it is about to go: by gRPC's client itself, before it has sent anything.
    """
    outcomes, told, done = Counter(), [], threading.Event()

    def load(address: str, number: int) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1), ("x", number)]
        with grpc.insecure_channel(address, options=options) as channel:
            call = channel.unary_unary(PREDICT if number % 2 else LIVE)
            body = GOOD if number % 2 else b""
            while not done.is_set():
                ended = [(one.code(), one.details()) for one in [call.future(body, timeout=60) for _ in range(8)]]
                outcomes.update(code for code, _ in ended)
                told.extend(details for code, details in ended if code != OK)
                if told:
                    return

    with Inside(small_repository, listener="h2", drain_seconds=60.0) as served:
        threads = [threading.Thread(target=load, args=(served.grpc, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        assert until(lambda: outcomes[OK] > 500, 60)
    for thread in threads:
        thread.join(60)
    done.set()
    streams = counts_of(served.listener._loops).streams
    assert set(outcomes) <= {OK, UNAVAILABLE}, (outcomes, told)
    assert streams["opened"] == outcomes[OK], (streams, outcomes, told)
    assert streams["refused"] == 0
