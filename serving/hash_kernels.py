"""SipHash-2-4 (Aumasson and Bernstein): the one hash of entity ids, texts and stored records."""

import numpy as np

from serving.jit import kernel

_ZERO, _ONE, _EIGHT = np.uint64(0), np.uint64(1), np.uint64(8)
_V0, _V1 = np.uint64(0x736F6D6570736575), np.uint64(0x646F72616E646F6D)
_V2, _V3 = np.uint64(0x6C7967656E657261), np.uint64(0x7465646279746573)
_WIDE, _LAST, _LAST_WIDE, _SECOND = np.uint64(0xEE), np.uint64(0xFF), np.uint64(0xEE), np.uint64(0xDD)
_CODE_SHIFT = np.uint64(11)  # of the 64 bits of a text's hash the 53 that a float64 holds exactly


@kernel
def _turn(v, bits):
    return (v << np.uint64(bits)) | (v >> np.uint64(64 - bits))


@kernel
def _round(v0, v1, v2, v3):
    v0 += v1
    v1 = _turn(v1, 13) ^ v0
    v0 = _turn(v0, 32)
    v2 += v3
    v3 = _turn(v3, 16) ^ v2
    v0 += v3
    v3 = _turn(v3, 21) ^ v0
    v2 += v1
    v1 = _turn(v1, 17) ^ v2
    v2 = _turn(v2, 32)
    return v0, v1, v2, v3


@kernel
def _absorb(data, start, end, k0, k1, wide):
    """The state after all bytes and their number. start and end have to lie within data."""
    v0, v1, v2, v3 = k0 ^ _V0, k1 ^ _V1, k0 ^ _V2, k1 ^ _V3
    if wide:
        v1 ^= _WIDE
    at, stop = np.uint64(start), np.uint64(end)  # an unsigned index is not looked at for being negative
    length = stop - at
    while stop - at >= _EIGHT:
        word = _ZERO
        for b in range(8):
            word |= np.uint64(data[at + np.uint64(b)]) << np.uint64(8 * b)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
        at += _EIGHT
    word = length << np.uint64(56)
    for b in range(stop - at):
        word |= np.uint64(data[at + np.uint64(b)]) << (_EIGHT * np.uint64(b))
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ word, v1, v2, v3


@kernel
def _finish(v0, v1, v2, v3):
    for _ in range(4):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0, v1, v2, v3


@kernel
def siphash64(data, start, end, k0, k1):
    """SipHash-2-4 of data[start:end], 64 bits. data: uint8[:], 0 <= start <= end <= len(data); k0, k1: uint64."""
    v0, v1, v2, v3 = _absorb(data, start, end, k0, k1, False)
    v0, v1, v2, v3 = _finish(v0, v1, v2 ^ _LAST, v3)
    return v0 ^ v1 ^ v2 ^ v3


@kernel
def siphash128(data, start, end, k0, k1):
    """The 128-bit variant: two uint64, which the reference implementation writes little-endian, in this order."""
    v0, v1, v2, v3 = _absorb(data, start, end, k0, k1, True)
    v0, v1, v2, v3 = _finish(v0, v1, v2 ^ _LAST_WIDE, v3)
    first = v0 ^ v1 ^ v2 ^ v3
    v0, v1, v2, v3 = _finish(v0, v1 ^ _SECOND, v2, v3)
    return first, v0 ^ v1 ^ v2 ^ v3


@kernel
def siphash128_many(data, ends, k0, k1, out):
    """siphash128 of texts that lie behind each other. ends: int64[n], ascending; out: uint64[n, 2], written."""
    start = 0
    for i in range(ends.shape[0]):
        out[i, 0], out[i, 1] = siphash128(data, start, ends[i], k0, k1)
        start = ends[i]


@kernel
def text_code(data, start, end):
    """What stands for the text data[start:end] in rows: a whole number of 0 to 2**53 - 1, as float64."""
    return np.float64(siphash64(data, start, end, _ZERO, _ZERO) >> _CODE_SHIFT)
