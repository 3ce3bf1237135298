"""Streams: an error is an answer, what cannot be read does not end them, and who does not read holds up only itself."""

import itertools
import queue
import time

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.epm.v1 import prediction_pb2_grpc
from serving.stubs.foreign import kserve_v2_pb2 as v2
from tests.faults.conftest import WINDOW
from tests.faults.protocols import Epm, KServe, ask
from tests.support.metrics import sample, until

pytestmark = pytest.mark.faults

EPM = "/epm.v1.PredictionService/StreamPredict"
KSERVE = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture
def channel(crowded):
    with grpc.insecure_channel(crowded.grpc, options=[("grpc.max_receive_message_length", -1)]) as opened:
        yield opened


def _request(number, **columns):
    request = v1.PredictRequest.FromString(Epm.encode(None, ask(**columns)))
    request.request_id = str(number)
    return request


def test_an_error_is_an_answer_with_its_status_its_field_and_its_id_and_the_stream_goes_on(channel):
    bad = {2: ("nobody", 3), 5: ("hours", 3), 6: ("model.name", 3)}
    requests = [_request(number, hours=[40 + number]) for number in range(9)]
    requests[2] = _request(2, nobody=[1])
    requests[5] = _request(5, hours=[-1])
    requests[6].model.name = ""
    requests[7].model.name = "nobody"
    responses = list(prediction_pb2_grpc.PredictionServiceStub(channel).StreamPredict(iter(requests), timeout=20))
    assert [response.request_id for response in responses] == [str(number) for number in range(9)]
    for number, (field, code) in bad.items():
        assert responses[number].error.code == code
        violations = error_details_pb2.BadRequest()
        assert responses[number].error.details[0].Unpack(violations)
        assert violations.field_violations[0].field == field
    assert responses[7].error.code == grpc.StatusCode.NOT_FOUND.value[0]
    good = [response for number, response in enumerate(responses) if number not in (*bad, 7)]
    assert all(len(response.outputs) == 1 and not response.HasField("error") for response in good)


@pytest.mark.parametrize("method", [EPM, KSERVE])
def test_bytes_that_are_no_message_are_answered_with_an_error_and_the_stream_goes_on(method, channel):
    encode = Epm.encode if method == EPM else KServe.encode
    good = encode(None, ask(hours=[40]))
    bodies = [good, b"\xff" * 50, good[:-3], b"", good]
    raw = list(channel.stream_stream(method)(iter(bodies), timeout=20))
    kind = v1.PredictResponse if method == EPM else v2.ModelStreamInferResponse
    answers = [kind.FromString(body) for body in raw]
    wrong = [bool(one.error.code) if method == EPM else bool(one.error_message) for one in answers]
    assert wrong == [False, True, True, True, False]
    assert raw[0] == raw[-1]


@pytest.mark.parametrize("method", [EPM, KSERVE])
def test_an_empty_stream_ends_well(method, channel):
    assert list(channel.stream_stream(method)(iter(()), timeout=20)) == []


@pytest.mark.parametrize(("method", "family"), [(EPM, "epm"), (KSERVE, "kserve")])
def test_a_client_that_does_not_read_is_not_read_from_and_loses_nothing(method, family, crowded):
    messages, rows = 300, 4000
    encode = Epm.encode if method == EPM else KServe.encode
    bodies = [encode(None, ask(hours=np.full(rows, 10.0 + number / 10))) for number in range(messages)]
    name = method.rpartition("/")[2]

    def answered():
        return sample(crowded, "epm_requests_total", protocol=family, method=name, status="OK")

    before = answered()
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)]  # little room on the client's side
    with grpc.insecure_channel(crowded.grpc, options=options) as channel:
        call = channel.stream_stream(method)(iter(bodies), timeout=120)
        assert until(lambda: answered() > before)
        time.sleep(1)
        held = answered() - before
        assert held <= 2 * WINDOW + 1, "the window and what the transports hold, not all 300"
        received = list(call)
    assert len(received) == messages
    assert answered() - before == messages
    with grpc.insecure_channel(crowded.grpc) as channel:
        alone = list(channel.stream_stream(method)(iter([bodies[0], bodies[-1]]), timeout=20))
    assert [received[0], received[-1]] == alone


def test_a_stream_that_is_cancelled_in_the_middle_leaves_nothing_behind(channel, crowded):
    stub = prediction_pb2_grpc.PredictionServiceStub(channel)
    for _ in range(5):
        call = stub.StreamPredict(_request(n, hours=np.full(2000, 40.0)) for n in itertools.count())
        for _ in range(3):
            next(call)
        call.cancel()
    assert until(lambda: sample(crowded, "epm_rows_in_flight") == 0)
    assert stub.Predict(_request("after", hours=[40]), timeout=10).request_id == "after"


def test_a_stream_past_its_deadline_ends_with_deadline_exceeded(channel):
    waiting = queue.Queue()
    stub = prediction_pb2_grpc.PredictionServiceStub(channel)
    call = stub.StreamPredict(iter(waiting.get, None), timeout=0.5)
    waiting.put(_request(1, hours=[40]))
    assert next(call).request_id == "1"
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    waiting.put(None)


def test_answers_keep_their_order_when_large_and_small_batches_alternate(channel):
    sizes = [1, 5000, 2, 3000, 1, 1, 4000, 64, 65] * 4
    requests = (_request(number, hours=np.full(size, 40.0)) for number, size in enumerate(sizes))
    responses = list(prediction_pb2_grpc.PredictionServiceStub(channel).StreamPredict(requests, timeout=30))
    assert [response.request_id for response in responses] == [str(number) for number in range(len(sizes))]
    assert [len(response.coverage) for response in responses] == sizes
