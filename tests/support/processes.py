"""A server in a process group of its own that a test may kill, pause and start again on the same ports."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path

from tests.support.pausing import pause_group


class ServerProcess(ABC):
    """Keeps its ports as long as it lives, whatever happens to its processes, which are found by the id of the first.

    folder: a temporary one, there while the server runs.
    """

    start_seconds = 60
    """How long a start may take on a busy machine."""

    def __init__(self) -> None:
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What to run."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers that it is ready."""

    def environment(self) -> dict[str, str]:
        """Of its processes, besides that of this one."""
        return {}

    @property
    def log(self) -> str:
        """What it has written since it was started."""
        return (self.folder / "log").read_text("utf-8", "replace")

    @property
    def process_id(self) -> int:
        """Of the first process, which names the group of all."""
        return self._process.pid

    def start(self) -> None:
        """Start it; returns when it is ready. Raises RuntimeError with its log."""
        self.folder = Path(tempfile.mkdtemp(prefix="epm-server-"))
        command = self.command()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment(),
                start_new_session=True,
            )
        until = time.monotonic() + self.start_seconds
        while time.monotonic() < until and self._process.poll() is None:
            if self.is_ready():
                return
            time.sleep(0.02)
        written = self.log
        self.kill()
        raise RuntimeError(f"{Path(command[0]).name} did not start:\n{written}")

    @property
    def has_ended(self) -> bool:
        """By itself, after it was started."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End all its processes as if the power had failed (SIGKILL)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            shutil.rmtree(self.folder)

    def pause(self) -> None:
        """Stop all its processes from doing anything (SIGSTOP): connections stay open and nothing is answered."""
        pause_group(self._process.pid)

    def resume(self) -> None:
        """Let them go on (SIGCONT)."""
        os.killpg(self._process.pid, signal.SIGCONT)  # its group is the server and its children

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
