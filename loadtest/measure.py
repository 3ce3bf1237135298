"""One measured run of one server under one load, checked call by call: with one wrong answer it is no measurement."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from loadtest.answers import Probabilities, probabilities
from loadtest.bodies import Protocol
from loadtest.h2.client import Load, Result, run
from loadtest.servers import Server

KEEP = 20
"""Answers of each run that are looked into."""


class MeasurementError(Exception):
    """Something was answered that is not what was asked: the figures mean nothing."""


@dataclass(frozen=True)
class Work:
    """What both servers are asked: distinct bodies of `rows` rows each in `protocol`."""

    protocol: Protocol
    rows: int
    bodies: Sequence[bytes]


@dataclass(frozen=True)
class Effort:
    """How hard and how long: seconds of a run, calls open at a time on each connection, connections."""

    seconds: float
    streams: int
    connections: int = 1


@dataclass(frozen=True)
class Figures:
    """What one run showed; times in microseconds."""

    calls: int
    calls_per_second: float
    rows_per_second: float
    p50_us: float
    p99_us: float
    server_cpu_us_per_call: float
    server_cpu_share: float
    client_cpu_us_per_call: float
    client_cpu_share: float
    server_rss_mib: float
    header_table_honoured: bool
    handler_us_per_call: float | None
    """In the server's handler, by its own metrics; None for a server without them."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def put_load(server: Server, work: Work, effort: Effort) -> tuple[Figures, Result]:
    """Run once. Raises MeasurementError unless every call was answered with grpc-status 0."""
    load = Load(
        address=server.address,
        path=work.protocol.path,
        bodies=work.bodies,
        streams=effort.streams,
        connections=effort.connections,
        seconds=effort.seconds,
        keep=KEEP,
    )
    handled, before = server.handled(), server.usage()
    result = run(load)
    after, handled_after = server.usage(), server.handled()
    if not result.all_ok:
        raise MeasurementError(
            f"{work.protocol.name}, {work.rows} rows: grpc-status counts {dict(result.statuses)}, "
            f"without status {dict(result.errors)}"
        )
    calls, cpu = result.statuses[0], after.cpu_seconds - before.cpu_seconds
    figures = Figures(
        calls=calls,
        calls_per_second=result.rate,
        rows_per_second=result.rate * work.rows,
        p50_us=result.percentile_us(50),
        p99_us=result.percentile_us(99),
        server_cpu_us_per_call=cpu / calls * 1e6,
        server_cpu_share=cpu / result.seconds,
        client_cpu_us_per_call=result.cpu_seconds / calls * 1e6,
        client_cpu_share=result.cpu_seconds / result.seconds,
        server_rss_mib=after.rss_mib,
        header_table_honoured=result.stateless,
        handler_us_per_call=_mean_us(handled, handled_after),
    )
    return figures, result


def _mean_us(before: tuple[float, int] | None, after: tuple[float, int] | None) -> float | None:
    """Microseconds a call between two readings of (seconds, calls)."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1]) * 1e6


def check_gateway(work: Work, result: Result) -> Probabilities:
    """The kept answers as probabilities float32[answers * rows, C]. Raises WrongAnswerError, MeasurementError."""
    if not result.kept:
        raise MeasurementError("no answer was kept")
    found = [probabilities(work.protocol.name, result.kept[number], work.rows) for number in sorted(result.kept)]
    return np.concatenate(found)


def check_echo(work: Work, result: Result) -> None:
    """The kept answers are what was sent. Raises MeasurementError."""
    wrong = [number for number, body in result.kept.items() if body != work.bodies[number % len(work.bodies)]]
    if wrong or not result.kept:
        raise MeasurementError(f"the echo gave back something else in calls {wrong}")
