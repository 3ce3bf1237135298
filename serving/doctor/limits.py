"""What the system lets a process have: file descriptors, memory."""

import resource
from pathlib import Path

from serving.doctor.finding import Findings, ok, warning
from serving.doctor.installation import Installation

LEAST_FILES = 1024
"""Each connection is one; below that, a few hundred clients are too many."""
BASE_BYTES = 320 << 20
"""A gateway without tables, with two models, under load (docs/performance.md), and room to breathe."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


async def check(installation: Installation) -> Findings:
    """The soft limit of open files; memory against what the tables of this gateway may grow to."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < LEAST_FILES:
        found = f"{files} open files at a time: each connection is one"
        yield warning(found, f"ulimit -n {16 * LEAST_FILES} before the gateway starts, or LimitNOFILE= of its unit")
    else:
        yield ok(f"{'any number of' if files == resource.RLIM_INFINITY else files} open files at a time")
    settings, there = installation.settings, _memory()
    replica = settings.replica_bytes if settings.redis_url else 0
    kept = 0 if set(settings.each("cache")) == {("off",)} else settings.cache_bytes
    needed = (BASE_BYTES + replica + kept) * settings.workers
    who = "a gateway takes" if settings.workers == 1 else f"{settings.workers} workers take"
    words = f"{there >> 20} MiB of memory; with a full replica and one full cache {who} {needed >> 20} MiB"
    if there < needed:
        yield warning(words, "raise the limit, or lower EPM_REPLICA_BYTES or EPM_CACHE_BYTES (per served version)")
    else:
        yield ok(words)


def _memory() -> int:
    """Bytes that this process may take: of its control group, or of the machine."""
    try:
        limit = CGROUP.read_text("ascii").strip()
    except OSError:
        limit = "max"
    lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    machine = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemTotal:"))
    return min(machine, int(limit)) if limit.isdigit() else machine
