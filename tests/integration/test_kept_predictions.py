"""Predictions that gateways keep: shared through Redis, known again by features, gone when somebody is erased."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import features_pb2_grpc, prediction_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.integration.commands import epm
from tests.integration.publishing import answer, publish
from tests.support import histories, models
from tests.support.gateways import Running, gateway
from tests.support.metrics import sample, until
from tests.support.redis import RedisServer

pytestmark = pytest.mark.integration

TOKEN = "a-token-for-tests-only"  # noqa: S105
PEOPLE = [f"canary-{number}" for number in range(6)]
KEPT = b"epm:p:*"


@dataclass
class Place:
    """Two gateways that share a Redis for facts and one for predictions."""

    facts: RedisServer
    kept: RedisServer
    one: Running
    two: Running
    token: Path

    def names(self) -> set[bytes]:
        """Names of the kept predictions in Redis."""
        with self.kept.client() as client:
            return set(client.scan_iter(match=KEPT, count=1000))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("kept")
    models.write_version(root / "models", "small", 1)
    histories.write_version(root / "models", "leaves")
    (root / "key").write_text("00112233445566778899aabbccddeeff\n")
    (root / "token").write_text(f"{TOKEN}\n")
    with RedisServer() as facts, RedisServer() as kept:
        options = {
            "repository": root / "models",
            "redis_url": facts.url,
            "cache_redis_url": kept.url,
            "cache": "redis",
            "cache_timeout_seconds": 1.0,
            "hash_key_file": root / "key",
            "facts_token_file": root / "token",
        }
        with gateway(**options) as one, gateway(**options) as two:
            yield Place(facts, kept, one, two, root / "token")


@pytest.fixture(autouse=True)
def written(place: Place) -> None:
    """Everybody's facts are there, and nothing is kept."""
    events = []
    for number, entity in enumerate(PEOPLE):
        event = f1.FactsEvent(entity_type="employee", entity_id=entity, source="test")
        event.as_of.CopyFrom(Timestamp(seconds=1_793_404_800))
        for name, value in (("hours", 30.0 + number), ("overtime", 2.0 * number), ("quality", 0.5 * number)):
            event.facts.add(name=name, number=value)
        event.facts.add(name="department", text="sales")
        event.monthly_facts.add(name="sick_days", first_month=202501, values=[float(number)] * 12)
        events.append(event)
    with grpc.insecure_channel(place.one.grpc) as channel:
        stub = features_pb2_grpc.FeatureServiceStub(channel)
        metadata = [("authorization", f"Bearer {TOKEN}")]
        stub.PutFacts(f1.PutFactsRequest(events=events), metadata=metadata, timeout=30)
        stub.DeleteEntity(
            f1.DeleteEntityRequest(entity_type="employee", entity_id="nobody", flush_cache=True),
            metadata=metadata,
            timeout=30,
        )
    assert place.names() == set()
    assert until(lambda: all(entries(at) == 0 for at in (place.one, place.two)))


def entries(at: Running) -> float:
    return sample(at, "epm_cache_entries")


def ask(at: Running, model: str = "small") -> np.ndarray:
    """What a model says of everybody, by id."""
    request = v1.PredictRequest(model=v1.ModelRef(name=model))
    request.entities.entity_type = "employee"
    request.entities.ids.extend(PEOPLE)
    with grpc.insecure_channel(at.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    output = response.outputs[0]
    return np.array(output.classes.probabilities if model == "small" else output.probability.values, np.float32)


def erase(place: Place, entity: str, *options: str) -> None:
    done = epm(
        "facts", "delete", "--id", entity, *options, "--address", place.one.grpc, EPM_TOKEN_FILE=str(place.token)
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{entity}: erased\n"), done


def test_what_one_gateway_computed_the_other_one_knows(place: Place) -> None:
    computed = sample(place.two, "epm_backend_rows_total")
    first = ask(place.one)
    assert until(lambda: len(place.names()) == len(PEOPLE))
    assert np.array_equal(ask(place.two), first)
    assert sample(place.two, "epm_backend_rows_total") == computed
    found = sample(place.two, "epm_cache_rows_total", model="small", **{"from": "redis"})
    assert found >= len(PEOPLE)
    again = sample(place.two, "epm_cache_rows_total", **{"from": "table"})
    assert np.array_equal(ask(place.two), first)
    assert sample(place.two, "epm_cache_rows_total", **{"from": "table"}) == again + len(PEOPLE)


def test_keys_and_values_in_redis_tell_nobody_anything(place: Place) -> None:
    ask(place.one)
    assert until(lambda: len(place.names()) == len(PEOPLE))
    with place.kept.client() as client:
        for key in place.names():
            assert len(key) == len(KEPT) - 1 + 32
            assert b"canary" not in client.get(key)
            assert 0 < client.pttl(key) <= 3_600_000


def test_erasing_an_entity_drops_what_is_kept_of_it_everywhere_and_nothing_else(place: Place) -> None:
    for at in (place.one, place.two):
        ask(at)
        ask(at, "leaves")
    assert until(lambda: len(place.names()) == 2 * len(PEOPLE))
    assert [entries(at) for at in (place.one, place.two)] == [2 * len(PEOPLE)] * 2
    erase(place, PEOPLE[0])
    left = 2 * (len(PEOPLE) - 1)
    assert len(place.names()) == left
    assert until(lambda: [entries(at) for at in (place.one, place.two)] == [left] * 2)


def test_flushing_drops_what_is_kept_of_former_facts_and_of_columns_too(place: Place) -> None:
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    request.columns.add(name="hours").doubles.values.append(44.5)
    for at in (place.one, place.two):
        ask(at)
        with grpc.insecure_channel(at.grpc) as channel:
            prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert until(lambda: len(place.names()) == len(PEOPLE) + 1)
    erase(place, PEOPLE[1], "--flush-cache")
    assert place.names() == set()
    assert until(lambda: [entries(at) for at in (place.one, place.two)] == [0, 0])


def test_a_row_is_known_again_whoever_sends_it_and_however(place: Place) -> None:
    """Row 2 by id, then the same facts as columns."""
    by_id = ask(place.one).reshape(-1, 3)[2]
    request = v1.PredictRequest(model=v1.ModelRef(name="small"))
    for name, value in (("hours", 32.0), ("overtime", 4.0), ("quality", 1.0)):
        request.columns.add(name=name).doubles.values.append(value)
    request.columns.add(name="department").strings.values.append("sales")
    known = sample(place.one, "epm_cache_rows_total", model="small", **{"from": "table"})
    with grpc.insecure_channel(place.one.grpc) as channel:
        response = prediction_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=30)
    assert np.array_equal(np.array(response.outputs[0].classes.probabilities, np.float32), by_id)
    assert sample(place.one, "epm_cache_rows_total", model="small", **{"from": "table"}) == known + 1
    assert list(response.coverage) == [1.0]


@pytest.mark.parametrize("policy", ["local", "redis"])
def test_a_model_exported_again_under_its_number_never_gets_an_old_answer(tmp_path: Path, policy: str) -> None:
    """The same row is asked again and again while the version is replaced: once the new one answers, only that one."""
    (tmp_path / "key").write_text("00112233445566778899aabbccddeeff\n")
    publish(tmp_path / "models", "small", 1, seed=0)
    with RedisServer() as kept:
        options = {"cache": policy, "cache_redis_url": kept.url, "hash_key_file": tmp_path / "key"}
        with gateway(tmp_path / "models", repository_poll_seconds=0.1, **options) as at:
            former = answer(at, "small")
            assert answer(at, "small") == former
            known = sample(at, "epm_cache_rows_total", **{"from": "table"})
            assert known >= 1
            publish(tmp_path / "models", "small", 1, seed=9)
            assert until(lambda: answer(at, "small") != former)
            renewed = answer(at, "small")
            assert renewed[0] == 1
            assert all(answer(at, "small") == renewed for _ in range(20))
        with gateway(tmp_path / "models", cache="off") as plain:
            assert answer(plain, "small") == renewed
