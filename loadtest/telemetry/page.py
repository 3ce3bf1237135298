"""The page docs/telemetry-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.text import spread, table, wrapped

TITLES = {"tensorflow_serving": "TF Serving Predict", "kserve_v2": "KServe v2 ModelInfer", "epm_v1": "epm.v1 Predict"}
RESAMPLES = 10_000
BOUND = 0.97
"""What the gateway is asked to keep of its throughput."""

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page."""
    page.write_text("\n\n".join(_sections(figures)) + "\n", "utf-8")


def shares(figures: Figures, protocol: str, rows: int) -> list[float]:
    """Calls/s with metrics over calls/s without, round by round."""
    return [on / off for on, off in zip(*(_of(figures, state, protocol, rows) for state in ("on", "off")), strict=True)]


def interval(ratios: list[float]) -> tuple[float, float]:
    """Of the median: 95 %, by resampling rounds (percentile bootstrap)."""
    drawn = np.random.default_rng(0).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), (2.5, 97.5))
    return float(low), float(high)


def _of(figures: Figures, state: str, protocol: str, rows: int, what: str = "calls_per_second") -> list[float]:
    wanted = {"metrics": state, "protocol": protocol, "rows": rows}
    found = [run for run in figures["rounds"] if wanted.items() <= run.items()]
    return [run[what] for run in sorted(found, key=lambda run: run["round"])]


def _cases(figures: Figures) -> list[tuple[str, int]]:
    return list(dict.fromkeys((run["protocol"], run["rows"]) for run in figures["rounds"]))


def _sections(figures: Figures) -> Iterator[str]:
    conditions, machine = figures["conditions"], figures["machine"]
    rounds, seconds = conditions["rounds"], conditions["seconds"]
    yield "# What metrics cost"
    yield wrapped(
        "Two gateways, one with `EPM_METRICS=off`, take turns under the same load. The other counts each call by",
        "protocol, method, model, version and status, times it as a whole and by stage, counts the states of its",
        f"inputs and what its backend did, and is scraped once in each of its runs of {seconds:g} s. Every round has",
        "two new processes: two that do the same differ by several per cent, by where their parts happen to lie in",
        "memory.",
    )
    yield f"This page is generated (`loadtest/telemetry/page.py`). On {figures['when']} it was made by"
    yield f"    {figures['command']}"
    everything = [one for case in _cases(figures) for one in shares(figures, *case)]
    kept, (low, high) = statistics.median(everything), interval(everything)
    yield wrapped(
        f"**Of its throughput the gateway keeps {kept:.3f} with all metrics on** ({low:.3f} to {high:.3f}: 95 %",
        f"interval of the median of all rounds); asked for is {BOUND}.",
    )
    heads = ("call", "rows", "on, calls/s", "off, calls/s", "share kept", "95 %", "CPU us a call, on", "off")
    yield table(heads, [_row(figures, *case) for case in _cases(figures)])
    pinned = "gateways held to processor 1, all else to 0" if conditions["pinned"] else "nothing pinned"
    yield "## Conditions"
    yield "\n".join(
        (
            wrapped(f"- {machine['cpu']}, {machine['cores']} cores; {pinned}; Python {machine['python']}."),
            wrapped(
                f"- {conditions['model']}; {conditions['distinct_bodies']:,} distinct bodies, {conditions['streams']}",
                f"calls open, {rounds} rounds of {seconds:g} s each, either gateway first in every other",
                "round. Every call was answered OK, answers were decoded.",
            ),
        )
    )


def _row(figures: Figures, protocol: str, rows: int) -> tuple[str, ...]:
    ratios = shares(figures, protocol, rows)
    low, high = interval(ratios)
    rates = [spread(_of(figures, state, protocol, rows), ",.0f") for state in ("on", "off")]
    times = [
        f"{statistics.median(_of(figures, state, protocol, rows, 'server_cpu_us_per_call')):.0f}"
        for state in ("on", "off")
    ]
    share = f"{statistics.median(ratios):.3f}"
    return TITLES[protocol], str(rows), *rates, share, f"{low:.3f} to {high:.3f}", *times
