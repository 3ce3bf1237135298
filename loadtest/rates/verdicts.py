"""What a soak must show, held against its figures."""

from collections.abc import Iterable
from typing import Any

P99_RATIO = 1.2
"""What p99 of the last minute may be of that of the first."""
HIDDEN = 0.02
"""The share of memory that may have been added; an interval that leaves more open shows nothing by including 0."""

Figures = dict[str, Any]
Verdict = dict[str, Any]
"""`name`, `holds`, and the figures in words as `text`."""


def of(figures: Figures) -> list[Verdict]:
    """Every verdict, in the order of the page."""
    return [_errors(figures), _slope(figures), _seen(figures), _p99(figures)]


def lines(verdicts: Iterable[Verdict]) -> list[str]:
    """For people: PASS or FAIL, and the figures."""
    return [f"{'PASS' if verdict['holds'] else 'FAIL'}  {verdict['name']}: {verdict['text']}" for verdict in verdicts]


def _errors(figures: Figures) -> Verdict:
    failed = figures["calls"] - figures["statuses"].get("0", 0)
    found = "" if not failed else f" ({figures['statuses']}, without status {figures['errors']})"
    text = f"{failed:,} of {figures['calls']:,} calls failed{found}"
    return {"name": "no error", "holds": failed == 0 and figures["calls"] > 0, "text": text}


def _slope(figures: Figures) -> Verdict:
    slope = figures["slope"]
    text = (
        f"{slope['per_minute']:+.1f} KiB a minute, 95 % interval {slope['low']:+.1f} to {slope['high']:+.1f}, "
        f"of {figures['memory_kib'] / 1024:,.0f} MiB"
    )
    return {"name": "memory does not grow", "holds": slope["low"] <= 0 <= slope["high"], "text": text}


def _seen(figures: Figures) -> Verdict:
    slope, minutes = figures["slope"], figures["conditions"]["soak"] / 60
    hidden = max(slope["high"], 0.0) * minutes
    share = hidden / figures["memory_kib"]
    text = f"in {minutes:g} minutes it grew by at most {hidden:,.0f} KiB ({share:.2%}; 95 %), allowed are {HIDDEN:.0%}"
    return {"name": "any growth is small", "holds": share <= HIDDEN, "text": text}


def _p99(figures: Figures) -> Verdict:
    first, last = figures["p99_first_us"], figures["p99_last_us"]
    text = f"{last / 1e3:.2f} ms in the last minute, {first / 1e3:.2f} in the first: {last / first:.2f} times"
    return {"name": f"p99 within {P99_RATIO:g} times", "holds": last <= P99_RATIO * first, "text": text}
