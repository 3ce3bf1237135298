"""What the load generator is asked to do, and what comes back."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice, takewhile

import numpy as np
from numpy.typing import NDArray

from loadtest.h2 import frames
from loadtest.h2.connection import OK, Call

_SECOND = 1_000_000_000

UNANSWERED, NOT_BEGUN = "unanswered", "not begun in time"
"""Errors of a result that are the server's slowness: every other one is something broken."""


class LoadError(Exception):
    """The load could not be put on at all: an address elsewhere, no connection, too few distinct bodies."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to ask. No call begins after `calls` calls or `seconds` seconds; what is open has `grace` seconds to end."""

    address: str
    """HOST:PORT of this machine; several after commas, which connections are made to in turn."""
    path: str
    bodies: Sequence[bytes]
    """Request messages without the gRPC prefix."""
    paths: Sequence[str] = ()
    """The method of each body, where they are not all of `path`."""
    vary: Callable[[int, bytes], bytes] | None = None
    """(number of a call, its message with the gRPC prefix) -> what is sent, of the same length."""
    connections: int = 1
    streams: int = 8
    """Calls open at a time on each connection."""
    seconds: float = 5.0
    calls: int = 10_000_000
    rate: float | None = None
    """Calls a second. A latency then counts from when the call was due, so waiting for a free stream is part of it."""
    due: Iterable[int] | None = None
    """Instead of `rate`: when each call is due, ns from the start, never falling; those before `seconds` are asked."""
    overdue: float = float("inf")
    """Seconds a call may be due without a free stream: then it and all later ones are not begun any more."""
    observe: Callable[[Call, int], None] | None = None
    """Told of every call that ended, and when (ns, as `time.perf_counter_ns`)."""
    remember: bool = True
    """Whether the result has a latency of every call; without, its size does not depend on how many there were."""
    keep: int = 0
    """The answers of the first so many calls come back with the result."""
    grace: float = 5.0
    window: int = frames.LARGEST_WINDOW
    """Bytes the server may send unread, for each stream and each connection."""
    distinct: int = 1000
    """Fewer distinct bodies are refused: caches and branch predictors would learn them."""


@dataclass
class Result:
    """What came back. `statuses` counts calls by grpc-status, `errors` the calls that got none, in words."""

    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    kept: dict[int, bytes] = field(default_factory=dict)
    """Number of a call -> its answer, without the gRPC prefix; only grpc-status 0."""
    latencies_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Of every call that got a grpc-status, in the order of the answers."""
    due_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """When each of them was due (in a closed loop: begun), from the first one on."""
    codes: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    """The grpc-status of each of them."""
    lags_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """With a rate: how long after it was due each call was begun, in the order of beginning."""
    epoch: float = 0.0
    """When the first call was due, in seconds since 1970."""
    seconds: float = 0.0
    """From the first call to the last answer."""
    cpu_seconds: float = 0.0
    """Processor time of this process meanwhile."""
    stateless: bool = True
    """Whether the server honoured a header table of size 0 (otherwise this client is slower)."""
    window_updates: int = 0
    """Times this client gave the server room to send on."""

    @property
    def all_ok(self) -> bool:
        """At least one call, and every one answered with grpc-status 0."""
        return not self.errors and set(self.statuses) == {OK}

    @property
    def rate(self) -> float:
        """Calls answered with grpc-status 0, per second."""
        return self.statuses[OK] / self.seconds if self.seconds else 0.0

    def percentile_us(self, percent: float) -> float:
        """Latency in microseconds that `percent` % of the answered calls did not exceed. NaN without any."""
        return float(np.percentile(self.latencies_ns, percent)) / 1e3 if self.latencies_ns.size else float("nan")


def schedule(load: Load) -> Iterator[int] | None:
    """When each call is due, in ns from the start; None in a closed loop."""
    due = load.due
    if due is None:
        if not load.rate:
            return None
        due = (int(number * _SECOND / load.rate) for number in count())
    return islice(takewhile((load.seconds * _SECOND).__gt__, due), load.calls)
