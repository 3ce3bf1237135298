"""Records from one thread to another, one writer and one reader, in a ring of bytes that never grows.

A ring is int64[RING]: where the writer is and where the reader is, in bytes since the beginning, the size of the data
and its address. A record lies in one piece, at a multiple of 16 bytes, and begins with its size and its kind.
"""

import numpy as np

from serving.jit import bare, bare_inlined
from serving.listeners.h2.memory_kernels import copy, octets, words
from serving.shared_kernels import acquire, release

WRITTEN, DONE, SIZE, DATA = 0, 8, 16, 17
"""Writer and reader have a line of the processor's cache each."""
RING = 24

NEAR = 1 << 18
SKIP = 0
"""Nothing: the rest of the ring is too short for the next record."""

CALL, MESSAGE, END, GONE, FEATURED = 1, 2, 3, 4, 5
"""To Python. CALL: a call of method METHOD begins; with its message when it is unary. MESSAGE: one more message of a
stream. END: the client has sent everything. GONE: nobody waits for an answer any more. FEATURED: rows of model MODEL,
featured, float32[ROWS, FEATURES + WINDOW] behind the record's words."""
ANSWER, FINISH, TAKEN, OUTPUTS, LEAVE_ALL = 16, 17, 18, 19, 20
"""From Python. ANSWER: a message of a stream. FINISH: the last word of a call: a message, if there is one, and
trailers, if it is not simply OK. TAKEN: a message of a client stream has been done with. OUTPUTS: what the model says
of the rows of one call. LEAVE_ALL: a featured call shall go to Python as a whole."""

BYTES, KIND, STREAM, GENERATION = 0, 1, 2, 3
METHOD, DEADLINE, FLAGS, PRIORITY, TOKEN, BODY, BEGAN = 4, 5, 6, 7, 8, 9, 10
"""To Python: FLAGS: how the message is compressed (0: not), TOO_LARGE where it did not come; TOKEN, BODY: bytes of
metadata and of the message behind the words."""
TOO_LARGE, NO_MESSAGE = 8, 16
MODEL, SINCE, ROWS = 4, 6, 8
"""Of FEATURED: serial number of the model and rows, instead of METHOD and TOKEN; SINCE, instead of FLAGS: of rows by
id, 1 + the generation of what was kept before their facts were read; 0: of other rows."""
RECORD = 12
"""Words before the bytes of a record to Python."""
STATUS, MESSAGE_BYTES, TRAILERS = 4, 5, 6
"""From Python: MESSAGE_BYTES: -1 for no message; TRAILERS: bytes of trailers behind it: pairs of texts, each behind
its size of four bytes; 0: OK. Of OUTPUTS: MESSAGE_BYTES of int32[rows, W], STATUS the serial number of the model."""
REPLY = 8
"""Words before the bytes of a record from Python."""


@bare_inlined
def padded(size):
    """The next multiple of 8."""
    return (size + 7) & ~7


@bare_inlined
def whole(size):
    """The next multiple of 16: wherever a record ends there is room for the two words of a SKIP."""
    return (size + 15) & ~15


@bare
def reserve(ring, address, size):
    """The place, as an address, for a record of `size` bytes; 0 for no room. ring: int64[RING] at address."""
    size = whole(size)
    end, limit = ring[WRITTEN], ring[SIZE]
    done = acquire(address + 8 * DONE)
    free = limit - (end - done)
    at = end % limit
    anew = at > NEAR and done == end and size <= at  # an empty ring: it touches little memory
    if limit - at < size or anew:
        if free < limit - at + size:
            return np.int64(0)
        rest = words(ring[DATA] + at, 2)
        rest[BYTES], rest[KIND] = limit - at, SKIP
        ring[WRITTEN] = end + limit - at
        at = 0
    elif free < size:
        return np.int64(0)
    record = words(ring[DATA] + at, 2)
    record[BYTES] = size
    return ring[DATA] + at


@bare_inlined
def publish(ring, address, place):
    """Show the record that was reserved at `place` to the reader."""
    release(address + 8 * WRITTEN, ring[WRITTEN] + words(place, 1)[BYTES])


@bare
def reply(address, kind, stream, generation, status, message, trailers, data):
    """Write a record from Python, with its bytes, uint8[:]. False where there is no room."""
    ring = words(address, RING)
    place = reserve(ring, address, 8 * REPLY + data.size)
    if place == 0:
        return False
    record = words(place, REPLY)
    record[KIND], record[STREAM], record[GENERATION] = kind, stream, generation
    record[STATUS], record[MESSAGE_BYTES], record[TRAILERS] = status, message, trailers
    if data.size:
        copy(data, 0, data.size, octets(place + 8 * REPLY, data.size), 0)
    publish(ring, address, place)
    return True


@bare
def written(address):
    """How far the writer is."""
    return acquire(address + 8 * WRITTEN)


@bare
def read_until(address, done):
    """The reader is so far."""
    release(address + 8 * DONE, done)
