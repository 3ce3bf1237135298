"""What binds a worker to its supervisor: the worker's standard input is a pipe, which ends with the supervisor."""

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

LATE_SECONDS = 5.0
"""How long after its drain a process may take to end."""


def hold(folder: Path, drain_seconds: float) -> None:
    """From now on: when the supervisor is gone, however it went, drain and end, whatever the event loop does."""

    def watch() -> None:
        while os.read(0, 64):
            pass
        _clear(folder)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(drain_seconds + LATE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def _clear(folder: Path) -> None:
    """Of sockets: the supervisor cannot any more. All workers do it at the same time."""
    for path in folder.glob("*"):
        if path.is_socket():
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
