"""The highest rate at which p99 stays under a bound, and latency against load: `python -m loadtest.capacity`.

The generator (`loadtest/h2`) is used rather than h2load because it asks at least 1,000 distinct bodies (h2load sends
one for ever), checks the grpc-status of every call (h2load counts HTTP 200), begins calls when they are due, evenly
spaced or as a Poisson process as independent callers do, and counts a latency from when the call was due, so that a
server that stands still is not asked less for it; one processor is enough for some 70,000 calls/s. What the client
counts is held against the gateway's own counters after every step.

Any server on this machine can be asked: `--target HOST:PORT --bodies FILE`, with `--http HOST:PORT` where it has the
gateway's counters. `--record FILE` writes the bodies that are asked, one file for each protocol and size.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bodies import PROTOCOLS, make_bodies
from loadtest.measure import MeasurementError
from loadtest.published import MODEL, newest_version
from loadtest.rates import capacity_page, recorded, schedule, search
from loadtest.rates.recorded import Recording
from loadtest.rates.step import Step, Target, long_enough, put
from loadtest.study import Study
from serving.contract import Contract

BODIES = 1000
SEED = 20_260_301
KINDS = (*((protocol, 1) for protocol in PROTOCOLS), (PROTOCOLS[1], 64))
"""Protocols and rows a call that are searched: every protocol at 1 row, one at 64."""
SHARES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.1)
"""Of the capacity, at which latency is measured."""
CONFIRMATION = 3
"""Times as long as a step of the search."""
LOWEST = 200.0
"""Calls a second with which a search begins."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything the page says. Raises MeasurementError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    if options.quick:
        options.seconds, options.precision = 0.2, 0.3
    if options.log_file:
        options.log_file.write_text("")
    client_pinned = servers.pin(servers.CLIENT_CPU)
    recordings = [recorded.read(options.bodies)] if options.bodies else list(_generated(options))
    found: list[dict[str, Any]] = []
    with _target(options) as (address, http, server):
        for recording in recordings:
            target = Target(
                address,
                http,
                recording,
                p99_ms=options.p99_ms,
                poisson=options.arrivals == "poisson",
                connections=options.connections,
                streams=options.streams,
                log=options.log_file,
                server=server,
            )
            found.append(_capacity(target, options))
    return {
        **stamp,
        "conditions": {
            "target": "the gateway, `epm serve` with caches off" if server else f"the server at {options.target}",
            "p99_ms": options.p99_ms,
            "arrivals": options.arrivals,
            "seconds": options.seconds,
            "warmup": _warmup(options),
            "confirmation": CONFIRMATION,
            "precision": options.precision,
            "connections": options.connections,
            "streams": options.streams,
            "pinned_server": client_pinned and server is not None and server.pinned,
            "counters": bool(http),
        },
        "capacities": found,
    }


def _generated(options: argparse.Namespace) -> Iterator[Recording]:
    """Bodies of the committed model by kind; written to files as well, when that is asked for."""
    contract = Contract.load(newest_version(options.model_repo / MODEL) / "contract.json")
    for protocol, rows in KINDS[-2:] if options.quick else KINDS:
        bodies = make_bodies(protocol, contract, rows, BODIES, SEED + rows)
        recording = Recording(protocol.name, rows, [protocol.path] * BODIES, bodies)
        if options.record:
            options.record.parent.mkdir(parents=True, exist_ok=True)
            file = options.record
            recorded.write(recording, file.with_name(f"{file.stem}-{protocol.name}-{rows}{file.suffix}"))
        yield recording


@contextlib.contextmanager
def _target(options: argparse.Namespace) -> Iterator[tuple[str, str, servers.Server | None]]:
    """(gRPC address, HTTP address or nothing, our own process or None)."""
    if options.target:
        if not options.http:
            print(f"{options.target}: no --http, so its counters are not read", file=sys.stderr)
        yield options.target, options.http, None
        return
    if options.http:
        raise MeasurementError(f"--http {options.http} without --target")
    with servers.gateway(options.model_repo, servers.SERVER_CPU) as gateway:
        yield gateway.address, gateway.http, gateway


def _capacity(target: Target, options: argparse.Namespace) -> dict[str, Any]:
    """The capacity for one kind of bodies, and latency at shares of it."""
    name = f"{target.recording.name}, {target.recording.rows} rows"
    print(f"{name}: searching", file=sys.stderr)
    seeds = iter(range(1, 10_000))

    def at(rate: float, phase: str) -> Step:
        seconds = options.seconds if options.quick else long_enough(options.seconds, options.p99_ms, rate)
        seconds *= {"rise": 1.0, "halve": 1.0, "confirm": CONFIRMATION, "share": 1.3}[phase]
        return put(target, schedule.constant(rate, seconds), _warmup(options), next(seeds))

    at(LOWEST, "rise")  # wakes the server up
    found = search.highest(at, LOWEST, options.precision, options.most)
    curve = []
    for share in SHARES[::3] if options.quick else SHARES:
        step = at(share * found.rate, "share")
        print(f"  {share:.0%}: p99 {step.p99_us / 1e3:.2f} ms {step.why}".rstrip(), file=sys.stderr)
        curve.append({"share": share, "rate": share * found.rate, **step.as_dict()})
    confirmed = found.confirmed.as_dict() if found.confirmed else None
    return {
        "name": target.recording.name,
        "rows": target.recording.rows,
        "distinct_bodies": len(set(target.recording.bodies)),
        "body_bytes": round(sum(map(len, target.recording.bodies)) / len(target.recording.bodies)),
        "capacity": found.rate,
        "limited": found.limited,
        "confirmed": confirmed,
        "trials": found.trials,
        "curve": curve,
    }


def _warmup(options: argparse.Namespace) -> float:
    return float(min(0.5, options.seconds / 2))


STUDY = Study("capacity", Path("docs/capacity-performance.md"), measure, capacity_page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0, or 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--p99-ms", type=float, default=10.0, help="the bound (default %(default)s)")
    parser.add_argument("--arrivals", choices=("poisson", "even"), default="poisson", help="default %(default)s")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a step of the bisection (default %(default)s)")
    parser.add_argument("--precision", type=float, default=0.03, help="of the capacity (default %(default)s)")
    parser.add_argument("--most", type=float, default=50_000.0, help="calls a second that are never exceeded")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--streams", type=int, default=512, help="calls open at a time on each connection, at most")
    parser.add_argument("--target", default="", metavar="HOST:PORT", help="a server of this machine, not one of ours")
    parser.add_argument("--http", default="", metavar="HOST:PORT", help="where its counters are")
    parser.add_argument("--bodies", type=Path, metavar="FILE", help="recorded bodies to ask")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the generated bodies, FILE-KIND-ROWS each")
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="a line a call: start, grpc-status, microseconds")
    return STUDY.run(parser, arguments)


if __name__ == "__main__":
    sys.exit(main())
