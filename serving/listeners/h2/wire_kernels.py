"""Protocol buffers, read and written in flat arrays (https://protobuf.dev/programming-guides/encoding/).

Readers return the next place, or BAD where something is cut off or longer than its kind can be. Only what every
parser reads the same way is read at all: who gets BAD leaves the whole message to protobuf itself.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic

from serving.jit import bare, bare_inlined
from serving.listeners.h2.memory_kernels import copy

BAD = -1
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@bare_inlined
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


@bare_inlined
def size_at(data, at, end):
    """(how many bytes follow, where they begin); they lie before `end`. Parsers read sizes of at most 5 bytes."""
    size, start = varint(data, at, end)
    if start == BAD or start - at > 5 or size < 0 or size > end - start:
        return np.int64(0), BAD
    return size, start


@bare_inlined
def tag_at(data, at, end):
    """(a tag, next place), of one or two bytes; BAD for longer ones, also where they say the same as short ones."""
    if at < end:
        low = np.int64(data[at])
        if low < 128:
            return low, at + 1
        if at + 1 < end:
            high = np.int64(data[at + 1])
            if 0 < high < 128:
                return low & 127 | high << 7, at + 2
    return np.int64(0), BAD


@bare_inlined
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


@bare
def is_ascii(data, at, size):
    """Whether no byte is above 127: then it is UTF-8."""
    found = np.uint8(0)
    for i in range(at, at + size):
        found |= data[i]
    return found < 128


@bare
def is_utf8(data, at, size):
    """Whether these bytes are a text as protobuf checks it: no surrogates, nothing longer than it has to be."""
    if is_ascii(data, at, size):
        return True
    end = at + size
    while at < end:
        first = data[at]
        at += 1
        if first < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= first <= 0xDF:
            more = 1
        elif 0xE0 <= first <= 0xEF:
            more = 2
            low = 0xA0 if first == 0xE0 else low
            high = 0x9F if first == 0xED else high
        elif 0xF0 <= first <= 0xF4:
            more = 3
            low = 0x90 if first == 0xF0 else low
            high = 0x8F if first == 0xF4 else high
        else:
            return False
        if end - at < more or data[at] < low or data[at] > high:
            return False
        for i in range(at + 1, at + more):
            if data[i] & 0xC0 != 0x80:
                return False
        at += more
    return True


@intrinsic
def load(typing_context, data, at, kind):
    """The number of this NumPy type whose bytes begin at data[at], at any place. data: uint8[:].

    Loops of it become vector instructions. A build that checks accesses does not see it: see `inside`.
    """
    number = kind.instance_type

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array

        start = make_array(signature.args[0])(context, builder, value=arguments[0]).data
        place = builder.bitcast(builder.gep(start, [arguments[1]]), context.get_value_type(number).as_pointer())
        return builder.load(place, align=1)

    return number(data, types.int64, kind), generate


@intrinsic
def store(typing_context, out, at, value):
    """Write the bytes of a number from out[at] on, at any place. out: uint8[:]. See `load`."""

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array

        start = make_array(signature.args[0])(context, builder, value=arguments[0]).data
        kind = context.get_value_type(signature.args[2])
        place = builder.bitcast(builder.gep(start, [arguments[1]]), kind.as_pointer())
        builder.store(arguments[2], place, align=1)
        return context.get_dummy_value()

    return types.none(out, types.int64, value), generate


@bare_inlined
def inside(data, at, size):
    """Touch both ends of what `load` and `store` are going to: a build that checks accesses says where it is wrong."""
    return size == 0 or (data[at] <= 255 and data[at + size - 1] <= 255)


@bare_inlined
def next_nonzero(data, at, end):
    """The first place from `at` on, before `end`, where a byte is not 0; `end` for none. data: uint8[>= end]."""
    while end - at >= 8 and load(data, at, np.uint64) == 0:
        at += 8
    while at < end and data[at] == 0:
        at += 1
    return at


@bare_inlined
def fixed(data, at, size):
    """The unsigned number of so many bytes, little-endian."""
    value = np.uint64(0)
    for i in range(size):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return value


def letters(name: bytes) -> np.uint64:
    """What `fixed` reads where this name stands, of up to 8 bytes."""
    return np.uint64(int.from_bytes(name, "little"))


@bare_inlined
def put_varint(out, at, value):
    """Written at `at`; the next place. value: int64, a negative one takes 10 bytes."""
    rest = np.uint64(value)
    while rest >= np.uint64(128):
        out[at] = np.uint8((rest & np.uint64(127)) | np.uint64(128))
        rest >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(rest)
    return at + 1


@bare_inlined
def varint_size(value):
    """How many bytes `put_varint` writes."""
    rest, size = np.uint64(value), 1
    while rest >= np.uint64(128):
        rest >>= np.uint64(7)
        size += 1
    return size


@bare_inlined
def put_bytes(out, at, tag, source, start, size):
    """A field of bytes with its tag, of one byte; the next place."""
    out[at] = tag
    at = put_varint(out, at + 1, size)
    copy(source, start, size, out, at)
    return at + size


@bare_inlined
def put_text(out, at, tag, source, start, size):
    """As `put_bytes`, but nothing where the text is empty: so proto3 writes a single field."""
    return put_bytes(out, at, tag, source, start, size) if size else at


@bare_inlined
def text_size(size):
    """How many bytes `put_text` writes."""
    return bytes_size(size) if size else 0


@bare_inlined
def bytes_size(size):
    """How many bytes a field of so many bytes takes, with its tag of one byte."""
    return 1 + varint_size(size) + size


@bare_inlined
def put_size(out, at, tag, size):
    """A tag of one byte, and the size of what follows; where that begins."""
    out[at] = tag
    return put_varint(out, at + 1, size)


@bare_inlined
def put_letters(out, at, name, size):
    """A name as `letters` says it, or any number of so many bytes, little-endian; the next place."""
    for i in range(size):
        out[at + i] = np.uint8(name >> np.uint64(8 * i) & np.uint64(255))
    return at + size
