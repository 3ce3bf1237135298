"""Ports for servers that have to be told theirs, and for servers that come back on the port they had.

What the kernel gives for port 0 it may give to any outgoing connection a moment later, and a suite has thousands of
those. These are below its range, and no two workers of pytest-xdist look at the same ones.
"""

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator

LOWEST, WORKERS, EACH = 10_000, 4, 5_000


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now, all different, and not given before for long."""
    return list(itertools.islice(filter(_is_free, _ports), count))


def _candidates() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    first = LOWEST + worker * EACH
    begin = random.randrange(EACH)
    yield from (first + (begin + step) % EACH for step in itertools.count())


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
        return True
    return False


_ports = _candidates()
