"""Ten minutes of mixed load at 70 % of capacity: no error, memory that does not grow, p99 that stays.

`python -m loadtest.soak`. The mix is what production sends: three protocols, every committed model, raw columns and
ready tensors, 1 and 64 rows, in random order and as a Poisson process; bodies come again, and many calls have a row
that was never sent before. The gateway runs with its default settings, its kept predictions among them (`auto`). The
capacity of this very mix is searched for first, on the same gateway, and before that new rows are sent until the table
of kept predictions, whose size is bounded, is resident. A warm-up of a minute is not counted.

Exits with 1 when a verdict is FAIL; with `--quick` only errors count, a moment being too short for the others.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from loadtest import servers
from loadtest.h2.client import Load, run
from loadtest.measure import MeasurementError
from loadtest.rates import counters, mix, schedule, search, slope, soak_page, verdicts
from loadtest.rates.filling import fill
from loadtest.rates.memory import Sampler, resident_kib
from loadtest.rates.mix import Mix
from loadtest.rates.step import Step, Target, long_enough, put
from loadtest.rates.windows import Windows
from loadtest.study import QUICK, RESULTS, Figures, Study

SHARE = 0.7
"""Of the capacity of the mix."""
OF_EACH = 84
"""Bodies of each of the 24 kinds: 2,016 in all."""
SEED = 20_260_401
LOWEST = 50.0
"""Calls a second with which the search begins."""
SEARCH_TURN, SOAK_TURN = 0, 1024
"""Of `Mix.vary`: the new rows of the soak are not those of the search, nor those of a step those of another."""
CACHE = "auto"
FILLED, QUICK_FILLED = 102_400, 3_200
"""New rows of each model before anything is measured: the tables of kept predictions are resident then."""
LEAST_MINUTES = 3.0
"""Fewer have no first and last minute that are apart."""


def measure(options: argparse.Namespace) -> Figures:
    """Everything the page says. Raises MeasurementError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    lengths = _lengths(options)
    client_pinned = servers.pin(servers.CLIENT_CPU)
    mixed = mix.make(options.model_repo, OF_EACH, SEED)
    with servers.gateway(options.model_repo, servers.SERVER_CPU, CACHE) as gateway:
        filled = fill(gateway.address, options.model_repo, QUICK_FILLED if options.quick else FILLED, SEED)
        found = _search(gateway, mixed, lengths, options)
        rate = SHARE * found.rate
        print(f"soak: {rate:.0f} calls/s, {SHARE:.0%} of {found.rate:.0f}", file=sys.stderr)
        figures = _soak(gateway, mixed, rate, lengths)
    conditions = {
        "share": SHARE,
        "rate": rate,
        "capacity": found.rate,
        "p99_ms": options.p99_ms,
        "models": list(mix.MODELS),
        "rows": list(mix.ROWS),
        "distinct_bodies": len(set(mixed.recording.bodies)),
        "new_share": mixed.new_share,
        "body_bytes": round(sum(map(len, mixed.recording.bodies)) / len(mixed.recording.bodies)),
        "cache": CACHE,
        "filled": filled,
        "pinned_server": client_pinned and gateway.pinned,
        **lengths,
    }
    made = {**stamp, "conditions": conditions, "trials": found.trials, **figures}
    made["verdicts"] = verdicts.of(made)
    return made


def _lengths(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of everything; `minute` is what the first and the last minute are."""
    if options.quick:
        return {"warmup": 1.0, "soak": 6.0, "minute": 2.0, "window": 0.5, "block": 0.5, "sample": 0.05, "step": 0.2}
    whole = {"warmup": 60.0, "soak": 60.0 * options.minutes, "minute": 60.0}
    return {**whole, "window": 10.0, "block": 20.0, "sample": 1.0, "step": 3.0}


def _search(
    gateway: servers.Server, mixed: Mix, lengths: dict[str, float], options: argparse.Namespace
) -> search.Found:
    """The capacity of the mix, on the gateway that is then soaked."""
    target = Target(gateway.address, gateway.http, mixed.recording, p99_ms=options.p99_ms, server=gateway)
    seeds = iter(range(1, 10_000))
    turns = mix.Turns(mixed, SEARCH_TURN, SOAK_TURN)
    warmup = min(0.5, lengths["step"] / 2)

    def at(rate: float, phase: str) -> Step:
        seconds = lengths["step"] if options.quick else long_enough(lengths["step"], options.p99_ms, rate)
        seconds *= 3 if phase == "confirm" else 1
        fresh = replace(target, vary=turns.fresh(rate * (warmup + seconds)))
        return put(fresh, schedule.constant(rate, seconds), warmup, next(seeds))

    at(LOWEST, "rise")  # wakes the server up
    return search.highest(at, LOWEST, 0.3 if options.quick else 0.03, options.most)


def _soak(gateway: servers.Server, mixed: Mix, rate: float, lengths: dict[str, float]) -> Figures:
    """Put the load on and see what it did. Raises MeasurementError where the counters of client and server differ."""
    seconds = lengths["warmup"] + lengths["soak"]
    windows = Windows(lengths["window"], int(seconds / lengths["window"]) + 1)
    load = Load(
        address=gateway.address,
        path="",
        paths=mixed.recording.methods,
        bodies=mixed.recording.bodies,
        vary=mixed.vary(SOAK_TURN),
        streams=512,
        seconds=seconds,
        due=schedule.due(schedule.constant(rate, seconds), poisson=True, seed=SEED),
        observe=windows.observe,
        remember=False,
    )
    answered, kept, cpu = counters.answered(gateway.http), counters.kept(gateway.http), gateway.usage().cpu_seconds
    own = resident_kib(os.getpid())
    with Sampler(gateway.pid, lengths["sample"]) as sampler:
        result = run(load)
    own, cpu = resident_kib(os.getpid()) - own, gateway.usage().cpu_seconds - cpu
    if not result.seconds:
        raise MeasurementError(f"nothing was answered: {dict(result.errors)}")
    if not result.errors:
        counters.check(gateway.http, answered, result)
    memory = [(round(when - result.epoch, 3), kib) for when, kib in sampler.samples]
    return {
        "calls": result.statuses.total() + result.errors.total(),
        "statuses": {str(status): calls for status, calls in sorted(result.statuses.items())},
        "errors": dict(result.errors),
        "answered_per_second": result.rate,
        "server_cpu_share": cpu / result.seconds,
        "client_grew_kib": own,
        "kept_before": kept,
        "kept_after": counters.kept(gateway.http),
        "memory": memory,
        "windows": windows.as_dicts(),
        **_statistics(memory, windows, lengths),
    }


def _statistics(memory: list[tuple[float, float]], windows: Windows, lengths: dict[str, float]) -> Figures:
    """The slope of memory, and p99 of the first and the last minute, without the warm-up."""
    start, end = lengths["warmup"], lengths["warmup"] + lengths["soak"]
    counted = [(when, kib) for when, kib in memory if start <= when <= end]
    line = slope.fit([when for when, _ in counted], [kib for _, kib in counted], lengths["block"])
    first = windows.between(start, start + lengths["minute"])
    last = windows.between(end - lengths["minute"], end)
    return {
        "memory_kib": sum(kib for _, kib in counted) / len(counted),
        "slope": line.as_dict(),
        "p99_first_us": windows.percentile_us(99, first),
        "p99_last_us": windows.percentile_us(99, last),
    }


STUDY = Study("soak", Path("docs/soak-performance.md"), measure, soak_page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0; 1 with the reason on standard error, or with a verdict that is FAIL."""
    parser = STUDY.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=10.0, help="that are counted (default %(default)g)")
    parser.add_argument("--p99-ms", type=float, default=10.0, help="bound of the capacity (default %(default)g)")
    parser.add_argument("--most", type=float, default=50_000.0, help="calls a second that the search never exceeds")
    options = parser.parse_args(arguments)
    if not options.quick and not options.minutes >= LEAST_MINUTES:
        parser.error(f"--minutes: got {options.minutes:g}, expected {LEAST_MINUTES:g} or more")
    failed = STUDY.run(parser, arguments)
    if failed:
        return failed
    return _told(options)


def _told(options: argparse.Namespace) -> int:
    """Print the verdicts of the figures there are now. 1 when one that counts does not hold."""
    file = options.results or (QUICK if options.quick else Path()) / RESULTS / f"{STUDY.name}.json"
    found = json.loads(file.read_text("utf-8"))["verdicts"]
    print("\n".join(verdicts.lines(found)))
    return int(not all(verdict["holds"] for verdict in (found[:1] if options.quick else found)))


if __name__ == "__main__":
    sys.exit(main())
