"""The page docs/full-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from loadtest.text import spread, table, wrapped

Figures = dict[str, Any]
Record = dict[str, Any]
Column = tuple[str, str, float]
"""A figure of a run: its name, how it is written, and what it is multiplied with."""

OURS = "gateway"
RUN: tuple[Column, ...] = (
    ("calls_per_second", ",.0f", 1),
    ("p50_us", ",.2f", 1e-3),
    ("p99_us", ",.2f", 1e-3),
    ("cpu_us_per_row", ",.1f", 1),
)
RUN_HEADS = ("calls/s", "p50 ms", "p99 ms", "CPU us a row")
START: tuple[Column, ...] = (("start_seconds", ",.1f", 1), ("idle_mib", ",.0f", 1), ("loaded_mib", ",.0f", 1))
START_HEADS = ("start s", "idle MiB", "loaded MiB")


def write(figures: Figures, page: Path) -> None:
    """Write the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n\n".join(sections(figures)) + "\n", "utf-8")


def sections(figures: Figures) -> list[str]:
    """Blocks of Markdown, in order."""
    made: Sequence[Callable[[Figures], Iterator[str]]] = (_introduction, _http, _large, _models, _workers, _conditions)
    return [block for section in made for block in section(figures)]


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# Performance: HTTP, large calls, many models, workers"
    yield wrapped(
        "What [performance.md](performance.md) leaves out, because it takes longer: servers that speak only HTTP,",
        "calls of 1,024 rows, 1 to 50 models in one server, and servers with two workers. Servers are held to one",
        "processor and the load generator to the other, but for the part about workers.",
    )
    yield wrapped(f"This page is generated (`loadtest/bench/full_page.py`). On {figures['when']} it was made by")
    yield f"    {figures['command']}"


def _conditions(figures: Figures) -> Iterator[str]:
    machine = figures["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield "## Conditions"
    yield (
        wrapped(
            f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']};",
            f"load average before the run {machine['load_average_before']}. Python {machine['python']}, {versions};",
            f"commit {machine['commit']}.",
        )
        + "\n- Only ratios within one run travel to another machine. Answers were compared with onnxruntime's."
    )


def _http(full: Figures) -> Iterator[str]:
    yield "## Over HTTP, in JSON"
    yield wrapped(
        "BentoML, Ray Serve and LitServe answer JSON over HTTP/1.1, so this gateway is asked by HTTP as well: with the",
        f"same rows of the graph's own input, {full['streams']} connections with one request open on each. Medians of",
        f"{full['rounds']} rounds of {full['seconds']:g} s (smallest..largest). Every round starts every server anew,",
        "one after the other, because some of them are never idle.",
    )
    found = _of(full, "http")
    yield table(
        ("server", "rows a call", *RUN_HEADS),
        [
            *((name, str(rows), *_cells(runs, RUN)) for (name, _, rows), runs in _groups(_closed(found)).items()),
            *_left_out(found, 1 + len(RUN)),
        ],
    )
    yield _ahead(_closed(found))
    yield wrapped(f"At {full['rate']:g} calls/s of one row to each, and what each needs to be there:")
    starts, fixed = _groups(_starts(found)), _groups([run for run in _runs(found) if run["rate"]])
    lines = []
    for (name, _, _), runs in fixed.items():
        mine = next(records for records in starts.values() if records[0]["server"] == runs[0]["server"])
        lines.append((name, *_cells(runs, RUN[1:3]), *_cells(mine, START), str(mine[-1]["processes"])))
    yield table(("server", "p50 ms", "p99 ms", *START_HEADS, "processes"), [*lines, *_left_out(found, 6)])
    yield "\n".join(wrapped(f"- {title}: {note}") for title, note in full["notes"].values())


def _large(full: Figures) -> Iterator[str]:
    found = _of(full, "large")
    yield "## 1,024 rows a call"
    yield wrapped(
        f"{full['large_bodies']} distinct bodies, no row in two of them; {full['streams']} calls open; medians of",
        f"{full['rounds']} rounds (smallest..largest), each server started anew in each. BentoML, Ray Serve, LitServe",
        "and what has REST in its name are asked in JSON over HTTP, the others by gRPC.",
    )
    heads = ("server", "rows/s", *RUN_HEADS)
    columns = (("rows_per_second", ",.0f", 1), *RUN)
    lines = [(name, *_cells(runs, columns)) for (name, _, _), runs in _groups(_closed(found)).items()]
    yield table(heads, [*lines, *_left_out(found, len(columns))])
    yield _ahead(_closed(found))


def _models(full: Figures) -> Iterator[str]:
    found = _of(full, "models")
    yield "## Many models"
    yield wrapped(
        "Copies of the published model under other names, each loaded by itself; calls of one row go to all of them in",
        f"turn. A server has started when every model has answered rightly. One start each, {full['runs']} runs of",
        f"{full['seconds']:g} s after it (smallest..largest).",
    )
    groups = _groups(_closed(found))
    lines = []
    for (name, count, _), runs in sorted(groups.items(), key=lambda group: group[0][1]):
        start = next(one for one in _starts(found) if (one["server"], one["case"]) == (runs[0]["server"], count))
        lines.append((name, str(count), *_cells([start], START), str(start["processes"]), *_cells(runs, RUN)))
    heads = ("server", "models", *START_HEADS, "processes", *RUN_HEADS)
    yield table(heads, [*lines, *_left_out(found, len(heads) - 1, "models")])
    yield _ahead(_closed(found), "model")


def _workers(full: Figures) -> Iterator[str]:
    found = _of(full, "workers")
    yield "## Two workers"
    how = "; ".join(f"{_titles(full)[name]}: {text}" for name, text in full["how"].items() if name in _titles(full))
    yield wrapped(
        "Here servers and the load generator share all processors of the machine: with two workers the generator is",
        "the third that wants one, and on two processors twice the calls cannot be expected. What a worker is:",
        f"{how}. This gateway has no option for workers yet: two processes listen on two ports and have half of the",
        "calls each. KServe's option is for its HTTP side only, so it is done the same way.",
    )
    groups = _groups(_closed(found))
    lines = []
    for (name, workers, rows), runs in sorted(groups.items(), key=lambda group: (group[0][2], group[0][1])):
        alone = groups.get((name, 1, rows), runs)
        ratio = _median(runs, "calls_per_second") / _median(alone, "calls_per_second")
        lines.append((name, str(rows), str(workers), *_cells(runs, RUN), f"{ratio:.2f}"))
    heads = ("server", "rows a call", "workers", *RUN_HEADS, "of one worker")
    yield table(heads, [*lines, *_left_out(found, len(heads) - 1, "workers")])
    yield _ahead(_closed(found), "worker")


def _of(full: Figures, part: str) -> list[Record]:
    return [record for record in full["records"] if record["part"] == part]


def _runs(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if "calls_per_second" in record]


def _closed(records: Sequence[Record]) -> list[Record]:
    """Runs with all calls open all the time."""
    return [record for record in _runs(records) if not record["rate"]]


def _starts(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if "start_seconds" in record]


def _name(record: Record) -> str:
    wire = record.get("wire", "")
    return f"{record['title']}, {wire}" if wire else str(record["title"])


def _titles(full: Figures) -> dict[str, str]:
    return {record["server"]: record["title"] for record in full["records"]}


def _groups(records: Sequence[Record]) -> dict[tuple[str, int, int], list[Record]]:
    """(name, models or workers, rows a call) -> its records, in the order of measurement, by rows and then by name."""
    made: dict[tuple[str, int, int], list[Record]] = {}
    for record in records:
        made.setdefault((_name(record), record["case"], record.get("rows", 0)), []).append(record)
    return dict(sorted(made.items(), key=lambda group: group[0][2]))


def _cells(records: Sequence[Record], columns: Sequence[Column]) -> list[str]:
    return [spread([record[name] * factor for record in records], form) for name, form, factor in columns]


def _left_out(records: Sequence[Record], columns: int, what: str = "") -> list[list[str]]:
    """A row of the table for each that was not measured, with the reason in its second cell."""
    rows = []
    for record in records:
        if "left_out" in record:
            case = f"{record['case']} {what}: " if what else ""
            rows.append([_name(record), case + record["left_out"].replace("|", "/"), *[""] * (columns - 1)])
    return rows


def _median(runs: Sequence[Record], name: str) -> float:
    return float(statistics.median(run[name] for run in runs))


def _ahead(runs: Sequence[Record], what: str = "") -> str:
    """Who does more calls a second than this gateway at its best way of being asked, and at what cost, in words."""
    groups = _groups(runs)
    found = []
    for (name, case, rows), theirs in groups.items():
        mine = [those for key, those in groups.items() if key[1:] == (case, rows) and those[0]["server"] == OURS]
        if not mine or theirs[0]["server"] == OURS:
            continue
        best = max(mine, key=lambda those: _median(those, "calls_per_second"))
        times = _median(theirs, "calls_per_second") / _median(best, "calls_per_second")
        if times > 1:
            where = f"{case} {what}{'s' * (case > 1)}, " * bool(what) + f"{rows:,} row{'s' * (rows > 1)} a call"
            costs = [_median(those, "cpu_us_per_row") for those in (theirs, best)]
            found.append(
                f"- {name} at {where}: {times:.2f} times as many calls/s. A row costs it {costs[0]:,.1f} us of "
                f"processor time, this gateway {costs[1]:,.1f}: {_reason(costs[0] < costs[1])}."
            )
    if not found:
        return "In calls/s none of them is ahead of this gateway."
    return "\n".join([wrapped("In calls/s these are **ahead of this gateway**:"), "", *map(wrapped, found)])


def _reason(cheaper: bool) -> str:
    return "it is the cheaper server for such calls" if cheaper else "it is ahead although it is not the cheaper server"
