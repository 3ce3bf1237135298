"""The gateway beside a bare echo, protocol by protocol, in one run: `python -m loadtest.protocols`.

Fails when any call was not answered with a prediction.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loadtest import servers
from loadtest.answers import Probabilities
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.measure import Effort, MeasurementError, Work, check_echo, check_gateway, put_load
from loadtest.protocols import page
from loadtest.protocols.stages import gateway_stages, time_stages
from loadtest.published import MODEL, newest_version
from loadtest.study import Study
from serving.contract import Contract

BODIES = 1000
SEED = 20_260_101
ROWS = (1, 64)
SAME = 1e-6
"""How far probabilities of the same row may be apart between protocols."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises MeasurementError, WrongAnswerError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    contract = Contract.load(newest_version(options.model_repo / MODEL) / "contract.json")
    rounds, passes = (1, 1) if options.quick else (options.rounds, 9)
    effort = Effort(0.2 if options.quick else options.seconds, options.concurrency, options.connections)
    client_pinned = servers.pin(servers.CLIENT_CPU)
    works = [
        Work(protocol, rows, make_bodies(protocol, contract, rows, BODIES, SEED + rows))
        for protocol in PROTOCOLS
        for rows in ROWS
    ]
    with servers.canned(servers.SERVER_CPU) as server:
        ceiling, _ = put_load(server, works[0], Effort(min(effort.seconds, 3.0), 32))
    with servers.gateway(options.model_repo, servers.SERVER_CPU) as gateway, servers.echo(servers.SERVER_CPU) as echo:
        pinned = client_pinned and gateway.pinned and echo.pinned
        measured = list(_rounds(gateway, echo, works, effort, rounds))
    stages = {
        work.protocol.name: time_stages(gateway_stages(options.model_repo, work, MODEL), BODIES, passes)
        for work in works
        if work.rows == 1
    }
    return {
        **stamp,
        "conditions": {
            "model": f"{contract.model} ({contract.provenance.algorithm}, {len(contract.inputs)} inputs)",
            "seconds": effort.seconds,
            "rounds": rounds,
            "connections": effort.connections,
            "streams": effort.streams,
            "distinct_bodies": BODIES,
            "body_bytes": {
                f"{w.protocol.name}/{w.rows}": round(float(np.mean([len(b) for b in w.bodies]))) for w in works
            },
            "pinned": pinned,
            "caches": "off",
        },
        "ceiling": ceiling.as_dict(),
        "rounds": measured,
        "stages": stages,
    }


def _rounds(
    gateway: servers.Server, echo: servers.Server, works: list[Work], effort: Effort, rounds: int
) -> Iterator[dict[str, Any]]:
    """Gateway and echo in turn, each going first in every other round, after a warm-up that is not counted."""
    first_answers: dict[int, Probabilities] = {}
    for work in works:
        for server in (gateway, echo):
            put_load(server, work, Effort(min(1.0, effort.seconds), effort.streams, effort.connections))
        for number in range(rounds):
            for server in (gateway, echo) if number % 2 == 0 else (echo, gateway):
                figures, result = put_load(server, work, effort)
                if server is echo:
                    check_echo(work, result)
                else:
                    _check_same(work, check_gateway(work, result), first_answers)
                name = "echo" if server is echo else "gateway"
                where = {"server": name, "protocol": work.protocol.name, "rows": work.rows, "round": number}
                print(f"{where} {figures.calls_per_second:.0f}/s p50 {figures.p50_us:.0f} us", file=sys.stderr)
                yield where | figures.as_dict()


def _check_same(work: Work, found: Probabilities, first: dict[int, Probabilities]) -> None:
    """The same rows have the same answer in every protocol and round. Raises MeasurementError."""
    expected = first.setdefault(work.rows, found)
    n = min(len(expected), len(found))
    if not np.allclose(found[:n], expected[:n], rtol=0, atol=SAME):
        raise MeasurementError(f"{work.protocol.name}, {work.rows} rows: other answers than before for the same rows")


STUDY = Study("protocols", Path("docs/protocols-performance.md"), measure, page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server, protocol and size")
    parser.add_argument("--concurrency", type=int, default=8, help="calls open at a time on each connection")
    parser.add_argument("--connections", type=int, default=1)
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
