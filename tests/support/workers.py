"""The workers of a gateway that was started with several: which processes they are, and what each says of itself."""

import asyncio
import contextlib
import os
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from serving.listeners.exchange import METRICS, ask
from serving.listeners.worker_place import WorkerPlace
from tests.support.gateways import Running
from tests.support.metrics import sample, until

PATIENCE = 90.0
"""Seconds that a busy machine may take to start a worker."""


def places(supervisor: int) -> dict[int, WorkerPlace]:
    """What its workers are, by the ids of their processes."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == supervisor:
                environment = dict(part.partition("=")[::2] for part in (folder / "environ").read_text().split("\0"))
                found[int(folder.name)] = WorkerPlace.read(environment["EPM_WORKER"])
    return found


def process_of(at: Running, number: int) -> int:
    """The process that this worker is now."""
    (found,) = (process for process, place in places(at.process.pid).items() if place.number == number)
    return found


def said_by(place: WorkerPlace) -> list[Sample]:
    """What one worker counts, without the others."""
    text = asyncio.run(ask(place.socket, METRICS, 10))
    assert text is not None
    return [one for family in text_string_to_metric_families(text.decode()) for one in family.samples]


def all_up(at: Running, workers: int = 2) -> bool:
    """Whether so many serve, at the latest after PATIENCE."""
    return until(lambda: sample(at, "epm_workers_up") == workers, PATIENCE)


def lives(process: int) -> bool:
    """Whether there is such a process, which has not ended."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
