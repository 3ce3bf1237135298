"""The two rings between a loop and Python, as Python sees them."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import numpy as np

from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.methods import trailers as trailers_of


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """What a loop hands over. Times are nanoseconds as `time.monotonic_ns()` counts, 0 for none."""

    kind: int
    stream: int
    generation: int
    method: int
    deadline: int
    flags: int
    priority: int
    rows: int
    began: int
    metadata: bytes
    body: bytes


class Ring:
    """Memory of one ring."""

    def __init__(self, size: int) -> None:
        """size: bytes, at least; a record takes half of them at most."""
        size = ring.whole(size)
        self.words = np.zeros(ring.RING, np.int64)
        self.data = np.empty(size, np.uint8)
        self.words[ring.SIZE], self.words[ring.DATA] = size, self.data.ctypes.data
        self.address = self.words.ctypes.data


class FromLoop:
    """Reads what a loop hands over."""

    def __init__(self, size: int) -> None:
        self.ring = Ring(size)
        self._bytes = self.ring.data.data
        self._words = self.ring.data.view(np.int64).data

    def records(self) -> Iterator[Record]:
        """All there are; the place of each is free when the next one is asked for."""
        address, size = self.ring.address, len(self._bytes)
        done = int(self.ring.words[ring.DONE])
        written = ring.written(address)
        while done < written:
            start = done % size
            head = self._words[start // 8 : start // 8 + ring.RECORD].tolist()
            if head[ring.KIND] != ring.SKIP:
                featured = head[ring.KIND] == ring.FEATURED
                metadata = 0 if featured else head[ring.TOKEN]
                first = start + 8 * ring.RECORD
                second = first + ring.padded(metadata)
                yield Record(
                    head[ring.KIND],
                    head[ring.STREAM],
                    head[ring.GENERATION],
                    head[ring.METHOD],
                    head[ring.DEADLINE],
                    head[ring.FLAGS],
                    head[ring.PRIORITY],
                    head[ring.ROWS],
                    head[ring.BEGAN],
                    bytes(self._bytes[first : first + metadata]),
                    bytes(self._bytes[second : second + head[ring.BODY]]),
                )
            done += head[ring.BYTES]
            ring.read_until(address, done)
            if done >= written:
                written = ring.written(address)


class ToLoop:
    """Writes what Python says; what finds no room waits here."""

    def __init__(self, size: int) -> None:
        self.ring = Ring(size)
        self._waiting: deque[tuple[tuple[int, ...], bytes]] = deque()
        self.most = size // 2 - 8 * ring.REPLY

    def say(self, kind: int, stream: int, generation: int, status: int, message: bytes | None, trailers: bytes) -> bool:
        """One record, in order. A message that the ring can never hold ends its call instead: False."""
        fits = message is None or len(message) + len(trailers) <= self.most
        if message is not None and not fits:
            words = f"the answer has {len(message)} bytes, expected at most {self.most}: ask for fewer rows in a call"
            kind, status, message = ring.FINISH, 0, None
            trailers = trailers_of(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], words)
        data = (message or b"") + trailers
        head = (kind, stream, generation, status, -1 if message is None else len(message), len(trailers))
        self._waiting.append((head, data))
        self.settle()
        return fits

    def settle(self) -> bool:
        """Write what waits, as far as there is room; whether nothing waits any more."""
        while self._waiting:
            head, data = self._waiting[0]
            if not ring.reply(self.ring.address, *head, np.frombuffer(data, np.uint8)):
                return False
            self._waiting.popleft()
        return True
