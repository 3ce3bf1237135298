"""One peer from its start to its end: how long it takes to answer, what it needs idle and loaded, what it does under
load. Peers are visited one after the other, so that none costs another anything."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadtest import servers
from loadtest.bench.load import Work, first_answer, put_load
from loadtest.bench.peer import Peer, Probe, Running, Setting, temporary_folder
from loadtest.bench.rounds import FAILURES, OURS, RATE_STREAMS

Figures = dict[str, Any]
WARM_SECONDS = 1.0
PATIENCE = 240.0
"""Seconds that a server may take to start: Ray starts a cluster, and there may be 50 models."""


@dataclass(frozen=True)
class Case:
    """A peer in one part of the study.

    case: what this part varies, as a number of models or workers; 0 where it varies nothing. works: what it is asked in
    turn. firsts: what it has to answer rightly before it counts as started; the first call of each work when empty.
    rate: calls a second of one more run of the first work, 0 for none. cpu: None leaves all processors to it.
    """

    part: str
    peer: Peer
    model_repo: Path
    models: tuple[str, ...]
    works: Sequence[Work]
    firsts: Sequence[Work] = ()
    case: int = 0
    workers: int = 1
    rate: float = 0.0
    cpu: int | None = servers.SERVER_CPU

    @property
    def named(self) -> Figures:
        """What a record of this case begins with."""
        return {"part": self.part, "server": self.peer.name, "title": self.peer.title, "case": self.case}


@dataclass(frozen=True)
class Effort:
    """Seconds of a run, runs of each work in one visit, and how many calls are open."""

    seconds: float
    runs: int
    streams: int = 8


def visit(case: Case, environments: Path, effort: Effort, number: int) -> Iterator[Figures]:
    """Records of one visit: runs, then one with `start_seconds`; or only one with `left_out`, the reason in words.

    Raises what went wrong when it is the gateway that failed.
    """
    try:
        yield from list(_visit(case, environments, effort, number))
    except FAILURES as error:
        if case.peer.name == OURS:
            raise
        reason = " ".join(str(error).split())[:300]
        print(f"{case.part}: {case.peer.title} is left out: {reason}", file=sys.stderr)
        yield case.named | {"left_out": reason}


def _visit(case: Case, environments: Path, effort: Effort, number: int) -> Iterator[Figures]:
    environment = case.peer.installed(environments)
    with temporary_folder(case.peer.name) as folder:
        setting = Setting(case.model_repo, case.models, environment, Path(folder), case.workers)
        transport = case.works[0].wire.transport
        with Running(
            case.peer, setting, all_answer(case.firsts or case.works), transport, case.cpu, PATIENCE
        ) as running:
            idle = most = running.usage()
            for work in case.works:
                put_load(running, work, min(WARM_SECONDS, effort.seconds), effort.streams)
                for again in range(effort.runs):
                    yield _run(case, running, work, effort, number * effort.runs + again)
                    most = max(most, running.usage(), key=lambda usage: usage.memory_mib)
            if case.rate:
                yield _run(case, running, case.works[0], replace(effort, streams=RATE_STREAMS), number, case.rate)
            yield case.named | {
                "round": number,
                "start_seconds": running.seconds,
                "idle_mib": idle.memory_mib,
                "loaded_mib": most.memory_mib,
                "processes": most.processes,
                "pinned": running.pinned,
            }


def _run(case: Case, running: Running, work: Work, effort: Effort, number: int, rate: float = 0.0) -> Figures:
    figures = put_load(running, work, effort.seconds, effort.streams, rate or None)
    where = {"wire": work.wire.title, "rows": work.rows, "round": number, "rate": rate}
    print(f"{case.named | where} {figures.calls_per_second:.0f}/s p99 {figures.p99_us:.0f} us", file=sys.stderr)
    return case.named | where | figures.as_dict()


def all_answer(works: Sequence[Work]) -> Probe:
    """Whether every address of a peer, several after commas, has answered the first call of each work rightly."""
    probes = [first_answer(work) for work in works]
    done: set[tuple[str, int]] = set()

    def probe(addresses: str) -> bool:
        for address in addresses.split(","):
            for number, answered in enumerate(probes):
                if (address, number) not in done:
                    if not answered(address):
                        return False
                    done.add((address, number))
        return True

    return probe
