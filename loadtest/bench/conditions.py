"""How each server was set up, and what all figures of the page were measured on."""

from collections.abc import Iterator
from typing import Any

from loadtest.bench.rounds import SINGLE_SECONDS
from loadtest.text import wrapped

Figures = dict[str, Any]


def peers(figures: Figures) -> Iterator[str]:
    """A list of servers."""
    yield "## How each server is set up"
    yield wrapped(
        "Each on its defaults where nothing else is said, with the same model.onnx in onnxruntime with one thread",
        "(`intra_op_num_threads` 1); the gateway computes it by its own default backends.",
    )
    yield "\n".join(wrapped(f"- **{peer['title']}**: {' '.join(_described(peer))}") for peer in figures["peers"])


def _described(peer: Figures) -> Iterator[str]:
    yield peer["note"]
    if peer["tried"]:
        rates = ", ".join(f"{setup} {rate:,.0f}/s" for setup, rate in peer["tried"].items())
        yield f"Tried: {rates}; taken: {peer['setup']}."
    if peer["missing"]:
        yield f"Not measured: {peer['missing']}."
    elif peer["versions"]:
        yield ", ".join(f"{name} {version}" for name, version in peer["versions"].items()) + "."


def all_other(figures: Figures) -> Iterator[str]:
    """Machine, load, checks, and how to read the tables."""
    machine, known = figures["machine"], figures["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    pinned = (
        "servers with all their children and threads held to processor 1, the load generator to processor 0"
        if known["pinned"]
        else "nothing held to a processor"
    )
    yield "## Conditions"
    items = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}; "
        f"{pinned}; load average before the run {machine['load_average_before']}.",
        f"Gateway and load generator: Python {machine['python']}, {versions}; commit {machine['commit']}.",
        f"Model: {known['model']}. Caches off. {known['distinct_bodies']:,} distinct bodies of each kind.",
        f"Rounds: {known['rounds']}, in each of which every server is started anew, another one first each time; "
        f"{known['seconds']:g} s a run (at most {SINGLE_SECONDS:g} s with one call at a time), after a warm-up that is "
        "not counted.",
        _checks(figures),
    )
    yield "\n".join(wrapped(f"- {item}") for item in items)
    yield "## How to read it"
    yield wrapped(_limit(figures))


def _checks(figures: Figures) -> str:
    counted = sorted({run["server"] for run in figures["runs"] if run["counted_calls"] is not None})
    titles = [peer["title"] for peer in figures["peers"] if peer["name"] in counted]
    largest = max((run["largest_difference"] for run in figures["runs"]), default=0.0)
    own = f"the calls agree with the servers' own counts ({', '.join(titles)}); " if titles else ""
    return (
        f"Every call's HTTP status and grpc-status were checked; {own}the first answers of every run were decoded: "
        f"probabilities were at most {largest:.1g} from those of onnxruntime in the load generator's process."
    )


def _limit(figures: Figures) -> str:
    closed = [run for run in figures["runs"] if run["kind"] == "closed"]
    client = [run["client_cpu_share"] for run in closed]
    if not client:
        return "Nothing was measured."
    idle = "it was not the limit" if max(client) < 0.8 else "in some runs it may have been the limit itself"
    return (
        "Only ratios within one run travel to another machine, and processor time a call travels best. With a fixed "
        "number of calls open, latency is that number over requests/s: what a server does at a bearable load stands in "
        f"the table of the equal rate. The load generator (`loadtest/h2`) used {min(client):.0%} to {max(client):.0%} "
        f"of a processor in the closed loops: {idle}."
    )
