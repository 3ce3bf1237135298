"""One step of load: a rate, or a schedule, for some seconds after a warm-up, and whether the server held it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.h2.client import NOT_BEGUN, OK, UNANSWERED, Load, Result, run
from loadtest.measure import MeasurementError
from loadtest.rates import counters, log, schedule
from loadtest.rates.recorded import Recording
from loadtest.rates.schedule import Segment
from loadtest.servers import Server

REFUSED = 8
"""RESOURCE_EXHAUSTED: what a server that is full answers."""
ENOUGH = 0.98
"""The share of the asked rate that must be answered."""


BOUNDS = 10
"""A step must be so many times as long as its bound: a queue that grows has to have the time to break it."""


LEAST_CALLS = 20
"""A step has so many on average: a Poisson process of fewer may have none at all."""


def long_enough(seconds: float, p99_ms: float, rate: float) -> float:
    """The seconds of a step at `rate` calls a second, or more where the bound or the rate needs more."""
    return max(seconds, BOUNDS * p99_ms / 1e3, LEAST_CALLS / rate)


@dataclass(frozen=True)
class Target:
    """What is asked, and how: `http` of a gateway for its counters, empty where there are none."""

    address: str
    http: str
    recording: Recording
    p99_ms: float = 10.0
    """The bound that the step is held to."""
    poisson: bool = True
    connections: int = 1
    streams: int = 512
    """Calls open at a time on each connection, at most; what is due beyond them waits, and its waiting counts."""
    distinct: int = 1000
    vary: Callable[[int, bytes], bytes] | None = None
    log: Path | None = None
    server: Server | None = None
    """For its processor time."""


@dataclass(frozen=True)
class Step:
    """What a step showed; rates in calls a second, times in microseconds, all without the warm-up."""

    asked: float
    """Calls that were due, a second."""
    answered: float
    calls: int
    p50_us: float
    p99_us: float
    p999_us: float
    lag_p99_us: float
    """How late calls were begun: near the latencies, the generator or its streams were the limit."""
    refused: int
    left_open: int
    """Calls that were not begun, or not answered, in time."""
    server_cpu_us: float | None
    """Processor time of the server, a call."""
    why: str
    """Why the server did not hold the rate; empty when it did."""

    @property
    def held(self) -> bool:
        """Whether p99 stayed within the bound, everything was answered, and at the rate that was asked."""
        return not self.why

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def put(target: Target, segments: Sequence[Segment], warmup: float = 0.0, seed: int = 1) -> Step:
    """Put the load on, after `warmup` seconds at the first rate. Raises MeasurementError for what is not slowness."""
    return judge(target, ask(target, segments, warmup, seed), schedule.seconds(segments), warmup)


def ask(target: Target, segments: Sequence[Segment], warmup: float = 0.0, seed: int = 1) -> "Asked":
    """Put the load on. Raises MeasurementError when the server counted other calls, or answered what is an error."""
    warm = [Segment(segments[0].first, segments[0].first, warmup)] if warmup else []
    whole = [*warm, *segments]
    load = Load(
        address=target.address,
        path="",
        paths=target.recording.methods,
        bodies=target.recording.bodies,
        distinct=target.distinct,
        vary=target.vary,
        connections=target.connections,
        streams=target.streams,
        seconds=schedule.seconds(whole),
        due=schedule.due(whole, target.poisson, seed),
        overdue=max(0.5, target.p99_ms / 50),
        grace=5.0,
    )
    before = counters.answered(target.http) if target.http else None
    cpu = target.server.usage().cpu_seconds if target.server else 0.0
    result = run(load)
    cpu = target.server.usage().cpu_seconds - cpu if target.server else 0.0
    if before is not None:
        counters.check(target.http, before, result)
    if target.log:
        log.append(target.log, result)
    refuse_failures(result, target.recording.name)
    return Asked(result, cpu if target.server else None)


@dataclass(frozen=True)
class Asked:
    """A result, and the processor seconds that the server took for it; None where nobody knows."""

    result: Result
    cpu_seconds: float | None


def refuse_failures(result: Result, name: str) -> None:
    """Raises MeasurementError when a call failed by something else than the server being full or slow."""
    statuses = {status: calls for status, calls in result.statuses.items() if status not in (OK, REFUSED)}
    errors = {error: calls for error, calls in result.errors.items() if error not in (NOT_BEGUN, UNANSWERED)}
    if statuses or errors:
        raise MeasurementError(
            f"{name}: grpc-status counts {dict(result.statuses)}, without status {dict(result.errors)}; "
            f"expected only {OK}, or {REFUSED} from a server that is full"
        )


def judge(target: Target, asked: Asked, seconds: float, warmup: float) -> Step:
    """The figures of a run without its warm-up, and whether the server held the rate."""
    result = asked.result
    counted = result.due_ns >= warmup * 1e9
    took, codes = result.latencies_ns[counted], result.codes[counted]
    left = sum(result.errors.values())
    lags = result.lags_ns[np.count_nonzero(~counted) :]
    calls = int(np.count_nonzero(codes == OK))
    p50, p99, p999 = np.percentile(took, (50, 99, 99.9)) / 1e3 if took.size else (float("inf"),) * 3
    over = max(result.seconds - warmup - target.p99_ms / 1e3, seconds)
    step = Step(
        asked=(took.size + left) / seconds,
        answered=calls / over,
        calls=calls,
        p50_us=float(p50),
        p99_us=float(p99),
        p999_us=float(p999),
        lag_p99_us=float(np.percentile(lags, 99)) / 1e3 if lags.size else 0.0,
        refused=int(np.count_nonzero(codes == REFUSED)),
        left_open=left,
        server_cpu_us=None if asked.cpu_seconds is None else asked.cpu_seconds / max(result.latencies_ns.size, 1) * 1e6,
        why="",
    )
    return replace(step, why=_why(step, target.p99_ms))


def _why(step: Step, p99_ms: float) -> str:
    """What was broken, the plainest first."""
    if step.left_open:
        return f"{step.left_open} calls not answered in time"
    if step.refused:
        return f"{step.refused} calls refused"
    if step.p99_us > p99_ms * 1e3:
        late = f", begun {step.lag_p99_us / 1e3:.1f} ms late" if step.lag_p99_us > step.p99_us / 2 else ""
        return f"p99 {step.p99_us / 1e3:.1f} ms, above {p99_ms:g}{late}"
    if step.answered < ENOUGH * step.asked:
        return f"answered {step.answered:.0f} of {step.asked:.0f} calls/s"
    return ""
