"""Predictions by id, through two real gateways that share a real Redis.

That an erased record leaves no byte in the replica is shown in test_online_store.py, where it can be looked into.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
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
from tests.support import attrition, histories, models
from tests.support.gateways import Running, gateway
from tests.support.metrics import scrape
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

TOKEN = "a-token-for-tests-only"  # noqa: S105
NOW = int(time.time())
ROWS = 40
SENT = histories.columns(ROWS, 5)
LAST = (date.today().replace(day=1) - timedelta(days=1)).replace(day=1)
MONTH = LAST.year * 100 + LAST.month
"""The newest month that is stored: the one before this one."""
FIRST = MONTH - 99 if LAST.month < 12 else MONTH - 11


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
    ages = {name: {"max_age_days": 45.0 if name in histories.NAMES else 10.0} for name in SENT}
    ages["hours"]["stale"] = "error"
    inputs = tuple(msgspec.structs.replace(raw, **ages[raw.name]) for raw in histories.INPUTS)
    histories.write_version(root / "models", "leaves", inputs=inputs)
    attrition.write_version(root / "models", inputs=inputs)
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
            made.monthly_facts.add(name=name, first_month=changes.get("first_month", FIRST), values=values)
    return made


def load(at: Running, rows: Any, **changes: Any) -> int:
    request = f1.PutFactsRequest(events=[event(row, **changes) for row in rows])
    return stubs(at)[1].PutFacts(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=30).applied


def delete(at: Running, row: int) -> bool:
    request = f1.DeleteEntityRequest(entity_type="employee", entity_id=f"canary-{row}")
    return stubs(at)[1].DeleteEntity(request, metadata=[("authorization", f"Bearer {TOKEN}")], timeout=30).existed


def ask(
    at: Running, rows: Any, model: str = "leaves", present: int = MONTH, **columns: list[Any]
) -> v1.PredictResponse:
    """Predict by the ids of rows, beside columns of numbers or texts."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    request.entities.entity_type = "employee"
    request.entities.ids.extend(f"canary-{row}" for row in rows)
    request.entities.present_month = present
    for name, cells in columns.items():
        if isinstance(cells[0], str):
            request.columns.add(name=name, strings=v1.Strings(values=cells))
        else:
            request.columns.add(name=name, doubles=v1.Doubles(values=cells))
    return stubs(at)[0].Predict(request, timeout=30)


def by_columns(at: Running, rows: list[int], model: str = "leaves") -> v1.PredictResponse:
    """The same rows, sent whole."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    request.columns.add(name="hours", doubles=v1.Doubles(values=SENT["hours"][rows]))
    for name in ("department", "role", "hired"):
        request.columns.add(name=name, strings=v1.Strings(values=[SENT[name][row] for row in rows]))
    for name in histories.NAMES:
        history = v1.History(months=histories.MONTHS, values=SENT[name][rows].reshape(-1))
        request.columns.add(name=name, history=history)
    return stubs(at)[0].Predict(request, timeout=30)


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


def complete() -> int:
    """A row without missing cells, but for single months."""
    return next(
        row
        for row in range(ROWS)
        if not np.isnan(SENT["hours"][row])
        and all(SENT[name][row] for name in ("department", "role", "hired"))
        and not any(np.isnan(SENT[name][row]).all() for name in histories.NAMES)
    )


@pytest.mark.parametrize("model", ["leaves", attrition.MODEL])
def test_by_id_gives_the_same_bits_as_by_columns_on_both_gateways(place: Place, model: str) -> None:
    rows = list(range(ROWS))
    expected = by_columns(place.one, rows, model)
    for at in (place.one, place.two, place.two):  # the second time from the replica
        answer = ask(at, rows, model)
        assert not answer.row_errors
        assert answer.outputs == expected.outputs
        assert answer.coverage == expected.coverage
        stale = v1.Warning.Code.Value("STALE")  # only what is stored can be: some histories have no newest months
        assert [w for w in answer.warnings if w.code != stale] == list(expected.warnings)


def test_what_the_request_says_replaces_what_is_stored(place: Place) -> None:
    rows = [0, 1, 2]
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
    rows = [0, 1]
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
    answer = ask(place.one, ["nobody", 0], "small", hours=[40.0, 40.0])
    classes = answer.outputs[0].classes
    assert np.isnan(classes.probabilities[:3]).all()
    assert np.isfinite(classes.probabilities[3:]).all()
    assert classes.label[0] == -1
    assert np.isnan(classes.margin[0])


def test_a_decision_by_threshold_of_a_row_without_an_answer(place: Place) -> None:
    within_3, within_6 = ask(place.one, ["nobody", 0], attrition.MODEL).outputs
    known = ask(place.one, [0], attrition.MODEL).outputs[1].probability
    for output in (within_3, within_6):
        assert np.isnan(output.probability.values).tolist() == [True, False]
    assert list(within_6.probability.label) == [-1, known.label[0]]
    assert np.isnan(within_6.probability.margin[0])
    assert within_6.probability.margin[1] == known.margin[0]
    assert within_6.probability.threshold == known.threshold == np.float32(attrition.THRESHOLD)


def test_stored_facts_that_cannot_be_are_an_error_of_the_row_and_are_not_shown(place: Place) -> None:
    load(place.one, [900], hours=169.5)
    load(place.one, [901], hours="forty")
    answer = ask(place.one, [900, 901, 0])
    errors = {row: error.status for error in answer.row_errors for row in error.rows}
    assert {row: error.code for row, error in errors.items()} == dict.fromkeys((0, 1), Status.FAILED_PRECONDITION)
    assert all("hours" in error.message and "169" not in error.message for error in errors.values())
    assert errors[1].message == "hours: got a stored text, expected a number"
    assert not ask(place.one, [900, 901], hours=[40.0, 40.0]).row_errors


def test_required_columns_may_come_from_the_store(place: Place) -> None:
    row = next(row for row in range(ROWS) if not np.isnan(SENT["hours"][row]))
    assert not ask(place.one, [row], "small").row_errors
    bare = next(row for row in range(ROWS) if np.isnan(SENT["hours"][row]))
    (error,) = ask(place.one, [bare], "small").row_errors
    assert "required" in error.status.message


def test_facts_older_than_the_contract_allows_are_marked_or_refused(place: Place) -> None:
    old = NOW - 11 * 86400
    load(place.one, [910], as_of=old, hours=float("nan"))
    load(place.one, [911], as_of=old, hours=40.0)
    answer = ask(place.one, [910, 911])
    assert found(answer, "STALE") == {"department": [0], "role": [0], "hired": [0]}
    (error,) = answer.row_errors
    assert list(error.rows) == [1]
    assert "hours: what is stored is older than 10" in error.status.message
    assert not ask(place.one, [911], hours=[40.0]).row_errors


def test_a_history_that_ended_long_ago_is_stale_however_new_its_stamp(place: Place) -> None:
    load(place.one, [920], first_month=201901)
    assert set(found(ask(place.one, [920], present=0), "STALE")) == set(histories.NAMES)
    now = ask(place.one, [920])
    assert set(found(now, "MISSING")) == set(histories.NAMES)
    assert now.coverage[0] == pytest.approx(0.4)


def test_without_a_present_month_the_newest_known_one_is_the_present(place: Place) -> None:
    row = complete()
    values = {name: SENT[name][row].copy() for name in histories.NAMES}
    for name in histories.NAMES:
        SENT[name][row, -3:] = np.nan
        SENT[name][row, -4] = 1.0
    try:
        made = event(row)
        made.entity_id = "canary-930"
        request = f1.PutFactsRequest(events=[made])
        stubs(place.one)[1].PutFacts(request, metadata=[("authorization", f"Bearer {TOKEN}")])
        assert ask(place.one, [930]).outputs == by_columns(place.one, [row]).outputs
        for name in histories.NAMES:
            SENT[name][row] = np.roll(SENT[name][row], 3)
        assert ask(place.one, [930], present=0).outputs == by_columns(place.one, [row]).outputs
    finally:
        for name in histories.NAMES:
            SENT[name][row] = values[name]


def test_a_value_in_the_request_that_cannot_be_is_told_to_who_sent_it(place: Place) -> None:
    rows = [complete(), complete()]
    answer = ask(place.one, rows, hours=[1000.0, 40.0])
    (error,) = answer.row_errors
    assert (error.status.code, list(error.rows)) == (Status.INVALID_ARGUMENT, [0])
    assert error.status.message == "hours: got 1000 in row 0, expected 0 to 168 h/week"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        (lambda r: r.entities.ClearField("entity_type"), "INVALID_ARGUMENT", "entities.entity_type"),
        (lambda r: setattr(r.entities, "entity_type", "team"), "INVALID_ARGUMENT", "entities.entity_type"),
        (lambda r: r.entities.ClearField("ids"), "INVALID_ARGUMENT", "entities.ids"),
        (lambda r: r.entities.ids.extend(["x"] * 4096), "INVALID_ARGUMENT", "entities.ids"),
        (lambda r: setattr(r.entities, "present_month", 202613), "INVALID_ARGUMENT", "entities.present_month"),
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


def test_metrics_tell_what_came_from_where_and_nothing_of_anybody(place: Place) -> None:
    ask(place.one, range(ROWS))
    ask(place.one, ["nobody"])
    seen = seen_at(place.one)
    assert seen["epm_store_up"] == 1
    assert seen["epm_replica_age_seconds"] < 2
    assert seen["epm_replica_entities"] >= ROWS
    assert seen['epm_store_rows_total{outcome="replica"}'] >= ROWS
    assert seen['epm_store_rows_total{outcome="not_found"}'] >= 1
    assert seen['epm_input_cells_total{column="hours",model="leaves",state="missing",version="1"}'] > 0
    assert seen['epm_rows_total{model="leaves",version="1"}'] >= ROWS
    assert not any("canary" in name for name in seen)
    for at in (place.one, place.two):
        assert not any("canary" in line for line in at.log)


def test_without_redis_what_is_known_is_answered_and_marked_and_the_rest_is_unavailable(
    settings: dict[str, Any],
) -> None:
    with RedisServer() as redis, gateway(**settings, redis_url=redis.url) as at:
        load(at, range(ROWS))
        known, rows = [0, 1, 2], list(range(ROWS))
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
