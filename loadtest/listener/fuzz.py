"""Random and broken requests to the compiled listener and to the handlers behind all listeners: the same answers?

`python -m loadtest.listener.fuzz --requests 1000000 --seed 1`. Status, status message, details and the bytes of the
message have to be equal. The handlers run in this process, without a listener: what grpc.aio calls as well. A sample
goes through real listeners of both other kinds, too. Exits with 1 where anything differs, a gateway ends, or its memory
grows.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import SystemRandom
from typing import Any

from loadtest import servers
from loadtest.listener import counters, fuzz_page
from loadtest.listener.fuzzing import ids
from loadtest.listener.fuzzing.orders import names_another
from loadtest.listener.fuzzing.requests import METHODS, Method, counts, without_end
from loadtest.listener.fuzzing.shrink import shrunk
from loadtest.listener.fuzzing.sides import Answer, Handled, Listener
from loadtest.listener.gateways import gateway
from loadtest.published import newest_version
from loadtest.rates.memory import resident_kib
from loadtest.store.places import place as store_place
from loadtest.study import QUICK, RESULTS, Figures, Study
from serving.contract import Contract

BATCH = 2000
SHOWN = 10
"""Differences that are shrunk and told; more are counted."""
OTHERS = "grpc_aio", "h2_python"
"""Listeners that a sample goes through as well."""
PATIENCE = 60.0
"""Seconds for Redis: the handlers here have no turn while others do, and nothing may be stale on one side only."""
MOST_GROWTH_KIB = 8192.0
"""Between the middle of a long run and its end."""
LONG = 200_000
"""Requests from which on memory is judged: before, tables fill."""


@dataclass
class Found:
    """What came out. differences: at most `SHOWN` in full."""

    statuses: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    another_named: int = 0
    """See `orders`."""
    differences: list[Figures] = field(default_factory=list)
    resident_kib: list[tuple[int, float]] = field(default_factory=list)


def measure(options: argparse.Namespace) -> Figures:
    """Everything as plain values. Raises LoadError, ServerError, MeasurementError."""
    stamp = STUDY.stamp()
    total, sample = (4_000, 400) if options.quick else (options.requests, options.sample)
    seed = options.seed if options.seed is not None else SystemRandom().randrange(10**6)
    print(f"seed {seed}", file=sys.stderr)
    repo = options.model_repo.absolute()
    servers.pin(servers.CLIENT_CPU)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(store_place(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "store"))
        store: dict[str, Any] = {"redis_url": place.url, "hash_key_file": str(place.folder / "key")}
        store |= {"facts_token_file": str(place.token_file), "redis_timeout_seconds": PATIENCE}
        told = [f"--{name.replace('_', '-')}={value}" for name, value in store.items()]
        more = [*told, *options.settings]
        side = stack.enter_context(gateway(repo, options.listener, servers.SERVER_CPU, options.cache, more))
        others = {
            name: stack.enter_context(gateway(repo, name, servers.SERVER_CPU, more=told)) for name in OTHERS if sample
        }
        handled = Handled(repo, **store)
        stack.callback(handled.close)
        began = time.monotonic()
        before = counters.read(side.http)
        found = asyncio.run(_fuzz(handled, side, others, _contracts(repo), total, sample, str(seed)))
        side.usage()  # it is still there
        after = counters.read(side.http)
    figures: Figures = {
        **stamp,
        "listener": options.listener,
        "cache": options.cache,
        "seed": seed,
        "requests": total,
        "sample": sample,
        "seconds": time.monotonic() - began,
        "statuses": dict(found.statuses.most_common()),
        "asked": dict(found.asked),
        "answered_by": counters.by(before, after, "epm_h2_messages_total", "by"),
        "stored_rows": counters.by(before, after, "epm_store_rows_total", "outcome"),
        "differing": found.differing,
        "another_named": found.another_named,
        "differences": found.differences,
        "resident_kib": found.resident_kib,
        "grown_kib": _grown(found.resident_kib),
    }
    figures["failures"] = list(_failures(figures))
    return figures


def _contracts(repo: Path) -> list[Contract]:
    """Those of forests first."""
    found = [
        Contract.load(newest_version(folder) / "contract.json") for folder in sorted(repo.iterdir()) if _is(folder)
    ]
    return sorted(found, key=lambda contract: bool(contract.program.window))


def _is(folder: Path) -> bool:
    return folder.is_dir() and any(path.name.isdecimal() for path in folder.iterdir())


async def _fuzz(
    handled: Handled,
    side: servers.Server,
    others: dict[str, servers.Server],
    contracts: list[Contract],
    total: int,
    sample: int,
    seed: str,
) -> Found:
    await handled.put(ids.events(contracts))
    found, left = Found(), counts(total)
    sources = {method: without_end(method, contracts, f"{seed} {method.path}") for method in METHODS}
    compiled = Listener(side.address)
    rest = {name: Listener(server.address) for name, server in others.items()}
    began = said = time.monotonic()
    while any(left.values()):
        for method in METHODS:
            count = min(left[method], max(1, BATCH * counts(total)[method] // max(1, total)) * 2)
            left[method] -= count
            bodies = list(islice(sources[method], count))
            if not bodies:
                continue
            known, answers = await asyncio.gather(handled.answers(method, bodies), compiled.answers(method, bodies))
            await _compare(method, bodies, known, answers, "compiled", handled, compiled, found)
            found.asked[method.path] += count
            found.statuses.update(str(answer.status) for answer in known)
            if sum(found.asked.values()) <= sample:
                for name, other in rest.items():
                    answers = await other.answers(method, bodies)
                    await _compare(method, bodies, known, answers, name, handled, other, found)
        done = sum(found.asked.values())
        found.resident_kib.append((done, resident_kib(side.pid)))
        if time.monotonic() - said > 10:
            said = time.monotonic()
            rate, mib = done / (said - began), found.resident_kib[-1][1] / 1024
            print(f"{done:,} requests, {rate:,.0f}/s, {found.differing} differ, {mib:.0f} MiB", file=sys.stderr)
    return found


async def _compare(
    method: Method,
    bodies: list[bytes],
    known: list[Answer],
    answers: list[Answer],
    name: str,
    handled: Handled,
    listener: Listener,
    found: Found,
) -> None:
    for body, expected, got in zip(bodies, known, answers, strict=True):
        if expected == got:
            continue
        if await names_another(handled, method, body, expected, got):
            found.another_named += 1
            continue
        found.differing += 1
        if len(found.differences) >= SHOWN:
            continue

        async def still(shorter: bytes) -> bool:
            (one,), (other,) = await asyncio.gather(
                handled.answers(method, [shorter]), listener.answers(method, [shorter])
            )
            return one != other and not await names_another(handled, method, shorter, one, other)

        small = await shrunk(body, still) if await still(body) else body
        (wanted,), (given,) = await handled.answers(method, [small]), await listener.answers(method, [small])
        told = {"handlers": described(wanted), name: described(given)}
        found.differences.append({"method": method.path, "listener": name, "body": small.hex(), **told})
        print(f"DIFFERS {method.path} {small.hex()[:2000]}\n  {str(told)[:2000]}", file=sys.stderr)


def described(answer: Answer) -> Figures:
    """For people, and for JSON."""
    body = None if answer.body is None else answer.body.hex()
    return {"status": answer.status, "said": ascii(answer.said), "details": answer.details.hex(), "body": body}


def _grown(samples: list[tuple[int, float]]) -> float | None:
    """KiB between the middle of a long run and its end; None of a short one."""
    if not samples or samples[-1][0] < LONG:
        return None
    middle = [kib for done, kib in samples if samples[-1][0] * 0.45 <= done <= samples[-1][0] * 0.55]
    return samples[-1][1] - max(middle)


def _failures(figures: Figures) -> Iterator[str]:
    """What is not as it is to be, in sentences."""
    if figures["differing"]:
        yield f"{figures['differing']} of {figures['requests']} requests were answered differently"
    if figures["grown_kib"] is not None and figures["grown_kib"] > MOST_GROWTH_KIB:
        yield f"memory grew by {figures['grown_kib']:.0f} KiB in the second half"


STUDY = Study("listener.fuzz", Path("docs/listener-fuzz.md"), measure, fuzz_page.write)


def main(arguments: list[str] | None = None) -> int:
    """0; 1 with the reason on standard error."""
    parser = STUDY.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, help="the same one makes the same requests; default: another one each time")
    parser.add_argument("--sample", type=int, default=20_000, help="of them also through grpc_aio and h2_python")
    parser.add_argument("--listener", default="h2", help="what is held against the handlers (default %(default)s)")
    parser.add_argument("--cache", default="off", help="its setting (default %(default)s)")
    parser.add_argument("--settings", action="append", default=[], help="one more, as --settings=--loop-threads=2")
    if failed := STUDY.run(parser, arguments):
        return failed
    options = parser.parse_args(arguments)
    file = options.results or (QUICK if options.quick else Path()) / RESULTS / f"{STUDY.name}.json"
    failures: list[str] = json.loads(file.read_text("utf-8"))["failures"]
    for sentence in failures:
        print(f"FAIL {sentence}", file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
