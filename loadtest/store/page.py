"""The page docs/store-performance.md, from the figures of one run and nothing else."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest.text import cells, spread, wrapped

Figures = dict[str, Any]
_NAMES = {"columns": "by columns", "ids": "by id"}


def write(figures: Figures, page: Path) -> None:
    """Write the page."""
    page.parent.mkdir(parents=True, exist_ok=True)
    sections = (_introduction, _calls, _stages, _cold, _bulk, _conditions)
    page.write_text("\n\n".join("\n".join(section(figures)) for section in sections) + "\n")


def ratios(figures: Figures, model: str, where: str) -> list[float]:
    """Time by id over time by columns, round by round. where: "in_process" or "grpc"."""
    pairs = zip(_times(figures, model, where, "ids"), _times(figures, model, where, "columns"), strict=True)
    return [ids / columns for ids, columns in pairs]


def _times(figures: Figures, model: str, where: str, by: str) -> list[float]:
    """Median microseconds of a call, round by round."""
    runs = figures["calls"][where]
    if where == "in_process":
        return [one[by] for run in runs if run["model"] == model for one in run["rounds"]]
    found = [run for run in runs if run["model"] == model and run["by"] == by]
    return [run["p50_us"] for run in sorted(found, key=lambda run: int(run["round"]))]


def _models(figures: Figures) -> list[str]:
    return [run["model"] for run in figures["calls"]["in_process"]]


def _introduction(figures: Figures) -> Iterator[str]:
    yield "# Performance of the online store\n"
    yield wrapped(
        "Predictions by id beside predictions by columns, of the same employees and in turn; what Redis has to do for",
        "calls whose ids are not in the replica; and a bulk load. All of it against a real redis-server.",
    )
    yield f"\nThis page is generated (`loadtest/store/page.py`). On {figures['when']} it was made by\n"
    yield f"    {figures['command']}"


def _calls(figures: Figures) -> Iterator[str]:
    calls = figures["calls"]
    yield f"## By id and by columns, {calls['rows']} rows a call\n"
    yield wrapped(
        f"`epm.v1` Predict, {calls['bodies']:,} distinct bodies of each kind with the same rows, body by body in turn",
        "(in process) or run by run (over gRPC, one call open at a time). Medians in microseconds; the ratio is that",
        f"of {calls['rounds']} rounds, median (smallest..largest). `performance_model` reads 20 facts; `monthly_model`",
        "reads the same and 6 monthly facts of 24 months. Both are answered from the same records; both ways gave the",
        "same answers to the last bit.",
    )
    yield "\n" + cells(("model", "where", "by columns", "by id", "by id / by columns"))
    yield "|---|---|---:|---:|---:|"
    for model in _models(figures):
        for where, name in (("in_process", "in process, bytes to bytes"), ("grpc", "over gRPC")):
            times = [statistics.median(_times(figures, model, where, by)) for by in ("columns", "ids")]
            found = spread(ratios(figures, model, where), ".2f")
            yield cells((model, name, *(f"{time:,.0f}" for time in times), found))


def _stages(figures: Figures) -> Iterator[str]:
    runs = figures["calls"]["in_process"]
    yield "## Where the time goes until there are rows\n"
    yield wrapped("Microseconds a call, each step by itself, in process. Features, model and answer come after.")
    yield "\n" + cells(("", "step", *(run["model"] for run in runs)))
    yield "|---|---|" + "---:|" * len(runs)
    for by, steps in runs[0]["stages"].items():
        for step in steps:
            yield cells((_NAMES[by], step, *(f"{run['stages'][by][step]:.0f}" for run in runs)))


def _cold(figures: Figures) -> Iterator[str]:
    yield "## Ids that are not in the replica\n"
    yield wrapped(
        "Over gRPC, one call after the other, with ids that this gateway was never asked for; then the same calls",
        "again. Round trips as the gateway counts them; commands as Redis does (`INFO commandstats`): an `MGET` names",
        "at most 256 entities, and all of a call are written together before the first is answered.",
    )
    heads = (
        "rows a call",
        "calls",
        "round trips a call",
        "`MGET`s a call",
        "us a call",
        "again: round trips",
        "again: us",
    )
    yield "\n" + cells(heads)
    yield "|" + "---:|" * 7
    for run in figures["calls"]["cold"]:
        first = (f"{run['round_trips_cold']:g}", f"{run['commands_cold']:g}", f"{run['cold_us']:,.0f}")
        again = (f"{run['round_trips_warm']:g}", f"{run['warm_us']:,.0f}")
        yield cells((f"{run['rows']:,}", f"{run['calls']:,}", *first, *again))
    shown = []
    for run in figures["calls"]["in_process"]:
        warm = statistics.median(_times(figures, run["model"], "in_process", "ids"))
        shown.append(f"{run['model']} {run['cold']:,.0f} us against {warm:,.0f} us")
    rows = figures["calls"]["rows"]
    yield "\n" + wrapped(f"In process, {rows} rows with an empty replica against a warm one: {', '.join(shown)}.")


def _bulk(figures: Figures) -> Iterator[str]:
    bulk = figures["bulk"]
    load, again = bulk["load"], bulk["again"]
    yield "## Bulk load\n"
    yield wrapped(
        f"`epm facts load` of a CSV file of {bulk['file_bytes'] / 1e6:,.0f} MB: {bulk['entities']:,} entities x",
        f"{bulk['months']} months x {bulk['series']} monthly facts, {bulk['rows']:,} rows. Command, gateway and Redis",
        "share the processors of this machine.",
    )
    yield "\n" + cells(("", "seconds", "entities/s", "events applied", "gateway's processor seconds"))
    yield "|---|---:|---:|---:|---:|"
    for name, one in (("first load", load), ("the same file again", again)):
        rate = bulk["entities"] / one["seconds"]
        told = (f"{one['seconds']:.1f}", f"{rate:,.0f}", f"{one['applied']:,}", f"{one['gateway_cpu_seconds']:.1f}")
        yield cells((name, *told))
    yield "\n" + wrapped(
        f"Redis takes {bulk['redis_bytes_per_entity']:,.0f} bytes an entity (`used_memory`) for records of",
        f"{bulk['record_bytes']:,.0f} bytes: every month with its value and its stamp. Then a prediction by id for",
        "each of them, through two gateways:",
    )
    heads = ("replica", "MiB it may take", "entities in it", "MiB of them", "bytes an entity", "evictions", "seconds")
    yield "\n" + cells((*heads, "resident MiB before and after"))
    yield "|---|" + "---:|" * 7
    for name in ("roomy", "tight"):
        one = bulk[name]
        entities, used = one["entities"], one["bytes"]
        told = (one["limit_bytes"] / (1 << 20), entities, used / (1 << 20), used / entities, one["evictions"])
        rss = f"{one['rss_before_mib']:,.0f}, {one['rss_mib']:,.0f}"
        yield cells((name, *(f"{cell:,.0f}" for cell in told), f"{one['seconds']:.1f}", rss))


def _conditions(figures: Figures) -> Iterator[str]:
    machine, calls = figures["machine"], figures["calls"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    pinned = "gateway held to processor 1, client to processor 0" if calls["pinned"] else "nothing pinned"
    sizes = "; ".join(f"{model}: {of['columns']:,} and {of['ids']:,}" for model, of in calls["body_bytes"].items())
    yield "## Conditions\n"
    yield wrapped(
        f"- {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']};",
        f"client, gateway and Redis {figures['redis']} on this one machine; calls over gRPC with {pinned}, the bulk",
        f"load with nothing pinned. Load average before the run {machine['load_average_before']}.",
    )
    yield wrapped(f"- Python {machine['python']}, {versions}; commit {machine['commit']}.")
    yield wrapped(
        f"- {calls['people']:,} employees with 20 facts and 6 monthly facts of 24 months in Redis, records of",
        f"{calls['record_bytes']:,} bytes; calls drew from {calls['warm']:,} of them. Bytes of a body by columns and",
        f"by id: {sizes}.",
    )
    yield wrapped(
        "- Only ratios within one run travel to another machine. Answers were compared and counts were checked:",
        "otherwise there would be no page.",
    )
