"""One command as a process of its own on one processor: seconds, processor seconds, and its largest memory."""

import os
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.measure import MeasurementError
from loadtest.servers import SERVER_CPU, pin

PATIENCE = 600.0
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Used:
    """What a command needed: wall seconds, processor seconds, most resident MiB (VmHWM of proc(5), looked at often:
    `ru_maxrss` counts who started it as well)."""

    seconds: float
    cpu_seconds: float
    peak_mib: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def run(command: list[str], log: Path) -> Used:
    """Run it to its end, held to one processor. Raises MeasurementError when it fails or takes too long."""
    began, peak = time.perf_counter(), 0.0
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    pin(SERVER_CPU, process.pid)
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, _peak_mib(process.pid))
            if time.perf_counter() - began > PATIENCE:
                raise MeasurementError(f"{' '.join(command[1:4])} was not done after {PATIENCE:g} s")
            time.sleep(_LOOK_SECONDS)
    except BaseException:
        process.kill()
        process.wait()
        raise
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said_last = log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["nothing said"]
        raise MeasurementError(f"{' '.join(command[1:4])} ended with {process.returncode}: {said_last[0]}")
    return Used(seconds, usage.ru_utime + usage.ru_stime, peak)


def _peak_mib(pid: int) -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
