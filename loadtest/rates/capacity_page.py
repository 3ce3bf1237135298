"""The page docs/capacity-performance.md, from the figures of one run and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.rates import capacity_picture
from loadtest.rates.step import ENOUGH
from loadtest.text import table, wrapped

TITLES = {"tensorflow_serving": "TF Serving Predict", "kserve_v2": "KServe v2 ModelInfer", "epm_v1": "epm.v1 Predict"}
PICTURE = Path("images/capacity-performance.png")

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    curves = {title(found): found["curve"] for found in figures["capacities"]}
    capacity_picture.draw(curves, figures["conditions"]["p99_ms"], image)
    sections = (_introduction, _table, _curves, _conditions, _reading)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n", "utf-8")


def title(found: Figures) -> str:
    """Protocol and size of one search."""
    rows = f", {found['rows']} row{'s' * (found['rows'] > 1)}" if found["rows"] else ""
    return TITLES.get(found["name"], found["name"]) + rows


def conditions(figures: Figures) -> Iterator[str]:
    """Where it was measured: lines of a list that every page of this folder has."""
    machine, about = figures["machine"], figures["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    pinned = "held to processor 1, load generator to processor 0" if about["pinned_server"] else "as it was found"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; client",
        f"and server on this one machine; the server: {pinned}; load average before {machine['load_average_before']}.",
    )
    yield wrapped(f"- Python {machine['python']}, {versions}; commit {machine['commit']}.")


def _introduction(figures: Figures) -> Iterator[str]:
    about = figures["conditions"]
    yield "# Capacity\n"
    yield wrapped(
        f"The highest rate of calls at which p99 stays within {about['p99_ms']:g} ms, of {about['target']}, and",
        f"latency against load. Calls are due {_arrivals(about)}, and a latency counts from when its call was due:",
        "what waits because the server is behind is part of it.",
    )
    yield f"\nThis page is generated (`loadtest/rates/capacity_page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _arrivals(about: Figures) -> str:
    return "as a Poisson process, as independent callers ask" if about["arrivals"] == "poisson" else "evenly spaced"


def _table(figures: Figures) -> Iterator[str]:
    heads = ("calls", "capacity, calls/s", "rows/s", "p50 ms", "p99 ms", "p99.9 ms", "CPU us a call")
    yield table(heads, (_row(found) for found in figures["capacities"]))
    yield f"\n![p50, p99 and p99.9 against load, by kind of call]({PICTURE.as_posix()})"


def _row(found: Figures) -> list[str]:
    at = found["confirmed"]
    rows = f"{found['capacity'] * found['rows']:,.0f}" if found["rows"] else "mixed"
    cpu = "unknown" if at["server_cpu_us"] is None else f"{at['server_cpu_us']:,.0f}"
    times = [f"{at[name] / 1e3:.2f}" for name in ("p50_us", "p99_us", "p999_us")]
    return [title(found), f"{'at least ' * found['limited']}{found['capacity']:,.0f}", rows, *times, cpu]


def _curves(figures: Figures) -> Iterator[str]:
    yield "## Latency against load\n"
    heads = ("calls", "of capacity", "due/s", "answered/s", "p50 ms", "p99 ms", "p99.9 ms", "begun late, p99 ms")
    rows = [
        [
            title(found),
            f"{at['share']:.0%}",
            f"{at['asked']:,.0f}",
            f"{at['answered']:,.0f}",
            *(f"{at[name] / 1e3:.2f}" for name in ("p50_us", "p99_us", "p999_us", "lag_p99_us")),
        ]
        for found in figures["capacities"]
        for at in found["curve"]
    ]
    yield table(heads, rows)
    broken = [
        f"{title(found)} at {at['share']:.0%}: {at['why']}"
        for found in figures["capacities"]
        for at in found["curve"]
        if at["why"]
    ]
    if broken:
        yield "\n" + wrapped("Not held: " + "; ".join(broken) + ".")


def _conditions(figures: Figures) -> Iterator[str]:
    about = figures["conditions"]
    yield "## Conditions\n"
    yield from conditions(figures)
    sizes = ", ".join(
        f"{title(found)} {found['body_bytes']:,} bytes ({found['distinct_bodies']:,} distinct)"
        for found in figures["capacities"]
    )
    yield wrapped(f"- Bodies, on average: {sizes}.")
    yield wrapped(
        f"- {about['connections']} connection(s) with at most {about['streams']} calls open on each; a step is",
        f"at least {about['seconds']:g} s long, after {about['warmup']:g} s at the same rate that are not counted.",
    )
    told = (
        "after every step what the client counted was what the gateway's own counters had grown by, status by status"
        if about["counters"]
        else "the server's own counters were not read (no `--http`)"
    )
    yield wrapped(f"- The grpc-status of every call was checked, and {told}: otherwise there would be no page.")


def _reading(figures: Figures) -> Iterator[str]:
    about = figures["conditions"]
    repeated = sum(len(found["trials"]) for found in figures["capacities"])
    yield "## How to read it\n"
    yield wrapped(
        "A rate is held when every call was answered with OK, p99 is within the bound, and at least",
        f"{ENOUGH:.0%} of the rate was reached. The search doubles the rate until it is not held, halves the gap to",
        f"{about['precision']:.0%}, and confirms with a run {about['confirmation']:g} times as long; where that one",
        f"fails the rate is lowered by {about['precision']:.0%}, by more each time, and tried again. While searching,",
        "a step that fails is tried once more, since one moment in which the machine did something else breaks p99 at",
        f"any rate: {repeated} steps in all.",
    )
    yield "\n" + wrapped(
        "Rates travel to no other machine; the shape of the curve does: how much of its capacity a server can be given",
        "before calls begin to wait for each other. Above 100 % latency only says how long it was asked.",
        '"Begun late" is the generator\'s own delay, and the waiting for one of its open calls to end where all are',
        "taken: where it comes near the latencies, it was the limit.",
    )
