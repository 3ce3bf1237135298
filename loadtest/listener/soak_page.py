"""The page docs/listener-soak.md, from the figures of one run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.text import table, wrapped

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page."""
    page.write_text("\n\n".join(_sections(figures)) + "\n", "utf-8")


def _sections(figures: Figures) -> Iterator[str]:
    machine, known, well = figures["machine"], figures["conditions"], figures["well"]
    yield "# The compiled listener among clients that misbehave"
    yield f"This page is generated (`loadtest/listener/soak_page.py`). On {figures['when']} it was made by"
    yield f"    {figures['command']}"
    yield wrapped(
        f"{known['rude']} clients open connections, cut them, pause, reset streams and talk nonsense at random for",
        f"{known['seconds']:,.0f} s, beside well-behaved ones that ask {known['rate']:,.0f} calls a second in all",
        f"three protocols and connect anew every few seconds: {well.get('answered', 0):,} of their",
        f"{well.get('calls', 0):,} calls were answered OK"
        + "".join(f", {n:,} with `{said}`" for said, n in figures["said"].items())
        + ".",
    )
    yield table(
        ("verdict", "holds"), [(one["says"], "yes" if one["holds"] else "**no**") for one in figures["verdicts"]], 2
    )
    yield "## What the others did"
    acts = sorted(figures["acts"].items(), key=lambda item: -item[1])
    yield table(("act", "times"), [(name.replace("_", " "), f"{count:,}") for name, count in acts])
    if figures["counters"] is not None:
        yield "## What the listener counted"
        yield table(("counter", "of", "count"), list(_counted(figures["counters"])), 2)
    filled = figures["filled"]
    yield wrapped(
        "At the end all streams that a loop has room for were opened, half of each body sent, and everybody was gone:",
        f"{filled['message_bytes'] / (1 << 20):,.1f} MiB were kept of it, and {filled['answered']} of",
        f"{filled['calls']} calls of 100 rows were answered then.",
    )
    first, last = figures["samples"][0], figures["samples"][-1]
    yield wrapped(
        f"Resident memory {first[1] / 1024:,.1f} MiB before and {last[1] / 1024:,.1f} MiB after; descriptors",
        f"{first[2]} and {last[2]}.",
        *_slope(figures["memory_slope"], "Memory, without the warm-up", "KiB"),
        *_slope(figures["descriptors_slope"], "Descriptors", "of them"),
    )
    yield wrapped(f"{machine['cpu']}, {machine['cores']} cores; listener {known['listener']}.")


def _slope(found: Figures | None, what: str, unit: str) -> Iterator[str]:
    if found is not None:
        per, low, high = found["per_minute"], found["low"], found["high"]
        yield f"{what}: {per:+.1f} {unit} a minute (95 %: {low:+.1f} to {high:+.1f})."


def _counted(told: Figures) -> Iterator[tuple[str, str, str]]:
    for name, value in told.items():
        if isinstance(value, dict):
            for label, count in value.items():
                yield name, label, f"{count:,.0f}"
        else:
            yield name.replace("_", " "), "", f"{value:,.0f}"
