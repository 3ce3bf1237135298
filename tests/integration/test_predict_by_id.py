"""Predictions by id, through two real gateways that share a real Redis."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serving.errors import Status
from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import features_pb2_grpc, prediction_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.support import histories, models
from tests.support.gateways import Running, gateway
from tests.support.metrics import scrape
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

TOKEN = "a-token-for-tests-only"  # noqa: S105
NOW = int(time.time())
ROWS = 40
SENT = histories.columns(ROWS, 5)
MONTH = 202610


@dataclass
class Place:
    """Two gateways and their Redis."""

    redis: RedisServer
    one: Running
    two: Running


def stubs(at: Running) -> tuple[Any, Any]:
    channel = grpc.insecure_channel(at.grpc)
    return prediction_pb2_grpc.PredictionServiceStub(channel), features_pb2_grpc.FeatureServiceStub(channel)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A repository and the secrets that both gateways share."""
    root = tmp_path_factory.mktemp("by_id")
    models.write_version(root / "models", "small")
    aged = [
        {**{"max_age_days": 10.0}, **({"stale": "error"} if raw.name == "hours" else {})} for raw in histories.INPUTS
    ]
    inputs = tuple(msgspec.structs.replace(raw, **age) for raw, age in zip(histories.INPUTS, aged, strict=True))
    histories.write_version(root / "models", "leaves", inputs=inputs)
    (root / "key").write_text("00112233445566778899aabbccddeeff\n")
    (root / "token").write_text(f"{TOKEN}\n")
    return {"repository": root / "models", "hash_key_file": root / "key", "facts_token_file": root / "token"}


@pytest.fixture(scope="module")
def place(settings: dict[str, Any]) -> Iterator[Place]:
    """Both gateways, with the facts of ROWS employees in the store."""
    with (
        RedisServer() as redis,
        gateway(**settings, redis_url=redis.url) as one,
        gateway(**settings, redis_url=redis.url) as two,
    ):
        load(one, range(ROWS))
        yield Place(redis, one, two)


def event(row: int, as_of: int = NOW - 5 * 86400, sequence: int = 0, **changes: Any) -> f1.FactsEvent:
    """What a feed would say of row `row` of SENT; of employees beyond it as of one whose facts are complete."""
    made = f1.FactsEvent(
        entity_type="employee", entity_id=f"canary-{row}", source="test", as_of=Timestamp(seconds=as_of)
    )
    made.sequence = sequence
    row = row if row < ROWS else complete()
    for name in ("hours", "department", "role", "hired"):
        cell = changes.get(name, SENT[name][row])
        if isinstance(cell, str):
            made.facts.add(name=name, text=cell)
        elif not np.isnan(cell):
            made.facts.add(name=name, number=cell)
    for name in histories.NAMES:
        values = SENT[name][row]
        if not np.isnan(values).all():
            made.monthly_facts.add(name=name, first_month=MONTH - 100 + 1, values=values)
    return made


def load(at: Running, rows: Any, **changes: Any) -> int:
    request = f1.PutFactsRequest(events=[event(row, **changes) for row in rows])
    return stubs(at)[1].PutFacts(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=30).applied


def delete(at: Running, row: int) -> bool:
    request = f1.DeleteEntityRequest(entity_type="employee", entity_id=f"canary-{row}")
    return stubs(at)[1].DeleteEntity(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=30).existed


def ask(at: Running, rows: Any, model: str = "leaves", **columns: list[Any]) -> v1.PredictResponse:
    """Predict by the ids of rows, beside columns of numbers or texts."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    request.entities.entity_type = "employee"
    request.entities.ids.extend(f"canary-{row}" for row in rows)
    for name, cells in columns.items():
        if isinstance(cells[0], str):
            request.columns.add(name=name, strings=v1.Strings(values=cells))
        else:
            request.columns.add(name=name, doubles=v1.Doubles(values=cells))
    return stubs(at)[0].Predict(request, timeout=30)


def by_columns(at: Running, rows: list[int]) -> v1.PredictResponse:
    """The same rows, sent whole."""
    request = v1.PredictRequest(model=v1.ModelRef(name="leaves"))
    request.columns.add(name="hours", doubles=v1.Doubles(values=SENT["hours"][rows]))
    for name in ("department", "role", "hired"):
        request.columns.add(name=name, strings=v1.Strings(values=[SENT[name][row] for row in rows]))
    for name in histories.NAMES:
        history = v1.History(months=histories.MONTHS, values=SENT[name][rows].reshape(-1))
        request.columns.add(name=name, history=history)
    return stubs(at)[0].Predict(request, timeout=30)


def in_memory(at: Running, needle: bytes) -> bool:
    """Whether the bytes stand in the gateway's replica: its one block of memory of that size."""
    large = 1 << 27
    with open(f"/proc/{at.process.pid}/maps") as maps, open(f"/proc/{at.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, mode, _, _, inode, *_ = line.split()
            start, end = (int(number, 16) for number in place.split("-"))
            if mode.startswith("rw") and inode == "0" and end - start >= large:
                memory.seek(start)
                if needle in memory.read(end - start):
                    return True
    return False


def seen_at(at: Running) -> dict[str, float]:
    """All samples, under their names and labels."""
    return {
        one.name
        + ("{" + ",".join(f'{k}="{v}"' for k, v in sorted(one.labels.items())) + "}" if one.labels else ""): one.value
        for one in scrape(at)
    }


def found(response: v1.PredictResponse, code: str) -> dict[str, list[int]]:
    """Rows that bear a warning, by column."""
    return {w.column: list(w.rows) for w in response.warnings if v1.Warning.Code.Name(w.code) == code}


def aligned() -> list[int]:
    """Rows whose newest month is given: by id, the newest known month is the present."""
    return [row for row in range(ROWS) if any(not np.isnan(SENT[name][row][-1]) for name in histories.NAMES)]


def complete() -> int:
    """A row without missing cells, but for single months."""
    return next(
        row
        for row in aligned()
        if not np.isnan(SENT["hours"][row])
        and all(SENT[name][row] for name in ("department", "role", "hired"))
        and not any(np.isnan(SENT[name][row]).all() for name in histories.NAMES)
    )


def test_by_id_gives_the_same_bits_as_by_columns_on_both_gateways(place: Place) -> None:
    rows = aligned()
    assert len(rows) > ROWS // 2
    expected = by_columns(place.one, rows)
    for at in (place.one, place.two, place.two):  # the second time from the replica
        answer = ask(at, rows)
        assert not answer.row_errors
        assert answer.outputs == expected.outputs
        assert answer.coverage == expected.coverage
        assert answer.warnings == expected.warnings


def test_what_the_request_says_replaces_what_is_stored(place: Place) -> None:
    rows = aligned()[:3]
    sent = {name: list(SENT[name]) for name in ("hours", "department")}
    answer = ask(place.one, rows, hours=[50.0, 60.0, np.nan], department=["sales", "", "finance"])
    assert found(answer, "MISSING")["hours"] == [2]
    assert found(answer, "MISSING")["department"] == [1]
    changed = {"hours": [50.0, 60.0, np.nan], "department": ["sales", "", "finance"]}
    for name, cells in changed.items():
        for row, cell in zip(rows, cells, strict=True):
            SENT[name][row] = cell
    try:
        assert answer.outputs == by_columns(place.one, rows).outputs
    finally:
        for name in changed:
            for row in rows:
                SENT[name][row] = sent[name][row]


def test_a_missing_entity_is_that_rows_error(place: Place) -> None:
    rows = aligned()[:2]
    expected = ask(place.one, rows).outputs[0].probability.values
    answer = ask(place.one, [rows[0], "nobody", rows[1], "nobody else"])
    values = answer.outputs[0].probability.values
    assert [values[0], values[2]] == list(expected)
    assert np.isnan([values[1], values[3]]).all()
    assert list(answer.coverage)[1::2] == [0, 0]
    (error,) = answer.row_errors
    assert (error.status.code, list(error.rows)) == (Status.NOT_FOUND, [1, 3])
    assert "canary" not in str(answer)
    assert not any({1, 3} & set(warning.rows) for warning in answer.warnings)


def test_classes_of_a_row_without_an_answer(place: Place) -> None:
    answer = ask(place.one, ["nobody", aligned()[0]], "small", hours=[40.0, 40.0])
    classes = answer.outputs[0].classes
    assert np.isnan(classes.probabilities[:3]).all()
    assert np.isfinite(classes.probabilities[3:]).all()
    assert classes.label[0] == -1
    assert np.isnan(classes.margin[0])


def test_stored_facts_that_cannot_be_are_an_error_of_the_row_and_are_not_shown(place: Place) -> None:
    load(place.one, [900], hours=169.5)
    load(place.one, [901], hours="forty")
    answer = ask(place.one, [900, 901, aligned()[0]])
    errors = {row: error.status for error in answer.row_errors for row in error.rows}
    assert {row: error.code for row, error in errors.items()} == dict.fromkeys((0, 1), Status.FAILED_PRECONDITION)
    assert all("hours" in error.message and "169" not in error.message for error in errors.values())
    assert not ask(place.one, [900, 901], hours=[40.0, 40.0]).row_errors


def test_required_columns_may_come_from_the_store(place: Place) -> None:
    row = next(row for row in aligned() if not np.isnan(SENT["hours"][row]))
    assert not ask(place.one, [row], "small").row_errors
    bare = next(row for row in range(ROWS) if np.isnan(SENT["hours"][row]))
    (error,) = ask(place.one, [bare], "small").row_errors
    assert "required" in error.status.message


def test_facts_older_than_the_contract_allows_are_marked_or_refused(place: Place) -> None:
    old = NOW - 11 * 86400
    load(place.one, [910], as_of=old, hours=float("nan"))
    load(place.one, [911], as_of=old, hours=40.0)
    answer = ask(place.one, [910, 911])
    assert set(found(answer, "STALE")) <= {"department", "role", "hired", *histories.NAMES}
    assert found(answer, "STALE")["overtime"] == [0]
    (error,) = answer.row_errors
    assert list(error.rows) == [1]
    assert "hours: what is stored is older than 10" in error.status.message
    assert not ask(place.one, [911], hours=[40.0]).row_errors


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        (lambda r: r.entities.ClearField("entity_type"), "INVALID_ARGUMENT", "entities.entity_type"),
        (lambda r: setattr(r.entities, "entity_type", "team"), "INVALID_ARGUMENT", "entities.entity_type"),
        (lambda r: r.entities.ClearField("ids"), "INVALID_ARGUMENT", "entities.ids"),
        (lambda r: r.entities.ids.extend(["x"] * 4096), "INVALID_ARGUMENT", "entities.ids"),
        (lambda r: r.columns.add(name="hours", doubles=v1.Doubles(values=[1, 2, 3])), "INVALID_ARGUMENT", "hours"),
        (lambda r: r.tensors.add(name="features", shape=[1, 1], values=[1]), "INVALID_ARGUMENT", "features"),
    ],
)
def test_what_is_wrong_with_a_call_by_id_is_named(place: Place, change: Any, status: str, field: str) -> None:
    request = v1.PredictRequest(model=v1.ModelRef(name="leaves"))
    request.entities.entity_type, request.entities.ids[:] = "employee", ["canary-0"]
    change(request)
    with pytest.raises(grpc.RpcError) as refusal:
        stubs(place.one)[0].Predict(request)
    assert refusal.value.code().name == status
    assert refusal.value.details().startswith(f"{field}: got")
    assert "canary" not in refusal.value.details()


def test_erased_entities_are_not_found_on_both_gateways_and_no_byte_is_left(place: Place) -> None:
    load(place.one, [950], role="the-canary-of-950")
    for at in (place.one, place.two):
        assert not ask(at, [950]).row_errors
    assert in_memory(place.one, b"the-canary-of-950")
    with place.redis.client() as client:
        assert any(b"the-canary-of-950" in client.get(key) for key in client.keys("epm:facts:*"))
        assert delete(place.one, 950)
        began = time.monotonic()
        for at in (place.one, place.two):
            while not ask(at, [950]).row_errors:
                assert time.monotonic() - began < 2, "not heard of the erasure"
            (error,) = ask(at, [950]).row_errors
            assert error.status.code == Status.NOT_FOUND
        for key in client.keys("*"):
            assert b"canary" not in key
            assert b"the-canary-of-950" not in (client.dump(key) or b"")
    assert not delete(place.one, 950)
    for at in (place.one, place.two):
        assert not in_memory(at, b"the-canary-of-950")


def test_metrics_tell_what_came_from_where_and_nothing_of_anybody(place: Place) -> None:
    ask(place.one, aligned())
    ask(place.one, ["nobody"])
    seen = seen_at(place.one)
    assert seen["epm_store_up"] == 1
    assert seen["epm_replica_age_seconds"] < 2
    assert seen["epm_replica_entities"] >= len(aligned())
    assert seen['epm_store_rows_total{outcome="replica"}'] >= len(aligned())
    assert seen['epm_store_rows_total{outcome="not_found"}'] >= 1
    assert seen['epm_input_cells_total{column="hours",model="leaves",state="missing",version="1"}'] > 0
    assert seen['epm_rows_total{model="leaves",version="1"}'] >= len(aligned())
    assert not any("canary" in name for name in seen)
    for at in (place.one, place.two):
        assert not any("canary" in line for line in at.log)


def test_without_redis_what_is_known_is_answered_and_marked_and_the_rest_is_unavailable(
    settings: dict[str, Any],
) -> None:
    with RedisServer() as redis, gateway(**settings, redis_url=redis.url) as at:
        load(at, range(ROWS))
        known, rows = aligned()[:3], aligned()
        fresh = ask(at, known)
        redis.kill()
        answer = ask(at, [*known, rows[10]])
        assert list(answer.outputs[0].probability.values)[:3] == list(fresh.outputs[0].probability.values)
        assert found(answer, "STALE")[""] == [0, 1, 2]
        (error,) = answer.row_errors
        assert (error.status.code, list(error.rows)) == (Status.UNAVAILABLE, [3])
        with pytest.raises(grpc.RpcError) as refusal:
            ask(at, [rows[10]])
        assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
        assert by_columns(at, rows).outputs[0].probability.values
        with pytest.raises(grpc.RpcError) as refusal:
            load(at, [0])
        assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
        assert seen_at(at)["epm_store_up"] == 0
        redis.start()  # empty
        until = time.monotonic() + 10
        while seen_at(at)["epm_store_up"] == 0:
            assert time.monotonic() < until
            time.sleep(0.05)
        answer = ask(at, known)
        assert [(e.status.code, list(e.rows)) for e in answer.row_errors] == [(Status.NOT_FOUND, [0, 1, 2])]
        assert seen_at(at)["epm_store_resets_total"] == 1
        assert load(at, range(ROWS)) == ROWS
        assert ask(at, known).outputs == fresh.outputs
