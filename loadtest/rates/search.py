"""The highest rate that a server holds: rise until it does not, halve the gap, confirm with a longer run.

A step that fails is tried once more, since one moment in which the machine did something else breaks p99 at any rate;
what then holds must hold again in the longer run, which is tried once only before the rate is lowered, by more each
time.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from loadtest.measure import MeasurementError
from loadtest.rates.step import Step

Measure = Callable[[float, str], Step]
"""(calls a second, phase) -> what a step at that rate showed. Phase: "rise", "halve" or "confirm"."""


@dataclass
class Found:
    """The capacity in calls a second, the step that confirmed it, and every step on the way."""

    rate: float = 0.0
    confirmed: Step | None = None
    trials: list[dict[str, Any]] = field(default_factory=list)
    limited: bool = False
    """Whether the highest rate that may be asked was held: the capacity is that or more."""


def highest(
    measure: Measure, low: float, precision: float = 0.03, most: float = 50_000.0, confirmations: int = 6
) -> Found:
    """The highest rate whose steps hold, to `precision`. Raises MeasurementError when no rate was held or confirmed.

    low: calls a second to begin with. most: is never exceeded.
    """
    found = Found()
    good, bad = _rise(measure, found, low, most)
    while bad is not None and bad / good > 1 + precision:
        middle = sqrt(good * bad)
        good, bad = (middle, bad) if _holds(measure, found, middle, "halve") else (good, middle)
    for number in range(1, confirmations + 1):
        step = _try(measure, found, good, "confirm")
        if step.held:
            found.rate, found.confirmed, found.limited = good, step, good >= most
            return found
        good /= 1 + precision * number
    why = f"the last at {found.trials[-1]['rate']:.3g} calls/s: {found.trials[-1]['why']}"
    raise MeasurementError(f"no rate was confirmed in {confirmations} longer runs, {why}")


def _rise(measure: Measure, found: Found, low: float, most: float) -> tuple[float, float | None]:
    """(a rate that holds, a higher one that does not; None when `most` holds)."""
    rate, bad = min(low, most), None
    while not _holds(measure, found, rate, "rise"):
        bad, rate = rate, rate / 2
        if rate < low / 64:
            raise MeasurementError(f"not even {bad:.3g} calls/s were held: {found.trials[-1]['why']}")
    while bad is None:
        if rate >= most:
            return rate, None
        higher = min(2 * rate, most)
        if _holds(measure, found, higher, "rise"):
            rate = higher
        else:
            bad = higher
    return rate, bad


def _holds(measure: Measure, found: Found, rate: float, phase: str) -> bool:
    """Whether the rate held, in the first or in the second try."""
    return _try(measure, found, rate, phase).held or _try(measure, found, rate, phase).held


def _try(measure: Measure, found: Found, rate: float, phase: str) -> Step:
    step = measure(rate, phase)
    found.trials.append({"phase": phase, "rate": rate, **step.as_dict()})
    print(
        f"  {phase} {rate:.0f}/s: p50 {step.p50_us / 1e3:.2f} ms, p99 {step.p99_us / 1e3:.2f} ms {step.why}".rstrip(),
        file=sys.stderr,
    )
    return step
