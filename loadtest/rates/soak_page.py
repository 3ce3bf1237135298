"""The page docs/soak-performance.md, from the figures of one run and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.rates import capacity_page, soak_picture
from loadtest.text import table, wrapped

PICTURE = Path("images/soak-performance.png")

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    soak_picture.draw(figures, image)
    sections = (_introduction, _verdicts, _minutes, _conditions, _reading)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n", "utf-8")


def _introduction(figures: Figures) -> Iterator[str]:
    about = figures["conditions"]
    yield "# Soak\n"
    yield wrapped(
        f"{_time(about['soak'])} of mixed load at {about['rate']:,.0f} calls/s, {about['share']:.0%} of the capacity",
        f"of this very mix ({about['capacity']:,.0f} calls/s with p99 within {about['p99_ms']:g} ms, searched for at",
        "the start on the same gateway): the three protocols, raw columns and ready tensors,",
        f"{' and '.join(map(str, about['rows']))} rows, {' and '.join(about['models'])}. One gateway, `epm serve` with",
        "its default settings; calls are due as a Poisson process and a latency counts from when its call was due.",
    )
    yield f"\nThis page is generated (`loadtest/rates/soak_page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _verdicts(figures: Figures) -> Iterator[str]:
    rows = [
        ("PASS" if verdict["holds"] else "**FAIL**", verdict["name"], verdict["text"])
        for verdict in figures["verdicts"]
    ]
    yield table(("verdict", "of what", "figures"), rows, texts=3)
    yield f"\n![Resident memory with its slope, and p50 and p99, over time]({PICTURE.as_posix()})"


def _minutes(figures: Figures) -> Iterator[str]:
    about, slope = figures["conditions"], figures["slope"]
    statuses = ", ".join(f"{calls:,} with grpc-status {status}" for status, calls in figures["statuses"].items())
    yield wrapped(
        f"{figures['calls']:,} calls: {statuses or 'none answered'}, {sum(figures['errors'].values()):,} without one;",
        f"{figures['answered_per_second']:,.0f} calls/s were answered, and the server used",
        f"{figures['server_cpu_share']:.0%} of its processor.",
        "" if figures["errors"] else "The gateway's own counters grew by the same numbers.",
    )
    first, last = (
        [kib for when, kib in figures["memory"] if low <= when <= high]
        for low, high in (
            (about["warmup"], about["warmup"] + about["minute"]),
            (about["warmup"] + about["soak"] - about["minute"], about["warmup"] + about["soak"]),
        )
    )
    yield "\n" + wrapped(
        f"Resident memory was {_mean_mib(first):,.1f} MiB in the first minute that was counted and",
        f"{_mean_mib(last):,.1f} MiB in the last. The slope is a least-squares line through means of",
        f"{about['block']:g} s ({slope['blocks']} of them). Neighbouring means resembled each other",
        f"(correlation {slope['correlation']:.2f} without the line), so they count as {slope['worth']:.1f} independent",
        f"ones in the interval. The load generator's own memory changed by {figures['client_grew_kib']:+,.0f} KiB.",
    )


def _conditions(figures: Figures) -> Iterator[str]:
    about = figures["conditions"]
    yield "## Conditions\n"
    yield from capacity_page.conditions(figures)
    yield wrapped(
        f"- {about['distinct_bodies']:,} distinct bodies in random order, {about['body_bytes']:,} bytes on average;",
        f"{about['new_share']:.0%} of the calls have a row that was never sent before, so what is kept of predictions",
        "goes on changing.",
    )
    yield wrapped(
        f"- Kept predictions: `{about['cache']}`, the default; a soak runs what production runs. "
        + " ".join(_kept(figures))
    )
    yield wrapped(
        f"- Before anything was measured, {about['filled']:,} rows were sent that nobody had sent before: a page of a",
        "table of kept predictions is resident only when something was kept there, and a gateway that has just started",
        "grows up to the size of its tables.",
    )
    yield wrapped(
        f"- {_time(about['warmup'])} of warm-up at the same rate that is not counted; memory every",
        f"{about['sample']:g} s, percentiles every {about['window']:g} s.",
    )


def _kept(figures: Figures) -> Iterator[str]:
    """What became of the predictions that were kept, by model."""
    before, after = figures["kept_before"], figures["kept_after"]
    for name, value in after.items():
        if name.startswith("epm_cache_entries"):
            model = name.partition('model="')[2].partition('"')[0]
            yield f"Of {model}: {before.get(name, 0):,.0f} when the soak began and {value:,.0f} when it ended."


def _reading(figures: Figures) -> Iterator[str]:
    about = figures["conditions"]
    yield "## How to read it\n"
    yield wrapped(
        "Memory is what /proc says is resident: it has the interpreter, compiled kernels, models and the table of kept",
        "predictions in it, whose size is bounded and which is resident where it was written to. An interval that",
        "includes 0 shows only as much as it is narrow, so the most it leaves open is a verdict of its own. The first",
        f"minute is the one after {_time(about['warmup'])} of warm-up; p99 is to a hundredth, of histograms.",
    )


def _mean_mib(kib: list[float]) -> float:
    return sum(kib) / max(len(kib), 1) / 1024


def _time(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:g} s"
    return f"{minutes:g} minute{'s' * (minutes != 1)}"
