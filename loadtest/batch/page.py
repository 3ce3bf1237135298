"""The page docs/batch-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.batch import picture
from loadtest.batch.ways import WAYS
from loadtest.text import spread, table, wrapped

PICTURE = Path("images/batch-performance.png")
SLOW_LOOP = "by_hand"

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    ours = {way.title: way.ours for way in WAYS}
    picture.draw({way.title: rates(figures, way.name) for way in WAYS}, ours, image)
    sections = (_introduction, _table, _memory, _stages, _conditions)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n")


def values(figures: Figures, way: str, what: str, rows: int | None = None) -> list[float]:
    """One figure of a way, round by round; of the large file unless `rows` says another."""
    rows = rows or max(figures["conditions"]["rows"])
    return [float(run[what]) for run in figures["runs"] if run["way"] == way and run["rows"] == rows]


def rates(figures: Figures, way: str) -> list[float]:
    """Rows a second of the whole command, its start included."""
    rows: int = max(figures["conditions"]["rows"])
    return [rows / seconds for seconds in values(figures, way, "seconds")]


def steady_us(figures: Figures, way: str) -> float:
    """Processor microseconds that one row more costs: the start is in both sizes."""
    small, large = sorted(figures["conditions"]["rows"])
    cpu = [statistics.median(values(figures, way, "cpu_seconds", rows)) for rows in (small, large)]
    return (cpu[1] - cpu[0]) / (large - small) * 1e6


def _introduction(figures: Figures) -> Iterator[str]:
    conditions = figures["conditions"]
    rows = max(conditions["rows"])
    yield "# Batch scoring\n"
    yield wrapped(
        f"`epm score` on {rows:,} drawn rows beside what else scores a file: onnxruntime in a loop over features that",
        f"are ready ({conditions['features']} float32 columns; making them is not counted), and the",
        f"straightforward program over the raw file ({conditions['inputs']} columns and an id). `epm score` reads the",
        "raw file, checks every cell, makes the features, and adds margin, coverage and notes to each answer; the",
        "others do not. Every way is one process on one processor, and one thread computes. All probabilities were",
        "compared (1e-5) before anything was written here.",
    )
    yield f"\nThis page is generated (`loadtest/batch/page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _table(figures: Figures) -> Iterator[str]:
    rows = max(figures["conditions"]["rows"])
    ours = statistics.median(rates(figures, "score_csv"))
    yield wrapped(
        f"Whole commands from start to end, {rows:,} rows; medians (smallest..largest) of up to",
        f"{figures['conditions']['rounds']} rounds in turn. A row more: processor time of the large file less that of",
        "the small one, so without the start.",
    )
    heads = ("way", "rows/s", "seconds", "CPU us a row", "a row more, CPU us", "peak MiB", "rows/s, of `epm score` CSV")
    lines = []
    for way in WAYS:
        rate = rates(figures, way.name)
        cpu = [seconds / rows * 1e6 for seconds in values(figures, way.name, "cpu_seconds")]
        lines.append(
            (
                way.title,
                spread(rate, ",.0f"),
                spread(values(figures, way.name, "seconds"), ".1f"),
                spread(cpu, ".1f"),
                f"{steady_us(figures, way.name):.1f}",
                spread(values(figures, way.name, "peak_mib"), ".0f"),
                f"{statistics.median(rate) / ours:.2f}",
            )
        )
    yield "\n" + table(heads, lines)
    yield f"\n![Rows a second of each way]({PICTURE.as_posix()})\n"
    yield wrapped(*_verdict(figures))


def _verdict(figures: Figures) -> Iterator[str]:
    ours = statistics.median(rates(figures, "score_csv"))
    for way in WAYS:
        if way.ours:
            continue
        ratio = ours / statistics.median(rates(figures, way.name))
        what = (
            f"{ratio:.1f} times as many rows a second as" if ratio >= 1 else f"only {ratio:.2f} of the rows a second of"
        )
        yield f"`epm score` from CSV does {what} `{way.name}`."
    yield wrapped("With `--backend onnxruntime` it computes with what the loops use: the difference is the forest.")


def _memory(figures: Figures) -> Iterator[str]:
    small, large = sorted(figures["conditions"]["rows"])
    yield "## Memory\n"
    yield "Most resident MiB of the process (VmHWM), by the size of the file.\n"
    lines = []
    for way in WAYS:
        peaks = [statistics.median(values(figures, way.name, "peak_mib", rows)) for rows in (small, large)]
        lines.append((way.title, *(f"{peak:.0f}" for peak in peaks), f"{peaks[1] / peaks[0]:.2f}"))
    yield table(("way", f"{small:,} rows", f"{large:,} rows", "ratio"), lines)


def _stages(figures: Figures) -> Iterator[str]:
    stages: dict[str, float] = figures["stages"]
    known = stages["columns into features"] + stages["forest"]
    shown = {name: us for name, us in stages.items() if name != "answers, in all"}
    shown["checks, margin, coverage, notes"] = max(0.0, stages["answers, in all"] - known)
    whole = sum(shown.values())
    largest = max(shown, key=lambda name: shown[name])
    yield "## Where the time goes\n"
    yield wrapped(
        "Microseconds a row of `epm score` from CSV to CSV, each step by itself, without files and fsync.",
        f"The largest step: {largest}.",
    )
    yield "\n" + table(
        ("step", "us a row", "share"), [(n, f"{us:.2f}", f"{us / whole:.0%}") for n, us in shown.items()]
    )


def _conditions(figures: Figures) -> Iterator[str]:
    machine, conditions = figures["machine"], figures["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    sizes = ", ".join(f"{name} {size:,} MB" for name, size in conditions["megabytes"].items())
    yield "## Conditions\n"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; each",
        f"process held to one of them; load average before the run {machine['load_average_before']}.",
    )
    yield wrapped(f"- Python {machine['python']}, {versions}; commit {machine['commit']}.")
    yield wrapped(f"- Model: {conditions['model']}; {conditions['chunk_rows']:,} rows a chunk. Files: {sizes}.")
    yield wrapped("- The files were in the page cache. `epm score` syncs what it finishes to disk, the others do not.")
