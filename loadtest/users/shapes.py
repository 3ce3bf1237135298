"""How many users there are, second by second. Every shape ends by itself."""

from collections.abc import Callable
from dataclasses import dataclass

LONGEST, MOST_USERS, MOST_STEPS = 86_400, 2_000, 100


@dataclass(frozen=True)
class Plan:
    """seconds: of the whole. peak: most users, floor: fewest. steps: of `step`. Raises ValueError out of bounds."""

    seconds: float = 60.0
    peak: int = 40
    floor: int = 4
    steps: int = 5

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("seconds", self.seconds, 1, LONGEST),
            ("peak", self.peak, 1, MOST_USERS),
            ("floor", self.floor, 1, self.peak),
            ("steps", self.steps, 2, MOST_STEPS),
        ):
            if not low <= value <= high:
                raise ValueError(f"--{name}: got {value:g}, expected {low:g} to {high:g}")


def constant(plan: Plan, share: float) -> float:
    """The peak all the time."""
    return plan.peak


def ramp(plan: Plan, share: float) -> float:
    """Evenly from the floor to the peak in four fifths of the time, then the peak."""
    return plan.floor + (plan.peak - plan.floor) * min(share / 0.8, 1.0)


def spike(plan: Plan, share: float) -> float:
    """The floor, the peak all at once in the middle fifth, the floor again: does it recover?"""
    return plan.peak if 0.4 <= share < 0.6 else plan.floor


def soak(plan: Plan, share: float) -> float:
    """Up in a twentieth of the time, then seven tenths of the peak to the end: for hours."""
    level = max(0.7 * plan.peak, plan.floor)
    return plan.floor + (level - plan.floor) * min(share / 0.05, 1.0)


def step(plan: Plan, share: float) -> float:
    """From the floor to the peak in equal stairs of equal length: which one is too high?"""
    return plan.floor + (plan.peak - plan.floor) * int(share * plan.steps) / (plan.steps - 1)


Shape = Callable[[Plan, float], float]
"""(plan, share of the time that is over, 0 to below 1) -> users."""

SHAPES: dict[str, Shape] = {shape.__name__: shape for shape in (constant, ramp, spike, soak, step)}


def users_at(shape: str, plan: Plan, second: float) -> int | None:
    """Users `second` seconds after the start; None when it is over. Raises KeyError for a shape there is not."""
    if second >= plan.seconds:
        return None
    return round(SHAPES[shape](plan, second / plan.seconds))
