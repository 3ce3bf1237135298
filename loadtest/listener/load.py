"""One run of the compiled load generator on one side, checked call by call: a wrong answer is no figure."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from loadtest.bench.load import Work
from loadtest.listener.generator import Answers, Load, run
from loadtest.listener.sides import Side
from loadtest.measure import KEEP, MeasurementError

CONNECTIONS, STREAMS = 8, 4
"""Of a closed loop: 32 calls are open all the time."""
RATE_STREAMS = 100
FULL = 8
"""RESOURCE_EXHAUSTED."""


@dataclass(frozen=True)
class Figures:
    """What one run showed; times in microseconds; cpu: of the server's whole process tree."""

    calls: int
    calls_per_second: float
    rows_per_second: float
    cpu_us_per_call: float
    cpu_us_per_row: float
    cpu_share: float
    client_cpu_share: float
    p50_us: float
    p99_us: float
    p999_us: float
    late_us: float
    """With a rate: how late the generator began a call at most."""
    undisturbed_p99_us: float
    """With a rate: of calls while which the generator itself never stood still."""
    stood_share: float
    """With a rate: of the time, how much it did."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def put_load(
    side: Side,
    work: Work,
    seconds: float,
    rate: float | None = None,
    connections: int = CONNECTIONS,
    streams: int = STREAMS,
    messages: int = 0,
) -> Figures:
    """Run once: a closed loop, or `rate` calls a second, of which some may be refused: then fewer were reached.

    messages: unanswered ones of each stream of a stream method. Raises MeasurementError, WrongAnswerError, LoadError.
    """
    load = Load(
        address=side.address,
        path=work.path,
        bodies=work.bodies,
        connections=connections,
        streams=streams if rate is None else RATE_STREAMS,
        messages=messages,
        seconds=seconds,
        rate=rate,
        keep=KEEP,
        distinct=work.distinct,
    )
    before = side.tree.cpu_seconds()
    result = run(load)
    cpu = side.tree.cpu_seconds() - before
    if not result.all_ok and (rate is None or set(result.statuses) - {0, FULL}):
        raise MeasurementError(f"{side.name}: {dict(result.said)}, without status {dict(result.errors)}")
    for number, answer in result.kept.items():
        work.wire.check(work.bodies[number % len(work.bodies)], answer, work.expected[number % len(work.expected)])
    if not result.kept:
        raise MeasurementError(f"{side.name}: no answer was kept")
    return figures(result, cpu, work.rows)


def figures(result: Answers, cpu: float, rows: int) -> Figures:
    """Of a run in which all was answered OK."""
    calls = result.statuses[0] or 1
    return Figures(
        calls=calls,
        calls_per_second=result.rate,
        rows_per_second=result.rate * rows,
        cpu_us_per_call=cpu / calls * 1e6,
        cpu_us_per_row=cpu / calls / rows * 1e6,
        cpu_share=cpu / result.seconds,
        client_cpu_share=result.cpu_seconds / result.seconds,
        p50_us=result.percentile_us(50),
        p99_us=result.percentile_us(99),
        p999_us=result.percentile_us(99.9),
        late_us=result.late_ns / 1e3,
        undisturbed_p99_us=float(np.percentile(result.undisturbed_ns, 99)) / 1e3 if result.undisturbed_ns.size else 0.0,
        stood_share=result.stood_ns / 1e9 / result.seconds,
    )
