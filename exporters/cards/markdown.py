"""Small pieces of Markdown that the card is made of."""

import math
from collections.abc import Iterable, Sequence

from exporters.quality.intervals import Interval


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a vertical bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list, one line each."""
    return "\n".join(f"- {line}" for line in lines)


def share(value: float) -> str:
    """Three digits, "-" for NaN."""
    return "-" if math.isnan(value) else f"{value:z.3f}"


def estimate(interval: Interval) -> str:
    """Value and bounds."""
    return f"{share(interval.value)} ({share(interval.low)} .. {share(interval.high)})"


def difference(interval: Interval) -> str:
    """Value and bounds, with signs."""
    value, low, high = ("-" if math.isnan(v) else f"{v:+z.3f}" for v in (interval.value, interval.low, interval.high))
    return f"{value} ({low} .. {high})"


def of_100(interval: Interval) -> str:
    """A share as cases of 100, with bounds."""
    value, low, high = (
        "-" if math.isnan(v) else f"{100 * v:.0f}" for v in (interval.value, interval.low, interval.high)
    )
    return f"{value} ({low} .. {high})"
