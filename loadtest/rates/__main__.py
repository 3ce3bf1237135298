"""Recorded bodies at a rate that stays or rises, told second by second: `python -m loadtest.rates`.

    python -m loadtest.rates --target 127.0.0.1:8500 --bodies FILE --schedule 100-2000:20,2000:10

Bodies are recorded by `python -m loadtest.capacity --record FILE`. A latency counts from when its call was due.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from loadtest.h2.client import OK, Load, Result, run
from loadtest.measure import MeasurementError
from loadtest.rates import counters, log, recorded, schedule
from loadtest.study import EXPECTED


def main(arguments: list[str] | None = None) -> int:
    """Put the load on. 0; 1 with the reason on standard error, or when a call failed."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.rates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", required=True, metavar="HOST:PORT", help="a server of this machine")
    parser.add_argument("--http", default="", metavar="HOST:PORT", help="where its counters are; else not compared")
    parser.add_argument("--bodies", required=True, type=Path, metavar="FILE")
    parser.add_argument("--schedule", default="100:10", help="RATE:SECONDS or FROM-TO:SECONDS, joined by commas")
    parser.add_argument("--arrivals", choices=("poisson", "even"), default="poisson", help="default %(default)s")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--streams", type=int, default=512, help="calls open at a time on each connection, at most")
    parser.add_argument("--distinct", type=int, default=1000, help="fewer distinct bodies are refused")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-file", type=Path, metavar="FILE", help="a line a call: start, grpc-status, microseconds")
    try:
        return _put(parser.parse_args(arguments))
    except EXPECTED as error:
        print(f"rates: {error}", file=sys.stderr)
        return 1


def _put(options: argparse.Namespace) -> int:
    """Raises MeasurementError, LoadError, OSError."""
    segments, recording = schedule.read(options.schedule), recorded.read(options.bodies)
    load = Load(
        address=options.target,
        path="",
        paths=recording.methods,
        bodies=recording.bodies,
        distinct=options.distinct,
        connections=options.connections,
        streams=options.streams,
        seconds=schedule.seconds(segments),
        due=schedule.due(segments, options.arrivals == "poisson", options.seed),
    )
    before = counters.answered(options.http) if options.http else None
    result = run(load)
    if not result.codes.size:
        raise MeasurementError(f"no call was answered: {dict(result.errors)}")
    if options.log_file:
        options.log_file.write_text("")
        log.append(options.log_file, result)
    _tell(result)
    if before is not None:
        counters.check(options.http, before, result)
    print("the server's counters " + ("say the same" if before is not None else "were not read (no --http)"))
    return int(not result.all_ok)


def _tell(result: Result) -> None:
    """A line for each second: of the calls that were due in it, those that were answered."""
    print(f"{'second':>7} {'answered':>8} {'not OK':>7} {'p50 ms':>8} {'p99 ms':>8}")
    seconds = result.due_ns // 1_000_000_000
    for second in np.unique(seconds):
        mine = seconds == second
        p50, p99 = np.percentile(result.latencies_ns[mine], (50, 99)) / 1e6
        failed = np.count_nonzero(result.codes[mine] != OK)
        print(f"{second:>7} {np.count_nonzero(mine):>8} {failed:>7} {p50:>8.2f} {p99:>8.2f}")
    print(f"grpc-status {dict(result.statuses)}, without status {dict(result.errors)}")


if __name__ == "__main__":
    sys.exit(main())
