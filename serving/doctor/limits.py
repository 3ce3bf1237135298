"""What the system lets a process have: file descriptors, memory."""

import resource
from pathlib import Path

from serving.doctor.finding import Findings, ok, warning
from serving.doctor.installation import Installation

LEAST_FILES = 1024
"""Each connection is one; below that, a few hundred clients are too many."""
BASE_BYTES = 320 << 20
"""A gateway without tables, with two models, under load (docs/performance.md), and room to breathe."""
OTHER_FILES = 100
"""What a gateway has open beside connections."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


async def check(installation: Installation) -> Findings:
    """The soft limit of open files; memory against what the tables of this gateway may grow to."""
    settings, there = installation.settings, _memory()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    compiled = settings.listener != "grpc_aio"
    connections = settings.max_connections * settings.loop_threads if compiled else 0
    least = max(LEAST_FILES, connections + OTHER_FILES)
    if files != resource.RLIM_INFINITY and files < least:
        may = f", of which EPM_MAX_CONNECTIONS allows {connections}" if connections else ""
        found = f"{files} open files at a time: each connection is one{may}"
        raised = max(16 * LEAST_FILES, least)
        yield warning(found, f"ulimit -n {raised} before the gateway starts, or LimitNOFILE= of its unit")
    else:
        yield ok(f"{'any number of' if files == resource.RLIM_INFINITY else files} open files at a time")
    replica = settings.replica_bytes if settings.redis_url else 0
    kept = 0 if set(settings.each("cache")) == {("off",)} else settings.cache_bytes
    messages = settings.message_memory_bytes if compiled else 0
    needed = (BASE_BYTES + replica + kept + messages) * settings.workers
    who = "a gateway takes" if settings.workers == 1 else f"{settings.workers} workers take"
    words = f"{there >> 20} MiB of memory; with a full replica and one full cache {who} {needed >> 20} MiB"
    if there < needed:
        lower = "EPM_REPLICA_BYTES, EPM_CACHE_BYTES (per served version) or EPM_MESSAGE_MEMORY_BYTES"
        yield warning(words, f"raise the limit, or lower {lower}")
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
