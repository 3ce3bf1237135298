"""Every peer in turn, round by round: what it takes to start, what it does under load, what it needs of memory."""

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from loadtest import servers
from loadtest.answers import WrongAnswerError
from loadtest.bench.load import Work, first_answer, put_load
from loadtest.bench.peer import Peer, Running, Setting, temporary_folder
from loadtest.bench.rows import Sample
from loadtest.h2.client import LoadError
from loadtest.measure import MeasurementError
from loadtest.servers import ServerError

FAILURES = (MeasurementError, WrongAnswerError, LoadError, ServerError, OSError, ValueError, HTTPException, DecodeError)
"""What leaves one peer out of the tables; the others go on."""
OURS = "gateway"
"""The peer whose failure is ours, and ends everything."""
CLOSED, EQUAL_RATE, SINGLE = "closed", "rate", "single"
"""Kinds of runs: some calls open all the time, calls at a rate equal for all, one call open at a time."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """Seconds of a run, and calls open at a time in a closed loop."""

    seconds: float
    streams: int


@dataclass(frozen=True)
class Places:
    """Where models are, and where environments of peers are."""

    model_repo: Path
    environments: Path


class Contest:
    """The peers that take part, and what is found of them.

    peers: set up as they are compared. rates: calls a second by size at which all are compared. runs: a record a run.
    starts: a record a start. missing: name -> why a peer has no figures. tried: name -> setup -> requests/s.
    """

    def __init__(self, places: Places, samples: Sequence[Sample], effort: Effort) -> None:
        self._places = places
        self._samples = samples
        self._effort = effort
        self.peers: list[Peer] = []
        self.rates: dict[int, float] = {}
        self.runs: list[Record] = []
        self.starts: list[Record] = []
        self.missing: dict[str, str] = {}
        self.tried: dict[str, dict[str, float]] = {}

    def admit(self, peers: Sequence[Peer]) -> None:
        """Start each once, check its answers, choose its setup, and the rates at which all are compared."""
        slowest: dict[int, float] = {}
        for peer in peers:
            found = {setup.setup: rates for setup in (peer, *peer.alternatives) if (rates := self._try(setup))}
            if not found:
                continue
            first = self._samples[0].size
            best = max(found, key=lambda setup: found[setup][first])
            self.peers.append(next(setup for setup in (peer, *peer.alternatives) if setup.setup == best))
            self.missing.pop(peer.name, None)
            if peer.alternatives:
                self.tried[peer.name] = {setup: rates[first] for setup, rates in found.items()}
            slowest |= {size: min(rate, slowest.get(size, math.inf)) for size, rate in found[best].items()}
        self.rates = {size: two_digits(rate / 2) for size, rate in slowest.items()}

    def play(self, number: int) -> None:
        """One round: each peer by itself, another one first each time."""
        first = number % len(self.peers)
        for peer in (*self.peers[first:], *self.peers[:first]):
            if peer.name not in self.missing:
                with self._left_out_if_it_fails(peer):
                    self._visit(peer, number)

    def start_seconds(self, peer: Peer) -> float:
        """Until the first right answer, with nothing else measured."""
        with self._started(peer) as running:
            return running.seconds

    def _try(self, peer: Peer) -> dict[int, float]:
        """Size -> requests/s of the slowest wire that predicts, briefly; nothing for a peer that fails."""
        rates: dict[int, float] = {}
        with self._left_out_if_it_fails(peer), self._started(peer) as running:
            for work in self._works(peer):
                put_load(running, work, min(0.5, self._effort.seconds), self._effort.streams)
                figures = put_load(running, work, min(1.0, self._effort.seconds), self._effort.streams)
                _tell(peer, work, "trial", figures.calls_per_second, peer.setup)
                if work.wire.predicts:
                    rates[work.rows] = min(figures.calls_per_second, rates.get(work.rows, math.inf))
                else:
                    rates.setdefault(work.rows, math.inf)
            return rates
        return {}

    def _visit(self, peer: Peer, number: int) -> None:
        """One peer in one round. What was measured before it fails stays out of the records."""
        runs: list[Record] = []
        with self._started(peer) as running:
            idle = running.usage()
            most = idle
            for work in self._works(peer):
                put_load(running, work, min(0.5, self._effort.seconds), self._effort.streams)
                for kind, load in self._kinds(work):
                    figures = put_load(running, work, **load)
                    most = max(most, running.usage(), key=lambda usage: usage.memory_mib)
                    _tell(peer, work, kind, figures.calls_per_second, f"{figures.cpu_us_per_call:.0f} us CPU a call")
                    where = {"server": peer.name, "wire": work.wire.name, "rows": work.rows, "kind": kind}
                    runs.append(where | {"round": number} | figures.as_dict())
            self.starts.append(
                {
                    "server": peer.name,
                    "round": number,
                    "seconds": running.seconds,
                    "idle_mib": idle.memory_mib,
                    "loaded_mib": most.memory_mib,
                    "processes": most.processes,
                    "pinned": running.pinned,
                }
            )
        self.runs += runs

    def _kinds(self, work: Work) -> Iterator[tuple[str, dict[str, Any]]]:
        """The runs of one work."""
        seconds, streams = self._effort.seconds, self._effort.streams
        yield CLOSED, {"seconds": seconds, "streams": streams}
        yield EQUAL_RATE, {"seconds": seconds, "streams": RATE_STREAMS, "rate": self.rates[work.rows]}
        if work.rows == 1:
            yield SINGLE, {"seconds": min(SINGLE_SECONDS, seconds), "streams": 1}

    def _works(self, peer: Peer) -> list[Work]:
        return [
            sample.work(wire)
            for wire in peer.wires
            for sample in self._samples
            if not wire.rowless or sample is self._samples[0]
        ]

    @contextmanager
    def _started(self, peer: Peer) -> Iterator[Running]:
        """On a repository that holds the one model and nothing else."""
        environment = peer.installed(self._places.environments)
        model = self._samples[0].model
        with temporary_folder(peer.name) as name:
            folder = Path(name)
            shutil.copytree(self._places.model_repo / model, folder / "model_repo" / model)
            setting = Setting(folder / "model_repo", (model,), environment, folder)
            wire = peer.wires[0]
            probe = first_answer(self._samples[0].work(wire))
            with Running(peer, setting, probe, wire.transport, servers.SERVER_CPU) as running:
                yield running

    @contextmanager
    def _left_out_if_it_fails(self, peer: Peer) -> Iterator[None]:
        """Raises what went wrong when it is the gateway."""
        try:
            yield
        except FAILURES as error:
            if peer.name == OURS:
                raise
            reason = " ".join(str(error).split())[:300]
            print(f"{peer.title} is left out: {reason}", file=sys.stderr)
            self.missing[peer.name] = reason


SINGLE_SECONDS = 2.0
RATE_STREAMS = 100
"""Calls that may be open at a time at a rate: enough that the load generator is never what holds a call back."""


def two_digits(rate: float) -> float:
    """Rounded to two digits, so that it can be read and named."""
    return float(f"{rate:.2g}") if math.isfinite(rate) else rate


def _tell(peer: Peer, work: Work, kind: str, rate: float, more: str) -> None:
    print(f"{peer.title}, {work.wire.name}, {work.rows} rows, {kind}: {rate:,.0f}/s {more}", file=sys.stderr)
