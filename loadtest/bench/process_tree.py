"""Processor time and memory of a process with everything it has started, from /proc.

Many servers answer from children of the process that was started. What counts is all of them.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_KIB = 1024


@dataclass(frozen=True)
class Usage:
    """Of all processes of a tree together.

    cpu_seconds: since their start, all threads, with children that have ended and were waited for; in steps of 1/100 s.
    pss_mib: resident memory, a page that several processes share counted once in all (proportional set size), in MiB.
    """

    cpu_seconds: float
    pss_mib: float
    processes: int


@dataclass(frozen=True)
class _Stat:
    """What is used of /proc/pid/stat. start: in ticks since the boot, which tells a process from a later one's id."""

    pid: int
    parent: int
    session: int
    start: int
    ticks: int
    zombie: bool


class ProcessTree:
    """A process and its descendants; one that was seen in it once stays in it when its parent ends.

    root: a process id. Where the root leads a session, all of that session belong to it.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self._known = {stat.pid: stat.start for stat in _all_stats() if stat.pid == root}

    def pids(self) -> list[int]:
        """The processes that there are now, zombies left out."""
        return [stat.pid for stat in self._members() if not stat.zombie]

    def usage(self) -> Usage:
        """Raises ProcessLookupError when no process is left."""
        members = self._members()
        alive = [stat for stat in members if not stat.zombie]
        if not alive:
            raise ProcessLookupError(f"process {self.root} and all that it had started have ended")
        ticks = sum(stat.ticks for stat in members)
        return Usage(ticks / _TICK, sum(_pss_bytes(stat.pid) for stat in alive) / (1 << 20), len(alive))

    def cpu_seconds(self) -> float:
        """As in `usage`, without the memory, which takes longer to read. 0 when no process is left."""
        return sum(stat.ticks for stat in self._members()) / _TICK

    def end(self, patience: float) -> None:
        """SIGTERM to the root; SIGKILL for what is left of the tree `patience` seconds later, or once the root is gone.

        The parent of the root has to wait for it.
        """
        if self.root in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.root, signal.SIGTERM)
        until = time.monotonic() + patience
        while self.root in (left := self.pids()) and time.monotonic() < until:
            time.sleep(0.02)
        while left := self.pids():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def _members(self) -> list[_Stat]:
        """Those known before, their descendants, and the session of the root."""
        stats = {stat.pid: stat for stat in _all_stats()}
        known = {pid for pid, start in self._known.items() if pid in stats and stats[pid].start == start}
        members = known | {pid for pid, stat in stats.items() if stat.session == self.root}
        while more := {pid for pid, stat in stats.items() if stat.parent in members} - members:
            members |= more
        self._known = {pid: stats[pid].start for pid in members}
        return [stats[pid] for pid in members]


def _all_stats() -> Iterator[_Stat]:
    """Of every process of this machine that can be read. Source: proc(5), fields 3, 4, 6, 14 to 17 and 22 of stat."""
    for entry in os.listdir(_PROC):
        if not entry.isdecimal():
            continue
        try:
            fields = (_PROC / entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(int(field) for field in fields[11:15])
        yield _Stat(int(entry), int(fields[1]), int(fields[3]), int(fields[19]), ticks, fields[0] in "ZX")


def _pss_bytes(pid: int) -> int:
    """0 for a process that has ended meanwhile."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * _KIB for line in lines if line.startswith("Pss:"))
