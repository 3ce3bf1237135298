"""Options that `python -m loadtest.users` and locust itself have in common, and what is made from them."""

import argparse
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from loadtest.users.shapes import SHAPES, Plan
from loadtest.users.thresholds import Thresholds

PLAN, LIMITS = Plan(), Thresholds()


def add_common(add: Callable[..., Any], shape: str | None) -> None:
    """With `add_argument` of a parser. shape: the default; None is locust's own constant users.

    The values are plain: locust's master sends them to its workers.
    """
    _add_plan(add, shape)
    _add_thresholds(add)
    add("--model-repo", default="model_repo", metavar="FOLDER", help="whose contracts the rows are drawn from")


def _add_plan(add: Callable[..., Any], shape: str | None) -> None:
    add(
        "--shape",
        choices=tuple(SHAPES),
        default=shape,
        help=f"users over time (default {shape or 'locust: -u and -t'})",
    )
    add("--seconds", type=float, default=PLAN.seconds, help="of the shape (default %(default)g)")
    add("--peak", type=int, default=PLAN.peak, help="most users (default %(default)s)")
    add("--floor", type=int, help=f"fewest users, in ramp, spike, soak and step (default {PLAN.floor})")
    add("--steps", type=int, default=PLAN.steps, help="stairs of the shape step (default %(default)s)")


def _add_thresholds(add: Callable[..., Any]) -> None:
    relative = " the echo's of the same kind may be (default %(default)g)"
    add("--p50-times", type=_bound, default=LIMITS.p50_times, help="how many times p50 of" + relative)
    add("--p99-times", type=_bound, default=LIMITS.p99_times, help="how many times p99 of" + relative)
    for percentile in ("p50", "p95", "p99"):
        add(f"--{percentile}-ms", type=_bound, help=f"largest {percentile} in milliseconds, whatever the echo's is")
    add("--failures", type=_share, default=LIMITS.failures, help="share of calls that may fail (default %(default)g)")
    add(
        "--calls",
        type=_share,
        default=LIMITS.calls,
        help="smallest share of the calls that as many users make of the echo (default %(default)g)",
    )


def plan_of(options: argparse.Namespace) -> Plan:
    """Raises ValueError, naming the option."""
    floor = min(PLAN.floor, options.peak) if options.floor is None else options.floor
    return Plan(options.seconds, options.peak, floor, options.steps)


def thresholds_of(options: argparse.Namespace) -> Thresholds:
    """As given."""
    return Thresholds(**{knob.name: getattr(options, knob.name) for knob in fields(Thresholds)})


def thresholds_as_arguments(thresholds: Thresholds) -> list[str]:
    """The options that give these thresholds again."""
    given = {knob.name: getattr(thresholds, knob.name) for knob in fields(Thresholds)}
    return [f"--{name.replace('_', '-')}={value:g}" for name, value in given.items() if value is not None]


def _bound(text: str) -> float:
    """Above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text}, expected a number above 0")
    return value


def _share(text: str) -> float:
    """0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected 0 to 1")
    return value
