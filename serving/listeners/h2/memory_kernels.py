"""Arrays at addresses, and cells that threads share. An address that is no array's is the end of the process.

Arrays know how long they are: a build with NUMBA_BOUNDSCHECK=1 checks every access of them.
"""

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from serving.jit import inlined


@intrinsic
def pointer(typing_context, address):
    """The address as what `carray` takes."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def acquire(typing_context, address):
    """The int64 at an address, as another thread left it; what that thread wrote before is seen, too."""

    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def release(typing_context, address, value):
    """Write an int64 at an address for another thread, after all that was written before."""

    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        builder.store_atomic(arguments[1], place, "release", 8)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), generate


@inlined
def octets(address, count):
    """uint8[count]."""
    return carray(pointer(address), (count,), np.uint8)


@inlined
def words(address, count):
    """int64[count]."""
    return carray(pointer(address), (count,), np.int64)


@inlined
def ints(address, count):
    """int32[count]."""
    return carray(pointer(address), (count,), np.int32)


@inlined
def singles(address, count):
    """float32[count]."""
    return carray(pointer(address), (count,), np.float32)


@inlined
def doubles(address, count):
    """float64[count]."""
    return carray(pointer(address), (count,), np.float64)


@inlined
def copy(source, start, count, target, at):
    """target[at : at + count] = source[start : start + count]."""
    for i in range(count):
        target[at + i] = source[start + i]


@inlined
def same(one, a, other, b, count):
    """Whether one[a : a + count] is other[b : b + count]."""
    for i in range(count):  # noqa: SIM110 (all() of a generator is not compiled)
        if one[a + i] != other[b + i]:
            return False
    return True
