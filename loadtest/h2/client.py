"""A light load generator: gRPC unary calls over plain sockets, one thread, in a closed loop or at a fixed rate.

It exists because a gRPC library costs as much in the client as in the server, so that the client would be measured.
Every request takes the next of many distinct bodies, every call's `:status` and `grpc-status` are checked, and only an
answer counts as an answer: a lost connection, a reset or a call left open is an error of the result. It stops by itself
and talks to this machine only.
"""

import ipaddress
import select
import socket
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from loadtest.h2 import frames
from loadtest.h2.connection import OK, Call, Connection, ConnectionFailed

_CHUNK = 1 << 18
_SECOND = 1_000_000_000


class LoadError(Exception):
    """The load could not be put on at all: an address elsewhere, no connection, too few distinct bodies."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to ask. No call begins after `calls` calls or `seconds` seconds; what is open has `grace` seconds to end."""

    address: str
    """HOST:PORT of this machine."""
    path: str
    bodies: Sequence[bytes]
    """Request messages without the gRPC prefix."""
    connections: int = 1
    streams: int = 8
    """Calls open at a time on each connection."""
    seconds: float = 5.0
    calls: int = 10_000_000
    rate: float | None = None
    """Calls a second. A latency then counts from when the call was due, so waiting for a free stream is part of it."""
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


def run(load: Load) -> Result:
    """Put the load on. Raises LoadError when it cannot begin; what goes wrong later is counted in the result."""
    if len(set(load.bodies)) < load.distinct:
        raise LoadError(f"{len(set(load.bodies))} distinct bodies, at least {load.distinct} are wanted")
    return _Runner(load).run()


class _Link:
    """A connection and its socket, which never blocks."""

    def __init__(self, load: Load, epoll: "select.epoll") -> None:
        try:
            self.socket = socket.create_connection(_loopback(load.address), timeout=load.grace)
        except OSError as error:
            raise LoadError(f"{load.address}: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.connection = Connection(load.address, load.path, load.window)
        self._backlog = b""
        self._epoll = epoll
        epoll.register(self.socket, select.EPOLLIN)

    def flush(self) -> None:
        """Send what there is; what the socket does not take is sent when it can."""
        data = self.connection.output()
        if self._backlog:
            data = self._backlog + data
        elif not data:
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        if bool(self._backlog) != (sent < len(data)):
            self._epoll.modify(self.socket, select.EPOLLIN | select.EPOLLOUT * (sent < len(data)))
        self._backlog = data[sent:]

    def receive(self) -> list[Call]:
        """Calls that have ended. Raises ConnectionFailed or OSError."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionFailed("the server closed the connection")
        return self.connection.receive(data)


class _Runner:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._messages = [frames.message(body) for body in load.bodies]
        self._result = Result()
        self._latencies = array("q")
        self._begun = 0
        self._first = self._last = 0
        self._give_up = time.perf_counter_ns() + int(load.grace * _SECOND)
        self._period = _SECOND / load.rate if load.rate else 0.0

    def run(self) -> Result:
        links: dict[int, _Link] = {}
        with select.epoll() as epoll:
            try:
                for _ in range(self._load.connections):
                    link = _Link(self._load, epoll)
                    links[link.socket.fileno()] = link
                cpu = time.process_time_ns()
                self._loop(links, epoll)
                self._result.cpu_seconds = (time.process_time_ns() - cpu) / _SECOND
            finally:
                for link in links.values():
                    self._note(link.connection)
                    self._count(link.connection.abandon("unanswered"), 0)
                    link.socket.close()
        result = self._result
        result.latencies_ns = np.frombuffer(self._latencies, np.int64)
        result.seconds = (self._last - self._first) / _SECOND
        return result

    def _loop(self, links: dict[int, _Link], epoll: "select.epoll") -> None:
        """Begin calls, send, wait, take answers, until all is done, all connections are gone, or patience is."""
        touched = list(links.values())
        while True:
            now = time.perf_counter_ns()
            for link in touched:
                self._ask(links, link, now)
            done = self._finished(now) and not any(link.connection.calls for link in links.values())
            if done or not links or now > self._give_up:
                return
            events = epoll.poll(self._patience(now))
            now = time.perf_counter_ns()
            touched = [links[number] for number, _ in events]
            for link in touched:
                self._take(links, link, now)
            touched = [link for link in (links.values() if self._period else touched) if link.socket.fileno() in links]

    def _ask(self, links: dict[int, _Link], link: _Link, now: int) -> None:
        self._begin(link.connection, now)
        try:
            link.flush()
        except OSError as error:
            self._lose(links, link, str(error))

    def _take(self, links: dict[int, _Link], link: _Link, now: int) -> None:
        try:
            self._count(link.receive(), now)
        except (ConnectionFailed, OSError) as error:
            self._lose(links, link, str(error))
        else:
            if link.connection.closing and not link.connection.calls:
                self._lose(links, link, link.connection.closing)

    def _begin(self, connection: Connection, now: int) -> None:
        load = self._load
        while len(connection.calls) < load.streams and connection.can_call() and not self._finished(now):
            if not self._first:
                self._first, self._give_up = now, now + int((load.seconds + load.grace) * _SECOND)
            due = self._first + int(self._begun * self._period) if self._period else now
            if due > now:
                return
            number = self._begun
            connection.call(number, due, self._messages[number % len(self._messages)], number < load.keep)
            self._begun = number + 1

    def _finished(self, now: int) -> bool:
        """Whether no call is to begin any more."""
        over = self._first and now >= self._first + self._load.seconds * _SECOND
        return bool(over) or self._begun >= self._load.calls

    def _patience(self, now: int) -> float:
        """Seconds to wait for the network. The last millisecond before a call is due, epoll's step, is waited awake."""
        if not self._period or self._finished(now):
            return (self._give_up - now) / _SECOND
        left = (self._first + int(self._begun * self._period) - now) / _SECOND
        return 0.0 if left < 1e-3 else left - 1e-3

    def _count(self, ended: list[Call], now: int) -> None:
        result = self._result
        for call in ended:
            outcome = call.outcome
            if isinstance(outcome, str):
                result.errors[outcome] += 1
                continue
            result.statuses[outcome] += 1
            self._latencies.append(now - call.began)
            self._last = now
            if call.body is not None and outcome == OK:
                result.kept[call.number] = bytes(call.body[5:])

    def _note(self, connection: Connection) -> None:
        """What is known of a connection at its end."""
        self._result.window_updates += connection.updates
        self._result.stateless &= connection.headers.stateless

    def _lose(self, links: dict[int, _Link], link: _Link, reason: str) -> None:
        """A connection is gone: its calls are errors, and so is its going when there was none."""
        del links[link.socket.fileno()]
        self._note(link.connection)
        lost = link.connection.abandon(reason)
        self._count(lost, 0)
        if not lost:
            self._result.errors[reason] += 1
        link.socket.close()


def _loopback(address: str) -> tuple[str, int]:
    """HOST:PORT -> what a socket takes. Raises LoadError for any other machine than this one."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host, int(port)
    except ValueError:
        pass
    raise LoadError(f"{address}: load is put on this machine only, as 127.0.0.1:PORT or [::1]:PORT")
