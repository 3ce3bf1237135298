"""Handing calls to Python, whole, through the ring."""

from serving.jit import general, general_inlined
from serving.listeners.h2 import count_kernels as count
from serving.listeners.h2 import loop_state_kernels as at
from serving.listeners.h2 import ring_kernels as ring
from serving.listeners.h2.libc_kernels import write
from serving.listeners.h2.loop_state_kernels import stream_at
from serving.listeners.h2.memory_kernels import copy, octets, words
from serving.shared_kernels import acquire


@general
def hand(loop, number, kind, flags, body_at, body_size):
    """Write a record of a stream, with the `body_size` bytes of its body from `body_at` on; False for no room."""
    stream = stream_at(loop, number)
    address = loop[at.TO_PYTHON]
    if kind <= ring.MESSAGE and others_wait(loop):
        return False
    to_python = words(address, ring.RING)
    metadata = stream[at.METADATA_SIZE] if kind == ring.CALL else 0
    size = ring.RECORD * 8 + ring.padded(metadata) + body_size
    place = ring.reserve(to_python, address, size)
    if place == 0:
        return False
    record = words(place, ring.RECORD)
    record[ring.KIND], record[ring.STREAM], record[ring.GENERATION] = kind, number, stream[at.GENERATION]
    record[ring.METHOD], record[ring.DEADLINE], record[ring.FLAGS] = stream[at.METHOD_OF], stream[at.DEADLINE], flags
    record[ring.PRIORITY], record[ring.TOKEN], record[ring.BODY] = stream[at.PRIORITY], metadata, body_size
    record[ring.BEGAN] = stream[at.BEGAN]
    out = octets(place + ring.RECORD * 8, size - ring.RECORD * 8)
    if metadata:
        copy(octets(stream[at.METADATA], metadata), 0, metadata, out, 0)
    if body_size:
        copy(octets(stream[at.BODY] + body_at, body_size), 0, body_size, out, ring.padded(metadata))
    ring.publish(to_python, address, place)
    notify(loop)
    return True


@general_inlined
def others_wait(loop):
    """Whether a stream has found no room, and Python has not read on since: nobody is let past it."""
    return acquire(loop[at.TO_PYTHON] + 8 * ring.DONE) == loop[at.STUCK_AT]


@general_inlined
def notify(loop):
    """Python shall look into the ring, when this turn is over."""
    loop[at.TO_NOTIFY] = 1


@general
def wake_python(loop):
    """Once a turn, if there is something in the ring."""
    if loop[at.TO_NOTIFY]:
        loop[at.TO_NOTIFY] = 0
        one = words(loop[at.SMALL], 1)
        one[0] = 1
        write(loop[at.NOTIFY], loop[at.SMALL], 8)


@general
def hand_unary(loop, number, flags, body_at, body_size):
    """A whole call; False for no room."""
    stream = stream_at(loop, number)
    if not hand(loop, number, ring.CALL, flags, body_at, body_size):
        return False
    stream[at.TOLD] = 1
    stream[at.WAITING] += 1
    words(loop[at.COUNTED], count.COUNTS)[count.HANDED] += 1
    return True


@general
def hand_message(loop, number, flags, body_at, body_size):
    """A message of a stream, of which Python may not have heard yet; False for no room."""
    stream = stream_at(loop, number)
    if stream[at.TOLD] == 0:
        if not hand(loop, number, ring.CALL, 0, 0, 0):
            return False
        stream[at.TOLD] = 1
    if not hand(loop, number, ring.MESSAGE, flags, body_at, body_size):
        return False
    stream[at.WAITING] += 1
    words(loop[at.COUNTED], count.COUNTS)[count.HANDED] += 1
    return True


@general
def hand_end(loop, number):
    """The client has sent everything; False for no room."""
    stream = stream_at(loop, number)
    if stream[at.TOLD] == 0:
        if not hand(loop, number, ring.CALL, 0, 0, 0):
            return False
        stream[at.TOLD] = 1
    if not hand(loop, number, ring.END, 0, 0, 0):
        return False
    stream[at.END_TOLD] = 1
    return True


@general
def tell_gone(loop, number):
    """Nobody waits for an answer any more; False for no room."""
    if not hand(loop, number, ring.GONE, 0, 0, 0):
        words(loop[at.COUNTED], count.COUNTS)[count.NO_RING] += 1
        return False
    stream_at(loop, number)[at.TOLD] = 0
    return True
