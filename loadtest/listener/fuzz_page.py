"""The page docs/listener-fuzz.md, from the figures of one run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from loadtest.text import table, wrapped

NAMES = {str(code.value[0]): code.name for code in grpc.StatusCode}

Figures = dict[str, Any]


def write(figures: Figures, page: Path) -> None:
    """Write the page."""
    page.write_text("\n\n".join(_sections(figures)) + "\n", "utf-8")


def _sections(figures: Figures) -> Iterator[str]:
    machine, total = figures["machine"], figures["requests"]
    yield "# The compiled listener beside the handlers: random and broken requests"
    yield f"This page is generated (`loadtest/listener/fuzz_page.py`). On {figures['when']} it was made by"
    yield f"    {figures['command']}"
    differ = (
        f"{figures['differing']:,} were answered differently" if figures["differing"] else "all were answered alike"
    )
    yield wrapped(
        f"**Of {total:,} requests (seed {figures['seed']}) {differ}**: status, status message, details and the bytes",
        f"of the message, by `--listener {figures['listener']}` and by the handlers behind every listener, called",
        f"without one. The first {figures['sample']:,} went through `grpc_aio` and `h2_python` as well. In",
        f"{figures['another_named']:,} TF Serving requests with several wrong columns another one of them was named",
        "first: a map comes in an order that each process has drawn (`loadtest/listener/fuzzing/orders.py`).",
    )
    yield wrapped(
        "A request is of one of the committed models: any datatype, raw or typed, packed or not, fields in any order,",
        "ready tensors, histories, missing cells, unknown categories, numbers out of range, wanted outputs, versions,",
        "labels, ids of employees whose facts are in Redis (one in seven); a quarter has something that no honest",
        "client sends; two fifths had their bytes changed: bits and bytes, lengths off by one, parts removed, doubled,",
        "cut off, put together with those of other requests.",
    )
    yield table(("method", "requests"), [(path, f"{count:,}") for path, count in figures["asked"].items()])
    statuses = [(NAMES.get(status, status), f"{count:,}") for status, count in figures["statuses"].items()]
    yield table(("status", "requests"), statuses)
    if figures["answered_by"]:
        parts = ", ".join(f"{who} {count:,.0f}" for who, count in figures["answered_by"].items())
        yield wrapped(f"Messages were answered by: {parts} (`epm_h2_messages_total`).")
    if figures.get("stored_rows"):
        parts = ", ".join(f"{where} {count:,.0f}" for where, count in figures["stored_rows"].items())
        yield wrapped(f"Rows by id: {parts} (`epm_store_rows_total`).")
    if figures["differences"]:
        yield "## Differences"
        yield "\n".join(wrapped(f"- `{one['method']}` `{one['body'][:200]}`") for one in figures["differences"])
    grown = figures["grown_kib"]
    memory = "" if grown is None else f" Resident memory in the second half: {grown:+,.0f} KiB."
    yield wrapped(
        f"{machine['cpu']}, {machine['cores']} cores, {figures['seconds']:,.0f} s, cache {figures['cache']}.{memory}"
    )
