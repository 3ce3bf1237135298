"""The page docs/backends-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.backends.picture import draw
from loadtest.backends.rows import KINDS
from loadtest.text import cells, spread, wrapped

PICTURE = Path("images/backends-performance.png")
LSTM = "attrition_model"
THROUGHPUT, ALONE, ONE_AT_A_TIME, KEPT, HIT_NS = 2.0, 1.1, 10.0, 2.5, 1000.0
"""What is asked: times the calls/s, times the p50 of one caller, times the calls/s of a model that executes one call at
a time, times the rows/s with kept predictions, nanoseconds a row that is known."""

NEGLIGIBLE = 0.005
"""A loss below this share is none: the same code differs from itself by as much."""

Figures = dict[str, Any]
"""Part -> {"when", "machine", "figures"}; a part that was not measured is not on the page."""


@dataclass(frozen=True)
class Asked:
    """One thing that was asked for. seen: one figure a round, the median counts."""

    what: str
    bound: float
    least: bool
    seen: list[float]
    form: str = ".2f"

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        median = statistics.median(self.seen)
        return median >= self.bound if self.least else median <= self.bound


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    parts = figures["parts"]
    if "pipeline" in parts:
        draw(parts["pipeline"]["figures"]["batching"]["curve"], image)
    sections = [_introduction(figures), _asked(parts)]
    for part, writers in {
        "pipeline": (_triton,),
        "batching": (_one_at_a_time,),
        "forest": (_forest,),
    }.items():
        sections += [writer(parts[part]["figures"]) for writer in writers if part in parts]
    if "pipeline" in parts:
        sections.append(_kept(parts["pipeline"]["figures"]["cache"]))
    if "cache" in parts:
        sections.append(_table(parts["cache"]["figures"]))
    if "pipeline" in parts:
        sections.append(_backends(parts["pipeline"]["figures"]["backends"]))
    sections += [_losses(parts), _conditions(figures)]
    page.write_text("\n\n".join("\n".join(section) for section in sections) + "\n")


def asked(parts: Figures) -> list[Asked]:
    """What was asked for, and what was seen of it."""
    found = []
    if "batching" in parts:
        figures = parts["batching"]["figures"]
        model = f"batching, {figures['callers']} callers of a model that executes one call at a time"
        found.append(Asked(f"{model}: calls/s, on / off", ONE_AT_A_TIME, True, figures["throughput_ratios"], ".1f"))
        found.append(Asked("the same, one caller alone: p50, on / off", ALONE, False, figures["alone_p50_ratios"]))
    if "pipeline" in parts:
        figures = parts["pipeline"]["figures"]
        batching = figures["batching"]
        for kind, name in KINDS.items():
            what = f"batching, {batching['callers']} callers of the LSTM behind Triton, {name}: calls/s, on / off"
            found.append(Asked(what, THROUGHPUT, True, throughput(batching, kind)))
        for kind, name in KINDS.items():
            what = f"the same, one caller alone, {name}: p50, on / off"
            found.append(Asked(what, ALONE, False, alone(batching, kind), ".3f"))
        for case in figures["cache"]:
            if case["model"] == LSTM and case["repeated"]:
                for policy in ("local", "auto"):
                    what = f"cache `{policy}`, {case['repeated']:.0%} repeated rows, LSTM, {KINDS[case['kind']]}"
                    found.append(Asked(f"{what}: rows/s, on / off", KEPT, True, kept(case, policy)))
    if "forest" in parts:
        for case in parts["forest"]["figures"]["cases"]:
            if case["asked"]:
                rows = f"{case['rows']:,} row{'s' * (case['rows'] > 1)}"
                what = f"forest, {case['model']}, {rows}: speed, of onnxruntime's"
                found.append(Asked(what, case["asked"], True, case["ratios"]))
    if "cache" in parts:
        for model, figures in parts["cache"]["figures"]["models"].items():
            found.append(Asked(f"cache, {model}: ns a known row", HIT_NS, False, [figures["hit_ns"]], ",.0f"))
            what = f"cache, {model}: bytes of a table of 1,000,000, of its bound"
            found.append(Asked(what, 1.0, False, [figures["table_bytes"] / figures["table_bound"]], ".3f"))
    return found


def throughput(batching: Figures, kind: str) -> list[float]:
    """Calls a second with batching over those without, round by round."""
    return _over(
        *([one["calls_per_second"] for one in _way(batching["many"], kind, way)["rounds"]] for way in ("on", "off"))
    )


def alone(batching: Figures, kind: str) -> list[float]:
    """p50 of one caller with batching over that without, round by round."""
    return _over(*(_way(batching["alone"], kind, way)["p50_us"] for way in ("on", "off")))


def kept(case: Figures, policy: str) -> list[float]:
    """Rows a second with kept predictions over those without, round by round."""
    return _over(case["p50_us"]["off"], case["p50_us"][policy])


def _over(above: list[float], below: list[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]


def _way(runs: list[Figures], kind: str, way: str) -> Figures:
    return next(run for run in runs if (run["kind"], run["batching"]) == (kind, way))


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# Performance of backends, batching and the prediction cache\n"
    yield wrapped(
        "What is compared takes turns in one run. Every answer at a pipeline was compared with onnxruntime's (a label",
        "may differ where the model is undecided to 1e-5), those of the forests by one call of each size. Medians, and",
        "in brackets the smallest and the largest round.",
    )
    yield "\nThis page is generated (`loadtest/backends/page.py`). It was made by\n"
    yield f"    {figures['command']}"


def _asked(parts: Figures) -> Iterator[str]:
    yield "## What was asked, and what was seen\n"
    yield "|  | asked | seen | holds |"
    yield "|---|---:|---:|---|"
    for one in asked(parts):
        bound = f"at {'least' if one.least else 'most'} {one.bound:,g}"
        yield cells((one.what, bound, spread(one.seen, one.form), "yes" if one.holds else "**no**"))


def _triton(figures: Figures) -> Iterator[str]:
    batching = figures["batching"]
    callers = batching["callers"]
    yield "## The LSTM behind a real Triton\n"
    yield wrapped(
        "attrition_model, calls of one row, cache off, at the pipeline of a gateway in this process;",
        f"{batching['rounds']} rounds of {batching['seconds']:g} s; 8,192 different rows in turn.",
        "Triton's own dynamic batching is on both times, as",
        "`config.pbtxt` says: with batching off, Triton puts together what comes to it call by call. Processors: how",
        "many were used on average; callers count as gateway.",
    )
    heads = ("", "batching", "calls/s", "rows a call to Triton", "gateway", "Triton", "others")
    yield "\n" + cells((*heads, "us of processor a call: gateway", "Triton"))
    yield "|---|---|" + "---:|" * 7
    for run in batching["many"]:
        rounds = run["rounds"]
        rates = [one["calls_per_second"] for one in rounds]
        used = [statistics.median(max(one[name], 0.0) for one in rounds) for name in ("gateway", "triton", "others")]
        calls = (statistics.median(one[n] / one["calls_per_second"] for one in rounds) for n in ("gateway", "triton"))
        told = (spread(rates, ",.0f"), f"{statistics.median(one['rows_a_batch'] for one in rounds):.1f}")
        times = (f"{one * 1e6:,.0f}" for one in calls)
        what = f"{callers} callers, {KINDS[run['kind']]}"
        yield cells((what, run["batching"], *told, *(f"{one:.2f}" for one in used), *times))
    yield "\nOne caller alone, p50 in microseconds, call by call in turn:\n"
    yield cells(("", "batching off", "batching on", "on / off"))
    yield "|---|---:|---:|---:|"
    for kind, name in KINDS.items():
        times = (spread(_way(batching["alone"], kind, way)["p50_us"], ",.0f") for way in ("off", "on"))
        yield cells((name, *times, spread(alone(batching, kind), ".3f")))
    yield f"\n![Calls a second by callers, with batching and without]({PICTURE})"
    yield "\n" + wrapped(
        f"By how many batches may be at Triton at a time (`EPM_BATCHES_RUNNING`), {callers} callers, ready tensors:"
    )
    yield "\n| batches at a time | calls/s | rows a batch |"
    yield "|---:|---:|---:|"
    for run in batching["running"]:
        rates = [one["calls_per_second"] for one in run["rounds"]]
        rows = statistics.median(one["rows_a_batch"] for one in run["rounds"])
        yield cells((str(run["running"]), spread(rates, ",.0f"), f"{rows:.1f}"))


def _one_at_a_time(figures: Figures) -> Iterator[str]:
    yield "## A backend that executes one call at a time\n"
    yield wrapped(
        "2 ms and 5 us a row, asleep in its one thread, at the batcher itself. On average",
        f"{figures['rows_per_batch']:.1f} rows a batch.",
    )
    yield "\n|  | batching off | batching on |"
    yield "|---|---:|---:|"
    for what, key in (
        (f"{figures['callers']} callers of one row, calls/s", "calls_per_second"),
        ("one caller alone, p50 us", "alone_p50_us"),
    ):
        yield cells((what, *(f"{figures[f'{key}_{way}']:,.0f}" for way in ("off", "on"))))


def _forest(figures: Figures) -> Iterator[str]:
    yield "## Forests beside onnxruntime\n"
    yield wrapped(
        "One thread each, depth 6, microseconds of a call at the backend; 100 trees give one score, 300 the calibrated",
        f"probabilities of three classes. {figures['rounds']} rounds.",
    )
    yield "\n| model | rows | forest | onnxruntime | times as fast |"
    yield "|---|---:|---:|---:|---:|"
    for case in figures["cases"]:
        times = (f"{case[side]:,.1f}" for side in ("forest_us", "onnxruntime_us"))
        yield cells((case["model"], f"{case['rows']:,}", *times, spread(case["ratios"], ".2f")))


def _kept(cases: list[Figures]) -> Iterator[str]:
    yield "## The prediction cache at the pipeline\n"
    yield wrapped(
        "Calls of 64 rows by one caller to gateways that differ in `EPM_CACHE` only, models in process; p50 in",
        "microseconds, rows/s as a ratio to those with the cache off. Rows that repeat are drawn from 2,048,",
        "all others are new.",
    )
    yield "\n| model |  | repeated | p50: off | local | auto | rows/s: local / off | auto / off |"
    yield "|---|---|" + "---:|" * 6
    for case in cases:
        times = (f"{statistics.median(case['p50_us'][policy]):,.0f}" for policy in ("off", "local", "auto"))
        gains = (spread(kept(case, policy), ".2f") for policy in ("local", "auto"))
        yield cells((case["model"], KINDS[case["kind"]], f"{case['repeated']:.0%}", *times, *gains))


def _table(figures: Figures) -> Iterator[str]:
    models = figures["models"]
    yield "## The prediction cache by itself\n"
    yield "|  | " + " | ".join(models) + " |"
    yield "|---|" + "---:|" * len(models)
    rows = figures["rows"]
    for what, key in (
        ("bytes of a row", "row_bytes"),
        (f"all known, {rows} rows: ns a row", "hit_ns"),
        ("all known, one row: ns", "hit_one_row_ns"),
        (f"none known, {rows} rows, a model that costs nothing: ns a row", "miss_ns"),
        ("bytes of a table of 1,000,000 predictions", "table_bytes"),
    ):
        yield cells((what, *(f"{model[key]:,.0f}" for model in models.values())))


def _backends(cases: list[Figures]) -> Iterator[str]:
    names = ("forest", "onnxruntime", "triton")
    yield "## What a backend takes\n"
    yield wrapped(
        "One caller alone at the pipeline, cache off, p50 in microseconds. Triton's part is that of the tests: its",
        "onnxruntime backend is replaced by one in Python, whose cost says nothing of Triton's own.",
    )
    yield "\n" + cells(("model", "rows", "", *names))
    yield "|---|---:|---|" + "---:|" * len(names)
    for case in cases:
        times = (f"{statistics.median(case['p50_us'][name]):,.0f}" if name in case["p50_us"] else "" for name in names)
        yield cells((case["model"], str(case["rows"]), KINDS[case["kind"]], *times))


def _losses(parts: Figures) -> Iterator[str]:
    yield "## Where it loses\n"
    found = list(_lost(parts))
    yield f"Medians; what is below {NEGLIGIBLE:.1%} is not named.\n"
    yield "\n".join(f"- {loss}" for loss in found) if found else "Nowhere that was measured."


def _lost(parts: Figures) -> Iterator[str]:
    if "pipeline" in parts:
        figures = parts["pipeline"]["figures"]
        for kind, name in KINDS.items():
            ratio = statistics.median(alone(figures["batching"], kind))
            if ratio > 1 + NEGLIGIBLE:
                yield f"one caller alone behind Triton, {name}: p50 {ratio - 1:+.1%} with batching"
        for case in figures["cache"]:
            for policy in ("local", "auto"):
                ratio = statistics.median(kept(case, policy))
                if ratio < 1 - NEGLIGIBLE:
                    what = f"{case['model']}, {KINDS[case['kind']]}, {case['repeated']:.0%} repeated"
                    yield f"{what}: rows/s {ratio - 1:+.0%} with the cache `{policy}`"
    if "batching" in parts:
        ratio = statistics.median(parts["batching"]["figures"]["alone_p50_ratios"])
        if ratio > 1 + NEGLIGIBLE:
            yield f"one caller alone of a model that executes one call at a time: p50 {ratio - 1:+.1%} with batching"
    if "forest" in parts:
        for case in parts["forest"]["figures"]["cases"]:
            if case["ratio"] < 1:
                yield f"forest, {case['model']}, {case['rows']:,} rows: {case['ratio']:.2f} times onnxruntime's speed"


def _conditions(figures: Figures) -> Iterator[str]:
    parts = figures["parts"]
    machine = next(iter(parts.values()))["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield "## Conditions\n"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']};",
        "callers, gateways and Triton on this one machine, nothing pinned.",
        f"Python {machine['python']}, {versions}.",
    )
    measured = (
        f"{name} on {part['when']}, commit {part['machine']['commit']}, load average before it"
        f" {part['machine']['load_average_before']}"
        for name, part in parts.items()
    )
    yield wrapped(f"- Measured: {'; '.join(measured)}.")
    if "pipeline" in parts:
        many = parts["pipeline"]["figures"]["batching"]["many"]
        others = [max(one["others"], 0.0) for run in many for one in run["rounds"]]
        yield wrapped(
            "- While the LSTM was measured behind Triton, other processes and the kernel used",
            f"{spread(others, '.2f')} of the processors: what is above 0.1 or so is noise that both ways had to bear.",
        )
    yield "- Only ratios within one run travel to another machine."
