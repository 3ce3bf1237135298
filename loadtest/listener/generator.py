"""A load generator that a compiled listener does not outrun: HTTP/2 from arrays, without Python on the way of a call.

As `loadtest.h2.client` it takes the next of many distinct bodies for every call, checks the trailers of every one (by
their bytes: the server is asked for no dynamic table, so that equal bytes are equal headers), and talks to this machine
only. A latency at a rate counts from when the call was due. It sends what has no more than one window of bytes.
"""

import select
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loadtest.h2 import frames
from loadtest.h2.client import UNANSWERED, LoadError, Result, loopback
from loadtest.listener.trailers import TrailerReader

SECOND = 1_000_000_000
TRAILER_BYTES = 8192


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to ask, as `loadtest.h2.load.Load`. messages: unanswered ones of each stream of a bidirectional method, 0
    for a unary one. keep: so many first calls come back with their answers, of at most `keep_bytes` each."""

    address: str
    path: str
    bodies: Sequence[bytes]
    connections: int = 1
    streams: int = 8
    messages: int = 0
    seconds: float = 2.0
    rate: float | None = None
    calls: int = 8_000_000
    keep: int = 20
    keep_bytes: int = 1 << 16
    grace: float = 10.0
    distinct: int = 1000


@dataclass
class Answers(Result):
    """What came back. Of a bidirectional method `statuses` counts messages, once all its streams ended well.

    trailers: of the first calls of a unary method, the bytes of their trailers; b"" where there are none.
    said: status and message of the calls that were not OK. late_ns: how late a call was begun at most, with a rate.
    """

    trailers: list[bytes] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    late_ns: int = 0
    undisturbed_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """With a rate: latencies of calls while which the generator itself had the processor all the time."""
    stood_ns: int = 0
    """With a rate: how long it stood still in all, as far as that was longer than 0.2 ms at a time."""


def run(load: Load) -> Answers:
    """Put the load on. Raises LoadError when it cannot begin; what goes wrong later is counted in the result."""
    from loadtest.listener import generator_loop as loop  # with Numba

    if len(set(load.bodies)) < load.distinct:
        raise LoadError(f"{len(set(load.bodies))} distinct bodies, at least {load.distinct} are wanted")
    if load.streams > loop.PLACES // 2:
        raise LoadError(f"{load.streams} streams of a connection, at most {loop.PLACES // 2} are possible")
    if load.messages and load.streams * 2 > loop.PLACES:
        raise LoadError("too many streams")
    messages = [frames.message(body) for body in load.bodies]
    if max(map(len, messages)) > frames.DEFAULT_WINDOW:
        raise LoadError(f"a message of {max(map(len, messages))} bytes, at most {frames.DEFAULT_WINDOW} are possible")
    sockets = _connect(load)
    try:
        return _drive(load, messages, sockets)
    finally:
        for each in sockets:
            each.close()


def _connect(load: Load) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        for _ in range(load.connections):
            made.append(socket.create_connection(loopback(load.address), timeout=load.grace))
            made[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        for each in made:
            each.close()
        raise LoadError(f"{load.address}: {error}") from error
    return made


def _greeting() -> bytes:
    largest = frames.LARGEST_WINDOW
    values = {frames.HEADER_TABLE_SIZE: 0, frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: largest}
    more = frames.window_update(0, largest - frames.DEFAULT_WINDOW)
    return frames.PREFACE + frames.settings(values) + more


def _drive(load: Load, messages: Sequence[bytes], sockets: Sequence[socket.socket]) -> Answers:
    from loadtest.listener import generator_loop as loop

    count, depth = len(sockets), max(1, load.messages)
    most = load.calls if load.rate is None else min(load.calls, int(load.rate * load.seconds) + 1)
    keep = min(load.keep, most)
    links = np.zeros((count, loop.CONNECTION), np.int64)
    links[:, loop.NEXT] = 0 if load.messages else 1
    links[:, [loop.WINDOW, loop.STREAM_WINDOW]] = frames.DEFAULT_WINDOW
    out = np.zeros((count, loop.OUTPUT), np.uint8)
    greeting = np.frombuffer(_greeting(), np.uint8)
    out[:, : greeting.size], links[:, loop.OUT] = greeting, greeting.size
    latencies = np.full(most, -1, np.int64)
    answers = np.zeros((keep, load.keep_bytes), np.uint8)
    sizes = np.full(keep, -1, np.int64)
    trailers, trailer_sizes = np.zeros((keep, TRAILER_BYTES), np.uint8), np.zeros(keep, np.int64)
    counted = np.zeros(loop.COUNTED, np.int64)
    kinds = np.zeros((loop.KINDS, loop.BLOCK), np.uint8), np.zeros(loop.KINDS, np.int64), np.zeros(loop.KINDS, np.int64)
    blob = np.frombuffer(b"".join(messages), np.uint8)
    starts = np.cumsum([0, *map(len, messages)])
    block = np.frombuffer(frames.header_block(load.address, load.path), np.uint8)
    descriptors = np.array([each.fileno() for each in sockets])
    of = np.zeros(descriptors.max() + 1, np.int64)
    of[descriptors] = np.arange(count)
    with select.epoll() as epoll:
        for each in sockets:
            epoll.register(each, select.EPOLLIN)
        plan = np.zeros(8, np.int64)
        period = int(SECOND / load.rate) if load.rate else 0
        plan[: loop.CALLS + 1] = load.streams, load.messages, period, int(load.seconds * SECOND), most
        plan[loop.GRACE :] = int(load.grace * SECOND), len(messages), epoll.fileno()
        results = latencies, answers, sizes, trailers, trailer_sizes
        places = np.zeros((count, loop.PLACES, loop.PLACE), np.int64)
        due, numbers = (np.zeros((count, loop.PLACES, depth), np.int64) for _ in range(2))
        loop.drive(
            plan,
            descriptors,
            of,
            links,
            np.zeros((count, loop.INPUT), np.uint8),
            out,
            places,
            due,
            numbers,
            blob,
            starts,
            block,
            results,
            counted,
            kinds,
        )
    found = Answers(cpu_seconds=int(counted[loop.CPU]) / SECOND)
    _count(found, load, counted, kinds)
    found.undisturbed_ns = latencies[latencies >= 0]
    disturbed = latencies[latencies < -1]
    found.latencies_ns = np.concatenate([found.undisturbed_ns, -2 - disturbed])
    found.stood_ns = int(counted[loop.STOOD])
    found.seconds = max(0, int(counted[loop.LAST] - counted[loop.FIRST])) / SECOND
    found.late_ns = int(counted[loop.LATEST])
    found.kept = {int(number): answers[number, : sizes[number]].tobytes() for number in np.flatnonzero(sizes >= 0)}
    found.trailers = [trailers[number, : trailer_sizes[number]].tobytes() for number in range(keep)]
    return found


def _count(
    found: Answers,
    load: Load,
    counted: NDArray[np.int64],
    kinds: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    """Statuses by the trailers, and what has no status."""
    from loadtest.listener import generator_loop as loop

    blocks, sizes, counts = kinds
    seen = [blocks[kind, : sizes[kind]].tobytes() for kind in range(counted[loop.BLOCKS])]
    reader = TrailerReader()
    for block, calls in zip(seen, counts.tolist(), strict=False):
        status, message, _ = reader.said(block)
        found.statuses[status] += calls
        if status:
            found.said[f"{status} {message}"] += calls
    if load.messages and set(found.statuses) == {0}:
        found.statuses[0] = int(counted[loop.ANSWERED])
    errors = {
        "reset": counted[loop.RESET],
        "lost with a connection": counted[loop.LOST],
        "trailers of too many kinds": counted[loop.OTHER_BLOCKS],
        "grpc-status 0 without exactly one message": counted[loop.SHAPELESS]
        - sum(calls for code, calls in found.statuses.items() if code)
        - counted[loop.OTHER_BLOCKS],
        UNANSWERED: counted[loop.BEGUN] - counted[loop.ANSWERED] - counted[loop.RESET] - counted[loop.LOST],
        "connections that were lost": counted[loop.UNREADABLE],
    }
    found.errors.update({reason: int(calls) for reason, calls in errors.items() if calls > 0})
