"""Processor time and memory of a process with everything it has started, from /proc.

Many servers answer from children of the process that was started. What counts is all of them.
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_KIB = 1024
_PATIENCE_TO_DIE = 10.0
_SHARED_MEMORY = re.compile(r" /(dev/(shm|zero)|memfd:|SYSV)")
"""Files that are memory, and that nobody outside a tree has."""


@dataclass(frozen=True)
class Usage:
    """Of all processes of a tree together.

    cpu_seconds: since their start, all threads, with children that have ended and were waited for; in steps of 1/100 s.
    memory_mib: resident memory in MiB: what is their own, and each file that is mapped counted once, whoever else maps
    it. (The proportional set size would divide a library by everybody who has it, the load generator too.)
    """

    cpu_seconds: float
    memory_mib: float
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
        return Usage(ticks / _TICK, _resident_bytes(stat.pid for stat in alive) / (1 << 20), len(alive))

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
        until = time.monotonic() + _PATIENCE_TO_DIE
        while (left := self.pids()) and time.monotonic() < until:
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


def _resident_bytes(pids: Iterable[int]) -> int:
    """Of processes together. Source: proc(5), smaps: what has no file by its proportional size, files by their pages.

    Pages of a file that a process has written to are its own (`Anonymous`).
    """
    own, files = 0, dict[tuple[str, ...], int]()
    for pid in pids:
        file, resident = None, 0
        for line in _lines(_PROC / str(pid) / "smaps"):
            name, *fields = line.split()
            if not name.endswith(":"):
                file = None if fields[3] == "0" or _SHARED_MEMORY.search(line) else tuple(fields[1:4])
            elif name == "Pss:" and file is None:
                own += int(fields[0])
            elif name == "Rss:":
                resident = int(fields[0])
            elif name == "Anonymous:" and file is not None:
                own += int(fields[0])
                files[file] = max(files.get(file, 0), resident - int(fields[0]))
    return (own + sum(files.values())) * _KIB


def _lines(file: Path) -> list[str]:
    """Nothing for a process that has ended meanwhile."""
    try:
        return file.read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
