"""Load on one wire of one running peer, checked call by call: with one wrong answer there is no figure."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.answers import Probabilities, WrongAnswerError
from loadtest.bench.peer import Probe, Running, Wire
from loadtest.h2 import client as h2
from loadtest.measure import KEEP, MeasurementError

BETWEEN_REFUSALS = 0.1
"""Seconds: some servers log a traceback for every call that comes too early, which is work as well."""


@dataclass(frozen=True)
class Work:
    """What a wire is asked: bodies of `rows` rows each, and what onnxruntime here says of the first `KEEP`.

    expected: float32[rows, C] for each of the first bodies.
    """

    wire: Wire
    path: str
    rows: int
    bodies: Sequence[bytes]
    expected: Sequence[Probabilities]
    distinct: int = 1000
    """Fewer distinct bodies are refused."""


@dataclass(frozen=True)
class Figures:
    """What one run showed; times in microseconds, processor time of the whole process tree."""

    calls: int
    calls_per_second: float
    rows_per_second: float
    p50_us: float
    p99_us: float
    cpu_us_per_call: float
    cpu_us_per_row: float
    cpu_share: float
    client_cpu_share: float
    counted_calls: int | None
    """Predictions that the server itself counted meanwhile; None where it counts none."""
    largest_difference: float
    """Of the kept answers from onnxruntime here."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def put_load(running: Running, work: Work, seconds: float, streams: int = 8, rate: float | None = None) -> Figures:
    """Run once: a closed loop of `streams` calls, or `rate` calls a second.

    Raises MeasurementError, WrongAnswerError, LoadError, ServerError.
    """
    address = running.address(work.wire.transport)
    connections = address.count(",") + 1
    load = h2.Load(
        address=address,
        path=work.path,
        bodies=work.bodies,
        connections=connections,
        streams=streams // connections,
        seconds=seconds,
        rate=rate,
        keep=KEEP,
        distinct=work.distinct,
    )
    before, cpu_before = _settled(running), running.tree.cpu_seconds()
    result = _client(work.wire).run(load)
    cpu = running.tree.cpu_seconds() - cpu_before
    running.usage()
    if not result.all_ok:
        raise MeasurementError(
            f"{running.peer.title}: statuses of calls {dict(result.statuses)}, without status {dict(result.errors)}"
        )
    calls = sum(result.statuses.values())
    counted = None if before is None or not work.wire.predicts else _counted(running, before, calls)
    return Figures(
        calls=calls,
        calls_per_second=result.rate,
        rows_per_second=result.rate * work.rows,
        p50_us=result.percentile_us(50),
        p99_us=result.percentile_us(99),
        cpu_us_per_call=cpu / calls * 1e6,
        cpu_us_per_row=cpu / calls / work.rows * 1e6,
        cpu_share=cpu / result.seconds,
        client_cpu_share=result.cpu_seconds / result.seconds,
        counted_calls=counted,
        largest_difference=_check(work, result.kept),
    )


def _settled(running: Running) -> int | None:
    """The server's count when it has stopped moving: the last calls of what was before may not be in it at once."""
    count = running.handled()
    until = time.monotonic() + 2
    while count is not None and time.monotonic() < until:
        time.sleep(0.05)
        earlier, count = count, running.handled()
        if earlier == count:
            break
    return count


def _counted(running: Running, before: int, calls: int) -> int:
    """What the server has counted since `before`; it may count a call a moment after it has answered it.

    Raises MeasurementError when that is not `calls`.
    """
    until = time.monotonic() + 1
    while (counted := (running.handled() or 0) - before) != calls:
        if time.monotonic() > until:
            raise MeasurementError(f"{running.peer.title}: {calls} calls were answered, by its own count {counted}")
        time.sleep(0.05)
    return counted


def first_answer(work: Work) -> Probe:
    """A probe that asks one call of `work` and wants the right answer to it."""

    def probe(address: str) -> bool:
        one = {"streams": 1, "calls": 1, "keep": 1, "distinct": 1, "seconds": 1.0, "grace": 1.0}
        load = h2.Load(address=address, path=work.path, bodies=work.bodies[:1], **one)
        try:
            result = _client(work.wire).run(load)
        except h2.LoadError:
            return False
        if result.all_ok:
            _check(work, result.kept)
        else:
            time.sleep(BETWEEN_REFUSALS)
        return result.all_ok

    return probe


def _check(work: Work, kept: dict[int, bytes]) -> float:
    """The largest difference of the kept answers. Raises WrongAnswerError, MeasurementError without any."""
    checked = [
        work.wire.check(work.bodies[number % len(work.bodies)], answer, work.expected[number])
        for number, answer in kept.items()
    ]
    if not checked:
        raise MeasurementError("no answer was kept")
    largest = max(checked)
    if math.isnan(largest):
        raise WrongAnswerError("probabilities that are no numbers")
    return largest


def _client(wire: Wire) -> Any:
    """The load generator for the wire's transport, with the Load and Result of loadtest.h2.client."""
    if wire.transport == "grpc":
        return h2
    from loadtest.h1 import client as h1

    return h1
