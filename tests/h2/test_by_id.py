"""Predictions by id in compiled code: the same bytes as by Python, and Python as soon as something is not common."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest

from serving.listeners.h2 import table_kernels as held
from serving.listeners.h2.featured import RUNNING
from serving.repository.repository import ModelState
from serving.repository.versions import load_version
from serving.store import replica_kernels
from serving.store.facts import FactsEvent, Months, Stamp
from serving.stubs.epm.v1 import prediction_pb2 as v1
from serving.stubs.foreign import kserve_v2_pb2 as v2
from serving.stubs.foreign import tensorflow_serving_pb2 as tfs
from tests.h2 import kinds
from tests.h2.asks import PATHS, STREAM, Question, body, by_python, sent
from tests.h2.inside import Inside, answered_by
from tests.h2.waiting import made_to_wait, serve
from tests.support import histories
from tests.support.metrics import total, until
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

FORMS = (*PATHS, "tf_by_id")
PEOPLE = 300
DAY = 86_400_000
MODELS = {"everything": "compiled", "aging": "compiled", "leaves": "featured"}
COLUMNS = histories.columns(PEOPLE, 3)
COLUMNS["hours"] = np.where(np.isnan(COLUMNS["hours"]), 40.0, COLUMNS["hours"])


@dataclass
class Place:
    """A gateway and its Redis."""

    at: Inside
    redis: RedisServer
    root: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("by_id")
    (root / "key").write_text("00112233445566778899aabbccddeeff\n")
    (root / "token").write_text("a-token-for-tests-only\n")
    everything = kinds.of_everything()
    ages = {"hours": {"max_age_days": 10.0, "stale": "error"}, "role": {"max_age_days": 5.0}}
    inputs = tuple(msgspec.structs.replace(raw, **ages.get(raw.name, {})) for raw in everything.inputs)
    aging = msgspec.structs.replace(everything, model="aging", inputs=inputs)
    for made in (everything, aging):
        kinds.write_forest(root / "models", made, kinds.by_days)
    histories.write_version(root / "models", "leaves")
    secrets = {"hash_key_file": str(root / "key"), "facts_token_file": str(root / "token")}
    with RedisServer() as redis, Inside(root / "models", redis_url=redis.url, loop_threads=2, **secrets) as at:
        put(at, range(PEOPLE))
        yield Place(at, redis, root / "models")


@pytest.fixture
def channel(place: Place) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(place.at.grpc) as made:
        yield made


def facts(row: int, sequence: int, age_days: float = 1.0, **changes: Any) -> FactsEvent:
    """What is said of person `row` of COLUMNS; of others as of the first one."""
    source = row % PEOPLE
    said = {name: COLUMNS[name][source] for name in ("hours", "department", "role", "hired")} | changes
    months = {name: Months(669, COLUMNS[name][source]) for name in histories.NAMES}
    stamp = Stamp(int(time.time() * 1000 - age_days * DAY), sequence, "test")
    return FactsEvent("employee", f"canary-{row}", stamp, {k: v for k, v in said.items() if v != ""}, months)


def put(at: Inside, rows: Any, sequence: int = 1, **changes: Any) -> None:
    at.run(at.gateway.store.put([facts(row, sequence, **changes) for row in rows], None))


def ids(rows: Any) -> list[str]:
    return [f"canary-{row}" for row in rows]


def request(form: str, model: str, asked: list[str], kind: str = "employee") -> bytes:
    """A question by id."""
    if form == "epm":
        entities = v1.Entities(entity_type=kind, ids=asked)
        return v1.PredictRequest(request_id="r", model=v1.ModelRef(name=model), entities=entities).SerializeToString()
    if form != "tf_by_id":
        return body(form, Question(model, {"entity_id": asked}, id="r"))
    made = tfs.PredictRequest.FromString(body("tf_serving", Question(model, {"entity_id": asked})))
    made.model_spec.signature_name = "by_id"
    return made.SerializeToString()


def path_of(form: str) -> str:
    return "tf_serving" if form == "tf_by_id" else form


def check(place: Place, channel: grpc.Channel, form: str, asked: bytes, by: str) -> tuple[str, Any]:
    """Ask both ways. by: who is to answer. Returns the answer."""
    with answered_by(place.at, **{by: 1}):
        answer = sent(channel, path_of(form), asked)
    assert answer == place.at.run(by_python(place.at.gateway.pipeline, path_of(form), asked))
    return answer


def known(place: Place, rows: Any) -> None:
    """Have the replica know these."""
    place.at.run(place.at.gateway.store.fetch("employee", ids(rows), None))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", MODELS)
def test_rows_by_id(place: Place, channel: grpc.Channel, model: str, form: str) -> None:
    known(place, range(PEOPLE))
    for rows in ([0], [5, 6], [7, 7, 8, 7], range(64), range(20, 276)):
        assert check(place, channel, form, request(form, model, ids(rows)), MODELS[model])[0] == "OK"
    assert check(place, channel, form, request(form, model, ids(range(257))), "python")[0] == "OK"


@pytest.mark.parametrize("form", FORMS)
def test_what_the_replica_does_not_have_is_asked_of_redis_once(place: Place, channel: grpc.Channel, form: str) -> None:
    known(place, [1, 2])
    place.at.gateway.store.replica.clear()
    asked = request(form, "everything", ids([1, 2]))
    with answered_by(place.at, python=1):
        first = sent(channel, path_of(form), asked)
    assert check(place, channel, form, asked, "compiled") == first


def test_messages_of_a_stream(place: Place, channel: grpc.Channel) -> None:
    known(place, range(20))
    requests = [request("epm", "everything", ids(range(number, 10 + number))) for number in range(5)]
    with answered_by(place.at, compiled=5):
        answers = list(channel.stream_stream(STREAM)(iter(requests), timeout=60))
    pipeline = place.at.gateway.pipeline
    assert [("OK", answer) for answer in answers] == [
        place.at.run(by_python(pipeline, "epm", asked)) for asked in requests
    ]


LONGEST = held.MOST_TEXT // 2
ODD = {
    "nobody": (["canary-1", "nobody"], "python"),
    "empty": (["canary-1", ""], "python"),
    "longest": (["canary-1", "c" * LONGEST], "compiled"),
    "too long": (["canary-1", "c" * (LONGEST + 1)], "python"),
    "wide": (["研发-工程师", "canary-1"], "compiled"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("odd", ODD)
def test_odd_ids(place: Place, channel: grpc.Channel, odd: str, form: str) -> None:
    asked, by = ODD[odd]
    store, of_one = place.at.gateway.store, facts(1, 1)
    events = [replace(of_one, entity=entity) for entity in asked if entity not in ("", "nobody")]
    place.at.run(store.put(events, None))
    place.at.run(store.fetch("employee", asked, None))
    check(place, channel, form, request(form, "everything", asked), by)


@pytest.mark.parametrize("form", ["kserve", "kserve_raw", "tf_serving"])
def test_ids_in_one_column_of_a_matrix(place: Place, channel: grpc.Channel, form: str) -> None:
    known(place, [1, 2])
    asked = request(form, "everything", ids([1, 2]))
    if form == "tf_serving":
        tensors = tfs.PredictRequest.FromString(asked)
        tensors.inputs["entity_id"].tensor_shape.dim.add().size = 1
    else:
        tensors = v2.ModelInferRequest.FromString(asked)
        tensors.inputs[0].shape.append(1)
    assert check(place, channel, form, asked, "compiled") == check(
        place, channel, form, tensors.SerializeToString(), "compiled"
    )


def test_a_column_of_epm_with_that_name_is_no_ids(place: Place, channel: grpc.Channel) -> None:
    known(place, [1])
    for valid in (b"", b"\1"):
        asked = v1.PredictRequest(model=v1.ModelRef(name="everything"))
        asked.columns.add(name="entity_id", strings=v1.Strings(values=ids([1])), validity=valid)
        assert check(place, channel, "epm", asked.SerializeToString(), "python")[0] == "INVALID_ARGUMENT"


def test_ids_that_are_not_utf8_are_refused(place: Place, channel: grpc.Channel) -> None:
    for form in ("kserve", "kserve_raw", "tf_serving"):
        asked = request(form, "everything", ["canary-Z"]).replace(b"canary-Z", b"canary-\xff")
        assert check(place, channel, form, asked, "python")[0] == "INVALID_ARGUMENT"


def test_more_than_ids_is_pythons(place: Place, channel: grpc.Channel) -> None:
    known(place, [1, 2])
    asked = v1.PredictRequest.FromString(request("epm", "everything", ids([1, 2])))
    months, other_kind, columns = v1.PredictRequest(), v1.PredictRequest(), v1.PredictRequest()
    for made in (months, other_kind, columns):
        made.CopyFrom(asked)
    months.entities.present_month = 202509
    other_kind.entities.entity_type = "team"
    columns.columns.add(name="hours", doubles=v1.Doubles(values=[1.0, 2.0]))
    for made in (months, other_kind, columns):
        check(place, channel, "epm", made.SerializeToString(), "python")
    entities, column = v1.PredictRequest(entities=asked.entities), v1.PredictRequest(columns=columns.columns)
    both = column.SerializeToString() + entities.SerializeToString()
    named = v1.PredictRequest(model=asked.model).SerializeToString()
    check(place, channel, "epm", named + both, "python")
    check(place, channel, "epm", named + entities.SerializeToString() * 2, "python")
    for form in ("kserve", "kserve_raw", "tf_serving", "tf_by_id"):
        inputs = {"entity_id": ids([1, 2]), "hours": np.array([1.0, 2.0])}
        for question in (inputs, dict(reversed(inputs.items())), {"entity_id": np.array([1.0])}):
            made = body(path_of(form), Question("everything", question))
            check(place, channel, form, made, "python")
    nothing = tfs.PredictRequest.FromString(request("tf_by_id", "everything", ids([1])))
    nothing.inputs.clear()
    nothing.inputs["hours"].CopyFrom(
        tfs.PredictRequest.FromString(body("tf_serving", Question("everything", {"hours": np.array([1.0])}))).inputs[
            "hours"
        ]
    )
    assert check(place, channel, "tf_serving", nothing.SerializeToString(), "python")[0] == "INVALID_ARGUMENT"


def test_what_was_written_is_answered_by_the_next_call(place: Place, channel: grpc.Channel) -> None:
    asked = request("epm", "everything", ids([30]))
    for sequence, hours in enumerate((10.0, 60.0, 25.0, 70.0), 2):
        put(place.at, [30], sequence, age_days=0.5, hours=hours)
        check(place, channel, "epm", asked, "python")
        check(place, channel, "epm", asked, "compiled")


def test_who_was_erased_is_answered_no_more(place: Place, channel: grpc.Channel) -> None:
    put(place.at, [1000])
    asked = request("kserve", "everything", ids([1000, 1000]))
    known(place, [1000])
    assert check(place, channel, "kserve", asked, "compiled")[0] == "OK"
    place.at.run(place.at.gateway.store.delete("employee", "canary-1000", None))
    assert check(place, channel, "kserve", asked, "python")[0] == "NOT_FOUND"


def test_old_facts_are_marked_and_too_old_ones_refused(place: Place, channel: grpc.Channel) -> None:
    put(place.at, [1001], age_days=7)
    put(place.at, [1002], age_days=12)
    known(place, [1001, 1002])
    outcome, answer = check(place, channel, "epm", request("epm", "aging", ids([1001])), "compiled")
    warnings = v1.PredictResponse.FromString(answer).warnings
    assert [(one.code, one.column) for one in warnings if one.code == v1.Warning.STALE] == [(v1.Warning.STALE, "role")]
    assert outcome == "OK"
    _, answer = check(place, channel, "epm", request("epm", "aging", ids([1001, 1002])), "python")
    assert len(v1.PredictResponse.FromString(answer).row_errors) == 1


def test_facts_that_an_input_cannot_take_are_pythons(place: Place, channel: grpc.Channel) -> None:
    put(place.at, [1003], hours="many")
    put(place.at, [1004], hours=500.0)
    known(place, [1003, 1004])
    for row in (1003, 1004):
        check(place, channel, "epm", request("epm", "everything", ids([1, row])), "python")


def test_without_redis_python_answers_and_says_what_is_stale(place: Place, channel: grpc.Channel) -> None:
    asked = request("epm", "everything", ids([3, 4]))
    known(place, [3, 4])
    check(place, channel, "epm", asked, "compiled")
    place.redis.kill()
    try:
        link = place.at.gateway.store.link
        assert until(lambda: not link.up)
        _, answer = check(place, channel, "epm", asked, "python")
        assert any(one.code == v1.Warning.STALE for one in v1.PredictResponse.FromString(answer).warnings)
    finally:
        place.redis.start()
    assert until(lambda: link.up)
    put(place.at, range(PEOPLE))
    known(place, [3, 4])
    check(place, channel, "epm", asked, "compiled")


@pytest.mark.parametrize("changed", [False, True])
def test_facts_that_change_while_the_model_is_asked(place: Place, channel: grpc.Channel, changed: bool) -> None:
    """The warnings are of the rows that the model has seen, or all is done again."""
    known(place, [9])
    served, backend = made_to_wait(load_version(place.root / "leaves" / "1"))
    states = [place.at.gateway.repository.models[name] for name in ("everything", "aging")]
    serve(place.at, *states, ModelState("leaves", {1: served}))
    asked = request("epm", "leaves", ids([9]))
    with answered_by(place.at, **{"python" if changed else "featured": 1}):
        call = channel.unary_unary(PATHS["epm"]).future(asked, timeout=60)
        place.at.run(backend.asked(1))
        if changed:
            put(place.at, [9], 20, hours=11.0, age_days=0.25)
            known(place, [9])
        place.at.run(backend.open())
        answer = call.result()
    assert ("OK", answer) == place.at.run(by_python(place.at.gateway.pipeline, "epm", asked))


def test_nothing_is_kept_of_who_was_erased_while_the_model_was_asked(place: Place) -> None:
    """Neither of rows that waited for their batch, nor of those that a handler had read."""
    secrets = {name: getattr(place.at.settings, name) for name in ("redis_url", "hash_key_file", "facts_token_file")}
    with Inside(place.root, cache="local", **secrets) as at, grpc.insecure_channel(at.grpc) as channel:
        served, backend = made_to_wait(load_version(place.root / "leaves" / "1"))
        serve(at, ModelState("leaves", {1: served}))
        store, inference = at.gateway.store, at.gateway.pipeline.inferences.of(served)
        put(at, [2000, 2001, 2002, 2003])
        fetched = at.run(store.fetch("employee", ids([2000, 2001, 2002, 2003]), None))
        keys = inference.row_keys(at.gateway.pipeline._prepare_stored(served, {}, None, fetched, None).tensors)
        ask, calls = channel.unary_unary(PATHS["epm"]), []
        for number in range(4):
            calls.append(ask.future(request("epm", "leaves", ids([2000 + number]))))
            if number < RUNNING:
                at.run(backend.asked(number + 1))
        assert until(lambda: at.gateway.pipeline.rows_in_flight == 4)
        forget = at.run(at.gateway.pipeline.forget("employee", "canary-2003", False, None))
        at.run(store.delete("employee", "canary-2003", None))
        at.run(forget())
        at.run(backend.open())
        answers = [v1.PredictResponse.FromString(call.result(timeout=60)) for call in calls]
        assert [len(answer.row_errors) for answer in answers] == [0, 0, 0, 1]
        assert not inference.cache.table.find(keys, time.monotonic()).hits.any()
        again = v1.PredictResponse.FromString(channel.unary_unary(PATHS["epm"])(request("epm", "leaves", ids([2000]))))
        assert again.outputs[0] == answers[0].outputs[0]
        assert inference.cache.table.find(keys, time.monotonic()).hits.tolist() == [True, False, False, False]


def test_when_the_event_loop_stands_still_the_replica_is_closed_after_a_while(
    place: Place, channel: grpc.Channel
) -> None:
    """Nobody would hear of what others change."""
    known(place, [1])
    asked = request("epm", "everything", ids([1]))
    check(place, channel, "epm", asked, "compiled")
    place.at.gateway.store.replica.open_in(place.at.gateway.store.link.epoch, -1.0)
    with answered_by(place.at, python=1):
        assert sent(channel, "epm", asked)[0] == "OK"
    _, _, clock = place.at.gateway.store.replica.arrays
    assert until(lambda: clock[replica_kernels.UNTIL] > time.monotonic_ns())
    check(place, channel, "epm", asked, "compiled")


def test_rows_and_the_time_they_take_are_counted(place: Place, channel: grpc.Channel) -> None:
    known(place, range(10))

    def seen() -> tuple[float, float]:
        samples = place.at.samples()
        rows = total(samples, "epm_store_rows_total", outcome="replica")
        return rows, total(samples, "epm_stage_duration_seconds_count", stage="store", model="everything")

    before = seen()
    for number in range(10):
        asked = request("kserve", "everything", ids(range(number + 1)))
        with answered_by(place.at, compiled=1):
            assert sent(channel, "kserve", asked)[0] == "OK"
    after = seen()
    assert after[0] - before[0] == 55
    assert after[1] - before[1] == 10


def test_facts_change_all_the_time_under_calls_by_id(place: Place) -> None:
    """Every answer is one of those that were right at some moment of the call."""
    at, hours = place.at, (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
    expected = []
    for sequence, value in enumerate(hours, 100):
        put(at, [50], sequence, hours=value, age_days=0.1)
        answer = at.run(by_python(at.gateway.pipeline, "epm", request("epm", "everything", ids([50]))))
        expected.append(answer[1])
    asked = request("epm", "everything", ids([50]))

    async def write() -> int:
        async with asyncio.timeout(100):
            for number in range(300):
                row = number % len(hours)
                changed = facts(50, 1000 + number, age_days=0.05, hours=hours[row])
                await at.gateway.store.put([changed], None)
                await at.gateway.store.fetch("employee", ids([50]), None)
        return 1

    before = at.messages()
    with grpc.insecure_channel(at.grpc) as channel:
        ask = channel.unary_unary(PATHS["epm"])
        writing = asyncio.run_coroutine_threadsafe(write(), at._loop)
        answers = []
        while not writing.done():
            answers += [call.result() for call in [ask.future(asked, timeout=60) for _ in range(8)]]
        writing.result()
    after = at.messages()
    assert set(answers) <= set(expected)
    assert len(answers) == sum(after[by] - before[by] for by in ("compiled", "python"))
    assert after["compiled"] > before["compiled"]


def test_room_for_ids_is_only_there_where_a_store_is(place: Place, small_repository: Path) -> None:
    flat = place.at.listener._models.flats()[0]
    assert flat.sizes[held.RECORDS] == 8 * held.RECORD_WORDS
    with Inside(small_repository) as other:
        assert all(held.RECORDS not in one.sizes for one in other.listener._models.flats())
        with grpc.insecure_channel(other.grpc) as channel:
            asked = request("epm", "small", ids([1]))
            with answered_by(other, python=1):
                assert sent(channel, "epm", asked)[0] == "FAILED_PRECONDITION"
