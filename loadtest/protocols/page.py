"""The page docs/protocols-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from loadtest.protocols import picture
from loadtest.text import cells, spread, wrapped

TITLES = {"tensorflow_serving": "TF Serving Predict", "kserve_v2": "KServe v2 ModelInfer", "epm_v1": "epm.v1 Predict"}
PICTURE = Path("images/protocols-performance.png")

Run = dict[str, Any]
Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page, and the picture below `images/` beside it."""
    image = page.parent / PICTURE
    image.parent.mkdir(parents=True, exist_ok=True)
    picture.draw(
        {(TITLES[protocol], rows): ratios(figures, protocol, rows) for protocol, rows in cases(figures)}, image
    )
    sections = (_introduction, _table, _stage_table, _conditions, _reading)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n")


def cases(figures: Figures) -> list[tuple[str, int]]:
    """(protocol, rows) in the order of measurement."""
    return list(dict.fromkeys((run["protocol"], run["rows"]) for run in figures["rounds"]))


def runs(figures: Figures, server: str, protocol: str, rows: int) -> list[Run]:
    """The rounds of one server in one case, by number."""
    wanted = {"server": server, "protocol": protocol, "rows": rows}
    found = [run for run in figures["rounds"] if wanted.items() <= run.items()]
    return sorted(found, key=lambda run: int(run["round"]))


def ratios(figures: Figures, protocol: str, rows: int) -> list[float]:
    """Calls/s of the gateway over calls/s of the echo, round by round."""
    pairs = zip(runs(figures, "gateway", protocol, rows), runs(figures, "echo", protocol, rows), strict=True)
    return [ours["calls_per_second"] / theirs["calls_per_second"] for ours, theirs in pairs]


def _introduction(figures: Figures) -> Iterator[str]:
    conditions = figures["conditions"]
    yield "# Protocols\n"
    yield wrapped(
        "The gateway beside a bare `grpc.aio` + uvloop server that gives each message back untouched: both in a",
        f"process of their own, in turn, with the same {conditions['distinct_bodies']:,} distinct bodies in the same",
        "run. The echo decodes nothing and predicts nothing: it is what this transport costs before any work is done,",
        "and what the gateway stays below 1 by is its own work.",
    )
    yield f"\nThis page is generated (`loadtest/protocols/page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _table(figures: Figures) -> Iterator[str]:
    conditions = figures["conditions"]
    yield wrapped(
        f"Medians of {conditions['rounds']} rounds (smallest..largest). Latencies are the client's, with",
        f"{conditions['streams'] * conditions['connections']} calls open all the time.",
    )
    heads = (
        "protocol",
        "rows a call",
        "server",
        "calls/s",
        "rows/s",
        "p50 us",
        "p99 us",
        "CPU us a call",
        "of the echo",
    )
    yield "\n" + cells(heads)
    yield "|---|---:|---|" + "---:|" * 6
    for protocol, rows in cases(figures):
        for server in ("gateway", "echo"):
            yield _row(figures, server, protocol, rows)
    yield f"\n![Calls per second of the gateway as a share of the echo's, by protocol]({PICTURE.as_posix()})"


def _row(figures: Figures, server: str, protocol: str, rows: int) -> str:
    found = runs(figures, server, protocol, rows)
    columns = ("calls_per_second", "rows_per_second", "p50_us", "p99_us", "server_cpu_us_per_call")
    spreads = [spread([run[column] for run in found], ",.0f") for column in columns]
    ratio = spread(ratios(figures, protocol, rows), ".2f") if server == "gateway" else "1"
    return cells((TITLES[protocol], str(rows), server, *spreads, ratio))


def _stage_table(figures: Figures) -> Iterator[str]:
    stages: dict[str, dict[str, float]] = figures["stages"]
    yield "## Where the time goes, 1 row a call\n"
    yield wrapped(
        "Microseconds a call. The stages were called in one process, each in a loop over the same bodies: their code",
        "is warm. What it costs when other code ran in between was measured by writing 8 MiB of other memory between",
        "two calls. The handler as a whole is wall time by the server's own metrics, on the one processor that grpc's",
        "threads share with it. What stages, or handler and echo, do not account for has lines of its own.",
    )
    yield "\n" + cells(("stage", *(TITLES[protocol] for protocol in stages)))
    yield "|---|" + "---:|" * len(stages)
    for name in dict.fromkeys(name for times in stages.values() for name in times):
        yield _line(name, (times[name] for times in stages.values()))
    grpc = [_median(figures, "echo", protocol, "server_cpu_us_per_call") for protocol in stages]
    whole = [_median(figures, "gateway", protocol, "server_cpu_us_per_call") for protocol in stages]
    handler = [_median(figures, "gateway", protocol, "handler_us_per_call") for protocol in stages]
    known = [sum(times.values()) for times in stages.values()]
    yield _line("handler, not accounted for", (h - k for h, k in zip(handler, known, strict=True)))
    yield _line("**handler, measured in the server**", handler)
    yield _line("grpc (the echo)", grpc)
    yield _line(
        "grpc beside a handler, not accounted for", (w - g - h for w, g, h in zip(whole, grpc, handler, strict=True))
    )
    yield _line("**gateway, processor time**", whole)


def _median(figures: Figures, server: str, protocol: str, what: str) -> float:
    times: list[float] = [run[what] for run in runs(figures, server, protocol, 1)]
    return statistics.median(times)


def _conditions(figures: Figures) -> Iterator[str]:
    machine, conditions = figures["machine"], figures["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    sizes = ", ".join(f"{name} {size:,}" for name, size in conditions["body_bytes"].items())
    pinned = "server held to processor 1, load generator to processor 0" if conditions["pinned"] else "nothing pinned"
    yield "## Conditions\n"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; client",
        f"and server on this one machine, {pinned}; load average before the run {machine['load_average_before']}.",
    )
    yield wrapped(f"- Python {machine['python']}, {versions}; commit {machine['commit']}.")
    yield wrapped(
        f"- Model: {conditions['model']}. Caches: {conditions['caches']}. {conditions['distinct_bodies']:,} distinct",
        f"bodies of each kind, in bytes on average: {sizes}.",
    )
    yield wrapped(
        f"- {conditions['connections']} connection(s) with {conditions['streams']} calls open on each,",
        f"{conditions['seconds']:g} s a run, after a warm-up that is not counted.",
    )
    yield wrapped(
        "- Every call's HTTP status and grpc-status were checked, the first answers of each run were decoded, and the",
        "same rows had the same probabilities in every protocol: otherwise there would be no page.",
    )


def _reading(figures: Figures) -> Iterator[str]:
    ceiling = figures["ceiling"]
    client = [run["client_cpu_share"] for run in figures["rounds"]]
    server = [run["server_cpu_share"] for run in figures["rounds"]]
    idle = max(client) < 0.8
    verdict = "it was not the limit" if idle else "in some runs it may have been the limit itself"
    yield "## How to read it\n"
    yield wrapped(
        "Only ratios within one run travel to another machine. With a fixed number of calls open, latency is that",
        "number over calls/s: it says how long the queue was, not how fast an idle server answers.",
    )
    yield "\n" + wrapped(
        f"The load generator (`loadtest/h2`) used {min(client):.0%} to {max(client):.0%} of a processor while",
        f"the servers used {min(server):.0%} to {max(server):.0%}: {verdict}. Against a server that does nothing",
        f"the generator reaches {ceiling['calls_per_second']:,.0f} calls/s, its ceiling, at",
        f"{ceiling['client_cpu_us_per_call']:.0f} us of processor time a call.",
    )


def _line(name: str, values: Iterable[float]) -> str:
    return cells((name, *(f"{value:.1f}" for value in values)))
