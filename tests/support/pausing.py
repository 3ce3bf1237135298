"""Processes that stand still: SIGSTOP reaches a thread that is running a little later than `kill` returns."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

STOPPED = "TtZX"


def pause(process: int) -> None:
    """Stop a process, and wait until all its threads are. Raises TimeoutError."""
    os.kill(process, signal.SIGSTOP)
    _wait(lambda: [process])


def pause_group(group: int) -> None:
    """Stop all processes of a group, and wait until they are. Raises TimeoutError."""
    os.killpg(group, signal.SIGSTOP)
    _wait(lambda: [int(path.name) for path in Path("/proc").glob("[0-9]*") if _stat(path)[2:3] == [str(group)]])


def _wait(processes: Callable[[], list[int]]) -> None:
    end = time.monotonic() + 30
    while any(_stat(thread)[0] not in STOPPED for one in processes() for thread in Path(f"/proc/{one}/task").iterdir()):
        if time.monotonic() > end:
            raise TimeoutError("a process goes on, expected it to be stopped")
        time.sleep(0.001)


def _stat(path: Path) -> list[str]:
    """State, parent and group of a process or a thread (proc(5)); X where it is gone."""
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return ["X"]
