"""One life of one worker: a gateway in a process of its own."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

import serving
from serving.listeners.exchange import LAST, METRICS, PING, ask
from serving.listeners.worker_place import WorkerPlace
from serving.supervisor.exposition import Exposition

COLLECT_SECONDS = 5.0
START_SECONDS = 300.0
"""How long a process may take to its first answer: a slow disk, many other processes."""
LONGEST_LINE = 1 << 20
LOOKS = 10
"""How often a worker is looked at until it counts as stuck."""


class Worker:
    """Of a process that was started: whether it serves, what it counts, how it ended."""

    def __init__(self, place: WorkerPlace, process: asyncio.subprocess.Process) -> None:
        self.place = place
        self.up = False
        """Since it said `ready`, until it ends."""
        self.stuck = False
        """Whether it was ended because it did not answer."""
        self.counted = Exposition()
        """What it said at last."""
        self.began = time.monotonic()
        self._has_left = False
        """Whether it has said all that it will ever have counted."""
        self._process, self._output = process, cast(asyncio.StreamReader, process.stdout)

    @classmethod
    async def start(cls, place: WorkerPlace, options: Mapping[str, str]) -> "Worker":
        """options: settings of its command line. It is the program that runs here, wherever this was started."""
        source = str(Path(serving.__file__).parents[1])
        environment = {
            **os.environ,
            "EPM_WORKER": str(place),
            "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH")))),
        }
        arguments = [f"--{name.replace('_', '-')}={text}" for name, text in options.items()]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "serving.cli", "serve", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            limit=LONGEST_LINE,
        )
        return cls(place, process)

    @property
    def process_id(self) -> int:
        return self._process.pid

    async def live(self, stuck_seconds: float, ready: Callable[[], Awaitable[None]]) -> int:
        """From its start to its exit status, below 0 for signals; `ready` is awaited when it is.

        One that does not answer for so long is killed.
        """
        looking = asyncio.create_task(self._look(stuck_seconds))
        try:
            while line := await self._output.readline():
                if line.startswith(b"ready "):
                    self.up = True
                    await ready()
                    break
            left = (await self._output.read()).decode()
            if left.endswith(LAST):
                self.counted, self._has_left = Exposition(left.removesuffix(LAST)), True
            return await self._process.wait()
        finally:
            looking.cancel()
            self.up = False

    async def collect(self) -> bool:
        """Ask what it counts; whether it answered."""
        said = await ask(self.place.socket, METRICS, COLLECT_SECONDS)
        if said is not None and not self._has_left:
            self.counted = Exposition(said.decode())
        return said is not None

    def signal(self, number: signal.Signals) -> None:
        """Unless it has ended."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _look(self, stuck_seconds: float) -> None:
        """Kill it when it does not answer. Looks are counted, not seconds: they pass for who is not running, too."""
        pause, missed, begun = stuck_seconds / LOOKS, 0, False
        asked: asyncio.Task[bytes | None] | None = None
        while missed < (LOOKS if begun else LOOKS * START_SECONDS / stuck_seconds):
            asked = asked or asyncio.create_task(ask(self.place.socket, PING, stuck_seconds))
            await asyncio.sleep(pause)
            missed += 1
            if asked.done():
                if asked.result() is not None:
                    begun, missed = True, 0
                asked = None
        self.stuck = True
        self.signal(signal.SIGKILL)
