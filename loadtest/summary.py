"""The README's lines about speed, from the figures of `loadtest/results`: `python -m loadtest.summary`."""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.batch.page import rates, values
from loadtest.bench.lines import Line, measured, median, sizes, starts
from loadtest.bench.rounds import CLOSED, EQUAL_RATE
from loadtest.listener import page as listener
from loadtest.study import RESULTS

BEGIN, END = "<!-- performance: written by `python -m loadtest.summary` -->", "<!-- end of performance -->"

NAMES = "bench", "batch"

Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.summary", description=__doc__)
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of figures")
    options = parser.parse_args(arguments)
    try:
        bench, batch = (json.loads((options.results / f"{name}.json").read_text("utf-8")) for name in NAMES)
        text = options.readme.read_text("utf-8")
        options.readme.write_text(replaced(text, [*told(bench), *listened(options.results), scored(batch)]), "utf-8")
    except (OSError, ValueError, KeyError) as error:
        print(f"summary: {error}", file=sys.stderr)
        return 1
    print(options.readme)
    return 0


def listened(results: Path) -> Iterator[str]:
    """What the study of the compiled listener says, in one line; none while there are no figures of it."""
    file = results / "listener.json"
    if file.is_file():
        yield listener.line(json.loads(file.read_text("utf-8")))


def replaced(text: str, lines: list[str]) -> str:
    """The text with its part between the marks replaced. Raises ValueError without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the lines {BEGIN} and {END} were expected, each once")
    return "".join([before, begin, "\n", *(f"{line}\n" for line in lines), end, after])


def told(figures: Figures) -> Iterator[str]:
    """What the side-by-side benchmark says, in four lines."""
    machine, rates = figures["machine"], list(figures["conditions"]["rates"].values())
    rows = " / ".join(str(n) for n in sizes(figures))
    yield (
        f"- Requests/s on one core ({machine['cpu']}, {figures['when']}), {rows} rows a call, the same bytes to all: "
        f"{_all(figures, 'calls_per_second', ',.0f')}."
    )
    yield f"- Processor us a call, the figure that travels: {_all(figures, 'cpu_us_per_call', ',.0f')}."
    at = " / ".join(f"{rate:,.0f}" for rate in rates)
    yield f"- p99 in ms at {at} calls/s: {_all(figures, 'p99_us', '.1f', EQUAL_RATE, 1e-3)}."
    yield f"- MiB under load, seconds to the first answer: {', '.join(_needs(figures))}."


def _all(figures: Figures, what: str, form: str, kind: str = CLOSED, factor: float = 1) -> str:
    def medians(line: Line) -> str:
        return " / ".join(format(median(figures, line, rows, what, kind) * factor, form) for rows in sizes(figures))

    return ", ".join(f"{_name(line)} {medians(line)}" for line in _shown(figures))


def _shown(figures: Figures) -> Iterator[Line]:
    """Those that were asked with the same bytes: the empty call and raw columns are on the page only."""
    return (line for line in measured(figures) if line.wire not in ("empty", "raw"))


def _needs(figures: Figures) -> Iterator[str]:
    for line in _shown(figures):
        memory, seconds = (statistics.median(starts(figures, line.server, what)) for what in ("loaded_mib", "seconds"))
        yield f"{_name(line)} {memory:,.0f}, {seconds:.1f}"


def _name(line: Line) -> str:
    return {"triton": "Triton (Python-based backend)"}.get(line.server, line.name)


def scored(figures: Figures) -> str:
    """What the batch study says, in one line."""
    rows = max(figures["conditions"]["rows"])

    def of(way: str) -> str:
        peak = max(values(figures, way, "peak_mib"))
        return f"{statistics.median(rates(figures, way)):,.0f} rows/s, {peak:,.0f} MiB"

    return (
        f"- A file of {rows:,} rows, raw columns to answers: `epm score` from CSV {of('score_csv')}, from Parquet "
        f"{of('score_parquet')}; onnxruntime in a loop over features that are ready {of('loop_8192')}."
    )


if __name__ == "__main__":
    sys.exit(main())
