"""Protocol buffers, read and written in flat arrays (https://protobuf.dev/programming-guides/encoding/).

Readers return the next place, or BAD where something is cut off or longer than its kind can be. Only what every
parser reads the same way is read at all: who gets BAD leaves the whole message to protobuf itself.
"""

import numpy as np

from serving.jit import inlined, kernel
from serving.listeners.h2.memory_kernels import copy

BAD = -1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@inlined
def varint(data, at, end):
    """(int64, next place). Of at most 10 bytes, as protobuf says."""
    if at < end and data[at] < 128:
        return np.int64(data[at]), at + 1
    value, shift = np.uint64(0), np.uint64(0)
    for i in range(at, min(end, at + 10)):
        byte = np.uint64(data[i])
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            if i == at + 9 and byte > np.uint64(1):
                return np.int64(0), BAD
            return np.int64(value), i + 1
        shift += np.uint64(7)
    return np.int64(0), BAD


@inlined
def size_at(data, at, end):
    """(how many bytes follow, where they begin); they lie before `end`."""
    size, at = varint(data, at, end)
    if at == BAD or size < 0 or size > end - at:
        return np.int64(0), BAD
    return size, at


@inlined
def skip(data, at, end, kind):
    """What stands behind a tag of this kind."""
    if kind == VARINT:
        return varint(data, at, end)[1]
    if kind == FIXED64:
        return at + 8 if end - at >= 8 else BAD
    if kind == FIXED32:
        return at + 4 if end - at >= 4 else BAD
    if kind == BYTES:
        size, at = size_at(data, at, end)
        return at + size if at != BAD else BAD
    return BAD


@kernel
def is_ascii(data, at, size):
    """Whether no byte is above 127: then it is UTF-8."""
    found = np.uint8(0)
    for i in range(at, at + size):
        found |= data[i]
    return found < 128


@inlined
def fixed(data, at, size):
    """The unsigned number of so many bytes, little-endian."""
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return value


@inlined
def put_varint(out, at, value):
    """Written at `at`; the next place. value: int64, a negative one takes 10 bytes."""
    rest = np.uint64(value)
    while rest >= np.uint64(128):
        out[at] = np.uint8((rest & np.uint64(127)) | np.uint64(128))
        rest >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(rest)
    return at + 1


@inlined
def varint_size(value):
    """How many bytes `put_varint` writes."""
    rest, size = np.uint64(value), 1
    while rest >= np.uint64(128):
        rest >>= np.uint64(7)
        size += 1
    return size


@inlined
def put_bytes(out, at, tag, source, start, size):
    """A field of bytes with its tag, of one byte; the next place."""
    out[at] = tag
    at = put_varint(out, at + 1, size)
    copy(source, start, size, out, at)
    return at + size
