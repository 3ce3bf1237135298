"""Arrays at addresses. An address that is no array's is the end of the process.

Arrays know how long they are: a build with NUMBA_BOUNDSCHECK=1 checks every access of them.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from serving.jit import bare_inlined

_SHORT = 32
"""Bytes that are copied sooner than somebody is called to do it."""


def _arrays(dtype, dimensions):
    """For an intrinsic: (address, *shape) -> an array of this type there; it owns nothing and costs nothing."""
    made_type = types.Array(dtype, dimensions, "C")

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array, populate_array

        made = make_array(made_type)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(dtype))
        sizes = [builder.sext(length, ir.IntType(64)) if length.type.width < 64 else length for length in arguments[1:]]
        strides = [context.get_constant(types.intp, size)]
        for length in reversed(sizes[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        populate_array(
            made,
            data=builder.inttoptr(arguments[0], context.get_data_type(dtype).as_pointer()),
            shape=sizes,
            strides=strides,
            itemsize=context.get_constant(types.intp, size),
            meminfo=None,
        )
        return made._getvalue()

    return made_type(types.int64, *[types.int64] * dimensions), generate


@intrinsic
def octets(typing_context, address, count):
    """uint8[count]."""
    return _arrays(types.uint8, 1)


@intrinsic
def words(typing_context, address, count):
    """int64[count]."""
    return _arrays(types.int64, 1)


@intrinsic
def ints(typing_context, address, count):
    """int32[count]."""
    return _arrays(types.int32, 1)


@intrinsic
def singles(typing_context, address, count):
    """float32[count]."""
    return _arrays(types.float32, 1)


@intrinsic
def doubles(typing_context, address, count):
    """float64[count]."""
    return _arrays(types.float64, 1)


@intrinsic
def octet_rows(typing_context, address, rows, columns):
    """uint8[rows, columns]."""
    return _arrays(types.uint8, 2)


@intrinsic
def word_rows(typing_context, address, rows, columns):
    """int64[rows, columns]."""
    return _arrays(types.int64, 2)


@intrinsic
def int_rows(typing_context, address, rows, columns):
    """int32[rows, columns]."""
    return _arrays(types.int32, 2)


@intrinsic
def single_rows(typing_context, address, rows, columns):
    """float32[rows, columns]."""
    return _arrays(types.float32, 2)


@intrinsic
def double_rows(typing_context, address, rows, columns):
    """float64[rows, columns]."""
    return _arrays(types.float64, 2)


@intrinsic
def single_cube(typing_context, address, planes, rows, columns):
    """float32[planes, rows, columns]."""
    return _arrays(types.float32, 3)


@intrinsic
def double_cube(typing_context, address, planes, rows, columns):
    """float64[planes, rows, columns]."""
    return _arrays(types.float64, 3)


@intrinsic
def call(typing_context, address, a, b, c, d, e, f):
    """What the `callback` at an address answers; it takes and gives int64. Who calls it is compiled without it."""
    signature = types.int64(*[types.int64] * 7)

    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        function = builder.inttoptr(arguments[0], ir.FunctionType(word, [word] * 6).as_pointer())
        return builder.call(function, arguments[1:])

    return signature, generate


@intrinsic
def _move(typing_context, source, start, count, target, at):
    """What `copy` does, by libc, which a loop with bounds that LLVM cannot see is not made into."""

    def generate(context, builder, signature, arguments):
        from numba.core.cgutils import raw_memmove
        from numba.np.arrayobj import make_array

        here, there = (make_array(signature.args[k])(context, builder, value=arguments[k]).data for k in (0, 3))
        begin, end = builder.gep(here, [arguments[1]]), builder.gep(there, [arguments[4]])
        raw_memmove(builder, end, begin, arguments[2], context.get_abi_sizeof(begin.type.pointee))
        return context.get_dummy_value()

    word = types.int64
    return types.none(source, word, word, target, word), generate


@bare_inlined
def copy(source, start, count, target, at):
    """target[at : at + count] = source[start : start + count]; in one array towards its begin. Both: uint8[:].

    A build that checks accesses looks at both ends.
    """
    if count < _SHORT:
        for i in range(count):
            target[at + i] = source[start + i]
    elif (
        source[start] <= 255
        and source[start + count - 1] <= 255
        and target[at] <= 255
        and target[at + count - 1] <= 255
    ):
        _move(source, start, count, target, at)


@bare_inlined
def same(one, a, other, b, count):
    """Whether one[a : a + count] is other[b : b + count]."""
    for i in range(count):  # noqa: SIM110 (all() of a generator is not compiled)
        if one[a + i] != other[b + i]:
            return False
    return True
