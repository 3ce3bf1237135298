"""epm.v1.FeatureService with a real Redis: what is written is there, also when Redis comes and goes."""

import itertools
import os
import queue
import signal
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest

from serving.stubs.epm.v1 import features_pb2 as v1
from serving.stubs.epm.v1 import features_pb2_grpc
from tests.support.gateways import gateway
from tests.support.metrics import sample, until
from tests.support.redis import RedisServer

pytestmark = pytest.mark.faults

TOKEN = "a token that nobody guesses".replace(" ", "-")
METADATA = [("authorization", f"Bearer {TOKEN}")]
AS_OF = 1_774_000_000
"""2026-03-20."""
CANARIES = ("canary", "7731.25", "Traceback", "defect", "never awaited", "never retrieved")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "key").write_text("00112233445566778899aabbccddeeff\n")
    return {"facts_token_file": folder / "token", "hash_key_file": folder / "key"}


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as running:
        yield running


@pytest.fixture(scope="module")
def running(small_repository, redis, settings):
    with gateway(small_repository, redis_url=redis.url, **settings) as made:
        yield made
        log = "".join(made.log)
    assert [word for word in CANARIES if word in log] == [], log[-3000:]


@pytest.fixture
def stub(running):
    with grpc.insecure_channel(running.grpc) as channel:
        yield Stub(channel)


class Stub:
    """The service, with the token and a deadline."""

    def __init__(self, channel):
        self.stub, self.how = features_pb2_grpc.FeatureServiceStub(channel), {"metadata": METADATA, "timeout": 20}

    def put(self, *events):
        return self.stub.PutFacts(v1.PutFactsRequest(events=events), **self.how).applied

    def stream(self, messages):
        return self.stub.StreamFacts(iter(messages), **self.how)

    def get(self, entity):
        return self.stub.GetFacts(v1.GetFactsRequest(entity_type="employee", entity_id=entity), **self.how)

    def delete(self, entity):
        request = v1.DeleteEntityRequest(entity_type="employee", entity_id=entity)
        return self.stub.DeleteEntity(request, **self.how).existed


def somebody():
    """An id that no test has used."""
    return f"canary-{next(_numbers)}"


def event(entity, as_of=AS_OF, sequence=0, source="hr", facts=(), months=()):
    made = v1.FactsEvent(entity_type="employee", entity_id=entity, source=source, sequence=sequence)
    made.as_of.seconds = as_of
    for name, value in dict(facts).items():
        made.facts.add(name=name, **({"text": value} if isinstance(value, str) else {"number": value}))
    for name, (first, values) in dict(months).items():
        made.monthly_facts.add(name=name, first_month=first, values=values)
    return made


def values(stored):
    return {one.fact.name: getattr(one.fact, one.fact.WhichOneof("value") or "", None) for one in stored.facts}


def status(call):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code().name


def test_what_was_written_is_there_with_who_said_it_and_when(stub):
    entity = somebody()
    months = {"output": (202511, [1.5, float("nan"), 3, 7731.25])}
    assert stub.put(event(entity, facts={"hours": 7731.25, "town": "成都"}, months=months)) == 1
    assert stub.put(event(entity, AS_OF - 60, 9, "payroll", facts={"hours": 1, "wage": 2})) == 1
    stored = stub.get(entity)
    assert values(stored) == {"hours": 7731.25, "town": "成都", "wage": 2}
    assert {one.fact.name: (one.stamp.source, one.stamp.as_of.seconds, one.stamp.sequence) for one in stored.facts} == {
        "hours": ("hr", AS_OF, 0),
        "town": ("hr", AS_OF, 0),
        "wage": ("payroll", AS_OF - 60, 9),
    }
    (monthly,) = stored.monthly_facts
    assert (monthly.fact.name, monthly.fact.first_month) == ("output", 202511)
    np.testing.assert_array_equal(monthly.fact.values, [1.5, np.nan, 3, 7731.25])
    assert [one.source for one in monthly.stamps] == ["hr", "", "hr", "hr"]


def test_the_same_event_again_and_an_older_one_change_nothing(stub):
    entity = somebody()
    first, newer = event(entity, facts={"hours": 1}), event(entity, sequence=1, facts={"hours": 2})
    assert [stub.put(one) for one in (first, first, newer, first, newer)] == [1, 0, 1, 0, 0]
    assert values(stub.get(entity)) == {"hours": 2}
    assert stub.put(event(entity, AS_OF + 1, facts={"hours": float("nan")})) == 1
    assert values(stub.get(entity)) == {"hours": None}


def test_of_an_entity_that_was_erased_nothing_is_left_in_redis(stub, redis):
    entity = somebody()
    stub.put(event(entity, facts={"hours": 1, "town": "canarytown"}))
    with redis.client() as client:
        keys = [key for key in client.scan_iter() if b"canarytown" in (client.get(key) or b"")]
        assert len(keys) == 1
        assert stub.delete(entity)
        everything = [key + (client.get(key) or b"") for key in client.scan_iter()]
        assert not client.exists(keys[0])
    assert not any(b"canarytown" in one or entity.encode() in one for one in everything), "ids are nowhere at all"
    assert status(lambda: stub.get(entity)) == "NOT_FOUND"
    assert not stub.delete(entity)


def test_a_bad_event_keeps_its_whole_message_out_and_no_other(stub):
    people = [somebody() for _ in range(4)]
    good = [event(entity, facts={"hours": 1}) for entity in people]
    bad = event(people[1], facts={"": 1})
    assert status(lambda: stub.put(good[0], bad)) == "INVALID_ARGUMENT"
    messages = [v1.PutFactsRequest(events=events) for events in (good[:1], [good[1], bad], good[2:])]
    response = stub.stream(messages)
    assert (response.received, response.applied, response.rejected) == (3, 3, 1)
    assert [one.message for one in response.rejections] == [1]
    there = [entity for entity in people if entity != people[1]]
    assert all(values(stub.get(entity)) == {"hours": 1} for entity in there)
    assert status(lambda: stub.get(people[1])) == "NOT_FOUND"


def test_an_entity_can_have_256_facts_and_no_more(stub):
    entity = somebody()
    assert stub.put(event(entity, facts={f"f{n}": n for n in range(200)})) == 1
    assert stub.put(event(entity, facts={f"f{n}": n for n in range(150, 256)})) == 1
    with pytest.raises(grpc.RpcError) as raised:
        stub.put(event(entity, facts={"one more": 1}))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "256" in raised.value.details()
    assert "canary" not in raised.value.details()
    assert len(stub.get(entity).facts) == 256


def test_a_long_stream_is_written_whole_and_counted(stub, running):
    people = [somebody() for _ in range(3000)]
    months = {f"m{n}": (202404, np.arange(24) + n / 10) for n in range(6)}
    events = [event(entity, months=months) for entity in people]
    messages = [v1.PutFactsRequest(events=events[at : at + 100]) for at in range(0, 3000, 100)]
    counted = {"protocol": "facts", "method": "StreamFacts", "status": "OK"}
    before = sample(running, "epm_requests_total", **counted)
    response = stub.stream(messages)
    assert (response.received, response.applied, response.rejected) == (30, 3000, 0)
    assert sample(running, "epm_requests_total", **counted) - before == 30
    assert stub.stream(messages).applied == 0
    for entity in (people[0], people[-1]):
        assert [one.fact.values[-1] for one in stub.get(entity).monthly_facts] == [23 + n / 10 for n in range(6)]


def test_without_the_token_nothing_is_answered_and_predictions_need_none(running):
    with grpc.insecure_channel(running.grpc) as channel:
        stub = Stub(channel)
        for metadata in (None, [("authorization", "Bearer of another token")]):
            stub.how = {"metadata": metadata, "timeout": 10}
            calls = (lambda: stub.get("x"), lambda: stub.delete("x"), lambda: stub.put(), lambda: stub.stream([]))
            assert [status(call) for call in calls] == ["UNAUTHENTICATED"] * 4


@pytest.mark.parametrize(("arguments", "given"), [(["--id", b"canary-\x80"], b""), (["--id", "-"], b"canary-\x80\n")])
def test_an_id_that_is_no_utf8_is_refused_in_a_sentence(running, settings, arguments, given):
    command = [sys.executable, "-X", "utf8", "-m", "serving.cli", "facts", "get", *arguments]
    options = ["--address", running.grpc, "--token-file", settings["facts_token_file"]]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([*command, *options], input=given, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"not UTF-8" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert b"canary" not in done.stderr


def test_without_redis_and_without_a_token_file_the_missing_setting_is_named(small_repository, settings):
    for given, code, name in (
        ({"facts_token_file": settings["facts_token_file"]}, "FAILED_PRECONDITION", "EPM_REDIS_URL"),
        ({}, "PERMISSION_DENIED", "EPM_FACTS_TOKEN_FILE"),
    ):
        with gateway(small_repository, **given) as made, grpc.insecure_channel(made.grpc) as channel:
            with pytest.raises(grpc.RpcError, match=name) as raised:
                Stub(channel).get("x")
            assert raised.value.code().name == code


def test_a_gateway_does_not_start_with_a_token_that_is_too_short(small_repository, tmp_path):
    (tmp_path / "token").write_text("canary")
    with (
        pytest.raises(RuntimeError, match=r"EPM_FACTS_TOKEN_FILE.*at least 16") as raised,
        gateway(small_repository, facts_token_file=tmp_path / "token"),
    ):
        pass
    assert "canary" not in str(raised.value)
    assert "Traceback" not in str(raised.value)


def test_while_redis_is_away_writing_is_refused_at_once_and_then_goes_on(small_repository, settings):
    entity, waiting = somebody(), queue.Queue()
    with RedisServer() as redis, gateway(small_repository, redis_url=redis.url, **settings) as made:
        with grpc.insecure_channel(made.grpc) as channel:
            stub = Stub(channel)
            assert stub.put(event(entity, facts={"hours": 1})) == 1
            open_stream = stub.stub.StreamFacts.future(iter(waiting.get, None), **stub.how)
            waiting.put(v1.PutFactsRequest(events=[event(entity, sequence=1, facts={"hours": 2})]))
            assert until(lambda: values(stub.get(entity)) == {"hours": 2})
            redis.kill()
            waiting.put(v1.PutFactsRequest(events=[event(entity, sequence=2, facts={"hours": 3})]))
            began = time.monotonic()
            assert status(open_stream.result) == "UNAVAILABLE"
            assert status(lambda: stub.put(event(entity, facts={"hours": 1}))) == "UNAVAILABLE"
            assert status(lambda: stub.get(entity)) == "UNAVAILABLE"
            assert status(lambda: stub.delete(entity)) == "UNAVAILABLE"
            assert time.monotonic() - began < 3
            redis.start()
            assert until(lambda: _reachable(stub, entity))
            assert stub.put(event(entity, sequence=2, facts={"hours": 3})) == 1
            assert values(stub.get(entity)) == {"hours": 3}
        log = "".join(made.log)
    waiting.put(None)
    assert [word for word in CANARIES if word in log] == [], log[-3000:]


def _reachable(stub, entity):
    return status(lambda: stub.get(entity)) == "NOT_FOUND"


def test_sigterm_in_a_stream_sends_it_elsewhere_and_keeps_what_was_taken(small_repository, redis, settings):
    people, waiting = [somebody() for _ in range(5)], queue.Queue()
    with gateway(small_repository, redis_url=redis.url, **settings) as made:
        with grpc.insecure_channel(made.grpc) as channel:
            stub = Stub(channel)
            call = stub.stub.StreamFacts.future(iter(waiting.get, None), **stub.how)
            for entity in people:
                waiting.put(v1.PutFactsRequest(events=[event(entity, facts={"hours": 1})]))
            assert until(lambda: sample(made, "epm_requests_total", method="StreamFacts", status="OK") == 5)
            made.process.send_signal(signal.SIGTERM)
            assert status(call.result) == "UNAVAILABLE"
            assert "shutting down" in call.details()
            waiting.put(None)
        assert made.process.wait(15) == 0
        assert "Traceback" not in "".join(made.log)
    with (
        gateway(small_repository, redis_url=redis.url, **settings) as made,
        grpc.insecure_channel(made.grpc) as channel,
    ):
        assert all(values(Stub(channel).get(entity)) == {"hours": 1} for entity in people)
