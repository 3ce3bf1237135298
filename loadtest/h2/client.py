"""A light load generator: gRPC unary calls over plain sockets, one thread, in a closed loop or when they are due.

It exists because a gRPC library costs as much in the client as in the server, so that the client would be measured.
Every request takes the next of many distinct bodies, every call's `:status` and `grpc-status` are checked, and only an
answer counts as an answer: a lost connection, a reset or a call left open is an error of the result. It stops by itself
and talks to this machine only.

With a rate or a schedule a latency counts from when the call was due, and every call that was due is asked or is an
error: a server that stands still is not asked less for it (no coordinated omission). The last millisecond before a call
is due is waited awake, so the processor time of such a run says nothing of how near the generator is to its limit;
`Result.lags_ns`, how late calls were begun, does.
"""

import gc
import ipaddress
import itertools
import select
import socket
import time
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from loadtest.h2 import frames
from loadtest.h2.connection import OK, Call, Connection, ConnectionFailed
from loadtest.h2.load import NOT_BEGUN, UNANSWERED, Load, LoadError, Result, schedule

__all__ = ["NOT_BEGUN", "OK", "UNANSWERED", "Load", "LoadError", "Result", "drive", "loopback", "run"]

_CHUNK = 1 << 18
_SECOND = 1_000_000_000


def run(load: Load) -> Result:
    """Put the load on. Raises LoadError when it cannot begin; what goes wrong later is counted in the result."""
    return drive(load, lambda address: Connection(address, load.path, load.window), frames.message)


def drive(load: Load, connect: Callable[[str], Any], message: Callable[[bytes], bytes]) -> Result:
    """Put the load on in any protocol. Raises LoadError.

    connect: (address) -> what speaks the protocol, in the manner of `Connection`. message: body -> what a call sends.
    """
    if len(set(load.bodies)) < load.distinct:
        raise LoadError(f"{len(set(load.bodies))} distinct bodies, at least {load.distinct} are wanted")
    return _Runner(load, connect, message).run()


class _Link:
    """A connection and its socket, which never blocks."""

    def __init__(self, address: str, grace: float, connection: Any, epoll: "select.epoll") -> None:
        try:
            self.socket = socket.create_connection(loopback(address), timeout=grace)
        except OSError as error:
            raise LoadError(f"{address}: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.connection = connection
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
        ended: list[Call] = self.connection.receive(data)
        return ended


class _Runner:
    def __init__(self, load: Load, connect: Callable[[str], Any], message: Callable[[bytes], bytes]) -> None:
        self._load = load
        self._addresses, self._connect = load.address.split(","), connect
        self._messages = [message(body) for body in load.bodies]
        blocks = {path: frames.header_block(self._addresses[0], path) for path in {*load.paths}}
        self._blocks = [blocks[path] for path in load.paths] or [b""] * len(load.bodies)
        self._result = Result()
        self._latencies, self._due, self._codes, self._lags = array("q"), array("q"), array("h"), array("q")
        self._begun = 0
        self._first = self._last = 0
        self._give_up = time.perf_counter_ns() + int(load.grace * _SECOND)
        self._schedule = schedule(load)
        self._next = next(self._schedule, None) if self._schedule else None

    def run(self) -> Result:
        links: dict[int, _Link] = {}
        collecting = gc.isenabled()
        with select.epoll() as epoll:
            try:
                for address in itertools.islice(itertools.cycle(self._addresses), self._load.connections):
                    link = _Link(address, self._load.grace, self._connect(address), epoll)
                    links[link.socket.fileno()] = link
                gc.collect()
                gc.disable()  # a collection would stand between an answer and the clock; nothing here makes cycles
                cpu = time.process_time_ns()
                self._loop(links, epoll)
                self._result.cpu_seconds = (time.process_time_ns() - cpu) / _SECOND
            finally:
                if collecting:
                    gc.enable()
                for link in links.values():
                    self._note(link.connection)
                    self._count(link.connection.abandon(UNANSWERED), time.perf_counter_ns())
                    link.socket.close()
        self._give_up_schedule()
        result = self._result
        result.latencies_ns, result.due_ns = (
            np.frombuffer(self._latencies, np.int64),
            np.frombuffer(self._due, np.int64),
        )
        result.codes, result.lags_ns = np.frombuffer(self._codes, np.int16), np.frombuffer(self._lags, np.int64)
        result.seconds = max(self._last - self._first, 0) / _SECOND
        return result

    def _loop(self, links: dict[int, _Link], epoll: "select.epoll") -> None:
        """Begin calls, send, wait, take answers, until all is done, all connections are gone, or patience is."""
        touched = list(links.values())
        while True:
            now = time.perf_counter_ns()
            if self._schedule:
                touched = list(links.values())
                self._begin_due([link.connection for link in touched], now)
            for link in touched:
                if not self._schedule:
                    self._begin(link.connection, now)
                self._flush(links, link)
            done = self._finished(now) and not any(link.connection.calls for link in links.values())
            if done or not links or now > self._give_up:
                return
            events = epoll.poll(self._patience(now))
            now = time.perf_counter_ns()
            touched = [links[number] for number, _ in events]
            for link in touched:
                self._take(links, link, now)
            touched = [link for link in touched if link.socket.fileno() in links]

    def _flush(self, links: dict[int, _Link], link: _Link) -> None:
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

    def _begin(self, connection: Any, now: int) -> None:
        """Fill the connection with calls: the closed loop."""
        while self._free(connection) and not self._finished(now):
            self._start(now)
            self._call(connection, now)

    def _begin_due(self, connections: list[Any], now: int) -> None:
        """Begin what is due, each call on the connection that has the fewest open, and in turn where they are equal."""
        if not self._first and any(connection.can_call() for connection in connections):
            self._start(now)
        while self._first and self._next is not None and (due := self._first + self._next) <= now:
            turn = self._begun % len(connections)
            free = [one for one in connections[turn:] + connections[:turn] if self._free(one)]
            if not free:
                if now - due > self._load.overdue * _SECOND:
                    self._give_up_schedule()
                return
            if self._load.remember:
                self._lags.append(now - due)
            self._call(free[0] if len(free) == 1 else min(free, key=_open_calls), due)
            self._next = next(self._schedule, None)

    def _free(self, connection: Any) -> bool:
        """Whether one more call may be open on it."""
        return len(connection.calls) < self._load.streams and connection.can_call()

    def _start(self, now: int) -> None:
        """The first call may begin: its time is what schedules and limits count from."""
        if not self._first:
            self._first, self._result.epoch = now, time.time() - (time.perf_counter_ns() - now) / _SECOND
            self._give_up = now + int((self._load.seconds + self._load.grace) * _SECOND)

    def _call(self, connection: Any, due: int) -> None:
        load, number = self._load, self._begun
        place = number % len(self._messages)
        message = self._messages[place]
        if load.vary:
            message = load.vary(number, message)
        connection.call(number, due, message, number < load.keep, self._blocks[place])
        self._begun = number + 1

    def _give_up_schedule(self) -> None:
        """What is left of the schedule is not asked any more: an error of each call."""
        if self._next is not None:
            self._result.errors[NOT_BEGUN] += 1 + sum(1 for _ in self._schedule)
            self._next = None

    def _finished(self, now: int) -> bool:
        """Whether no call is to begin any more."""
        if self._schedule:
            return self._next is None
        over = self._first and now >= self._first + self._load.seconds * _SECOND
        return bool(over) or self._begun >= self._load.calls

    def _patience(self, now: int) -> float:
        """Seconds to wait for the network. The last millisecond before a call is due, epoll's step, is waited awake.

        A call that is due already waits for a free stream, which the network gives.
        """
        left = (self._give_up - now) / _SECOND
        if self._next is None or not self._first:
            return max(left, 0.0)
        until = (self._first + self._next - now) / _SECOND
        if until <= 0:
            return max(min(left, 0.05), 0.0)
        return 0.0 if until < 1e-3 else min(left, until - 1e-3)

    def _count(self, ended: list[Call], now: int) -> None:
        result = self._result
        for call in ended:
            outcome = call.outcome
            if self._load.observe:
                self._load.observe(call, now)
            if isinstance(outcome, str):
                result.errors[outcome] += 1
                continue
            result.statuses[outcome] += 1
            if self._load.remember:
                self._latencies.append(now - call.began)
                self._due.append(call.began - self._first)
                self._codes.append(outcome)
            self._last = now
            if call.body is not None and outcome == OK:
                result.kept[call.number] = call.answer()

    def _note(self, connection: Any) -> None:
        """What is known of a connection at its end."""
        self._result.window_updates += connection.updates
        self._result.stateless &= connection.stateless

    def _lose(self, links: dict[int, _Link], link: _Link, reason: str) -> None:
        """A connection is gone: its calls are errors, and so is its going when there was none."""
        del links[link.socket.fileno()]
        self._note(link.connection)
        lost = link.connection.abandon(reason)
        self._count(lost, time.perf_counter_ns())
        if not lost:
            self._result.errors[reason] += 1
        link.socket.close()


def _open_calls(connection: Any) -> int:
    return len(connection.calls)


def loopback(address: str) -> tuple[str, int]:
    """HOST:PORT -> what a socket takes. Raises LoadError for any other machine than this one."""
    host, _, port = address.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        if ipaddress.ip_address(host).is_loopback and 0 < int(port) < 65536:
            return host, int(port)
    except ValueError:
        pass
    raise LoadError(f"{address}: load is put on this machine only, as 127.0.0.1:PORT or [::1]:PORT")
