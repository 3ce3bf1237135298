"""Memory that one thread writes and others read meanwhile: cells, and whole arrays under a sequence lock.

A sequence lock is one int64 beside the arrays: odd while they are being changed, and another number whenever they were.
Who reads looks at it before and after, and has read nothing if it is odd or another one. So readers wait for nobody and
hold nobody up; of writers there is one at a time, which is their own affair. What is read while something is written
may be anything: every index that comes out of it has to be looked at before it is used.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from serving.jit import bare_inlined


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


@intrinsic
def fence(typing_context):
    """What stands before it in the program is read and written before what stands behind it."""

    def generate(context, builder, signature, arguments):
        builder.fence("acq_rel")
        return context.get_dummy_value()

    return types.none(), generate


@intrinsic
def replace(typing_context, address, expected, value):
    """Write an int64 at an address if `expected` stands there, both at once."""

    def generate(context, builder, signature, arguments):
        place = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        builder.cmpxchg(place, arguments[1], arguments[2], "monotonic", "monotonic")
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


@bare_inlined
def begin_change(lock):
    """The arrays are being changed from now on. lock: address of the sequence lock."""
    release(lock, (acquire(lock) + 1) | 1)
    fence()


@bare_inlined
def end_change(lock):
    """They are whole again."""
    release(lock, (acquire(lock) | 1) + 1)


@bare_inlined
def begin_read(lock):
    """What `is_unchanged` wants to know afterwards; odd: they are being changed, reading them is for nothing."""
    return acquire(lock)


@bare_inlined
def is_unchanged(lock, seen):
    """Whether what was read since `seen` was whole, and of one moment."""
    fence()
    return seen & 1 == 0 and acquire(lock) == seen
