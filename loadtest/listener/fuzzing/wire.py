"""Protocol buffers written by hand, so that fields may come in any order, packed or not, and more than once.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

import struct
from collections.abc import Iterable, Sequence
from random import Random

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5
Fields = list[bytes]
"""Encoded fields of a message."""


def varint(number: int) -> bytes:
    """A number below 2^64; a negative one as its complement, in ten bytes."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def tagged(number: int, kind: int, payload: bytes) -> bytes:
    """A field: its tag, and what follows."""
    return varint(number << 3 | kind) + payload


def data(number: int, content: bytes | str) -> bytes:
    """A string, bytes, or a message."""
    raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    return tagged(number, BYTES, varint(len(raw)) + raw)


def whole(number: int, value: int) -> bytes:
    """An integer, a bool or an enum."""
    return tagged(number, VARINT, varint(value))


def repeated(random: Random, number: int, form: str, values: Sequence[float | int]) -> Fields:
    """Repeated numbers, packed, unpacked, or some of each. form: `d`, `f`, or `v` for varints."""
    how = random.random()
    cut = len(values) if how < 0.7 else 0 if how < 0.9 else random.randint(0, len(values))
    packed = b"".join(varint(int(value)) for value in values[:cut]) if form == "v" else floats(form, values[:cut])
    fields = [data(number, packed)] if cut or how < 0.05 else []
    kind = {"d": EIGHT, "f": FOUR, "v": VARINT}[form]
    single = [varint(int(value)) if form == "v" else floats(form, [value]) for value in values[cut:]]
    return fields + [tagged(number, kind, payload) for payload in single]


def floats(form: str, values: Sequence[float | int]) -> bytes:
    """Little-endian; what float32 cannot hold is the largest that it can."""
    try:
        return struct.pack(f"<{len(values)}{form}", *values)
    except OverflowError:  # too large for float32
        return struct.pack(f"<{len(values)}{form}", *(min(max(value, -3e38), 3e38) for value in values))


def joined(random: Random, fields: Iterable[bytes], odd: float) -> bytes:
    """Fields as they are given; in a share of messages in another order, with unknown ones, with one twice."""
    made = list(fields)
    if random.random() < 0.15:
        random.shuffle(made)
    if random.random() < odd and made:
        made.insert(random.randrange(len(made) + 1), random.choice(made))
    if random.random() < odd:
        unknown = random.choice((20, 1000, 15, 8, 12))
        made.insert(random.randrange(len(made) + 1), data(unknown, random.randbytes(random.randrange(6))))
    return b"".join(made)
