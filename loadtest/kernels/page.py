"""The page docs/kernels-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.kernels import picture
from loadtest.kernels.reasons import LIMITS, LOST, NO_ALTERNATIVE
from loadtest.text import spread, table, wrapped

PICTURE = Path("images/kernels-performance.png")
HEADINGS = {
    "features": "Features",
    "forest": "Forests",
    "cache": "Prediction cache",
    "decode": "Decoding: from bytes to columns",
    "encode": "Encoding: from a prediction to bytes",
}

Figures = dict[str, Any]
Case = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    bars = [
        (case["kernel"], f"{case['name']}, {_rows(case)}", best(case)[0], ratios(case, best(case)[0]))
        for case in figures["cases"]
    ]
    picture.draw(bars, [share(figures, case) for case in figures["cases"]], image)
    sections = (_introduction, _bandwidth, _kernels, _memory, _lost, _conditions)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n", "utf-8")


def ours(case: Case) -> str:
    """The way that is the gateway's."""
    return next(iter(case["us"]))


def ratios(case: Case, way: str) -> list[float]:
    """The time of another way over that of ours, round by round: how many times as fast ours is."""
    return [there / here for here, there in zip(case["us"][ours(case)], case["us"][way], strict=True)]


def best(case: Case) -> tuple[str, float]:
    """The quickest way beside ours that does as much, and how many times as fast ours is."""
    found = {
        way: statistics.median(ratios(case, way)) for way in case["us"] if way not in (ours(case), *NO_ALTERNATIVE)
    }
    way = min(found, key=lambda name: found[name])
    return way, found[way]


def share(figures: Figures, case: Case) -> float:
    """Bytes of a call of ours over its time, as a share of what is copied from memory to memory."""
    moved = case["bytes"] / statistics.median(case["us"][ours(case)]) / 1e3
    return moved / statistics.median(figures["copy"]["gb_per_second"]["memory"])


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# Performance of kernels\n"
    yield wrapped(
        "The gateway's kernels, each beside other ways to do the same: in one process and one thread, in turn, on the",
        "same rows, which differ from call to call. Before anything is timed all ways are compared: one that gives",
        "something else, and there is no page. Times are processor time: medians of the rounds, in brackets the",
        "smallest and the largest.",
    )
    yield f"\nThis page is generated (`loadtest/kernels/page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _bandwidth(figures: Figures) -> Iterator[str]:
    copied, sizes = figures["copy"]["gb_per_second"], figures["copy"]["bytes"]
    yield "## How far from the machine's limit\n"
    yield wrapped(
        f"NumPy copies an array of {sizes['memory'] >> 20} MiB with one core at {spread(copied['memory'], '.1f')}",
        f"GB/s, one of {sizes['cache'] >> 10} KiB, which with its copy stays in the second-level cache, at",
        f"{spread(copied['cache'], '.1f')} GB/s; bytes read and bytes written both count. No kernel that has to read",
        "its rows and write its answers can be quicker than that. Beside it stands what each of ours moves at least,",
        "over the time that it takes.",
    )
    yield ""
    heads = (
        "kernel",
        "case",
        "rows a call",
        "us a call",
        "ns a row",
        "bytes a row",
        "GB/s",
        "of the copy",
        "best other",
    )
    lines = []
    for case in figures["cases"]:
        us = case["us"][ours(case)]
        middle = statistics.median(us)
        way, times = best(case)
        lines.append(
            (
                case["kernel"],
                case["name"],
                f"{case['rows']:,}",
                _us(us),
                f"{middle * 1e3 / case['rows']:,.0f}",
                f"{case['bytes'] / case['rows']:,.0f}",
                f"{case['bytes'] / middle / 1e3:.2f}",
                f"{share(figures, case):.1%}",
                f"{times:,.2f} x {way}",
            )
        )
    yield table(heads, lines, 2)
    yield "\n" + wrapped(
        "The last column: how many times as fast ours is as the best of the others that does as much; below 1 it is",
        "slower. What is counted as moved:",
    )
    yield ""
    for kernel, what in figures["counted"].items():
        yield wrapped(f"- {kernel}: {what}.")
    yield "\nWhat the limit is instead:\n"
    for kernel, what in LIMITS.items():
        yield wrapped(f"- {kernel}: {what}")
    yield f"\n![How many times as fast as the best other way; share of the copy bandwidth]({PICTURE.as_posix()})"


def _kernels(figures: Figures) -> Iterator[str]:
    yield "## Beside the others\n"
    yield wrapped("Microseconds a call; below them how many times that of ours.")
    for kernel in dict.fromkeys(case["kernel"] for case in figures["cases"]):
        cases = [case for case in figures["cases"] if case["kernel"] == kernel]
        ways = list(cases[0]["us"])
        yield f"\n### {HEADINGS[kernel]}\n"
        lines = [(case["name"], f"{case['rows']:,}", *(_cell(case, way) for way in ways)) for case in cases]
        yield table(("case", "rows", *ways), lines)


def _memory(figures: Figures) -> Iterator[str]:
    yield "## Memory of an entry of the cache\n"
    yield wrapped(
        f"Rows of {figures['row_bytes']} bytes, values of {figures['value_bytes']}. The gateway's table keeps a keyed",
        "hash of the row instead of the row (nobody reads a person's data out of it), in arrays whose size is bounded",
        "in bytes; the others keep the row itself as the key, and Python objects, as counted by `tracemalloc`.",
    )
    yield ""
    taken = figures["entry_bytes"]
    least = next(iter(taken.values()))
    lines = [(way, f"{size:,.0f}", f"{size / least:.1f}") for way, size in taken.items()]
    yield table(("way", "bytes an entry", "times ours"), lines)


def _lost(figures: Figures) -> Iterator[str]:
    yield "## Where ours is slower\n"
    found: dict[str, list[str]] = {}
    for case in figures["cases"]:
        for way in case["us"]:
            times = statistics.median(ratios(case, way))
            if way != ours(case) and way not in NO_ALTERNATIVE[:1] and times < 1:
                found.setdefault(case["kernel"], []).append(
                    f"{case['name']}, {_rows(case)}: {1 / times:.2f} times the time of {way}"
                )
    if not found:
        yield "Nowhere in this run."
    for kernel, cases in found.items():
        yield wrapped(f"- {kernel}: {'; '.join(cases)}. {LOST[kernel]}")


def _conditions(figures: Figures) -> Iterator[str]:
    machine, effort = figures["machine"], figures["effort"]
    versions = ", ".join(
        f"{name} {version}" for name, version in {**machine["versions"], **figures["versions"]}.items()
    )
    yield "## Conditions\n"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; load",
        f"average before the run {machine['load_average_before']}.",
    )
    yield wrapped(f"- Python {machine['python']}, {versions}; commit {machine['commit']}.")
    yield wrapped(
        f"- Thread pools of all libraries were set to one. {effort['rounds']} rounds; in each, every way had a turn of",
        f"{effort['seconds'] * 1e3:g} ms of processor time (two calls at least), after one call that does not count.",
        "Garbage collection was off.",
    )
    yield wrapped(
        "- Features: the two programs of [features-performance.md](features-performance.md), which says more of what",
        "is compared. Forests: trained by xgboost on 20 features, exported to ONNX as published models are; 100 trees",
        "give one margin, 300 the probabilities of three classes. xgboost predicts in place from the NumPy array, and",
        "from a DMatrix made in the call.",
    )
    yield wrapped(
        f"- Cache: {figures['entries']:,} entries, all full when new rows come, so that each makes another one leave",
        f"(the dict keeps all); known rows are {figures['known_rows']:,}. The gateway's table hashes the row",
        "(SipHash-2-4-128 under a secret key), holds a lock and looks at the time that is left, as `TTLCache` does;",
        "the others cut rows out of one copy of the matrix and join what they find.",
    )
    yield wrapped(
        "- Decoding and encoding: `loadtest/kernels/plainly.py` is what one writes in a service of one's own with the",
        "same protobuf classes; it checks nothing. It is given names of grades and warnings ready-made, the gateway",
        "makes them in its time; encoding by the gateway is decoding and encoding less decoding. 'protobuf alone' only",
        "parses the request, or serialises a response that is there.",
    )


def _cell(case: Case, way: str) -> str:
    text = _us(case["us"][way])
    return f"**{text}**" if way == ours(case) else f"{text}<br>x {_times(statistics.median(ratios(case, way)))}"


def _us(us: list[float]) -> str:
    middle = statistics.median(us)
    return spread(us, ",.0f" if middle >= 100 else ".1f" if middle >= 10 else ".2f")


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _rows(case: Case) -> str:
    return f"{case['rows']:,} row{'s' * (case['rows'] > 1)}"
