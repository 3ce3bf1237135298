"""The page docs/performance.md, from the figures of one run and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.bench import conditions, picture, verdict
from loadtest.bench.lines import Line, lines, measured, runs, sizes, starts, values
from loadtest.bench.rounds import CLOSED, EQUAL_RATE, SINGLE
from loadtest.text import cells, spread, table, wrapped

THROUGHPUT, LATENCY = Path("images/performance.png"), Path("images/latency-performance.png")

Figures = dict[str, Any]
Column = tuple[str, str, str, float]
"""Head, figure of a run, format, factor."""


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the pictures below `images/` beside it."""
    (page.parent / "images").mkdir(parents=True, exist_ok=True)
    _draw(figures, page.parent)
    sections = (_introduction, _verdict, _closed, _equal_rate, _single, _memory, conditions.peers, conditions.all_other)
    blocks = ["\n\n".join(section(figures)) for section in sections]
    page.write_text("\n\n".join(blocks) + "\n", "utf-8")


def _draw(figures: Figures, folder: Path) -> None:
    def by_rows(what: str) -> picture.Values:
        return {
            (line.title, _rows(rows)): found
            for line in measured(figures)
            for rows in sizes(figures)
            if (found := values(figures, line, rows, what))
        }

    def latencies(rows: int) -> picture.Values:
        return {
            (line.title, name): [value / 1e3 for value in found]
            for line in measured(figures)
            for name, what in (("p50", "p50_us"), ("p99", "p99_us"))
            if (found := values(figures, line, rows, what, EQUAL_RATE))
        }

    panels = [
        picture.Panel("requests/s", by_rows("calls_per_second")),
        picture.Panel("processor microseconds a call", by_rows("cpu_us_per_call")),
    ]
    picture.draw(panels, folder / THROUGHPUT)
    rates = figures["conditions"]["rates"]
    picture.draw(
        [
            picture.Panel(f"ms at {rates[str(rows)]:,.0f} calls/s of {_rows(rows)}", latencies(rows))
            for rows in sizes(figures)
        ],
        folder / LATENCY,
    )


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# Performance"
    yield wrapped(
        "This gateway beside other servers of the same ONNX file, each in a process and an environment of its",
        "own, one after the other on the same processor of the same machine. All that predict get the same bytes: the",
        "graph's own tensor `features` by KServe v2 `ModelInfer` over gRPC. The gateway is also asked with raw named",
        "columns, of which it computes the features itself: no other server does that.",
    )
    yield wrapped(f"This page is generated (`loadtest/bench/page.py`). On {figures['when']} it was made by")
    yield f"    {figures['command']}"


def _verdict(figures: Figures) -> Iterator[str]:
    yield "## Ahead and behind"
    yield wrapped(verdict.summary(figures))
    found = verdict.verdicts(figures)
    if found:
        yield wrapped(
            "How many times better the gateway is, asked with the same bytes: median of rounds (smallest..largest).",
            "Ahead or behind is what every round says by 3 % or more, level everything else.",
        )
        heads = ("against", "rows a call", *(measure.name for measure in verdict.MEASURES))
        yield table(
            heads, (_against(found, peer, rows) for peer in verdict.opponents(figures) for rows in sizes(figures))
        )
    for reason in verdict.reasons(figures):
        yield wrapped(f"- {reason}")


def _against(found: list[verdict.Verdict], peer: Line, rows: int) -> list[str]:
    return [peer.title, str(rows), *(one.cell for one in found if (one.peer, one.rows) == (peer, rows))]


def _closed(figures: Figures) -> Iterator[str]:
    known = figures["conditions"]
    yield "## Requests and processor time"
    yield wrapped(
        f"A closed loop: {known['streams']} calls open all the time on one connection. Medians of rounds",
        f"({known['rounds']}), with the smallest..largest. Processor time is that of the server's whole process tree.",
    )
    columns: tuple[Column, ...] = (
        ("requests/s", "calls_per_second", ",.0f", 1),
        ("rows/s", "rows_per_second", ",.0f", 1),
        ("CPU us a call", "cpu_us_per_call", ",.0f", 1),
        ("CPU us a row", "cpu_us_per_row", ",.1f", 1),
        ("p50 ms", "p50_us", ".2f", 1e-3),
        ("p99 ms", "p99_us", ".2f", 1e-3),
    )
    yield _runs(figures, columns, CLOSED)
    yield f"![Requests per second and processor time a call, by server]({THROUGHPUT.as_posix()})"


def _equal_rate(figures: Figures) -> Iterator[str]:
    rates = " and ".join(f"{rate:,.0f} calls/s of {_rows(int(rows))}" for rows, rate in _rates(figures))
    yield "## Latency at the same rate for all"
    yield wrapped(
        f"At {rates}: about half of what the slowest server reached in a closed loop, evenly spaced. A latency",
        "counts from when the call was due, so waiting is part of it.",
    )
    columns: tuple[Column, ...] = (
        ("p50 ms", "p50_us", ".2f", 1e-3),
        ("p99 ms", "p99_us", ".2f", 1e-3),
        ("CPU us a call", "cpu_us_per_call", ",.0f", 1),
        ("reached calls/s", "calls_per_second", ",.0f", 1),
    )
    yield _runs(figures, columns, EQUAL_RATE)
    yield f"![p50 and p99 at the same rate, by server]({LATENCY.as_posix()})"


def _single(figures: Figures) -> Iterator[str]:
    yield "## One call at a time"
    yield "The next call begins when the one before is answered: no server has anything to put together."
    columns: tuple[Column, ...] = (
        ("requests/s", "calls_per_second", ",.0f", 1),
        ("p50 ms", "p50_us", ".2f", 1e-3),
        ("CPU us a call", "cpu_us_per_call", ",.0f", 1),
    )
    yield _runs(figures, columns, SINGLE)


def _runs(figures: Figures, columns: tuple[Column, ...], kind: str) -> str:
    """A table of a kind of run; a server without figures is a row that says why."""
    found = [cells(("server", "rows a call", *(head for head, *_ in columns))), f"|---|---:|{'---:|' * len(columns)}"]
    for line in lines(figures):
        if line.missing:
            found.append(cells((line.title, "", line.missing, *[""] * (len(columns) - 1))))
            continue
        for rows in sizes(figures):
            those = runs(figures, line, rows, kind)
            if those:
                texts = [spread([run[what] * factor for run in those], form) for _, what, form, factor in columns]
                found.append(cells((line.title, str(rows) if _has_rows(line) else "none", *texts)))
    return "\n".join(found)


def _has_rows(line: Line) -> bool:
    return line.wire != "empty"


def _memory(figures: Figures) -> Iterator[str]:
    yield "## Memory and start"
    cold = figures["cold_start_seconds"]
    yield wrapped(
        "Memory is what is resident of the whole process tree, with each file that it maps counted once: after the",
        "first answer, and the largest seen after any run. Start is from the start of the process to the first right",
        "prediction, imports from a warm page cache.",
        ""
        if cold is None
        else f"A gateway that has no compiled kernels on disk yet took {cold:.1f} s once; after that",
        "" if cold is None else "they are found there, as in the table.",
    )

    def row(peer: Figures) -> list[str]:
        if peer["missing"]:
            return [peer["title"], peer["missing"], "", "", ""]
        memory = [spread(starts(figures, peer["name"], what), ",.0f") for what in ("idle_mib", "loaded_mib")]
        seconds = spread(starts(figures, peer["name"], "seconds"), ".1f")
        processes = max(starts(figures, peer["name"], "processes"))
        return [peer["title"], f"{processes:.0f}", *memory, seconds]

    heads = ("server", "processes", "idle MiB", "under load MiB", "start s")
    yield table(heads, map(row, figures["peers"]))


def _rates(figures: Figures) -> list[tuple[str, float]]:
    return list(figures["conditions"]["rates"].items())


def _rows(rows: int) -> str:
    return f"{rows} row{'s' * (rows > 1)} a call"
