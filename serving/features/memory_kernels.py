"""What Numba has no words for: views that cost nothing, transposing in vector registers, prefetching.

All of it trusts its arguments: who calls it has made sure that what is read and written lies inside the arrays.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

TILE = 8
"""Rows and columns that are transposed at a time."""


@intrinsic
def view(typing_context, array, start, shape):
    """array.ravel()[start:] as an array of `shape`, a tuple, without reference count and checks.

    It costs nothing, must not outlive `array` and has to lie inside it.
    """
    if array.layout != "C":
        raise TypingError("array is not C-contiguous")
    view_type = types.Array(array.dtype, len(shape), "C")

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array, populate_array

        source = make_array(array)(context, builder, value=arguments[0])
        made = make_array(view_type)(context, builder)
        size = context.get_abi_sizeof(context.get_data_type(array.dtype))
        sizes = cgutils.unpack_tuple(builder, arguments[2])
        strides = [context.get_constant(types.intp, size)]
        for length in reversed(sizes[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        populate_array(
            made,
            data=builder.gep(source.data, [arguments[1]]),
            shape=sizes,
            strides=strides,
            itemsize=context.get_constant(types.intp, size),
            meminfo=None,
        )
        return made._getvalue()

    return view_type(array, types.int64, types.UniTuple(types.int64, len(shape))), generate


@intrinsic
def tile(typing_context, source, starts, target, start, stride):
    """target[start + i * stride + j] = source[starts[j] + i] for i and j from 0 to 7, in vector registers.

    source, target: flat arrays; starts: tuple of eight. LLVM makes slow gathers, or 64 single stores, of loops that
    say the same.
    """

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array

        read, written = (ir.VectorType(context.get_data_type(array.dtype), TILE) for array in (source, target))
        data = make_array(source)(context, builder, value=arguments[0]).data
        rows = []
        for at in cgutils.unpack_tuple(builder, arguments[1]):
            place = builder.bitcast(builder.gep(data, [at]), read.as_pointer())
            row = builder.load(place, align=8)
            rows.append(row if read == written else builder.fptrunc(row, written))
        for width in (1, 2, 4):  # swap squares of this width along the diagonal
            upper = [i if not i & width else TILE + i - width for i in range(TILE)]
            lower = [i + width if not i & width else TILE + i for i in range(TILE)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), TILE), mask) for mask in (upper, lower)]
            for j in range(TILE):
                if not j & width:
                    pair = rows[j], rows[j + width]
                    rows[j], rows[j + width] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        data = make_array(target)(context, builder, value=arguments[2]).data
        at = arguments[3]
        for row in rows:
            builder.store(row, builder.bitcast(builder.gep(data, [at]), written.as_pointer()), align=4)
            at = builder.add(at, arguments[4])
        return context.get_dummy_value()

    starts_type = types.UniTuple(types.int64, TILE)
    return types.none(source, starts_type, target, types.int64, types.int64), generate


@intrinsic
def prefetch(typing_context, array, at):
    """Tell the processor that array.ravel()[at] is read soon."""

    def generate(context, builder, signature, arguments):
        from numba.np.arrayobj import make_array

        place = builder.gep(make_array(array)(context, builder, value=arguments[0]).data, [arguments[1]])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        takes = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        instruction = builder.module.declare_intrinsic("llvm.prefetch", [pointer], takes)
        read, second_level, data = number(0), number(2), number(1)
        builder.call(instruction, [builder.bitcast(place, pointer), read, second_level, data])
        return context.get_dummy_value()

    return types.none(array, types.int64), generate
