"""More than `loadtest.bench`: servers over HTTP, 1,024 rows a call, many models, two workers.

Run as `python -m loadtest.bench.full`, with everything installed by `make bench-full`. A peer that is not there, or
does not start, is a row that says so. Its figures are records in a list: runs, starts, and peers that were left out,
each with its part and case.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bench import full_page, json_wires, programs
from loadtest.bench.copies import make_copies
from loadtest.bench.load import Work
from loadtest.bench.peer import ENVIRONMENTS, Peer, Wire
from loadtest.bench.peers import gateway, kserve, mlserver, triton
from loadtest.bench.rows import Sample, draw
from loadtest.bench.side_by_side import side_by_side
from loadtest.bench.visit import Case, Effort, visit
from loadtest.bench.wires import TENSOR
from loadtest.published import MODEL
from loadtest.study import Study

Figures = dict[str, Any]
LARGE = 1024
LARGE_BODIES = 100
"""Distinct bodies of 1,024 rows, no row drawn twice: 102,400 rows, and 200 kB to 500 kB a body."""
MODELS, QUICK_MODELS = (1, 10, 50), (1, 3)
WORKERS = (1, 2)
HTTP_RATE = 50.0
"""Calls a second at which all HTTP servers are compared."""

GATEWAY_HTTP = replace(gateway.PEER, wires=(json_wires.V2_REST, json_wires.TF_REST))
BY_HTTP = (GATEWAY_HTTP, *programs.PEERS)
BY_GRPC = (gateway.PEER, triton.PEER, mlserver.PEER, kserve.PEER)
HOW = {
    "gateway": "processes side by side",
    "triton": "instances of the model (`instance_group`)",
    "mlserver": "`parallel_workers`, where one is none: the model in the server's own process",
    "kserve": "processes side by side",
}
"""What a worker is. The gateway has no option for workers; KServe's is for HTTP only."""


def measure(options: argparse.Namespace) -> Figures:
    """All parts, as plain values. Raises what goes wrong with the gateway; another peer is left out with the reason."""
    stamp, environments, quick = STUDY.stamp(), options.environments, bool(options.quick)
    rounds, effort = (1, Effort(0.3, 1)) if quick else (3, Effort(2.0, 1))
    several = replace(effort, runs=1 if quick else 3)
    counts = QUICK_MODELS if quick else MODELS
    repo = Path(options.model_repo).absolute()
    servers.pin(servers.CLIENT_CPU)
    with tempfile.TemporaryDirectory(prefix="epm-bench-models-") as folder:
        alone = Path(folder) / "alone"
        make_copies(repo, alone, 1)
        records = [
            *in_rounds(_http(alone), environments, effort, rounds),
            *in_rounds(_large(alone), environments, effort, rounds),
            *in_rounds(_models(repo, Path(folder), counts), environments, several, 1),
            *_on_all_processors(_workers(repo, Path(folder)), environments, several),
        ]
    return {
        **stamp,
        "seconds": effort.seconds,
        "rounds": rounds,
        "runs": several.runs,
        "streams": effort.streams,
        "rate": HTTP_RATE,
        "large_bodies": LARGE_BODIES,
        "notes": {peer.name: [peer.title, peer.note] for peer in programs.PEERS},
        "how": HOW,
        "records": records,
    }


def in_rounds(cases: Sequence[Case], environments: Path, effort: Effort, rounds: int) -> Iterator[Figures]:
    """Each case once a round, another one first each time; one that was left out is not tried again."""
    out: set[tuple[str, int]] = set()
    for number in range(rounds):
        first = number % len(cases)
        for case in (*cases[first:], *cases[:first]):
            if (case.peer.name, case.case) in out:
                continue
            for record in visit(case, environments, effort, number):
                if "left_out" in record:
                    out.add((case.peer.name, case.case))
                yield record


def _http(repo: Path) -> list[Case]:
    """1 and 64 rows over HTTP."""
    samples = [draw(repo, MODEL, rows) for rows in (1, 64)]
    made = {wire.name: [sample.work(wire) for sample in samples] for wire in _wires(BY_HTTP)}
    return [
        Case("http", peer, repo, (MODEL,), [work for wire in peer.wires for work in made[wire.name]], rate=HTTP_RATE)
        for peer in BY_HTTP
    ]


def _large(repo: Path) -> list[Case]:
    """1,024 rows a call for every server."""
    sample = draw(repo, MODEL, LARGE, bodies=LARGE_BODIES)
    peers = (*BY_GRPC, *BY_HTTP)
    made = {wire.name: sample.work(wire) for wire in _wires(peers)}
    return [
        Case("large", peer, repo, (MODEL,), [made[wire.name] for wire in peer.wires if wire.predicts]) for peer in peers
    ]


def _wires(peers: Sequence[Peer]) -> set[Wire]:
    """Those of all peers that predict, each once."""
    return {wire for peer in peers for wire in peer.wires if wire.predicts}


def _models(repo: Path, folder: Path, counts: Sequence[int]) -> list[Case]:
    """Calls of one row, spread over all models of a repository of copies."""
    sample = draw(repo, MODEL, 1)
    cases = []
    for count in counts:
        copies = folder / f"{count}-models"
        models = make_copies(repo, copies, count)
        work = spread_over(sample, models)
        firsts = [spread_over(replace(sample, calls=sample.calls[:1]), [model]) for model in models]
        cases += [Case("models", peer, copies, models, [work], firsts, count) for peer in BY_GRPC]
    return cases


def spread_over(sample: Sample, models: Sequence[str]) -> Work:
    """Every call for the next model; all of them give the same answers."""
    bodies = [TENSOR.encode(models[number % len(models)], rows) for number, rows in enumerate(sample.calls)]
    return Work(TENSOR, TENSOR.path, sample.size, bodies, sample.expected, distinct=len(bodies))


def _workers(repo: Path, folder: Path) -> list[Case]:
    """1 and 64 rows on all processors."""
    works = [draw(repo, MODEL, rows).work(TENSOR) for rows in (1, 64)]
    cases = []
    for workers in WORKERS:
        copies = folder / f"{workers}-workers"
        models = make_copies(repo, copies, 1, instances=workers)
        for peer in BY_GRPC:
            several = side_by_side(peer) if workers > 1 and HOW[peer.name].startswith("processes") else peer
            cases.append(Case("workers", several, copies, models, works, case=workers, workers=workers, cpu=None))
    return cases


def _on_all_processors(cases: Sequence[Case], environments: Path, effort: Effort) -> Iterator[Figures]:
    """One round in which servers and the load generator share all processors."""
    held = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield from in_rounds(cases, environments, effort, 1)
    finally:
        os.sched_setaffinity(0, held)


STUDY = Study("bench.full", Path("docs/full-performance.md"), measure, full_page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="where the other servers are installed")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
