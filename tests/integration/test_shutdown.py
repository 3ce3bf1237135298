"""SIGTERM drains: not ready first, what runs is finished, then the process leaves with 0, whoever is connected."""

import concurrent.futures
import contextlib
import os
import queue
import signal
import socket
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest

from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.faults.protocols import PROTOCOLS, Ask, Epm, ask
from tests.support.gateways import gateway
from tests.support.metrics import scrape, total, until
from tests.support.models import write_version

pytestmark = pytest.mark.integration

ROWS, BATCHES = 150_000, 4
STREAM = "/epm.v1.PredictionService/StreamPredict"


@pytest.fixture
def roomy(small_repository):
    """A gateway for batches that take a while: large ones, one thread."""
    limits = {"max_rows": ROWS, "max_rows_in_flight": BATCHES * ROWS, "max_message_bytes": 16 << 20}
    with gateway(small_repository, worker_threads=1, **limits) as running:
        yield running
        log = "".join(running.log)
        assert "defect" not in log
        assert "Traceback" not in log


def _batch():
    texts = [("sales", "研发", "", "elsewhere")[row % 4] for row in range(ROWS)]
    return Ask([("hours", np.linspace(0, 168, ROWS)), ("department", texts)])


def _accepted(running):
    """How many batches are being answered or have been, counted at one moment."""
    samples = scrape(running)
    return total(samples, "epm_rows_in_flight") / ROWS + total(samples, "epm_requests_total", status="OK")


def test_accepted_batches_are_answered_and_new_calls_are_sent_elsewhere(roomy):
    protocol = PROTOCOLS["tf_serving"](roomy.grpc, roomy.http)
    small = protocol.ask(ask(hours=[40]))
    body = protocol.encode(_batch())
    method = protocol.channel.unary_unary(protocol.method)
    (right,) = {protocol.decode(method(body, timeout=30))}
    before = _accepted(roomy)
    calls = [method.future(body, timeout=60) for _ in range(BATCHES)]
    assert until(lambda: _accepted(roomy) >= before + BATCHES)
    roomy.process.send_signal(signal.SIGTERM)
    late = protocol.ask(ask(hours=[40]))
    assert late.status == "UNAVAILABLE" or late == small
    with contextlib.suppress(OSError):
        urllib.request.urlopen(f"http://{roomy.http}/readyz", timeout=5)
        raise AssertionError("a draining gateway is not ready")
    assert [call.code().name for call in calls] == ["OK"] * BATCHES
    assert all(protocol.decode(call.result()) == right for call in calls)
    protocol.close()
    assert roomy.process.wait(15) == 0


def test_accepted_rest_calls_are_answered(roomy):
    protocol = PROTOCOLS["rest_tf"](roomy.grpc, roomy.http)
    body, question = protocol.encode(_batch()), Ask([])
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(protocol.send, body, question, 60) for _ in range(2)]
        assert until(lambda: _accepted(roomy) >= 1)
        roomy.process.send_signal(signal.SIGTERM)
        statuses = [call.result().status for call in calls]
    assert statuses.count("OK") >= 1
    assert set(statuses) <= {"OK", "UNAVAILABLE"}
    assert roomy.process.wait(15) == 0


def test_a_stream_whose_client_has_sent_everything_is_answered_whole_and_ends_well(roomy):
    body = Epm.encode(None, _batch())
    with grpc.insecure_channel(roomy.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.stream_stream(STREAM)(iter([body] * BATCHES), timeout=60)
        assert until(lambda: _accepted(roomy) >= BATCHES)
        time.sleep(0.1)  # that there is nothing more to come must have come too
        roomy.process.send_signal(signal.SIGTERM)
        responses = [v1.PredictResponse.FromString(response) for response in call]
        assert call.code() == grpc.StatusCode.OK
    assert [len(response.coverage) for response in responses] == [ROWS] * BATCHES
    assert roomy.process.wait(15) == 0


def test_an_open_stream_gets_the_answers_it_is_owed_then_unavailable(small_repository):
    waiting = queue.Queue()
    with gateway(small_repository) as running, grpc.insecure_channel(running.grpc) as channel:
        call = channel.stream_stream(STREAM)(iter(waiting.get, None), timeout=60)
        for number in range(3):
            waiting.put(Epm.encode(None, ask(hours=[40 + number])))
        assert len([next(call) for _ in range(3)]) == 3
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as raised:
            next(call)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "shutting down" in raised.value.details()
        assert running.process.wait(15) == 0
        assert time.monotonic() - began < 5, "an idle stream does not use up the time for draining"
        waiting.put(None)


def test_callers_that_say_nothing_do_not_hold_up_the_end(small_repository):
    with gateway(small_repository, drain_seconds=1) as running:
        host, port = running.http.split(":")
        with socket.create_connection((host, int(port))) as idle, socket.create_connection((host, int(port))) as half:
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(1000).startswith(b"HTTP/1.1 200")
            half.sendall(b"POST /v1/models/small:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            time.sleep(0.2)
            began = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(15) == 0
            assert time.monotonic() - began < 6
        assert "Traceback" not in "".join(running.log)


def test_a_look_at_the_repository_that_does_not_end_does_not_hold_up_the_end(tmp_path):
    """As on a network's file system that has gone: here the digests of a version come from a pipe that says nothing."""
    write_version(tmp_path, "small", 1)
    with gateway(tmp_path, repository_poll_seconds=0.1) as running:
        (tmp_path / "small" / "2").mkdir()
        digests = tmp_path / "small" / "2" / "SHA256SUMS"
        os.mkfifo(digests)
        writer = []

        def is_read():
            with contextlib.suppress(OSError):  # ENXIO: nobody has it open
                writer.append(os.open(digests, os.O_WRONLY | os.O_NONBLOCK))
            return bool(writer)

        assert until(is_read, 60)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        os.close(writer[0])
        assert "Traceback" not in "".join(running.log)


def test_interrupting_from_the_keyboard_drains_too_and_a_second_signal_changes_nothing(roomy):
    protocol = PROTOCOLS["tf_serving"](roomy.grpc, roomy.http)
    calls = [
        protocol.channel.unary_unary(protocol.method).future(protocol.encode(_batch()), timeout=60)
        for _ in range(BATCHES)
    ]
    assert until(lambda: _accepted(roomy) >= BATCHES)
    roomy.process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    roomy.process.send_signal(signal.SIGTERM)
    assert [call.code().name for call in calls] == ["OK"] * BATCHES
    protocol.close()
    assert roomy.process.wait(15) == 0


def test_an_open_reflection_stream_does_not_use_up_the_time_for_draining(small_repository):
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    waiting = queue.Queue()
    with gateway(small_repository) as running, grpc.insecure_channel(running.grpc) as channel:
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(waiting.get, None))
        waiting.put(reflection_pb2.ServerReflectionRequest(list_services=""))
        assert next(answers).list_services_response.service
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(15) == 0
        assert time.monotonic() - began < 8
        waiting.put(None)


def test_while_calls_are_finished_rest_says_503_and_metrics_are_still_there(roomy):
    body = Epm.encode(None, _batch())
    with grpc.insecure_channel(roomy.grpc, options=[("grpc.max_receive_message_length", -1)]) as channel:
        call = channel.stream_stream(STREAM)(iter([body] * BATCHES), timeout=60)  # megabytes owed to who does not read
        assert until(lambda: _accepted(roomy) >= BATCHES)
        roomy.process.send_signal(signal.SIGTERM)
        assert until(lambda: _status(roomy, "/readyz") == 503)
        assert _status(roomy, "/v1/models/small:predict", b'{"inputs": {"hours": [40]}}') == 503
        assert _status(roomy, "/metrics") == 200
        assert len(list(call)) == BATCHES
    assert roomy.process.wait(15) == 0


def _status(running, path, body=None):
    try:
        with urllib.request.urlopen(f"http://{running.http}{path}", body, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
