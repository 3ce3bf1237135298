"""What goes wrong with bytes on the way, or is done to them."""

from collections.abc import Callable, Sequence
from random import Random

INTERESTING = b"\x00\x01\x02\x08\x0a\x12\x1a\x22\x2a\x32\x3a\x7f\x80\xfe\xff"
LARGEST = 60_000
"""Bytes of a message."""


def mutated(random: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    """The body with one to four things done to it. others: bodies that parts are taken of."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        body = random.choice(WAYS)(random, body, others)
    return body[:LARGEST]


def _place(random: Random, body: bytes) -> int:
    return random.randrange(len(body)) if body else 0


def _range(random: Random, body: bytes) -> tuple[int, int]:
    start = _place(random, body)
    return start, min(len(body), start + random.choice((1, 2, 3, 5, 8, 16, 64)))


def _bit(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, body)
    return body[:at] + bytes(byte ^ 1 << random.randrange(8) for byte in body[at : at + 1]) + body[at + 1 :]


def _byte(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, body)
    return body[:at] + bytes((random.choice(INTERESTING),)) + body[at + 1 :]


def _one_more_or_less(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """Lengths and tags are mostly one byte: this makes a length wrong by one."""
    at = _place(random, body)
    return body[:at] + bytes((byte + random.choice((-1, 1))) & 255 for byte in body[at : at + 1]) + body[at + 1 :]


def _inserted(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, body)
    return body[:at] + random.randbytes(random.choice((1, 2, 4, 9))) + body[at:]


def _removed(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _range(random, body)
    return body[:start] + body[end:]


def _doubled(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _range(random, body)
    return body[:end] + body[start:end] + body[end:]


def _cut(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    return body[: _place(random, body)]


def _spliced(random: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else body
    return body[: _place(random, body)] + other[_place(random, other) :]


def _appended(random: Random, body: bytes, others: Sequence[bytes]) -> bytes:
    """Two messages one after the other are one message."""
    return body + (random.choice(others) if others else body)


def _overlong(random: Random, body: bytes, _: Sequence[bytes]) -> bytes:
    """A varint that goes on where it ended."""
    at = _place(random, body)
    more = bytes((0x80,)) * random.choice((0, 1, 8, 9)) + b"\x00"
    return body[:at] + bytes(byte | 0x80 for byte in body[at : at + 1]) + more + body[at + 1 :]


WAYS: tuple[Callable[[Random, bytes, Sequence[bytes]], bytes], ...] = (
    _bit,
    _byte,
    _one_more_or_less,
    _inserted,
    _removed,
    _doubled,
    _cut,
    _spliced,
    _appended,
    _overlong,
)
