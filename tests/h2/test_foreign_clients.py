"""Clients that others wrote, against the compiled listener: what they get is what the portable listener answers."""

import asyncio
import queue
import subprocess
import threading

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from loadtest.h2 import frames
from serving.stubs.epm.v1 import features_pb2 as facts
from serving.stubs.epm.v1 import features_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.conformance import clients, rows
from tests.faults.protocols import Epm, ask
from tests.h2 import raw
from tests.h2.in_process import inside
from tests.h2.raw import IS_LIVE, LIVE, STREAM
from tests.support.gateways import gateway
from tests.support.metrics import until
from tests.support.ports import free_ports
from tests.support.redis import RedisServer

pytestmark = pytest.mark.conformance

MIB = 1 << 20
PREDICT = "/epm.v1.PredictionService/Predict"
READY = grpc.ChannelConnectivity.READY
GOOD = Epm.encode(None, ask(hours=[40.5]))
NOBODY = Epm.encode(None, ask("没有这个模型", hours=[40.5]))


@pytest.fixture(scope="module")
def compiled(small_repository):
    """A gateway with the compiled listener in a process of its own, with default settings; its log has no defects."""
    with gateway(small_repository, listener="h2") as running:
        yield running
        log = "".join(running.log)
    assert not any(word in log for word in ("defect", "Traceback", "Exception", "never retrieved")), log[-3000:]


@pytest.fixture
def channel(compiled):
    with grpc.insecure_channel(compiled.grpc, options=[("grpc.max_receive_message_length", -1)]) as opened:
        yield opened


@pytest.mark.parametrize(
    "client",
    [
        clients.tensorflow_serving,
        clients.triton_sync,
        clients.triton_async,
        clients.triton_stream,
        clients.epm_stream,
    ],
    ids=lambda client: client.__name__,
)
def test_every_client_gets_the_answers_of_the_portable_listener(client, compiled, small, small_repository):
    batches = rows.split(rows.draw(small_repository / "small" / "1", 60), 12)
    answers, expected = client(compiled, "small", batches), client(small, "small", batches)
    assert [answer.bits() for answer in answers] == [answer.bits() for answer in expected]
    assert len(answers) == 5


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate, grpc.Compression.NoCompression])
def test_requests_may_be_compressed(how, compiled, channel):
    many = Epm.encode(None, ask(hours=[40.5] * 500))
    right = channel.unary_unary(PREDICT)(many, timeout=30)
    assert channel.unary_unary(PREDICT)(many, timeout=30, compression=how) == right
    answers = channel.stream_stream(STREAM)(iter([many] * 3), timeout=30, compression=how)
    assert list(answers) == [right] * 3


def test_metadata_of_any_kind_are_taken(channel):
    metadata = [(f"x-{number}", "y" * 50) for number in range(50)]
    metadata += [("x-bin", bytes(range(256))), ("epm-priority", "low")]
    ask_ = channel.unary_unary(PREDICT)
    assert v1.PredictResponse.FromString(ask_(GOOD, timeout=30, metadata=metadata)).outputs
    with pytest.raises(grpc.RpcError) as raised:
        ask_(GOOD, timeout=30, metadata=[("epm-priority", "highest")])
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_error_comes_with_its_details_and_in_any_language(channel):
    ask_ = channel.unary_unary(PREDICT)
    with pytest.raises(grpc.RpcError) as raised:
        ask_(Epm.encode(None, ask(hours=[-1])), timeout=30)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    (details,) = [value for key, value in raised.value.trailing_metadata() if key == "grpc-status-details-bin"]
    told, violations = status_pb2.Status.FromString(details), error_details_pb2.BadRequest()
    assert told.details[0].Unpack(violations)
    assert [one.field for one in violations.field_violations] == ["hours"]
    assert (told.code, told.message) == (3, raised.value.details())
    with pytest.raises(grpc.RpcError) as raised:
        ask_(NOBODY, timeout=30)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert "没有这个模型" in raised.value.details()


def test_a_deadline_that_is_over_is_the_callers_and_nothing_else_is_late(channel):
    ask_ = channel.unary_unary(PREDICT)
    outcomes = []
    for seconds in (0.0, 0.0001, 0.0005, 0.001, 0.01, 0.1, 60):
        call = ask_.future(GOOD, timeout=seconds)
        outcomes.append(call.code())
    assert set(outcomes) <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.OK}  # whoever is quicker
    assert outcomes[-1] == grpc.StatusCode.OK


def test_a_stream_ends_at_its_deadline(channel):
    waiting = queue.Queue()
    call = channel.stream_stream(STREAM)(iter(waiting.get, None), timeout=1)
    waiting.put(GOOD)
    assert v1.PredictResponse.FromString(next(call)).outputs
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    waiting.put(None)


def test_messages_near_the_limit_pass_and_larger_ones_do_not(channel):
    limit, live = 4 * MIB, channel.unary_unary(LIVE)
    body = raw.filler(limit - 6)
    assert len(body) == limit
    assert live(body, timeout=60) == IS_LIVE
    with pytest.raises(grpc.RpcError) as raised:
        live(body + b"\xf8\x7f\x00", timeout=60)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"({limit + 3} vs. {limit})" in raised.value.details()
    call = channel.stream_stream(STREAM)(iter([GOOD, body + b"\xf8\x7f\x00"]), timeout=60)
    assert v1.PredictResponse.FromString(next(call)).outputs
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_many_calls_at_a_time_by_an_asynchronous_client(compiled):
    async def ask_many() -> list[bytes]:
        async with grpc.aio.insecure_channel(compiled.grpc) as channel:
            ask_ = channel.unary_unary(PREDICT)
            return await asyncio.gather(*(ask_(GOOD, timeout=60) for _ in range(1500)))

    answers = asyncio.run(ask_many())
    assert len(answers) == 1500
    assert len(set(answers)) == 1


def test_an_asynchronous_stream_goes_both_ways(compiled):
    async def talk() -> list[int]:
        told = []
        async with grpc.aio.insecure_channel(compiled.grpc) as channel:
            call = channel.stream_stream(STREAM)(timeout=60)
            for number in range(50):
                await call.write(v1.PredictRequest(request_id=str(number)).SerializeToString() + GOOD[3:])
                told.append(v1.PredictResponse.FromString(await call.read()).request_id)
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() == grpc.StatusCode.OK
        return told

    assert asyncio.run(talk()) == [str(number) for number in range(50)]


def test_health_is_told_and_watched(compiled, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="epm.v1.PredictionService")
    serving = health_pb2.HealthCheckResponse.SERVING
    assert stub.Check(request, timeout=30).status == serving
    watch = stub.Watch(request, timeout=60)
    assert next(watch).status == serving
    watch.cancel()


def test_services_and_messages_are_described(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert "epm.v1.PredictionService" in database.get_services()
    assert database.FindFileContainingSymbol("inference.ModelInferRequest").package == "inference"


def test_a_stream_of_facts_is_taken(small_repository, tmp_path):
    (tmp_path / "token").write_text("nobody-guesses-it\n")
    (tmp_path / "key").write_text("00112233445566778899aabbccddeeff\n")
    files = {"facts_token_file": str(tmp_path / "token"), "hash_key_file": str(tmp_path / "key")}
    how = {"metadata": [("authorization", "Bearer nobody-guesses-it")], "timeout": 60}

    def events():
        for number in range(300):
            event = facts.FactsEvent(entity_type="employee", entity_id=str(number), source="hr")
            event.as_of.seconds = 1_774_000_000
            event.facts.add(name="hours", number=number)
            yield facts.PutFactsRequest(events=[event])

    with (
        RedisServer() as redis,
        gateway(small_repository, listener="h2", redis_url=redis.url, **files) as running,
        grpc.insecure_channel(running.grpc) as channel,
    ):
        stub = features_pb2_grpc.FeatureServiceStub(channel)
        assert stub.StreamFacts(events(), **how).applied == 300
        stored = stub.GetFacts(facts.GetFactsRequest(entity_type="employee", entity_id="77"), **how)
        assert [one.fact.number for one in stored.facts] == [77]
        with pytest.raises(grpc.RpcError) as raised:
            stub.StreamFacts(events(), timeout=60)
        assert raised.value.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def test_calls_that_are_cancelled_leave_nothing(served):
    with grpc.insecure_channel(served.grpc) as channel:
        for _ in range(50):
            call = channel.unary_unary(PREDICT).future(GOOD, timeout=60)
            call.cancel()
        streams = []
        for _ in range(20):
            waiting = queue.Queue()
            call = channel.stream_stream(STREAM)(iter(waiting.get, None), timeout=60)
            waiting.put(GOOD)
            streams.append((call, waiting))
        for call, waiting in streams:
            next(call)
            call.cancel()
            waiting.put(None)
        assert until(lambda: served.calls == served.handed.running == 0, 60), served.state()
        assert channel.unary_unary(LIVE)(b"", timeout=60) == IS_LIVE


def test_calls_that_are_refused_for_want_of_room_are_tried_again(served):
    """By a client that is told to."""
    policy = (
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.2s",'
        ' "maxBackoff": "1s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}'
    )
    with raw.Raw(served.grpc) as one, raw.Raw(served.grpc) as two:
        for asked, count in ((one, 40), (two, 20)):
            asked.send(b"".join(asked.headers(2 * i + 1, asked.fields(STREAM)) for i in range(count)))
            asked.settle()
        with grpc.insecure_channel(served.grpc, options=[("grpc.service_config", policy)]) as channel:
            call = channel.unary_unary(LIVE).future(b"", timeout=60)
            one.settle()
            one.send(b"".join(frames.reset(2 * i + 1, raw.CANCEL) for i in range(40)))
            assert call.result() == IS_LIVE


def test_pings_that_keep_a_connection_are_answered(compiled):
    often = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(compiled.grpc, options=often) as channel:
        states = []
        channel.subscribe(states.append, try_to_connect=True)
        assert channel.unary_unary(LIVE)(b"", timeout=60) == IS_LIVE
        assert not until(lambda: states.count(READY) > 1, 2)
        assert channel.unary_unary(LIVE)(b"", timeout=60) == IS_LIVE
        assert states.count(READY) == 1


def test_a_connection_that_is_old_is_opened_anew_and_no_call_fails(small_repository):
    with (
        inside(small_repository, max_connection_age_seconds=0.3) as served,
        grpc.insecure_channel(served.grpc) as channel,
    ):
        states = []
        channel.subscribe(states.append, try_to_connect=True)
        live = channel.unary_unary(LIVE)

        def opened_anew():
            assert all(call.result() == IS_LIVE for call in [live.future(b"", timeout=60) for _ in range(20)])
            return states.count(READY) >= 4

        assert until(opened_anew, 60), states


def test_who_waits_for_a_gateway_that_is_not_there_yet_is_answered(small_repository):
    (port,) = free_ports(1)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.initial_reconnect_backoff_ms", 100)]) as channel:
        call = channel.unary_unary(LIVE).future(b"", timeout=120, wait_for_ready=True)
        with inside(small_repository, grpc_port=port):
            assert call.result() == IS_LIVE


def test_threads_that_share_a_channel_are_all_answered(channel):
    outcomes = []

    def ask_some() -> None:
        call = channel.unary_unary(PREDICT)
        outcomes.extend(call(GOOD, timeout=60) for _ in range(50))

    threads = [threading.Thread(target=ask_some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 400
    assert len(set(outcomes)) == 1


HEADERS = ("content-type: application/grpc", "te: trailers")


def test_curl_without_an_upgrade(compiled, tmp_path):
    (tmp_path / "body").write_bytes(frames.message(b""))
    command = ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--include", "--max-time", "30"]
    command += [part for header in HEADERS for part in ("--header", header)]
    command += ["--data-binary", f"@{tmp_path / 'body'}", f"http://{compiled.grpc}{LIVE}"]
    told = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    head, _, rest = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200")
    assert rest.startswith(frames.message(IS_LIVE))
    assert b"grpc-status: 0" in rest


def test_nghttp(compiled, tmp_path):
    (tmp_path / "body").write_bytes(frames.message(b""))
    command = ["nghttp", "--verbose", "--timeout=30", f"--data={tmp_path / 'body'}"]
    command += [f"--header={header}" for header in HEADERS]
    command.append(f"http://{compiled.grpc}{LIVE}")
    told = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    assert b":status: 200" in told
    assert b"grpc-status: 0" in told
    assert b"GOAWAY" not in told.split(b"grpc-status: 0")[0]


def test_h2load(compiled, tmp_path):
    (tmp_path / "body").write_bytes(frames.message(b""))
    command = ["h2load", "--requests=5000", "--clients=8", "--max-concurrent-streams=50"]
    command += [f"--data={tmp_path / 'body'}", *(f"--header={header}" for header in HEADERS)]
    command.append(f"http://{compiled.grpc}{LIVE}")
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "5000 succeeded, 0 failed, 0 errored, 0 timeout" in told, told
    assert "5000 2xx" in told
