"""Workers that are started, watched, started again and ended together."""

import asyncio
import logging
import shutil
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from serving.listeners.exchange import METRICS, answer
from serving.listeners.worker_place import WorkerPlace
from serving.settings import Settings
from serving.supervisor.counts import Counts
from serving.supervisor.lifeline import LATE_SECONDS
from serving.supervisor.pauses import Pauses
from serving.supervisor.ports import hold
from serving.supervisor.substitute import Substitute
from serving.supervisor.worker import Worker

log = logging.getLogger("epm.supervisor")

LONGEST_FOLDER = 80
"""The path of a socket has 107 letters at most."""


async def supervise(settings: Settings, given: Mapping[str, str]) -> int:
    """Run workers until SIGTERM or SIGINT, then drain them; the exit status. A second signal ends them at once.

    given: settings of the command line, for workers as well. Raises OSError when a port is taken.
    """
    told, loop = asyncio.Queue[None](), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.put_nowait, None)
    held_grpc, grpc_port = hold("gRPC", settings.host, settings.grpc_port)
    held_http, http_port = hold("HTTP", settings.host, settings.http_port)
    folder = Path(tempfile.mkdtemp(prefix="epm-"))  # 0700
    try:
        if len(str(folder)) > LONGEST_FOLDER:
            raise OSError(f"TMPDIR: {folder} is too long a path for sockets, expected {LONGEST_FOLDER} letters at most")
        options = {**given, "grpc_port": str(grpc_port), "http_port": str(http_port)}
        return await Supervisor(settings, options, folder).run(told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for one in (*held_grpc, *held_http):
            one.close()


class Supervisor:
    """The first worker is started alone: what keeps it from starting is said once, and kernels are compiled once."""

    def __init__(self, settings: Settings, options: Mapping[str, str], folder: Path) -> None:
        """options: of each worker's command line, with its ports; folder: of sockets, for this user only."""
        host, grpc_port, http_port = settings.host, options["grpc_port"], options["http_port"]
        self._line = f"ready grpc={host}:{grpc_port} http={host}:{http_port}"
        self._settings, self._options, self._folder = settings, options, folder
        self._workers: dict[int, Worker] = {}
        self._counts = Counts(settings.workers, self._workers.values)
        metrics = self._counts.text if settings.metrics == "on" else None
        self._substitute = Substitute(host, int(http_port), metrics)
        self._ending = asyncio.Event()
        self._one_ready, self._served = asyncio.Event(), False
        self._status = 0

    async def run(self, told: "asyncio.Queue[None]") -> int:
        """Until told to end, or until a worker cannot even start; the exit status."""
        answering = await answer(str(self._folder / "supervisor"), {METRICS: self._counts.text})
        await self._substitute.needed(True)
        keeping = asyncio.create_task(self._keep_all())
        telling, ending = asyncio.create_task(told.get()), asyncio.create_task(self._ending.wait())
        await asyncio.wait({keeping, telling, ending}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            log.info("draining %d workers, at most %g s", len(self._workers), self._settings.drain_seconds)
        self._ending.set()
        await self._answer_http()
        self._signal(signal.SIGTERM)
        again = telling if not telling.done() else asyncio.create_task(told.get())
        seconds = self._settings.drain_seconds + LATE_SECONDS
        await asyncio.wait({keeping, again}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self._signal(signal.SIGKILL)
        await keeping  # raises what went wrong
        answering.close()
        await self._substitute.close()
        return self._status

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.signal(number)

    async def _keep_all(self) -> None:
        first, ready = asyncio.create_task(self._keep(1)), asyncio.create_task(self._one_ready.wait())
        await asyncio.wait({first, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        others = [] if first.done() else [self._keep(number) for number in range(2, self._settings.workers + 1)]
        await asyncio.gather(first, *others)

    async def _keep(self, number: int) -> None:
        """Keep one worker running, life after life."""
        pauses, life = Pauses(), 0
        while not self._ending.is_set():
            life += 1
            try:
                worker = await Worker.start(WorkerPlace(self._folder, number, life), self._options)
            except OSError as error:  # no memory, too many processes
                if not self._served:
                    raise
                log.error("worker %d cannot be started: %s", number, error)
                await self._wait(pauses.after(0))
                continue
            log.debug("worker %d is process %d", number, worker.process_id)
            self._workers[number] = worker
            if self._ending.is_set():
                worker.signal(signal.SIGTERM)
            status = await worker.live(self._settings.worker_stuck_seconds, self._ready)
            del self._workers[number]
            self._counts.ended(worker)
            await self._answer_http()
            if self._ending.is_set():
                self._status = self._status or int(status not in (0, -signal.SIGTERM))
            elif status > 0 and not self._served:
                self._status = status  # it has said why
                self._ending.set()
            else:
                await self._restart(worker, status, pauses.after(time.monotonic() - worker.began))

    async def _ready(self) -> None:
        self._one_ready.set()
        await self._answer_http()
        if not self._served and sum(worker.up for worker in self._workers.values()) == self._settings.workers:
            self._served = True
            print(self._line, flush=True)

    async def _restart(self, worker: Worker, status: int, pause: float) -> None:
        """Count it, say it, and wait."""
        reason = "stuck" if worker.stuck else "ended" if status in (0, -signal.SIGTERM) else "crash"
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        if worker.stuck:
            how = f"{how}: it had not answered for {self._settings.worker_stuck_seconds:g} s"
        when = f"in {pause:g} s" if pause else "now"
        log.warning("worker %d ended by %s, starts again %s", worker.place.number, how, when)
        self._counts.restarted(reason)
        await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def _answer_http(self) -> None:
        """While nobody else does."""
        try:
            up = any(worker.up for worker in self._workers.values())
            await self._substitute.needed(self._ending.is_set() or not up)
        except OSError as error:
            log.error("HTTP is not answered while no worker serves: %s", error)
