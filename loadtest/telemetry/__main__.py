"""What metrics cost, in one run: `python -m loadtest.telemetry`.

Two gateways, EPM_METRICS on and off, take turns under the same load; the one that counts is scraped in each run.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.measure import Effort, Work, check_gateway, put_load
from loadtest.published import MODEL, newest_version
from loadtest.study import Study
from loadtest.telemetry import page
from serving.contract import Contract

BODIES = 1000
SEED = 20_260_707
ROWS = (1, 64)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says. Raises MeasurementError, WrongAnswerError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    contract = Contract.load(newest_version(options.model_repo / MODEL) / "contract.json")
    rounds, seconds = (2, 0.2) if options.quick else (options.rounds, options.seconds)
    effort = Effort(seconds, options.concurrency)
    works = [
        Work(protocol, rows, make_bodies(protocol, contract, rows, BODIES, SEED + rows))
        for protocol in PROTOCOLS
        for rows in ROWS
    ]
    pinned, measured = servers.pin(servers.CLIENT_CPU), []
    for number in range(rounds):
        with _pair(options.model_repo, number) as (on, off):
            pinned = pinned and on.pinned and off.pinned
            measured += _round(on, off, works, effort, number)
    return {
        **stamp,
        "conditions": {
            "model": f"{contract.model} ({contract.provenance.algorithm}, {len(contract.inputs)} inputs)",
            "seconds": seconds,
            "rounds": rounds,
            "streams": effort.streams,
            "distinct_bodies": BODIES,
            "pinned": pinned,
        },
        "rounds": measured,
    }


@contextlib.contextmanager
def _pair(model_repo: str, number: int) -> Iterator[tuple[servers.Server, servers.Server]]:
    """Two new gateways, with metrics and without; in every other round the second is started first."""
    with contextlib.ExitStack() as stack:
        started = {}
        for metrics in ("on", "off") if number % 2 == 0 else ("off", "on"):
            started[metrics] = stack.enter_context(servers.gateway(model_repo, servers.SERVER_CPU, metrics=metrics))
        started["off"].http = ""  # its /metrics says 404
        yield started["on"], started["off"]


def _round(
    on: servers.Server, off: servers.Server, works: list[Work], effort: Effort, number: int
) -> Iterator[dict[str, Any]]:
    """Both in turn, either first in every other round, after a warm-up that is not counted."""
    for work in works:
        for server in (on, off):
            put_load(server, work, Effort(min(0.5, effort.seconds), effort.streams))
        for server in (on, off) if number % 2 == 0 else (off, on):
            with _scraped(on.http) if server is on else contextlib.nullcontext():
                figures, result = put_load(server, work, effort)
            check_gateway(work, result)
            where = {"metrics": "on" if server is on else "off", "protocol": work.protocol.name, "rows": work.rows}
            print(f"{where} {number} {figures.calls_per_second:.0f}/s", file=sys.stderr)
            yield where | {"round": number} | figures.as_dict()


@contextlib.contextmanager
def _scraped(http: str) -> Iterator[None]:
    """Meanwhile the metrics are read once. Raises as `read_metrics`."""
    with ThreadPoolExecutor(1) as reader:
        read = reader.submit(servers.read_metrics, http)
        yield
        read.result()


STUDY = Study("telemetry", Path("docs/telemetry-performance.md"), measure, page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=14, help="pairs of gateways")
    parser.add_argument("--concurrency", type=int, default=8, help="calls open at a time")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
