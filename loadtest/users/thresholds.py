"""What a run must keep to, and in plain sentences what it did not."""

from collections.abc import Iterator
from dataclasses import dataclass

from loadtest.users.figures import KindFigures, RunFigures, ms

ENOUGH_FOR_P99 = 100
"""Calls of one kind below which the slowest of them says nothing about the rest; their p50 is judged all the same."""


@dataclass(frozen=True)
class Thresholds:
    """Relative ones, multiples of the echo under the same users; and absolute ones in milliseconds, which replace them.

    failures: largest share of calls of one kind that may fail. calls: smallest share of the calls that the echo's users
    made in as many seconds of a user.
    """

    p50_times: float = 15.0
    p99_times: float = 30.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    failures: float = 0.0
    calls: float = 0.5


def judge(run: RunFigures, echo: RunFigures | None, thresholds: Thresholds) -> list[str]:
    """A sentence for each threshold that was not kept: which kind, what came, what was allowed and why."""
    broken = [f"the users themselves are defect: {defect}" for defect in run.defects]
    if not any(figures.calls for figures in run.kinds.values()):
        return [*broken, "no call was answered at all, expected at least one"]
    for name, figures in run.kinds.items():
        broken += (f"{name}: {sentence}" for sentence in _latencies(figures, echo and echo.kinds.get(name), thresholds))
        broken += (f"{name}: {sentence}" for sentence in _failures(figures, thresholds))
    if echo is not None:
        broken += _calls(run, echo, thresholds)
    return broken


def _latencies(figures: KindFigures, echo: KindFigures | None, thresholds: Thresholds) -> Iterator[str]:
    for percentile in ("p50", "p95", "p99"):
        came, absolute = getattr(figures, f"{percentile}_ms"), getattr(thresholds, f"{percentile}_ms")
        if absolute is not None:
            allowed, why = absolute, f"--{percentile}-ms"
        elif echo is not None and comparable(percentile, figures, echo):
            times, base = getattr(thresholds, f"{percentile}_times"), getattr(echo, f"{percentile}_ms")
            allowed, why = times * base, f"{times:g} times the {ms(base)} of a bare echo under the same users"
        else:
            continue
        if came > allowed:
            yield f"{percentile} was {ms(came)}, allowed are {ms(allowed)} ({why})"


def comparable(percentile: str, figures: KindFigures, echo: KindFigures) -> bool:
    """Whether a percentile is held to the echo's: p50 where there is one, p99 where there are calls enough."""
    return min(figures.calls, echo.calls) >= {"p50": 1, "p99": ENOUGH_FOR_P99}.get(percentile, float("inf"))


def _failures(figures: KindFigures, thresholds: Thresholds) -> Iterator[str]:
    if figures.failed > thresholds.failures * figures.calls:
        yield (
            f"{figures.failed:,} of {figures.calls:,} calls failed ({named(figures)}), "
            f"allowed are {thresholds.failures * 100:g} % (--failures)"
        )


def _calls(run: RunFigures, echo: RunFigures, thresholds: Thresholds) -> Iterator[str]:
    """Rates of users, not of the clock: a run with fewer of them, as in a ramp, is expected to make fewer calls."""
    if not echo.user_seconds:
        return
    for name, figures in echo.kinds.items():
        expected = figures.calls / echo.user_seconds * run.user_seconds
        calls = run.kinds[name].calls if name in run.kinds else 0
        if calls < int(thresholds.calls * expected):
            yield (
                f"{name}: {calls:,} calls came back, expected are at least {int(thresholds.calls * expected):,} "
                f"({thresholds.calls:g} of what as many users made of a bare echo in that time)"
            )


def named(figures: KindFigures) -> str:
    """Failures by name, the most frequent first."""
    counted = sorted(figures.failures.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {name}" for name, count in counted) or "-"
