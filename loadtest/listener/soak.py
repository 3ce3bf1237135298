"""Clients that misbehave beside clients that do not: does everything add up, and is nothing left behind?

`python -m loadtest.listener.soak --minutes 10`. Connections are opened, cut, paused and their streams reset at random,
beside a steady load of well-behaved clients, every one of whose calls has to be answered rightly. At the end
connections and streams that were opened have to have been closed, and descriptors and memory to be what they were.
Exits with 1 when a verdict is FAIL; with `--quick` memory and descriptors are not judged.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.answers import probabilities
from loadtest.bodies import PROTOCOLS, Protocol, make_bodies
from loadtest.listener import counters, soak_page
from loadtest.listener.gateways import gateway
from loadtest.listener.generator import Answers, Load, run
from loadtest.listener.rude import Asked, fill_rows, misbehave
from loadtest.measure import MeasurementError
from loadtest.published import MODEL, newest_version
from loadtest.rates import slope
from loadtest.rates.memory import resident_kib
from loadtest.study import QUICK, RESULTS, Figures, Study
from serving.contract import Contract

BODIES = 1000
SEED = 20_261_123
STREAM_PREDICT = "/epm.v1.PredictionService/StreamPredict"
RUDE, PAUSE = 16, 0.3
"""Clients that misbehave at a time, and seconds between two acts of one."""
RATE, STREAMS, CONNECTIONS, TURN = 200.0, 64, 4, 5.0
"""Calls a second of the well-behaved, and seconds before they connect anew, in another protocol."""
WARMUP = 30.0
FULL, MOST_REFUSED = 8, 0.01
"""RESOURCE_EXHAUSTED, as long as others hold all the memory that there is for messages."""
SETTLED = 45.0
"""Seconds that the last connections get to be closed."""


def measure(options: argparse.Namespace) -> Figures:
    """Everything the page says. Raises MeasurementError, LoadError, ServerError."""
    stamp = STUDY.stamp()
    seconds = 8.0 if options.quick else 60.0 * options.minutes
    contract = Contract.load(newest_version(options.model_repo / MODEL) / "contract.json")
    servers.pin(servers.CLIENT_CPU)
    with gateway(
        options.model_repo.absolute(), options.listener, servers.SERVER_CPU, "off", options.settings
    ) as server:
        asked = [
            Asked(protocol.path, make_bodies(protocol, contract, rows, 50, SEED + rows))
            for protocol in PROTOCOLS
            for rows in (1, 40)
        ]
        asked.append(Asked(STREAM_PREDICT, make_bodies(PROTOCOLS[2], contract, 1, 50, SEED), streaming=True))
        _turn(server, PROTOCOLS[0], contract, 1.0, 0)
        figures = _soak(server, asked, contract, seconds, RATE if not options.quick else RATE / 4)
    conditions = {"seconds": seconds, "listener": options.listener, "rude": RUDE, "rate": RATE, "warmup": WARMUP}
    made: Figures = {**stamp, "conditions": conditions, **figures}
    made["verdicts"] = verdicts(made, judge_growth=not options.quick)
    return made


def _soak(server: servers.Server, asked: list[Asked], contract: Contract, seconds: float, rate: float) -> Figures:
    stop, began = threading.Event(), time.monotonic()
    samples: list[tuple[float, float, int]] = [_sample(server, began)]
    first = counters.read(server.http)
    well: Counter[str] = Counter()
    said: Counter[str] = Counter()
    with ThreadPoolExecutor(RUDE + 1) as pool:
        rude = [pool.submit(misbehave, server.address, asked, SEED + n, stop, PAUSE) for n in range(RUDE)]
        watching = pool.submit(_watch, server, began, stop, samples)
        try:
            number = 0
            while time.monotonic() - began < seconds:
                protocol = PROTOCOLS[number % len(PROTOCOLS)]
                result = _turn(server, protocol, contract, min(TURN, seconds / 3), number, rate)
                well["calls"] += result.statuses.total() + result.errors.total()
                well["answered"] += result.statuses[0]
                well["refused"] += result.statuses[FULL]
                said.update(result.said)
                well.update(result.errors)
                number += 1
                if number % 12 == 0:
                    print(f"  {time.monotonic() - began:.0f} s: {dict(well)}, {samples[-1]}", file=sys.stderr)
        finally:
            stop.set()
        acts: Counter[str] = sum((done.result() for done in rude), Counter())
        watching.result()
    last = _settled(server)
    samples.append(_sample(server, began))
    fill_rows(server.address, PROTOCOLS[1].path)
    filled = counters.total(_settled(server), "epm_h2_message_bytes")
    afterwards = run(
        Load(
            address=server.address,
            path=PROTOCOLS[1].path,
            bodies=make_bodies(PROTOCOLS[1], contract, 100, 50, SEED),
            calls=50,
            seconds=20.0,
            distinct=1,
        )
    )
    return {
        "acts": dict(acts),
        "well": dict(well),
        "said": dict(said),
        "counters": _told(first, last),
        "filled": {"message_bytes": filled, "answered": afterwards.statuses[0], "calls": 50},
        "samples": samples,
        **_slopes(samples, seconds),
    }


def _turn(
    server: servers.Server, protocol: Protocol, contract: Contract, seconds: float, number: int, rate: float = RATE
) -> Answers:
    """Well-behaved clients for a moment. Raises WrongAnswerError, LoadError."""
    load = Load(
        address=server.address,
        path=protocol.path,
        bodies=make_bodies(protocol, contract, 1, BODIES, SEED + 1000 + number),
        connections=CONNECTIONS,
        streams=STREAMS,
        seconds=seconds,
        rate=rate,
        keep=100,
        grace=30.0,
    )
    result = run(load)
    for answer in result.kept.values():
        probabilities(protocol.name, answer, 1)
    return result


def _watch(
    server: servers.Server, began: float, stop: threading.Event, samples: list[tuple[float, float, int]]
) -> None:
    while not stop.wait(1.0):
        samples.append(_sample(server, began))


def _sample(server: servers.Server, began: float) -> tuple[float, float, int]:
    """When, resident KiB, open descriptors."""
    return round(time.monotonic() - began, 2), resident_kib(server.pid), len(os.listdir(f"/proc/{server.pid}/fd"))


def _settled(server: servers.Server) -> counters.Samples:
    """The counters once no connection is left, or when patience is at its end. Raises ServerError."""
    until = time.monotonic() + SETTLED
    while True:
        server.usage()
        samples = counters.read(server.http)
        left = counters.total(samples, "epm_h2_connections_open") + counters.total(samples, "epm_h2_calls_open")
        if not left or time.monotonic() > until:
            return samples
        time.sleep(0.2)


def _told(first: counters.Samples, last: counters.Samples) -> Figures | None:
    """Of the whole soak; None of a gateway that has no such counters."""
    if not any(name == "epm_h2_connections_total" for name, _ in last):
        return None
    grown: Figures = {
        name: counters.by(first, last, f"epm_h2_{name}_total", label)
        for name, label in (("connections", "event"), ("streams", "event"), ("messages", "by"), ("bytes", "direction"))
    }
    for name in ("floods", "protocol_errors"):
        metric = f"epm_h2_{name}_total"
        grown[name] = counters.total(last, metric) - counters.total(first, metric)
    for name, gauge in (
        ("connections", "connections_open"),
        ("calls", "calls_open"),
        ("message_bytes", "message_bytes"),
    ):
        grown[f"left_{name}"] = counters.total(last, f"epm_h2_{gauge}")
    grown["left_before"] = counters.total(first, "epm_h2_connections_open")
    return grown


def _slopes(samples: list[tuple[float, float, int]], seconds: float) -> Figures:
    """Of memory and of descriptors, without the warm-up; None where that is too short."""
    counted = [sample for sample in samples[:-1] if sample[0] >= min(WARMUP, seconds / 4)]
    when = [sample[0] for sample in counted]
    try:
        memory = slope.fit(when, [kib for _, kib, _ in counted], 10.0).as_dict()
        descriptors = slope.fit(when, [float(count) for _, _, count in counted], 10.0).as_dict()
    except MeasurementError:
        return {"memory_slope": None, "descriptors_slope": None}
    return {"memory_slope": memory, "descriptors_slope": descriptors}


MOST_KEPT = 32 << 20
"""Bytes: half of what messages may take by default."""
MOST_KIB_PER_MINUTE = 256.0
"""Memory that grows slower, or whose growth cannot be told from none, is flat."""


def verdicts(figures: Figures, judge_growth: bool = True) -> list[dict[str, Any]]:
    """What has to hold: a sentence, and whether it does."""
    well, told = figures["well"], figures["counters"]
    calls, refused = well.get("calls", 0), well.get("refused", 0)
    found = [
        ("every call of the well-behaved was answered rightly, or refused", calls == well.get("answered", 0) + refused),
        (f"of them at most {MOST_REFUSED:.0%} were refused", refused <= MOST_REFUSED * calls),
    ]
    first, last = figures["samples"][0], figures["samples"][-1]
    if told is not None:
        connections, streams = told["connections"], told["streams"]
        opened = connections.get("accepted", 0) + told["left_before"]
        found += [
            ("connections accepted = closed + open", opened == connections.get("closed", 0) + told["left_connections"]),
            (
                "streams opened = closed + open",
                streams.get("opened", 0) == streams.get("closed", 0) + told["left_calls"],
            ),
            ("no connection, call or message is left", not (told["left_connections"] or told["left_calls"])),
            (f"at most {MOST_KEPT >> 20} MiB are kept for messages to come", told["left_message_bytes"] <= MOST_KEPT),
        ]
    filled = figures["filled"]
    found.append(("after all streams were filled and left, calls are answered", filled["answered"] == filled["calls"]))
    found.append(("descriptors are as many as before", last[2] <= first[2] + 2))
    memory = figures["memory_slope"]
    if judge_growth and memory is not None:
        flat = memory["low"] <= 0 or memory["per_minute"] <= MOST_KIB_PER_MINUTE
        found.append(("memory does not grow", flat))
    return [{"says": says, "holds": bool(holds)} for says, holds in found]


STUDY = Study("listener.soak", Path("docs/listener-soak.md"), measure, soak_page.write)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, report. 0; 1 with the reason on standard error, or with a verdict that is FAIL."""
    parser = STUDY.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default %(default)g)")
    parser.add_argument("--listener", default="h2", help="of the gateway (default %(default)s)")
    parser.add_argument("--settings", action="append", default=[], help="one more, as --settings=--loop-threads=2")
    if failed := STUDY.run(parser, arguments):
        return failed
    options = parser.parse_args(arguments)
    file = options.results or (QUICK if options.quick else Path()) / RESULTS / f"{STUDY.name}.json"
    found = json.loads(file.read_text("utf-8"))["verdicts"]
    for verdict in found:
        print(f"{'PASS' if verdict['holds'] else 'FAIL'}  {verdict['says']}")
    return int(not all(verdict["holds"] for verdict in found))


if __name__ == "__main__":
    sys.exit(main())
