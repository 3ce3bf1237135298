"""Gateways that differ in settings, side by side at their pipelines: batching before a real Triton, kept predictions.

All of them live in this process, on one event loop; Triton runs beside it. Every answer is compared with onnxruntime's.
"""

import asyncio
import contextlib
import itertools
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from loadtest.backends.rows import KINDS, Chosen, Drawn, People
from loadtest.measure import MeasurementError
from serving.gateway import Gateway
from serving.pipeline import Prediction
from serving.repository.served import ServedModel
from serving.settings import Settings
from tests.support.triton import TritonServer

LSTM, FOREST = "attrition_model", "performance_model"
CALLERS = 64
ROWS, POOL, SHARES = 64, 2048, (0.9, 0.0)
"""Rows of a call, rows that are asked for again and again, and the shares of rows that are among them."""
BLOCK = 10
"""Calls that one gateway gets before the next has its turn: so its caches are warm, as those of a real one are."""
POLICIES = ("off", "local", "auto")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Effort:
    """rounds: turns of each way; seconds: of a turn of many callers; alone: calls of one caller in a round.

    blocks: of calls in a round with kept predictions; warm: calls before them; curve: numbers of callers.
    """

    rounds: int
    seconds: float
    alone: int
    blocks: int
    warm: int
    curve: tuple[int, ...]
    running: tuple[int, ...]


FULL = Effort(rounds=5, seconds=1.2, alone=200, blocks=8, warm=150, curve=(1, 4, 16, 64, 256), running=(1, 2, 4))
QUICK = Effort(rounds=1, seconds=0.2, alone=5, blocks=1, warm=2, curve=(1, 16), running=(2,))


@dataclass(frozen=True)
class Way:
    """One gateway."""

    gateway: Gateway

    def served(self, model: str) -> ServedModel:
        """The newest version."""
        versions = self.gateway.repository.models[model].served
        return versions[max(versions)]

    async def ask(self, model: str, inputs: Mapping[str, Any]) -> Prediction:
        """One call, as a protocol makes it."""
        return await self.gateway.pipeline.predict(self.served(model), inputs)

    def asked(self) -> tuple[float, float]:
        """Calls to the LSTM's backends so far, and rows in them."""
        totals = {"epm_backend_calls_total": 0.0, "epm_backend_rows_total": 0.0}
        for metric in self.gateway.pipeline.inferences.counts.collect():
            for sample in metric.samples:
                if sample.name in totals and sample.labels["model"] == LSTM:
                    totals[sample.name] += sample.value
        return totals["epm_backend_calls_total"], totals["epm_backend_rows_total"]


Ways = Mapping[str, Way]


def measure(repository: Path = Path("model_repo"), effort: Effort = FULL, seed: int = 1) -> dict[str, Any]:
    """All figures. Raises MeasurementError, WrongAnswerError."""
    with TritonServer(repository.resolve()) as triton:
        return uvloop.run(_measure(repository, effort, seed, triton))


async def _measure(repository: Path, effort: Effort, seed: int, triton: TritonServer) -> dict[str, Any]:
    at_triton = {"triton_address": triton.grpc, "backend_timeout_seconds": 30.0}
    lstm = {**at_triton, "backends": f"forest,onnxruntime;{LSTM}=triton", "cache": "off"}
    settings: dict[str, dict[str, Any]] = {
        "on": lstm,
        "batching off": {**lstm, "batching": "off"},
        **{f"running {n}": {**lstm, "batches_running": n} for n in effort.running},
        **{policy: {"cache": policy} for policy in POLICIES},
        "onnxruntime": {"backends": "onnxruntime", "cache": "off"},
        "triton": {**at_triton, "backends": "triton", "batching": "off", "cache": "off"},
    }
    people = {model: People(repository, model, seed) for model in (LSTM, FOREST)}
    async with contextlib.AsyncExitStack() as opened:
        ways = {name: await opened.enter_async_context(_way(repository, of)) for name, of in settings.items()}
        group = _group(triton)
        return {
            "batching": await _batching(ways, people[LSTM], effort, group),
            "cache": [found async for found in _cache(ways, people, effort)],
            "backends": [found async for found in _backends(ways, people, effort)],
        }


@contextlib.asynccontextmanager
async def _way(repository: Path, settings: Mapping[str, Any]) -> AsyncIterator[Way]:
    fixed = {"model_repo": str(repository), "grpc_port": 0, "http_port": 0, "repository_poll_seconds": 0.0}
    gateway = Gateway(Settings(**fixed, **settings))
    await gateway.start()
    try:
        until = time.monotonic() + 30
        while not all(gateway.repository.models[model].served for model in (LSTM, FOREST)):
            if time.monotonic() > until:
                raise MeasurementError("a gateway does not serve its models")
            await asyncio.to_thread(gateway.repository.scan)
            await asyncio.sleep(0.1)
        yield Way(gateway)
    finally:
        await gateway.close()


# -- batching


async def _batching(ways: Ways, people: People, effort: Effort, group: list[int]) -> dict[str, Any]:
    pair = {"off": ways["batching off"], "on": ways["on"]}
    drawn = people.draw(8192)
    many: dict[tuple[str, str], list[Any]] = {}
    alone: dict[tuple[str, str], list[float]] = {}
    curve: dict[tuple[int, str], list[float]] = {}
    running: dict[int, list[Any]] = {}
    for kind in KINDS:
        for way in pair.values():
            await _many(way, drawn, kind, CALLERS, effort.seconds / 4, group)
    for turn in range(effort.rounds):
        progress(f"batching before Triton, round {turn + 1} of {effort.rounds}")
        for kind in KINDS:
            for name, way in pair.items():
                found = await _many(way, drawn, kind, CALLERS, effort.seconds, group)
                many.setdefault((kind, name), []).append(found)
            for name, took in (await _alone(pair, drawn, kind, effort.alone)).items():
                alone.setdefault((kind, name), []).append(took)
        for callers in effort.curve:
            for name, way in pair.items():
                found = await _many(way, drawn, "ready", callers, effort.seconds / 3, group)
                curve.setdefault((callers, name), []).append(found["calls_per_second"])
        for count in effort.running:
            found = await _many(ways[f"running {count}"], drawn, "ready", CALLERS, effort.seconds / 2, group)
            running.setdefault(count, []).append(found)
    return {
        "callers": CALLERS,
        "rounds": effort.rounds,
        "seconds": effort.seconds,
        "many": [{"kind": kind, "batching": way, "rounds": found} for (kind, way), found in many.items()],
        "alone": [{"kind": kind, "batching": way, "p50_us": found} for (kind, way), found in alone.items()],
        "curve": [{"callers": n, "batching": way, "calls_per_second": found} for (n, way), found in curve.items()],
        "running": [{"running": count, "rounds": found} for count, found in running.items()],
    }


async def _many(way: Way, drawn: Drawn, kind: str, callers: int, seconds: float, group: list[int]) -> dict[str, float]:
    """Callers of one row, each of which asks again as soon as it is answered."""
    rows = len(next(iter(drawn.ready.values())))
    next_row = itertools.count(int(time.monotonic() * 1e6) % rows)
    answers: list[tuple[slice, Prediction]] = []
    calls_before, rows_before = way.asked()
    before, began = _Processors.now(group), time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - began < seconds:
            at = next(next_row) % rows
            chosen = slice(at, at + 1)
            answers.append((chosen, await way.ask(LSTM, drawn.inputs(kind, chosen))))

    await asyncio.gather(*[caller() for _ in range(callers)])
    took, after = time.perf_counter() - began, _Processors.now(group)
    calls_after, rows_after = way.asked()
    for chosen, prediction in answers:
        drawn.check(prediction, chosen)
    gateway, server = after.gateway - before.gateway, after.server - before.server
    return {
        "calls_per_second": len(answers) / took,
        "rows_a_batch": (rows_after - rows_before) / max(calls_after - calls_before, 1),
        "gateway": gateway / took,
        "triton": server / took,
        "others": (after.all - before.all - gateway - server) / took,
    }


async def _alone(pair: Ways, drawn: Drawn, kind: str, calls: int) -> dict[str, float]:
    """Median microseconds of a call, call by call in turn."""
    took: dict[str, list[float]] = {name: [] for name in pair}
    order = list(pair)
    for at in range(calls):
        order.reverse()
        for name in order:
            took[name].append(await _one(pair[name], LSTM, drawn, kind, slice(at, at + 1)))
    return {name: statistics.median(found) for name, found in took.items()}


async def _one(way: Way, model: str, drawn: Drawn, kind: str, rows: Chosen) -> float:
    """Microseconds of one call."""
    inputs = drawn.inputs(kind, rows)
    began = time.perf_counter()
    prediction = await way.ask(model, inputs)
    took = time.perf_counter() - began
    drawn.check(prediction, rows)
    return took * 1e6


@dataclass(frozen=True)
class _Processors:
    """Seconds of processor used so far."""

    gateway: float
    server: float
    all: float

    @classmethod
    def now(cls, group: list[int]) -> "_Processors":
        user, nice, system, _, _, *interrupts = _stat("/proc/stat", after="cpu ")
        of_server = sum(sum(_stat(f"/proc/{pid}/stat", after=") ")[10:12]) for pid in group)
        return cls(time.process_time(), of_server / _TICK, (user + nice + system + sum(interrupts[:2])) / _TICK)


def _stat(path: str, after: str) -> list[int]:
    """The numbers of a file's first line; what is none counts as 0."""
    with open(path) as file:
        _, _, line = file.readline().partition(after)
    return [int(word) if word.lstrip("-").isdigit() else 0 for word in line.split()]


def _group(triton: TritonServer) -> list[int]:
    """The processes of a server."""
    first = triton.process_id
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if _stat(str(path), after=") ")[2] == first:
                found.append(int(path.parent.name))
    return found


# -- kept predictions, and what a backend takes


async def _cache(ways: Ways, people: Mapping[str, People], effort: Effort) -> AsyncIterator[dict[str, Any]]:
    """Calls of ROWS rows to gateways that differ in what they keep."""
    for (model, of), kind, share in itertools.product(people.items(), KINDS, SHARES):
        progress(f"kept predictions: {model}, {KINDS[kind]}, {share:.0%} repeated")
        count = effort.warm + effort.rounds * effort.blocks * BLOCK
        drawn, calls = of.calls(count, ROWS, POOL, share)
        for policy in POLICIES:
            for at in range(0, POOL, ROWS):
                await _one(ways[policy], model, drawn, kind, slice(at, at + ROWS))
        rows = list(itertools.islice(calls, effort.warm))
        await _blocks({policy: ways[policy] for policy in POLICIES}, model, drawn, kind, rows)
        rounds: dict[str, list[float]] = {policy: [] for policy in POLICIES}
        for _ in range(effort.rounds):
            rows = list(itertools.islice(calls, effort.blocks * BLOCK))
            for policy, took in (await _blocks({p: ways[p] for p in POLICIES}, model, drawn, kind, rows)).items():
                rounds[policy].append(took)
        yield {"model": model, "kind": kind, "repeated": share, "p50_us": rounds}


async def _backends(ways: Ways, people: Mapping[str, People], effort: Effort) -> AsyncIterator[dict[str, Any]]:
    """One caller, nothing kept: each backend in turn."""
    of_model = {
        FOREST: {"forest": ways["off"], "onnxruntime": ways["onnxruntime"], "triton": ways["triton"]},
        LSTM: {"onnxruntime": ways["onnxruntime"], "triton": ways["triton"]},
    }
    for (model, backends), rows, kind in itertools.product(of_model.items(), (1, ROWS), KINDS):
        progress(f"what each takes: {model}, {rows} rows, {KINDS[kind]}")
        each = effort.blocks * BLOCK
        drawn, calls = people[model].calls((effort.rounds + 1) * each, rows, 0, 0.0)
        rounds: dict[str, list[float]] = {name: [] for name in backends}
        for turn in range(effort.rounds + 1):
            took = await _blocks(backends, model, drawn, kind, list(itertools.islice(calls, each)))
            for name, median in took.items():
                if turn:
                    rounds[name].append(median)
        yield {"model": model, "rows": rows, "kind": kind, "p50_us": rounds}


async def _blocks(ways: Ways, model: str, drawn: Drawn, kind: str, calls: list[Any]) -> dict[str, float]:
    """Median microseconds of a call of each; all get the same calls, a block of them at a time."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for start in range(0, len(calls), BLOCK):
        order.append(order.pop(0))
        for name in order:
            for rows in calls[start : start + BLOCK]:
                took[name].append(await _one(ways[name], model, drawn, kind, np.asarray(rows)))
    return {name: statistics.median(found) for name, found in took.items()}


def progress(text: str) -> None:
    """Tell whoever waits."""
    print(f"backends: {text}", file=sys.stderr, flush=True)
