"""Batching on beside batching off, one model that executes one call at a time: `python -m loadtest.backends.batching`.

The model takes 2 ms and 5 us a row, by sleeping in its one thread, so that what batching itself costs is not hidden by
what a model computes. Both ways take turns in one run; every answer is checked.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop

from loadtest import machine
from loadtest.measure import MeasurementError
from serving.backends.backend import Tensors, rows_of
from serving.backends.batching import Batcher, Limits

FIXED, PER_ROW = 2e-3, 5e-6
"""Seconds of a batch, and of each row in it."""
CALLERS = 64
FEATURES = 20
LIMITS = Limits(rows=256, bytes=1 << 20, queue_rows=4096, running=1)

Ask = Callable[[Tensors], Awaitable[Tensors]]


@dataclass(frozen=True)
class Effort:
    """rounds: turns of each way; seconds: of a turn of many callers; calls: in a turn of one caller alone."""

    rounds: int
    seconds: float
    calls: int


FULL = Effort(rounds=5, seconds=1.0, calls=200)
QUICK = Effort(rounds=1, seconds=0.1, calls=10)


class OneAtATime:
    """The model: the answer to a row is twice its first feature."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def execute(self, tensors: Tensors, deadline: float | None = None) -> Tensors:
        """float32[n, FEATURES] -> float32[n]. Minds no deadline."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, tensors)

    def _run(self, tensors: Tensors) -> Tensors:
        time.sleep(FIXED + PER_ROW * rows_of(tensors))
        return {"score": tensors["features"][:, 0] * 2}

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def measure(effort: Effort = FULL) -> dict[str, Any]:
    """Calls a second of many callers, p50 of one alone, with batching and without. Raises MeasurementError."""
    return uvloop.run(_measure(effort))


async def _measure(effort: Effort) -> dict[str, Any]:
    model = OneAtATime()
    batches: list[int] = []
    batcher = Batcher(model.execute, LIMITS, lambda rows, calls, waited: batches.append(rows))
    ways: dict[str, Ask] = {"off": model.execute, "on": lambda tensors: batcher.submit(tensors, None)}
    random = np.random.default_rng(20_261_122)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    alone: dict[str, list[float]] = {way: [] for way in ways}
    batched_rows, batched = 0, 0
    try:
        for _ in range(effort.rounds):
            for way, ask in ways.items():
                batches.clear()
                rates[way].append(await _many(ask, effort.seconds, random))
                batched_rows, batched = batched_rows + sum(batches), batched + len(batches)
            took: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(effort.calls):  # call by call in turn: whatever else the machine does, it does to both
                for way, ask in ways.items():
                    took[way].append(await _one(ask, _row(random)))
            for way, found in took.items():
                alone[way].append(statistics.median(found))
    finally:
        model.close()
    on, off = (statistics.median(rates[way]) for way in ("on", "off"))
    p50_on, p50_off = (statistics.median(alone[way]) for way in ("on", "off"))
    return {
        "callers": CALLERS,
        "calls_per_second_on": on,
        "calls_per_second_off": off,
        "throughput_ratio": on / off,
        "throughput_ratios": [one / other for one, other in zip(rates["on"], rates["off"], strict=True)],
        "rows_per_batch": batched_rows / batched,
        "alone_p50_us_on": p50_on * 1e6,
        "alone_p50_us_off": p50_off * 1e6,
        "alone_p50_ratio": p50_on / p50_off,
        "alone_p50_ratios": [one / other for one, other in zip(alone["on"], alone["off"], strict=True)],
    }


def _row(random: np.random.Generator) -> Tensors:
    return {"features": random.random((1, FEATURES), np.float32)}


async def _one(ask: Ask, row: Tensors) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    got = await ask(row)
    took = time.perf_counter() - began
    if got["score"].shape != (1,) or got["score"][0] != row["features"][0, 0] * 2:
        raise MeasurementError("a caller got the answer to another row")
    return took


async def _many(ask: Ask, seconds: float, random: np.random.Generator) -> float:
    """Calls a second of CALLERS callers, each of which asks again as soon as it is answered."""
    began = time.perf_counter()

    async def caller() -> int:
        calls = 0
        while time.perf_counter() - began < seconds:
            await _one(ask, _row(random))
            calls += 1
        return calls

    calls = sum(await asyncio.gather(*[caller() for _ in range(CALLERS)]))
    return calls / (time.perf_counter() - began)


def table(figures: dict[str, Any]) -> str:
    """The figures, for people."""
    lines = [
        f"| {CALLERS} callers of one row, and one alone | batching off | batching on | on / off | asked |",
        "|---|---|---|---|---|",
        f"| calls/s, {figures['rows_per_batch']:.1f} rows a batch | {figures['calls_per_second_off']:,.0f} "
        f"| {figures['calls_per_second_on']:,.0f} | {figures['throughput_ratio']:.1f} | at least 10 |",
        f"| one caller alone, p50 us | {figures['alone_p50_us_off']:,.0f} | {figures['alone_p50_us_on']:,.0f} "
        f"| {figures['alone_p50_ratio']:.3f} | at most 1.10 |",
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print. 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.backends.batching", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a second, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the figures and the machine as JSON")
    options = parser.parse_args(arguments)
    described = machine.describe()
    try:
        figures = measure(QUICK if options.quick else FULL)
    except MeasurementError as error:
        print(f"batching: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"machine": described, **figures}, indent=1) if options.json else table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
