"""Resident memory of a process, read every second by a thread."""

import os
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


def resident_kib(pid: int) -> float:
    """Resident memory in KiB, of /proc/pid/statm: reading it costs the process nothing. Raises OSError.

    PSS would take 5 ms of walking its page tables, under their lock, and moves when other processes start or end.
    """
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB


class Sampler:
    """Use it in `with`. `samples` are (seconds since 1970, KiB); they end where the process does.

    every: seconds between samples. told: seconds between lines on standard error.
    """

    def __init__(self, pid: int, every: float = 1.0, told: float = 30.0) -> None:
        self.samples: list[tuple[float, float]] = []
        self._pid, self._every, self._told = pid, every, told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        said = 0.0
        while not self._stop.wait(max(0.0, began + len(self.samples) * self._every - time.monotonic())):
            try:
                self.samples.append((time.time(), resident_kib(self._pid)))
            except OSError:
                return
            if (passed := time.monotonic() - began) - said >= self._told:
                said = passed
                print(f"  {passed:.0f} s: {self.samples[-1][1] / 1024:.1f} MiB resident", file=sys.stderr)
