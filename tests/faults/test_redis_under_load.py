"""Redis dies, comes back empty or with its data, or stands still, while a gateway is asked and told things."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from serving.errors import Status
from serving.stubs.epm.v1 import features_pb2 as f1
from serving.stubs.epm.v1 import features_pb2_grpc, prediction_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1
from tests.support import histories
from tests.support.gateways import Running, gateway
from tests.support.metrics import sample, until
from tests.support.redis import RedisServer

pytestmark = [pytest.mark.faults, pytest.mark.alone]

TOKEN = "a-token-for-tests-only"  # noqa: S105
TIMEOUT = 0.25
SLACK = 2.0
"""Seconds that a call may take beyond the timeout: two processors are shared with all other tests."""
ENTITIES, VERSIONS = 16, 256
TOLD = 12
"""Entities of which there are newer and newer versions; of the others there is one only, written once."""
ASKED, WRITTEN = 8, 4
AS_OF = 1_793_404_800
MONTH = 202610


@dataclass
class Place:
    """A gateway, its Redis, and what it answers to every version of everybody, float32[ENTITIES, VERSIONS]."""

    redis: RedisServer
    folder: Path
    at: Running
    answers: np.ndarray


@dataclass
class Seen:
    """What a load saw. whose: in all ids. tried, written: the newest version of each entity that was sent, and that was
    confirmed."""

    whose: str
    tried: list[int] = field(default_factory=lambda: [-1] * ENTITIES)
    written: list[int] = field(default_factory=lambda: [-1] * ENTITIES)
    losses: int = 0
    """How often Redis may have lost everything."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def lose(self) -> None:
        with self.lock:
            self.losses += 1
            self.written = [-1] * ENTITIES


def facts(entity: int, version: int) -> tuple[float, float, float]:
    """Hours, overtime and sick days of a version of an entity: no two have the same."""
    return 10.0 + entity, 2.0 + version * 0.25, float((entity + version) % 7)


def months(value: float) -> list[float]:
    return [value + month for month in range(histories.MONTHS)]


def event(whose: str, entity: int, version: int) -> f1.FactsEvent:
    hours, overtime, sick = facts(entity, version)
    made = f1.FactsEvent(entity_type="employee", entity_id=f"canary-{whose}-{entity}", source="test", sequence=version)
    made.as_of.CopyFrom(Timestamp(seconds=AS_OF))
    made.facts.add(name="hours", number=hours)
    for name, value in (("overtime", overtime), ("sick_days", sick)):
        made.monthly_facts.add(name=name, first_month=MONTH - 100 + 1, values=months(value))
    return made


def by_columns(rows: list[tuple[int, int]]) -> v1.PredictRequest:
    request = v1.PredictRequest(model=v1.ModelRef(name="leaves"))
    values = [facts(*row) for row in rows]
    request.columns.add(name="hours", doubles=v1.Doubles(values=[hours for hours, _, _ in values]))
    for number, name in ((1, "overtime"), (2, "sick_days")):
        history = v1.History(months=histories.MONTHS, values=[m for row in values for m in months(row[number])])
        request.columns.add(name=name, history=history)
    return request


def by_ids(whose: str, entities: list[int]) -> v1.PredictRequest:
    request = v1.PredictRequest(model=v1.ModelRef(name="leaves"))
    request.entities.entity_type = "employee"
    request.entities.ids.extend(f"canary-{whose}-{entity}" for entity in entities)
    return request


class Stubs:
    """Of one connection of its own."""

    def __init__(self, at: Running) -> None:
        self._channel = grpc.insecure_channel(at.grpc, options=[("grpc.use_local_subchannel_pool", 1)])
        self.predict = prediction_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._put = features_pb2_grpc.FeatureServiceStub(self._channel).PutFacts

    def put(self, events: list[f1.FactsEvent]) -> int:
        metadata = [("authorization", f"Bearer {TOKEN}")]
        return self._put(f1.PutFactsRequest(events=events), metadata=metadata, timeout=10).applied


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("under_load")
    histories.write_version(root / "models", "leaves")
    (root / "key").write_text("00112233445566778899aabbccddeeff\n")
    (root / "token").write_text(f"{TOKEN}\n")
    (root / "redis").mkdir()
    files = {"hash_key_file": root / "key", "facts_token_file": root / "token"}
    with (
        RedisServer(root / "redis") as redis,
        gateway(root / "models", redis_url=redis.url, redis_timeout_seconds=TIMEOUT, **files) as at,
    ):
        rows = [(entity, version) for entity in range(ENTITIES) for version in range(VERSIONS)]
        answers = np.array(Stubs(at).predict(by_columns(rows), timeout=30).outputs[0].probability.values, np.float32)
        assert len(np.unique(answers)) == len(rows)
        yield Place(redis, root / "redis", at, answers.reshape(ENTITIES, VERSIONS))
        log = "".join(at.log)
    assert [word for word in ("canary", "Traceback", "defect", "never retrieved") if word in log] == [], log[-3000:]


@dataclass
class Load:
    """Threads that ask and tell until `stop`."""

    place: Place
    seen: Seen
    stop: threading.Event

    def timed(self, what: str, call: Callable[[], Any]) -> Any:
        """The answer, or the status code that came instead."""
        began = time.monotonic()
        try:
            return call()
        except grpc.RpcError as error:
            self.seen.count(f"{what} {error.code().name}")
            if error.code() is not grpc.StatusCode.UNAVAILABLE or what == "columns":
                self.seen.wrong.append(f"{what}: {error.code().name}: {error.details()}")
            return error.code()
        finally:
            seconds = time.monotonic() - began
            self.seen.slowest[what] = max(seconds, self.seen.slowest.get(what, 0.0))

    def ask_by_id(self, seed: int) -> None:
        random, stubs, seen = np.random.default_rng(seed), Stubs(self.place.at), self.seen
        while not self.stop.is_set():
            entities = random.choice(ENTITIES, ASKED).tolist()
            with seen.lock:
                losses, least = seen.losses, list(seen.written)
            answer = self.timed(
                "ids", lambda entities=entities: stubs.predict(by_ids(seen.whose, entities), timeout=10)
            )
            if isinstance(answer, grpc.StatusCode):
                time.sleep(0.005)
                continue
            with seen.lock:
                most, lost = list(seen.tried), losses != seen.losses
            stale = {row for w in answer.warnings if w.code == v1.Warning.STALE and not w.column for row in w.rows}
            failed = {row: error.status.code for error in answer.row_errors for row in error.rows}
            for row, (entity, value) in enumerate(zip(entities, answer.outputs[0].probability.values, strict=True)):
                if row in failed:
                    seen.count(f"row {Status(failed[row]).name}")
                    fine = failed[row] == Status.UNAVAILABLE or (
                        failed[row] == Status.NOT_FOUND and (lost or least[entity] < 0)
                    )
                    if not fine:
                        seen.wrong.append(f"row of {entity}: {Status(failed[row]).name}")
                    continue
                seen.count("row stale" if row in stale else "row fresh")
                found = np.flatnonzero(self.place.answers[entity] == np.float32(value))
                version = int(found[0]) if found.size else None
                at_least = -1 if lost else least[entity]
                if version is None or not at_least <= version <= most[entity]:
                    seen.wrong.append(f"row of {entity}: version {version}, not {at_least}..{most[entity]}")

    def ask_by_columns(self, seed: int) -> None:
        random, stubs = np.random.default_rng(seed), Stubs(self.place.at)
        while not self.stop.is_set():
            rows = list(zip(random.choice(ENTITIES, 4).tolist(), random.choice(VERSIONS, 4).tolist(), strict=True))
            answer = self.timed("columns", lambda rows=rows: stubs.predict(by_columns(rows), timeout=10))
            if isinstance(answer, grpc.StatusCode):
                continue
            self.seen.count("columns answered")
            expected = [self.place.answers[row] for row in rows]
            if list(np.float32(answer.outputs[0].probability.values)) != expected:
                self.seen.wrong.append("by columns: another answer")
            time.sleep(0.002)

    def tell(self) -> None:
        """Ever newer versions of the first TOLD entities, in turn."""
        stubs, seen, next_one = Stubs(self.place.at), self.seen, 0
        while not self.stop.is_set():
            told = {(next_one + number) % TOLD: 0 for number in range(WRITTEN)}
            next_one += WRITTEN
            with seen.lock:
                losses = seen.losses
                for entity in told:
                    told[entity] = seen.tried[entity] = min(seen.tried[entity] + 1, VERSIONS - 1)
            events = [event(seen.whose, entity, version) for entity, version in told.items()]
            answer = self.timed("put", lambda events=events: stubs.put(events))
            if not isinstance(answer, grpc.StatusCode):
                seen.count("put answered")
                with seen.lock:
                    if losses == seen.losses:
                        for entity, version in told.items():
                            seen.written[entity] = version
            time.sleep(0.015)


def put_load(place: Place, whose: str, disturb: Callable[[Seen], None]) -> Seen:
    """Ask and tell while Redis is disturbed, and until all is well again. Fails for anything that was wrong."""
    seen = Seen(whose)
    load = Load(place, seen, threading.Event())
    assert Stubs(place.at).put([event(whose, entity, 0) for entity in range(ENTITIES)]) == ENTITIES
    seen.tried, seen.written = [0] * ENTITIES, [0] * ENTITIES
    threads = [threading.Thread(target=load.ask_by_id, args=(seed,)) for seed in (1, 2)]
    threads += [threading.Thread(target=load.ask_by_columns, args=(3,)), threading.Thread(target=load.tell)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.7)
        disturb(seen)
        assert until(lambda: sample(place.at, "epm_store_up") == 1), "it did not come back"
        least = seen.tried[:TOLD]
        assert until(lambda: all(map(int.__gt__, seen.written[:TOLD], least))), "not everybody was written again"
        time.sleep(0.5)
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(20)
    assert not seen.wrong, (seen.wrong[:10], seen.counts)
    assert max(seen.slowest.values()) < TIMEOUT + SLACK, seen.slowest
    assert seen.counts["row fresh"] > 100
    assert seen.counts["columns answered"] > 100
    assert seen.counts["put answered"] > 20
    assert max(seen.tried) < VERSIONS - 1, "the last versions were written again and again"
    everybody = Stubs(place.at).predict(by_ids(whose, list(range(ENTITIES))), timeout=10)
    gone = list(range(TOLD, ENTITIES)) if seen.losses else []
    assert [(error.status.code, list(error.rows)) for error in everybody.row_errors] == (
        [(Status.NOT_FOUND, gone)] if gone else []
    )
    for entity, value in enumerate(everybody.outputs[0].probability.values):
        if entity not in gone:
            assert value in place.answers[entity, seen.written[entity] : seen.tried[entity] + 1]
    return seen


def resets(place: Place) -> float:
    return sample(place.at, "epm_store_resets_total")


def test_killed_and_back_with_its_data(place: Place) -> None:
    def disturb(_: Seen) -> None:
        place.redis.kill()
        time.sleep(1.0)
        place.redis.start()

    before = resets(place)
    seen = put_load(place, "kept", disturb)
    assert seen.counts["put UNAVAILABLE"] > 0
    assert seen.counts["row stale"] > 0
    assert "row NOT_FOUND" not in seen.counts
    assert resets(place) == before


def test_killed_and_back_empty(place: Place) -> None:
    def disturb(seen: Seen) -> None:
        place.redis.kill()
        seen.lose()
        shutil.rmtree(place.folder)
        place.folder.mkdir()
        time.sleep(1.0)
        place.redis.start()

    before = resets(place)
    seen = put_load(place, "emptied", disturb)
    assert seen.counts["put UNAVAILABLE"] > 0
    assert seen.counts["row stale"] > 0
    assert resets(place) == before + 1


def test_standing_still(place: Place) -> None:
    def disturb(_: Seen) -> None:
        place.redis.pause()
        time.sleep(1.5)
        place.redis.resume()

    before = resets(place)
    seen = put_load(place, "paused", disturb)
    assert seen.counts["put UNAVAILABLE"] > 0
    assert seen.counts["row stale"] > 0
    assert "row NOT_FOUND" not in seen.counts
    assert resets(place) == before
