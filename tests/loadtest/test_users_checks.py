"""What the locust users send, what they take for an answer, and what a failure is called."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from loadtest.users import failures
from loadtest.users.checks import check, check_echo
from loadtest.users.failures import CallFailedError, name_of
from loadtest.users.kinds import KINDS
from loadtest.users.work import calls_of
from serving.stubs.epm.v1 import prediction_pb2 as epm
from serving.stubs.foreign import kserve_v2_pb2 as kserve

pytestmark = pytest.mark.integration

REPO = Path("model_repo")


@pytest.fixture(scope="module")
def channel(performance):
    with grpc.insecure_channel(performance.grpc) as opened:
        yield opened


def ask(channel, kind, sent):
    path = kind.protocol.path
    if kind.messages:
        return list(channel.stream_stream(path)(iter(sent), timeout=60))
    return [channel.unary_unary(path)(sent[0], timeout=60)]


@pytest.mark.parametrize("name", KINDS)
def test_the_gateways_answers_to_every_kind_are_right(channel, name):
    kind = KINDS[name]
    sent = calls_of(kind, REPO)[0]
    answers = ask(channel, kind, sent)
    check(kind, sent, answers, 0)
    with pytest.raises(CallFailedError, match=failures.WRONG_ANSWER):
        check_echo(sent, answers)
    check_echo(sent, sent)


@pytest.mark.parametrize("name", KINDS)
def test_bodies_of_a_kind_are_all_distinct(name):
    kind = KINDS[name]
    messages = [message for call in calls_of(kind, REPO) for message in call]
    assert len(set(messages)) == len(messages) == kind.bodies
    assert kind.rows > 1 or kind.bodies >= 1000


def test_the_night_has_a_hundred_thousand_rows():
    night = KINDS["NightlyStream"]
    assert night.rows * night.messages == 100_000


@pytest.mark.parametrize("name", ["Dashboard", "NightlyStream"])
def test_streams_are_held_to_number_and_order(channel, name):
    kind = KINDS[name]
    sent = calls_of(kind, REPO)[0]
    answers = ask(channel, kind, sent)
    with pytest.raises(CallFailedError, match=failures.ANSWERS_MISSING):
        check(kind, sent, answers[:-1], 0)
    with pytest.raises(CallFailedError, match=failures.WRONG_ORDER):
        check(kind, sent, [answers[1], answers[0], *answers[2:]], 0)
    with pytest.raises(CallFailedError, match=failures.WRONG_ANSWER):
        check(kind, sent, [b"\xff", *answers[1:]], 0)


def test_an_error_in_a_stream_has_its_status_where_the_protocol_tells_it():
    night, dashboard = KINDS["NightlyStream"], KINDS["Dashboard"]
    refused = epm.PredictResponse(request_id="0")
    refused.error.code, refused.error.message = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "words of the server"
    with pytest.raises(CallFailedError) as caught:
        check(night, [b""], [refused.SerializeToString()], 0)
    assert name_of(caught.value) == "RESOURCE_EXHAUSTED"
    refused = kserve.ModelStreamInferResponse(error_message="words of the server")
    with pytest.raises(CallFailedError) as caught:
        check(dashboard, [b""], [refused.SerializeToString()], 0)
    assert name_of(caught.value) == failures.ERROR_IN_STREAM


@pytest.mark.parametrize("name", ["PageOnTfServing", "PageOnKServe", "PageOnEpm", "PageWithHistories"])
def test_an_answer_that_is_no_prediction_is_a_failure(name):
    for wrong in (b"", b"\xff"):
        with pytest.raises(CallFailedError, match=failures.WRONG_ANSWER):
            check(KINDS[name], [b"x"], [wrong], 0)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_a_failed_call_is_called_by_its_status_and_never_by_the_servers_words(code):
    refuse = grpc.unary_unary_rpc_method_handler(lambda _, context: context.abort(code, "employee E0001 is 61"))
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", {"C": refuse}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/a.B/C")(b"", timeout=10)
    server.stop(0).wait()
    assert name_of(caught.value) == code.name
