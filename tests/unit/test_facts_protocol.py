"""epm.v1.FeatureService: what is checked, what comes back, and how its client stream lives and ends.

The store is a stand-in in memory; tests/faults/test_feature_service.py asks a gateway with a real Redis.
"""

import asyncio
import contextlib
import itertools
import logging
import queue
import threading
import time

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2

from serving.errors import InvalidInput, NotFound, NotReady, Overloaded
from serving.listeners.grpc_aio import GrpcListener
from serving.protocols.features import REPORTED, WINDOW, FeatureService
from serving.protocols.method import Call
from serving.settings import Settings
from serving.store.facts import Months, Stamp, StoredFacts, StoredSeries
from serving.stubs.epm.v1 import features_pb2 as v1
from serving.stubs.epm.v1 import features_pb2_grpc
from serving.telemetry.metrics import Metrics

pytestmark = pytest.mark.unit

NOW = 1_774_000_000
"""2026-03-20: so that months up to 202603 may be told."""
CANARY = "canary-7731"
TOKEN = "0123456789abcdef"  # noqa: S105
METADATA = [("authorization", f"Bearer {TOKEN}")]


class StandInStore:
    """Keeps events; `hold` makes writing wait, `fail` makes it raise."""

    def __init__(self):
        self.events, self.stored = [], {}
        self.begun = self.running = self.most_running = 0
        self.fail = None
        self.go = threading.Event()
        self.go.set()

    async def put(self, events, deadline):
        self.begun += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            while not self.go.is_set():  # noqa: ASYNC110 (set from another thread)
                await asyncio.sleep(0.005)
            await asyncio.sleep(0)
            if self.fail:
                raise self.fail
            self.events += events
            return len(events)
        finally:
            self.running -= 1

    async def get(self, entity_type, entity, deadline):
        return self.stored.get((entity_type, entity))

    async def delete(self, entity_type, entity, deadline):
        return self.stored.pop((entity_type, entity), None) is not None


def event(**fields):
    made = v1.FactsEvent(entity_type="employee", entity_id=CANARY, source="hr", sequence=7)
    made.as_of.seconds = NOW
    made.as_of.nanos = 250_999_999
    made.facts.add(name="hours", number=40.5)
    made.facts.add(name="grade", text="高")
    made.facts.add(name="left")
    made.monthly_facts.add(name="output", first_month=202512, values=[1, float("nan"), 3, 4])
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def put(*events, most=100, store=None):
    """The events that a store is given."""
    store = store or StandInStore()
    request = v1.PutFactsRequest(events=events)
    answer = asyncio.run(FeatureService(store, most).put(request.SerializeToString(), Call(None)))
    assert v1.PutFactsResponse.FromString(answer).applied == len(events)
    return store.events


def test_an_event_comes_to_the_store_as_it_was_sent():
    (made,) = put(event())
    assert (made.entity_type, made.entity, made.stamp) == ("employee", CANARY, Stamp(NOW * 1000 + 250, 7, "hr"))
    assert made.facts == {"hours": 40.5, "grade": "高", "left": None}
    assert made.series.keys() == {"output"}
    assert made.series["output"].first == 55 * 12 + 11
    np.testing.assert_array_equal(made.series["output"].values, [1, np.nan, 3, 4])
    assert made.series["output"].values.dtype == np.float64
    assert CANARY not in repr(made)


def test_nan_and_an_empty_text_are_facts_known_to_be_missing():
    one = event()
    del one.facts[:]
    one.facts.add(name="a", number=float("nan"))
    one.facts.add(name="b", text="")
    assert put(one)[0].facts == {"a": None, "b": None}


def test_what_is_just_allowed_is_taken():
    one = event(entity_type="a" * 32, entity_id="漢" * 85 + "x", source="s" * 64, sequence=2**64 - 1)
    del one.facts[:], one.monthly_facts[:]
    one.facts.add(name="n" * 64, text="t" * 255)
    for number in range(255):
        one.facts.add(name=str(number), number=-1.7e308)
    for number in range(64):
        one.monthly_facts.add(name=str(number), first_month=202304, values=np.arange(36))
    one.as_of.seconds, one.as_of.nanos = NOW, 999_999_999
    (made,) = put(one)
    assert (len(made.facts), len(made.series)) == (256, 64)
    one.as_of.seconds = int(time.time()) + 86_000
    put(one)
    one.as_of.seconds = 0
    del one.monthly_facts[:]
    assert put(one)[0].stamp.as_of == 999


def test_a_month_may_be_the_month_of_as_of_and_none_after_it():
    one = event()
    one.as_of.seconds, one.as_of.nanos = 1_775_001_600, 0  # 2026-04-01T00:00:00Z
    one.monthly_facts[0].first_month = 202601
    put(one)
    one.as_of.seconds -= 1
    with pytest.raises(InvalidInput, match="202604") as raised:
        put(one)
    assert raised.value.field == "events[0].monthly_facts[0].first_month"
    assert "202603" in raised.value.message


def wrong(change):
    one = event()
    change(one)
    return one


INFINITY = float("inf")
WRONG = {
    "entity_type": [
        lambda e: e.ClearField("entity_type"),
        lambda e: setattr(e, "entity_type", "Employee"),
        lambda e: setattr(e, "entity_type", "a" * 33),
        lambda e: setattr(e, "entity_type", "employee\n"),
        lambda e: setattr(e, "entity_type", "1a"),
    ],
    "entity_id": [lambda e: e.ClearField("entity_id"), lambda e: setattr(e, "entity_id", "漢" * 86)],
    "source": [lambda e: e.ClearField("source"), lambda e: setattr(e, "source", "s" * 65)],
    "as_of": [
        lambda e: e.ClearField("as_of"),
        lambda e: setattr(e.as_of, "seconds", -1),
        lambda e: setattr(e.as_of, "seconds", int(time.time()) + 90_000),
        lambda e: setattr(e.as_of, "seconds", 2**62),
        lambda e: setattr(e.as_of, "nanos", -1),
        lambda e: setattr(e.as_of, "nanos", 10**9),
    ],
    "facts": [
        lambda e: (e.ClearField("facts"), e.ClearField("monthly_facts")),
        lambda e: e.facts.extend(v1.Fact(name=str(n)) for n in range(254)),
    ],
    "monthly_facts": [lambda e: e.monthly_facts.extend([v1.MonthlyFact()] * 64)],
    "facts[1].name": [
        lambda e: e.facts[1].ClearField("name"),
        lambda e: setattr(e.facts[1], "name", "n" * 65),
        lambda e: setattr(e.facts[1], "name", "hours"),
    ],
    "facts[0].number": [
        lambda e: setattr(e.facts[0], "number", INFINITY),
        lambda e: setattr(e.facts[0], "number", -INFINITY),
    ],
    "facts[1].text": [lambda e: setattr(e.facts[1], "text", "漢" * 86)],
    "monthly_facts[0].name": [lambda e: e.monthly_facts[0].ClearField("name")],
    "monthly_facts[1].name": [lambda e: e.monthly_facts.append(e.monthly_facts[0])],
    "monthly_facts[0].first_month": [
        lambda e, month=month: setattr(e.monthly_facts[0], "first_month", month)
        for month in (0, 202600, 202613, 196912, 26, 2**32 - 1, 202604)
    ],
    "monthly_facts[0].values": [
        lambda e: e.monthly_facts[0].ClearField("values"),
        lambda e: e.monthly_facts[0].values.extend([0.0] * 33),
        lambda e: e.monthly_facts[0].values.__setitem__(2, INFINITY),
        lambda e: e.monthly_facts[0].values.__setitem__(2, -INFINITY),
    ],
}


@pytest.mark.parametrize(("field", "change"), [(field, change) for field, all_ in WRONG.items() for change in all_])
def test_what_is_wrong_is_named_and_nothing_is_written(field, change):
    store = StandInStore()
    with pytest.raises(InvalidInput) as raised:
        put(event(entity_id="good"), event(), wrong(change), store=store)
    assert raised.value.field == f"events[2].{field}"
    assert raised.value.message.startswith(f"events[2].{field}: got ")
    assert ", expected " in raised.value.message
    assert CANARY not in raised.value.message
    assert "40.5" not in raised.value.message
    assert store.begun == 0


@pytest.mark.parametrize("count", [0, 101])
def test_a_message_has_1_to_as_many_events_as_a_call_has_rows(count):
    with pytest.raises(InvalidInput, match=f"events: got {count}, expected 1 to 100"):
        put(*[event()] * count)


def test_bytes_that_are_no_message_and_texts_that_are_no_utf8_are_refused():
    service = FeatureService(StandInStore(), 100)
    good = v1.PutFactsRequest(events=[event()]).SerializeToString()
    for body in (b"\xff" * 9, good[:-1], good.replace(b"canary", b"can\xff\xfey")):
        with pytest.raises(InvalidInput, match="PutFactsRequest"):
            asyncio.run(service.put(body, Call(None)))


def test_long_messages_let_other_calls_have_their_turn():
    async def turns(events):
        store, count = StandInStore(), 0
        body = v1.PutFactsRequest(events=events).SerializeToString()
        task = asyncio.ensure_future(FeatureService(store, 1000).put(body, Call(None)))
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(turns([event()] * 1000)) > 15
    full = event()
    for number in range(60):
        full.monthly_facts.add(name=str(number), first_month=202304, values=np.arange(36))
    assert asyncio.run(turns([full] * 20)) > 20


def test_more_bytes_than_there_is_room_for_are_refused_unread_and_a_stream_waits(monkeypatch):
    """Also when callers leave; and a message that is larger than all the room is taken when it is alone."""
    body = v1.PutFactsRequest(events=[event()]).SerializeToString()
    monkeypatch.setattr("serving.protocols.features.MOST_BYTES", 2 * len(body))

    async def run():
        store, call = StandInStore(), Call(None)
        service = FeatureService(store, 100)
        stream = service.stream()
        store.go.clear()
        tasks = [asyncio.create_task(work) for work in (service.put(body, call), stream.take(body, call))]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded, match=f"{2 * len(body)} bytes of facts"):
            await service.put(b"no message at all", call)
        waiting = [asyncio.create_task(stream.take(body, call)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert store.begun == 2
        for task in (tasks[0], waiting[0]):
            task.cancel()
        await asyncio.sleep(0.01)
        assert store.begun == 3
        store.go.set()
        await asyncio.gather(tasks[1], *waiting[1:])
        assert store.begun == 4
        large = v1.PutFactsRequest(events=[event()] * 9).SerializeToString()
        await service.put(large, call)
        await stream.take(large, call)

    asyncio.run(run())


def test_get_gives_back_everything_with_who_said_it_and_when():
    store, stamp = StandInStore(), Stamp(NOW * 1000 + 250, 2**64 - 1, "hr")
    series = StoredSeries(Months(55 * 12 + 11, np.array([1.5, np.nan])), (stamp, None))
    facts = {"a": (1.25, stamp), "b": ("高", stamp), "c": (None, Stamp(0, 0, "x"))}
    store.stored["employee", CANARY] = StoredFacts(facts, {"output": series})
    request = v1.GetFactsRequest(entity_type="employee", entity_id=CANARY).SerializeToString()
    answer = v1.GetFactsResponse.FromString(asyncio.run(FeatureService(store, 100).get(request, Call(None))))
    said = v1.Stamp(source="hr", sequence=2**64 - 1)
    said.as_of.seconds, said.as_of.nanos = NOW, 250_000_000
    assert [one.fact for one in answer.facts] == [
        v1.Fact(name="a", number=1.25),
        v1.Fact(name="b", text="高"),
        v1.Fact(name="c"),
    ]
    assert answer.facts[0].stamp == answer.facts[1].stamp == said
    assert answer.facts[2].stamp.HasField("as_of"), "1970 is a time too"
    (monthly,) = answer.monthly_facts
    assert (monthly.fact.name, monthly.fact.first_month) == ("output", 202512)
    np.testing.assert_array_equal(monthly.fact.values, [1.5, np.nan])
    assert list(monthly.stamps) == [said, v1.Stamp()]


def test_get_of_nobody_is_not_found_and_delete_says_whether_anything_was_there():
    store = StandInStore()
    service = FeatureService(store, 100)
    body = v1.GetFactsRequest(entity_type="employee", entity_id=CANARY).SerializeToString()
    with pytest.raises(NotFound) as raised:
        asyncio.run(service.get(body, Call(None)))
    assert CANARY not in raised.value.message
    store.stored["employee", CANARY] = StoredFacts({}, {})
    existed = [v1.DeleteEntityResponse.FromString(asyncio.run(service.delete(body, Call(None)))) for _ in range(2)]
    assert [one.existed for one in existed] == [True, False]


class Kept:
    """Predictions that are kept, by whom a deletion is asked to forget them; `away` says at which times it fails."""

    def __init__(self, store, *away):
        self._store, self._away, self.told = store, away, []

    async def forget(self, entity_type, entity, everything, deadline):
        async def drop():
            self.told.append("everything" if everything else "rows")
            self.told.append("after" if not self._store.stored else "before")
            if len(self.told) // 2 in self._away:
                raise NotReady("the cache is away")

        return drop


def erase(store, kept, **fields):
    request = v1.DeleteEntityRequest(entity_type="employee", entity_id=CANARY, **fields)
    service = FeatureService(store, 100, kept.forget)
    return v1.DeleteEntityResponse.FromString(asyncio.run(service.delete(request.SerializeToString(), Call(None))))


def test_kept_predictions_are_dropped_before_the_facts_they_are_found_by_and_again_after():
    store = StandInStore()
    store.stored["employee", CANARY] = StoredFacts({}, {})
    kept = Kept(store)
    assert erase(store, kept).existed
    assert kept.told == ["rows", "before", "rows", "after"]


def test_when_kept_predictions_cannot_be_dropped_the_facts_stay_so_that_it_can_be_asked_again():
    store = StandInStore()
    store.stored["employee", CANARY] = StoredFacts({}, {})
    with pytest.raises(NotReady, match="the cache is away"):
        erase(store, Kept(store, 1))
    assert store.stored
    assert erase(store, Kept(store)).existed


def test_when_they_cannot_be_dropped_a_second_time_it_is_told_that_the_facts_are_gone_and_what_helps():
    store = StandInStore()
    store.stored["employee", CANARY] = StoredFacts({}, {})
    with pytest.raises(NotReady, match=r"the facts are erased.*flush_cache"):
        erase(store, Kept(store, 2))
    assert not store.stored
    kept = Kept(store)
    assert not erase(store, kept, flush_cache=True).existed
    assert kept.told == ["everything", "after"]


@pytest.mark.parametrize("method", ["get", "delete"])
@pytest.mark.parametrize(("field", "given"), [("entity_type", "entity_id"), ("entity_id", "entity_type")])
def test_get_and_delete_need_type_and_id(method, field, given):
    service = FeatureService(StandInStore(), 100)
    with pytest.raises(InvalidInput) as raised:
        asyncio.run(getattr(service, method)(v1.GetFactsRequest(**{given: "x"}).SerializeToString(), Call(None)))
    assert raised.value.field == field


@contextlib.contextmanager
def listening(store, token=True, tmp_path=None, **settings):
    """A listener on an event loop in a thread of its own: a stub for its service, the loop, and the listener."""
    if token:
        (tmp_path / "token").write_text(TOKEN)
        settings["facts_token_file"] = str(tmp_path / "token")
    loop, metrics = asyncio.new_event_loop(), Metrics()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def started():
        listener = GrpcListener(FeatureService(store, 100).services(), Settings(**settings), metrics)
        return listener, await listener.start("127.0.0.1", 0)

    listener, port = asyncio.run_coroutine_threadsafe(started(), loop).result(10)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Listening(features_pb2_grpc.FeatureServiceStub(channel), channel, listener, loop, metrics)
    finally:
        asyncio.run_coroutine_threadsafe(listener.drain(1), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Listening:
    def __init__(self, stub, channel, listener, loop, metrics):
        self.stub, self.channel, self.listener, self.loop, self.metrics = stub, channel, listener, loop, metrics

    def drain(self, seconds):
        return asyncio.run_coroutine_threadsafe(self.listener.drain(seconds), self.loop)

    def counted(self, method):
        lines = asyncio.run(self.metrics.text()).decode().splitlines()
        mine = (line for line in lines if line.startswith("epm_requests_total") and f'method="{method}"' in line)
        counts = {line.partition('status="')[2].partition('"')[0]: float(line.split()[-1]) for line in mine}
        return {status: count for status, count in counts.items() if count}


@pytest.fixture
def store():
    made = StandInStore()
    yield made
    made.go.set()
    assert made.running == 0, "nothing is left behind"


@pytest.fixture
def at(store, tmp_path):
    with listening(store, tmp_path=tmp_path) as made:
        yield made


def message(*ids):
    return v1.PutFactsRequest(events=[event(entity_id=id_) for id_ in ids or (CANARY,)])


BAD = v1.PutFactsRequest(events=[event(entity_type="")])


def until(holds):
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def refused(call):
    """Status and text of a call that fails."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code().name, raised.value.details(), raised.value


def test_a_stream_is_written_in_order_and_says_what_became_of_it(at, store):
    messages = [message("a", "b"), message("c"), BAD, message("d")]
    response = at.stub.StreamFacts(iter(messages), metadata=METADATA, timeout=10)
    assert (response.received, response.applied, response.rejected) == (4, 4, 1)
    assert [made.entity for made in store.events] == ["a", "b", "c", "d"]
    (rejection,) = response.rejections
    assert (rejection.message, rejection.status.code) == (2, grpc.StatusCode.INVALID_ARGUMENT.value[0])
    bad = error_details_pb2.BadRequest()
    assert rejection.status.details[0].Unpack(bad)
    assert bad.field_violations[0].field == "events[0].entity_type"
    assert at.counted("StreamFacts") == {"OK": 3, "INVALID_ARGUMENT": 1}


def test_an_empty_stream_ends_well(at):
    assert at.stub.StreamFacts(iter([]), metadata=METADATA, timeout=10) == v1.StreamFactsResponse()


def test_bytes_that_are_no_message_are_rejected_and_the_stream_goes_on(at):
    raw = at.channel.stream_unary("/epm.v1.FeatureService/StreamFacts")
    bodies = [b"\xff" * 20, message().SerializeToString(), b""]
    response = v1.StreamFactsResponse.FromString(raw(iter(bodies), metadata=METADATA, timeout=10))
    assert (response.received, response.applied, response.rejected) == (3, 1, 2)


def test_all_rejected_messages_are_counted_and_the_first_hundred_reported(at):
    response = at.stub.StreamFacts(itertools.repeat(BAD, REPORTED + 50), metadata=METADATA, timeout=10)
    assert (response.received, response.rejected) == (REPORTED + 50, REPORTED + 50)
    assert [one.message for one in response.rejections] == list(range(REPORTED))


def test_a_defect_is_a_rejected_message_and_logged_without_what_was_sent(at, store, caplog):
    store.fail = RuntimeError(CANARY)
    with caplog.at_level(logging.ERROR):
        response = at.stub.StreamFacts(iter([message()]), metadata=METADATA, timeout=10)
    assert (response.rejected, response.rejections[0].status.code) == (1, grpc.StatusCode.INTERNAL.value[0])
    assert "RuntimeError" in caplog.text
    assert CANARY not in caplog.text


def test_a_store_that_is_away_ends_the_stream(at, store):
    store.fail = NotReady("Redis is away")
    waiting = queue.Queue()
    for _ in range(3):
        waiting.put(message())
    status, text, _ = refused(lambda: at.stub.StreamFacts(iter(waiting.get, None), metadata=METADATA, timeout=10))
    assert (status, text) == ("UNAVAILABLE", "Redis is away")
    waiting.put(None)
    store.fail = None
    assert at.stub.PutFacts(message(), metadata=METADATA, timeout=10).applied == 1


def test_a_few_messages_are_written_at_a_time_and_then_reading_stops(at, store):
    store.go.clear()
    one, read, count = message(*["x" * 250] * 100), [], 400

    def messages():
        for number in range(count):
            read.append(number)
            yield one

    call = at.stub.StreamFacts.future(messages(), metadata=METADATA, timeout=60)
    until(lambda: store.running == WINDOW)
    time.sleep(0.3)
    assert (store.begun, store.most_running) == (WINDOW, WINDOW)
    assert len(read) < count, "the client is held up by flow control"
    store.go.set()
    response = call.result()
    assert (response.received, response.applied) == (count, count * 100)
    assert store.most_running == WINDOW


def test_a_caller_that_leaves_leaves_nothing_running(at, store):
    store.go.clear()
    call = at.stub.StreamFacts.future(itertools.repeat(message()), metadata=METADATA, timeout=60)
    until(lambda: store.running == WINDOW)
    call.cancel()
    until(lambda: store.running == 0)
    store.go.set()
    assert at.stub.PutFacts(message(), metadata=METADATA, timeout=10).applied == 1


def test_a_stream_past_its_deadline_ends(at, store):
    store.go.clear()
    status, _, _ = refused(lambda: at.stub.StreamFacts(itertools.repeat(message()), metadata=METADATA, timeout=0.3))
    assert status == "DEADLINE_EXCEEDED"
    until(lambda: store.running == 0)


def test_a_message_that_is_too_large_ends_the_stream_with_an_error(store, tmp_path):
    with listening(store, tmp_path=tmp_path, max_message_bytes=2048) as at:
        large = message("x" * 250, *["y" * 250] * 20)
        status, _, _ = refused(
            lambda: at.stub.StreamFacts(iter([message(), large, message()]), metadata=METADATA, timeout=10)
        )
        assert status == "RESOURCE_EXHAUSTED"
        assert at.stub.PutFacts(message(), metadata=METADATA, timeout=10).applied == 1


def test_draining_finishes_what_was_taken_and_sends_open_streams_elsewhere(at, store):
    store.go.clear()
    waiting = queue.Queue()
    whole = at.stub.StreamFacts.future(iter([message("a"), message("b")]), metadata=METADATA, timeout=20)
    until(lambda: store.running == 2)
    time.sleep(0.2)  # that there is nothing more to come must have come too
    unfinished = at.stub.StreamFacts.future(iter(waiting.get, None), metadata=METADATA, timeout=20)
    waiting.put(message("c"))
    until(lambda: store.running == 3)
    drained = at.drain(10)
    time.sleep(0.1)
    status, text, _ = refused(lambda: at.stub.StreamFacts(iter([message()]), metadata=METADATA, timeout=5))
    assert (status, "shutting down" in text) == ("UNAVAILABLE", True)
    store.go.set()
    assert whole.result().applied == 2
    status, text, _ = refused(unfinished.result)
    assert (status, "shutting down" in text) == ("UNAVAILABLE", True)
    assert sorted(made.entity for made in store.events) == ["a", "b", "c"]
    drained.result(10)
    waiting.put(None)


METHODS = {
    "PutFacts": lambda at, **how: at.channel.unary_unary("/epm.v1.FeatureService/PutFacts")(b"\xff", **how),
    "GetFacts": lambda at, **how: at.channel.unary_unary("/epm.v1.FeatureService/GetFacts")(b"\xff", **how),
    "DeleteEntity": lambda at, **how: at.channel.unary_unary("/epm.v1.FeatureService/DeleteEntity")(b"\xff", **how),
    "StreamFacts": lambda at, **how: at.channel.stream_unary("/epm.v1.FeatureService/StreamFacts")(iter([]), **how),
}
"""Calls with bytes that are no message: who may not call learns nothing of them."""


@pytest.mark.parametrize("method", METHODS)
def test_without_the_token_no_method_answers(at, method):
    for metadata in (None, [("authorization", "Bearer another one of 16")]):
        status, text, _ = refused(lambda given=metadata: METHODS[method](at, metadata=given, timeout=10))
        assert (status, "Bearer" in text) == ("UNAUTHENTICATED", True)
    until(lambda: at.counted(method) == {"UNAUTHENTICATED": 2})


@pytest.mark.parametrize("method", METHODS)
def test_where_no_token_is_set_up_nobody_may_call(store, method):
    with listening(store, token=False) as at:
        status, text, _ = refused(lambda: METHODS[method](at, metadata=METADATA, timeout=10))
    assert (status, "EPM_FACTS_TOKEN_FILE" in text) == ("PERMISSION_DENIED", True)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_store_the_setting_is_named(tmp_path, method):
    with listening(None, tmp_path=tmp_path) as at:
        status, text, _ = refused(lambda: METHODS[method](at, metadata=METADATA, timeout=10))
    assert (status, "EPM_REDIS_URL" in text) == ("FAILED_PRECONDITION", True)


def test_a_field_that_is_wrong_is_named_in_the_details_of_the_status(at):
    status, text, error = refused(lambda: at.stub.PutFacts(BAD, metadata=METADATA, timeout=10))
    assert (status, text.startswith("events[0].entity_type: ")) == ("INVALID_ARGUMENT", True)
    assert "grpc-status-details-bin" in dict(error.trailing_metadata())
