"""The gateway beside a bare echo, protocol by protocol, in one run: `python -m loadtest.performance`.

Writes the figures as JSON and, from that JSON alone, the page `docs/performance.md`. Fails when any call was not
answered with a prediction.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loadtest import machine, report, servers
from loadtest.answers import Probabilities, WrongAnswerError
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.h2client import LoadError
from loadtest.measure import Effort, MeasurementError, Work, check_echo, check_gateway, put_load
from loadtest.stages import gateway_stages, time_stages
from serving.contract import Contract
from serving.errors import EpmError

MODEL = "performance_model"
BODIES = 1000
SEED = 20_260_101
ROWS = (1, 64)
SAME = 1e-6
"""How far probabilities of the same row may be apart between protocols."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    options = _options(arguments)
    try:
        if not options.report:
            figures = measure(options)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(figures, indent=1) + "\n")
        report.write(json.loads(options.results.read_text()), options.out)
    except (MeasurementError, WrongAnswerError, LoadError, servers.ServerError, EpmError, OSError) as error:
        print(f"performance: {error}", file=sys.stderr)
        return 1
    print(f"{options.results}\n{options.out}")
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says, as plain values. Raises MeasurementError, WrongAnswerError, LoadError, ServerError."""
    contract = Contract.load(newest_version(Path(options.model_repo) / MODEL) / "contract.json")
    effort = Effort(options.seconds, options.concurrency, options.connections)
    described = machine.describe()
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
        rounds = list(_rounds(gateway, echo, works, effort, options.rounds))
    stages = {
        work.protocol.name: time_stages(gateway_stages(options.model_repo, work, MODEL), BODIES, options.stage_passes)
        for work in works
        if work.rows == 1
    }
    return {
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": described,
        "conditions": {
            "command": " ".join(["python -m loadtest.performance", *sys.argv[1:]])
            if sys.argv[1:]
            else "make performance",
            "model": f"{contract.model} ({contract.provenance.algorithm}, {len(contract.inputs)} inputs)",
            "seconds": effort.seconds,
            "rounds": options.rounds,
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
        "rounds": rounds,
        "stages": stages,
    }


def newest_version(folder: Path) -> Path:
    """The folder with the largest number. Raises MeasurementError when there is none."""
    versions = [path for path in folder.glob("*") if path.name.isdecimal()]
    if not versions:
        raise MeasurementError(f"{folder}: no version of the model there")
    return max(versions, key=lambda path: int(path.name))


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


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.performance", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server, protocol and size")
    parser.add_argument("--concurrency", type=int, default=8, help="calls open at a time on each connection")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--model-repo", default="model_repo")
    parser.add_argument("--out", type=Path, help="the page (default docs/performance.md)")
    parser.add_argument("--results", type=Path, help="the figures (default loadtest/results/performance.json)")
    parser.add_argument("--report", action="store_true", help="only write the page again, from the figures there are")
    parser.add_argument("--smoke", action="store_true", help="a moment only, to see that it works; writes below build/")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.seconds, options.rounds = 0.2, 1
    options.stage_passes = 1 if options.smoke else 9
    base = Path("build/smoke") if options.smoke else Path()
    options.out = options.out or base / "docs/performance.md"
    options.results = options.results or base / "loadtest/results/performance.json"
    return options


if __name__ == "__main__":
    sys.exit(main())
