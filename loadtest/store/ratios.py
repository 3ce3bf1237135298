"""The same rows by id and by columns, in turn, in one run: in this process from bytes to bytes, and over gRPC."""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
import numpy as np
import uvloop

from loadtest import servers
from loadtest.bodies import PROTOCOLS
from loadtest.measure import Effort, MeasurementError, Work, check_gateway, put_load
from loadtest.store.people import MONTHLY_MODEL, People
from loadtest.store.places import HASH_KEY, TOKEN, Place, metrics
from serving.pipeline import Entities, Pipeline
from serving.protocols.epm import Epm
from serving.protocols.method import Call
from serving.repository.repository import Repository
from serving.settings import Settings
from serving.store.keys import HashKey
from serving.store.redis_store import OnlineStore
from serving.stubs.epm.v1 import features_pb2_grpc
from serving.stubs.epm.v1 import prediction_pb2 as v1

BODIES = 1000
_WRITTEN_AT_ONCE = 256
EPM = next(protocol for protocol in PROTOCOLS if protocol.name == "epm_v1")
_ASKED_AT_ONCE = 1024
_SEED = 20_260_101


@dataclass(frozen=True)
class Sizes:
    """How much is measured. rows: of a call; people: employees in the store; warm: those asked for again and again;
    rounds: passes, or runs over gRPC of so many seconds, after one of warm_up seconds; in_process: bodies of a pass;
    cold: rows of a call and how many such calls."""

    rows: int
    people: int
    warm: int
    rounds: int
    seconds: float
    warm_up: float
    in_process: int
    cold: dict[int, int]


FULL = Sizes(64, 32_768, 8_192, 5, 2.0, 1.0, BODIES, {1: 300, 64: 100, 4096: 4})
QUICK = Sizes(4, 2_048, 256, 1, 0.1, 0.1, 100, {1: 20, 64: 10, 1024: 1})


@dataclass(frozen=True)
class Pair:
    """The same rows by columns and by id, body by body; rows: in each."""

    model: str
    rows: int
    columns: list[bytes]
    ids: list[bytes]

    def part(self, bodies: int) -> "Pair":
        """The first so many bodies."""
        return Pair(self.model, self.rows, self.columns[:bodies], self.ids[:bodies])


def measure(place: Place, people: People, models: Sequence[str], sizes: Sizes) -> dict[str, Any]:
    """Everything about one call, as plain values. Raises MeasurementError when an answer is not what it should be."""
    random = np.random.default_rng(_SEED)
    chosen = [random.choice(sizes.warm, sizes.rows, replace=False) for _ in range(BODIES)]
    pairs = [
        Pair(
            model, sizes.rows, [people.by_columns(model, r) for r in chosen], [people.by_ids(model, r) for r in chosen]
        )
        for model in models
    ]
    with place.gateway(cpu=servers.SERVER_CPU) as gateway, _on_one_processor() as client_pinned:
        pinned = client_pinned and gateway.pinned
        _load(gateway, people)
        cold = list(_cold(place, gateway, people, sizes))
        _ask_for_all(gateway, people, sizes)
        over_grpc = [run for pair in pairs for run in _over_grpc(gateway, pair, sizes)]
    in_process = [_in_process(place, pair.part(sizes.in_process), sizes) for pair in pairs]
    bytes_of = {pair.model: {"columns": _mean(pair.columns), "ids": _mean(pair.ids)} for pair in pairs}
    return {
        "people": sizes.people,
        "warm": sizes.warm,
        "rows": sizes.rows,
        "bodies": BODIES,
        "rounds": sizes.rounds,
        "seconds": sizes.seconds,
        "pinned": pinned,
        "body_bytes": bytes_of,
        "record_bytes": _mean([place.client.get(key) or b"" for key in place.client.scan_iter("epm:facts:*", 1000)]),
        "in_process": in_process,
        "grpc": over_grpc,
        "cold": cold,
    }


@contextlib.contextmanager
def _on_one_processor() -> Iterator[bool]:
    """Hold this process to one processor; whether that could be done."""
    before = os.sched_getaffinity(0)
    try:
        yield servers.pin(servers.CLIENT_CPU)
    finally:
        os.sched_setaffinity(0, before)


def _mean(bodies: Sequence[bytes]) -> int:
    return round(statistics.mean(map(len, bodies)))


def _load(gateway: servers.Server, people: People) -> None:
    with grpc.insecure_channel(gateway.address) as channel:
        stub, metadata = features_pb2_grpc.FeatureServiceStub(channel), [("authorization", f"Bearer {TOKEN}")]
        for start in range(0, len(people.ids), _WRITTEN_AT_ONCE):
            stop = min(start + _WRITTEN_AT_ONCE, len(people.ids))
            applied = stub.PutFacts(people.events(start, stop), metadata=metadata, timeout=60).applied
            if applied != stop - start:
                raise MeasurementError(f"{applied} of {stop - start} events were applied")


def _cold(place: Place, gateway: servers.Server, people: People, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """Calls by ids that this gateway was never asked for, and what Redis had to do for them."""
    start = sizes.warm
    with grpc.insecure_channel(gateway.address) as channel:
        _timed(channel, [people.by_columns(MONTHLY_MODEL, np.array([0]))] * 20)  # so that the connection is there
        for rows, calls in sizes.cold.items():
            bodies = [
                people.by_ids(MONTHLY_MODEL, np.arange(at, at + rows))
                for at in range(start, start + rows * calls, rows)
            ]
            start += rows * calls
            commands, before = place.commands().get("mget", 0), _round_trips(gateway)
            times = _timed(channel, bodies)
            commands, after = place.commands()["mget"] - commands, _round_trips(gateway)
            again = _timed(channel, bodies)
            yield {
                "model": MONTHLY_MODEL,
                "rows": rows,
                "calls": calls,
                "round_trips_cold": (after - before) / calls,
                "commands_cold": commands / calls,
                "round_trips_warm": (_round_trips(gateway) - after) / calls,
                "cold_us": statistics.median(times),
                "warm_us": statistics.median(again),
            }


def _round_trips(gateway: servers.Server) -> float:
    """Data round trips to Redis so far, as the gateway counts them."""
    return metrics(gateway)["epm_store_round_trips_total"]


def _ask_for_all(gateway: servers.Server, people: People, sizes: Sizes) -> None:
    """Have everybody in the replica who is asked for again and again."""
    chunks = np.array_split(np.arange(sizes.warm), -(-sizes.warm // _ASKED_AT_ONCE))
    with grpc.insecure_channel(gateway.address) as channel:
        _timed(channel, [people.by_ids(MONTHLY_MODEL, rows) for rows in chunks])


def _timed(channel: grpc.Channel, bodies: Sequence[bytes]) -> list[float]:
    """Microseconds of each call, one after the other."""
    call = channel.unary_unary(EPM.path)
    times = []
    for body in bodies:
        began = time.perf_counter_ns()
        call(body, timeout=60)
        times.append((time.perf_counter_ns() - began) / 1e3)
    return times


def _over_grpc(gateway: servers.Server, pair: Pair, sizes: Sizes) -> Iterator[dict[str, Any]]:
    """One call open at a time, by columns and by id in turn, each going first in every other round."""
    works = {"columns": Work(EPM, pair.rows, pair.columns), "ids": Work(EPM, pair.rows, pair.ids)}
    effort = Effort(sizes.seconds, 1)
    answers = {}
    for how, work in works.items():
        _, result = put_load(gateway, work, Effort(sizes.warm_up, 4))  # not counted
        answers[how] = check_gateway(work, result)
    n = min(map(len, answers.values()))
    if not np.array_equal(answers["columns"][:n], answers["ids"][:n]):
        raise MeasurementError(f"{pair.model}: by id other answers than by columns")
    for number in range(sizes.rounds):
        for how in works if number % 2 == 0 else reversed(works):
            figures, result = put_load(gateway, works[how], effort)
            check_gateway(works[how], result)
            print(f"{pair.model} over gRPC by {how}: p50 {figures.p50_us:.0f} us", file=sys.stderr)
            yield {"model": pair.model, "by": how, "round": number, **figures.as_dict()}


def _in_process(place: Place, pair: Pair, sizes: Sizes) -> dict[str, Any]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_bytes_to_bytes(place, pair, sizes))


async def _bytes_to_bytes(place: Place, pair: Pair, sizes: Sizes) -> dict[str, Any]:
    """Medians in microseconds, round by round."""
    repository = Repository(place.models)
    repository.scan()
    store = OnlineStore(place.url, HashKey(HASH_KEY), 256 << 20, 2.0)
    await store.start()
    pipeline = Pipeline(repository, Settings(cache="off"), store)
    epm = Epm(pipeline)
    try:
        for number, (columns, ids) in enumerate(zip(pair.columns, pair.ids, strict=True)):
            if await epm.predict(ids, Call(None)) != await epm.predict(columns, Call(None)):
                raise MeasurementError(f"{pair.model}: body {number}: by id another answer than by columns")
        rounds = [await _round(epm, pair) for _ in range(sizes.rounds)]
        cold = []
        for body in pair.ids:
            store.replica.drop(HashKey(HASH_KEY).keys("employee", v1.PredictRequest.FromString(body).entities.ids))
            cold.append(await _microseconds(epm, body))
        await _fill(epm, pair)
        stages = await _stages(repository, store, pair)
    finally:
        await store.close()
        pipeline.close()
    shown = [f"{one['ids'] / one['columns']:.2f}" for one in rounds]
    print(f"{pair.model} in process, by id / by columns: {', '.join(shown)}", file=sys.stderr)
    return {"model": pair.model, "rounds": rounds, "cold": statistics.median(cold), "stages": stages}


async def _fill(epm: Epm, pair: Pair) -> None:
    for body in pair.ids:
        await epm.predict(body, Call(None))


async def _round(epm: Epm, pair: Pair) -> dict[str, float]:
    """Every body once by columns and once by id, in turn."""
    columns, ids = [], []
    for number in range(len(pair.ids)):
        first, second = ((pair.columns, columns), (pair.ids, ids))[:: 1 if number % 2 else -1]
        for bodies, times in (first, second):
            times.append(await _microseconds(epm, bodies[number]))
    return {"columns": statistics.median(columns), "ids": statistics.median(ids)}


async def _microseconds(epm: Epm, body: bytes) -> float:
    began = time.perf_counter_ns()
    await epm.predict(body, Call(None))
    return (time.perf_counter_ns() - began) / 1e3


class _StoppedError(Exception):
    """No error: the end of what is timed."""


class _Stopping:
    """A pipeline that takes what the protocol has decoded, and ends the call there."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.max_rows = Settings().max_rows
        self.inputs: Any = None
        self.entities: Entities | None = None

    async def predict(self, served: Any, inputs: Any, _: Any, entities: Entities | None, *__: Any) -> Any:
        self.inputs, self.entities = inputs, entities
        raise _StoppedError


async def _stages(repository: Repository, store: OnlineStore, pair: Pair) -> dict[str, dict[str, float]]:
    """Where the time of both goes up to the raw rows, from where on they go the same way. Microseconds."""
    served, stopping = repository.resolve(pair.model), _Stopping(repository)
    decode, hash_key = Epm(stopping), HashKey(HASH_KEY)

    def decoded(body: bytes) -> _Stopping:
        try:
            decode.predict(body, Call(None)).send(None)
        except _StoppedError:
            return stopping
        raise AssertionError("the protocol never asked the pipeline")

    inputs = [decoded(body).inputs for body in pair.columns]
    ids = [list(entities.ids) for body in pair.ids if (entities := decoded(body).entities)]
    keys = [hash_key.keys("employee", one) for one in ids]
    epoch, now = store.link.epoch, int(time.time() * 1000)
    fetched = [await store.fetch("employee", one, None) for one in ids]
    facts = [served.reader.read(one) for one in fetched]
    inspections = [served.schema.inspect(one.rows) for one in facts]
    whole_fetch = []
    for one in ids:
        began = time.perf_counter_ns()
        await store.fetch("employee", one, None)
        whole_fetch.append((time.perf_counter_ns() - began) / 1e3)
    timed = partial(_median, bodies=len(ids))
    hashed = timed(lambda number: hash_key.keys("employee", ids[number]))
    copied = timed(lambda number: store.replica.collect(keys[number], epoch, False))
    return {
        "columns": {
            "decode the message": timed(lambda number: decoded(pair.columns[number])),
            "columns into rows": timed(lambda number: served.schema.assemble(inputs[number], pair.rows)),
        },
        "ids": {
            "decode the message": timed(lambda number: decoded(pair.ids[number])),
            "hash the ids": hashed,
            "copy records out of the replica": copied,
            "the rest of fetching": statistics.median(whole_fetch) - hashed - copied,
            "read the records": timed(lambda number: served.reader.read(fetched[number])),
            "look for facts that are too old": timed(
                lambda number: served.schema.mark_stale(inspections[number], facts[number].as_of, now)
            ),
        },
    }


def _median(run: Callable[[int], object], bodies: int) -> float:
    """Microseconds of `run` over so many bodies."""
    times = []
    for number in range(bodies):
        began = time.perf_counter_ns()
        run(number)
        times.append((time.perf_counter_ns() - began) / 1e3)
    return statistics.median(times)
