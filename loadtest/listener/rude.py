"""Clients that do what no honest one does: cut connections and frames, read nothing, reset streams, say nonsense.

Each act opens a connection of its own, does one thing to it, and leaves. What a server does of it is its own business;
what has to hold is that everybody else is served, and that nothing is left behind.
"""

import contextlib
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from threading import Event

from loadtest.h2 import frames
from loadtest.h2.client import loopback

NOW = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends RST."""
TIMEOUT = 30.0
LONGEST_PAUSE = 25.0
"""Seconds: longer than a connection may take nothing of what it asked for."""


@dataclass(frozen=True)
class Asked:
    """What is called: the method, bodies, and whether streams of it stay open."""

    path: str
    bodies: Sequence[bytes]
    streaming: bool = False


class Wire:
    """A connection, its greeting sent, and what is written on it."""

    def __init__(self, address: str, random: Random, small: bool = False) -> None:
        self.random, self._address = random, address
        self.socket = socket.socket()
        self.socket.settimeout(TIMEOUT)
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(loopback(address))
        self._stream = -1
        self.socket.sendall(frames.PREFACE + frames.settings({frames.HEADER_TABLE_SIZE: 0}))

    def call(self, asked: Asked, end: bool = True) -> bytes:
        """The bytes of one more call. end: whether nothing more comes on its stream."""
        self._stream += 2
        block = frames.header_block(self._address, asked.path)
        message = frames.message(self.random.choice(asked.bodies))[: frames.DEFAULT_FRAME]
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, self._stream, block)
        return head + frames.frame(frames.DATA, frames.END_STREAM * end, self._stream, message)

    def begun(self, path: str, half: bytes) -> bytes:
        """The bytes of a call of which only half is sent."""
        self._stream += 2
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, self._stream, frames.header_block(self._address, path))
        return head + frames.frame(frames.DATA, 0, self._stream, half)

    def reset(self) -> bytes:
        """The end of the last call."""
        return frames.reset(self._stream, frames.CANCEL)

    def read(self, seconds: float) -> None:
        """What comes meanwhile, until nobody sends any more."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                if not self.socket.recv(1 << 16):
                    return
            except TimeoutError:
                return

    def abort(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
        self.socket.close()


Act = Callable[[Wire, Asked], None]


def greet_and_leave(wire: Wire, _: Asked) -> None:
    """Nothing is asked."""
    wire.read(wire.random.uniform(0, 0.2))


def cut_after_calls(wire: Wire, asked: Asked) -> None:
    """Calls, and RST before their answers."""
    wire.socket.sendall(b"".join(wire.call(asked) for _ in range(wire.random.randint(1, 30))))
    wire.read(wire.random.choice((0.0, 0.0, 0.001, 0.02)))
    wire.abort()


def end_in_a_frame(wire: Wire, asked: Asked) -> None:
    """FIN in the middle of a frame; what was asked before is still read."""
    data = b"".join(wire.call(asked) for _ in range(wire.random.randint(1, 8)))
    wire.socket.sendall(data[: len(data) - wire.random.randint(1, 200)])
    wire.socket.shutdown(socket.SHUT_WR)
    wire.read(5.0)


def read_nothing(wire: Wire, asked: Asked) -> None:
    """Many calls and not one answer read, for a while or until the server has enough."""
    until = time.monotonic() + wire.random.choice((0.5, 2.0, LONGEST_PAUSE))
    wire.socket.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        for _ in range(wire.random.randint(20, 300)):
            wire.socket.sendall(wire.call(asked))
    time.sleep(max(0.0, until - time.monotonic()))
    wire.abort()


def reset_streams(wire: Wire, asked: Asked) -> None:
    """Calls of which a third is reset, at once or a moment later."""
    for _ in range(wire.random.randint(5, 60)):
        wire.socket.sendall(wire.call(asked))
        if wire.random.random() < 0.3:
            time.sleep(wire.random.choice((0.0, 0.0, 0.005)))
            wire.socket.sendall(wire.reset())
    wire.read(0.3)


def reset_rapidly(wire: Wire, asked: Asked) -> None:
    """Hundreds of calls, each reset at once (CVE-2023-44487)."""
    for _ in range(100):
        wire.socket.sendall(b"".join(wire.call(asked) + wire.reset() for _ in range(30)))
    wire.read(0.5)


def leave_bodies_open(wire: Wire, asked: Asked) -> None:
    """Calls whose end never comes."""
    wire.socket.sendall(b"".join(wire.call(asked, end=False) for _ in range(wire.random.randint(1, 50))))
    wire.read(wire.random.uniform(0, 1))
    if wire.random.random() < 0.5:
        wire.abort()


def fill_rows(address: str, path: str, connections: int = 5, streams: int = 900, size: int = 9000) -> None:
    """As many calls as a loop has room for, half of each body sent, and then everybody is gone."""
    half = frames.message(bytes(2 * size))[:size]
    wires = [Wire(address, Random(0)) for _ in range(connections)]
    try:
        for wire in wires:
            for number in range(streams):
                with contextlib.suppress(OSError):  # refused, or hung up on
                    wire.socket.sendall(wire.begun(path, half))
                    if number % 20 == 0:
                        wire.read(0.001)
    finally:
        for wire in wires:
            wire.abort()


def talk_nonsense(wire: Wire, _: Asked) -> None:
    """Bytes that are no frames, or frames that are not allowed."""
    nonsense = (
        wire.random.randbytes(200),
        frames.frame(frames.DATA, 0, 1, b"x"),
        frames.frame(frames.HEADERS, frames.END_HEADERS, 1, wire.random.randbytes(40)),
        frames.frame(frames.CONTINUATION, 0, 1, b""),
        frames.window_update(0, 0),
        b"\xff\xff\xff" + bytes(6),
    )
    wire.socket.sendall(wire.random.choice(nonsense))
    wire.read(2.0)


def say_goodbye(wire: Wire, asked: Asked) -> None:
    """Calls, GOAWAY, their answers."""
    wire.socket.sendall(b"".join(wire.call(asked) for _ in range(3)))
    wire.socket.sendall(frames.frame(frames.GOAWAY, 0, 0, bytes(8)))
    wire.read(1.0)


ACTS: tuple[Act, ...] = (
    greet_and_leave,
    cut_after_calls,
    end_in_a_frame,
    read_nothing,
    reset_streams,
    reset_rapidly,
    leave_bodies_open,
    talk_nonsense,
    say_goodbye,
)


def misbehave(address: str, asked: Sequence[Asked], seed: int, stop: Event, pause: float) -> Counter[str]:
    """One act after the other until `stop`; how often each was done. pause: seconds between them, about."""
    random, done = Random(seed), Counter[str]()
    while not stop.is_set():
        act = random.choice(ACTS)
        wire = None
        try:
            wire = Wire(address, random, small=act is read_nothing)
            act(wire, random.choice(asked))
        except OSError:
            done["the server had enough first"] += 1
        finally:
            if wire is not None:
                wire.socket.close()
        done[act.__name__] += 1
        stop.wait(random.uniform(0, 2 * pause))
    return done
