"""What metrics cost, in one run: `python -m loadtest.telemetry`.

Two gateways, EPM_METRICS on and off, take turns under the same load; the one that counts is scraped every second.
"""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.measure import Effort, MeasurementError, Work, check_gateway, put_load
from loadtest.published import MODEL, newest_version
from loadtest.study import Study
from loadtest.telemetry import page
from serving.contract import Contract

BODIES = 1000
SEED = 20_260_707
ROWS = (1, 64)
SCRAPED_EVERY = 1


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
    pinned = servers.pin(servers.CLIENT_CPU)
    with (
        servers.gateway(options.model_repo, servers.SERVER_CPU) as on,
        servers.gateway(options.model_repo, servers.SERVER_CPU, metrics="off") as off,
        _scraped(on.http),
    ):
        off.http = ""  # its /metrics says 404
        measured = list(_rounds(on, off, works, effort, rounds))
        pinned = pinned and on.pinned and off.pinned
    return {
        **stamp,
        "conditions": {
            "model": f"{contract.model} ({contract.provenance.algorithm}, {len(contract.inputs)} inputs)",
            "seconds": seconds,
            "rounds": rounds,
            "streams": effort.streams,
            "distinct_bodies": BODIES,
            "scraped_every_seconds": SCRAPED_EVERY,
            "pinned": pinned,
        },
        "rounds": measured,
    }


def _rounds(
    on: servers.Server, off: servers.Server, works: list[Work], effort: Effort, rounds: int
) -> Iterator[dict[str, Any]]:
    """Both in turn, each going first in every other round, after a warm-up that is not counted."""
    for work in works:
        for server in (on, off):
            put_load(server, work, Effort(min(1.0, effort.seconds), effort.streams))
        for number in range(rounds):
            for server in (on, off) if number % 2 == 0 else (off, on):
                figures, result = put_load(server, work, effort)
                check_gateway(work, result)
                where = {"metrics": "on" if server is on else "off", "protocol": work.protocol.name, "rows": work.rows}
                print(f"{where} {number} {figures.calls_per_second:.0f}/s", file=sys.stderr)
                yield where | {"round": number} | figures.as_dict()


@contextlib.contextmanager
def _scraped(http: str) -> Iterator[None]:
    """Read the metrics every second, as a Prometheus in a hurry would, from a process of its own.

    Raises MeasurementError when it could not.
    """
    read = f"curl --fail --silent --noproxy '*' --output /dev/null http://{http}/metrics"
    scraper = subprocess.Popen(["sh", "-c", f"while sleep {SCRAPED_EVERY} && {read}; do :; done"])
    try:
        yield
        if scraper.poll() is not None:
            raise MeasurementError("a scrape of the metrics failed")
    finally:
        scraper.terminate()
        scraper.wait()


STUDY = Study("telemetry", Path("docs/telemetry-performance.md"), measure, page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each run")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each gateway, protocol and size")
    parser.add_argument("--concurrency", type=int, default=8, help="calls open at a time")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
