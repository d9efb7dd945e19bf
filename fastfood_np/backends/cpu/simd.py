"""The vocabulary of vector registers, in which the kernels are written.

A vector is a few neighbouring elements of a float32 or float64 array in one register (LLVM splits
it where the processor's registers are shorter). Most words take and return several vectors at once,
as a tuple. How many elements a vector has and how many vectors a tuple has must be known to the
compiler, so both numbers travel as tuples of so many Nones: ``EIGHT = (None,) * 8``, whose Numba
type holds the length and which costs nothing at run time.

No index is checked. All arithmetic is rounded once an operation, as IEEE 754 says. With
just-in-time compilation switched off, the words are those of `simd_in_python`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastfood_np.backends.cpu import jit
from fastfood_np.backends.cpu.vector_code import (
    CACHE_LINE,
    INT,
    Memory,
    Vector,
    gathered,
    on_tuples,
    permuted,
    places_of,
    shuffled,
    spread_over,
    steps,
    transposed,
    vectors_of,
)

ONE, TWO, FOUR, EIGHT, SIXTEEN = ((None,) * n for n in (1, 2, 4, 8, 16))

# Indices into flat memory are unsigned: a signed one could be negative, which Numba would have to
# ask for each element.
U = np.uint64

# ---------------------------------------------------------------------------- to and from memory


@intrinsic
def flat(typing: Any, array: Any) -> Any:
    """Return a C-contiguous array as a pointer: free to pass on, and indexed like a flat array.

    (A slice of an array counts its users, which for a short row takes longer than the work.) It
    does not keep the array alive: for arguments of a function, or what a loop will use again.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return Memory(context, builder, array, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def start_at(typing: Any, pointer: Any, index: Any) -> Any:
    """Return the pointer to pointer[index]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, index), generate


@intrinsic
def element_bytes(typing: Any, array: Any) -> Any:
    """Return the size of the array's elements, which the compiler then knows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(ir.IntType(64), array.dtype.bitwidth // 8)

    return types.uint64(array), generate


@intrinsic
def sixteen_bytes(typing: Any, array: Any) -> Any:
    """Return as many Nones as elements of the array fit into 16 bytes: the lanes of a vector."""
    result = types.UniTuple(types.none, 16 * 8 // array.dtype.bitwidth)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, result, [context.get_dummy_value()] * result.count)

    return result(array), generate


@intrinsic
def up_to_line(typing: Any, array: Any, index: Any) -> Any:
    """Return how many elements lie between array[index] and the next start of a line of the cache.

    0 if that is no multiple of 16 bytes.
    """
    size = array.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(64)
        start = Memory(context, builder, array, arguments[0]).address(arguments[1])
        gap = builder.and_(builder.neg(builder.ptrtoint(start, wide)), wide(CACHE_LINE - 1))
        reached = builder.icmp_unsigned("==", builder.and_(gap, wide(15)), wide(0))
        return builder.select(reached, builder.udiv(gap, wide(size)), wide(0))

    return types.uint64(array, index), generate


@intrinsic
def load(typing: Any, lanes: Any, array: Any, index: Any) -> Any:
    """Return the vector array[index : index + lanes]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[1])
        return memory.load(arguments[2], lanes.count, context)

    return Vector(array.dtype, lanes.count)(lanes, array, index), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put the vector at array[index]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        Memory(context, builder, array, arguments[0]).store(*arguments[1:])
        return context.get_dummy_value()

    return types.none(array, index, vector), generate


@intrinsic
def load_all(typing: Any, lanes: Any, count: Any, array: Any, index: Any, stride: Any) -> Any:
    """Return `count` vectors, the k-th from array[index + k stride]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[2])
        vectors = [
            memory.load(place, lanes.count, context)
            for place in steps(builder, *arguments[3:], count.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    return vectors_of(array, lanes, count)(lanes, count, array, index, stride), generate


@intrinsic
def store_all(typing: Any, array: Any, index: Any, stride: Any, vectors: Any) -> Any:
    """Put the k-th vector at array[index + k stride]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[0])
        places = steps(builder, *arguments[1:3], vectors.count)
        for place, vector in zip(places, cgutils.unpack_tuple(builder, arguments[3]), strict=True):
            memory.store(place, vector)
        return context.get_dummy_value()

    return types.none(array, index, stride, vectors), generate


@intrinsic
def gather_all(
    typing: Any,
    lanes: Any,
    count: Any,
    array: Any,
    places: Any,
    first: Any,
    width: Any,
    offset: Any,
) -> Any:
    """Return `count` vectors, the k-th from array[places[first + k] width + offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[2])
        index = Memory(context, builder, places, arguments[3])
        vectors = [
            memory.load(place, lanes.count, context)
            for place in places_of(builder, index, *arguments[4:], count.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    result = vectors_of(array, lanes, count)
    return result(lanes, count, array, places, first, width, offset), generate


@intrinsic
def scatter_all(
    typing: Any, array: Any, places: Any, first: Any, width: Any, offset: Any, vectors: Any
) -> Any:
    """Put the k-th vector at array[places[first + k] width + offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[0])
        index = Memory(context, builder, places, arguments[1])
        targets = places_of(builder, index, *arguments[2:5], vectors.count)
        for place, vector in zip(targets, cgutils.unpack_tuple(builder, arguments[5]), strict=True):
            memory.store(place, vector)
        return context.get_dummy_value()

    return types.none(array, places, first, width, offset, vectors), generate


@intrinsic
def look_up_all(
    typing: Any, lanes: Any, count: Any, table: Any, first: Any, codes: Any, place: Any
) -> Any:
    """Return `count` vectors, the k-th from table[first + code]: a table of 16 numbers.

    Four bits are a code, eight codes four bytes, the first of them the lowest bits. Element l of
    the k-th vector is that of the k-th code of codes[place + 4 l : place + 4 l + 4]; k < 8. With 8
    lanes or more the table, from first to first + 16, is held in registers, and permuted.
    """
    n = lanes.count

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory, start = Memory(context, builder, table, arguments[2]), arguments[3]
        kind = ir.VectorType(INT, n)

        def integers(value: int) -> Any:
            return ir.Constant(kind, [value] * n)

        source = Memory(context, builder, codes, arguments[4]).address(arguments[5])
        words = builder.load(builder.bitcast(source, kind.as_pointer()), align=1)
        starts = steps(builder, start, ir.Constant(start.type, n), 16 // n)
        parts = [memory.load(at, n, context) for at in starts] if n in (8, 16) else []
        low = integers(min(n, 16) - 1 if parts else 15)
        vectors = []
        for k in range(count.count):
            within = builder.and_(builder.lshr(words, integers(4 * k)), low)
            if parts:
                found = [permuted(builder, part, within) for part in parts]
                highest = builder.shl(words, integers(28 - 4 * k))  # of the code, now the sign
                upper = builder.icmp_signed("<", highest, integers(0))
                vectors.append(builder.select(upper, found[-1], found[0]))
            else:
                vectors.append(gathered(builder, memory, start, within))
        return context.make_tuple(builder, signature.return_type, vectors)

    result = vectors_of(table, lanes, count)
    return result(lanes, count, table, first, codes, place), generate


@intrinsic
def prefetch(typing: Any, lanes: Any, count: Any, array: Any, index: Any) -> Any:
    """Ask for `count` neighbouring vectors from array[index] on, which may lie behind its end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[2])
        pointer = ir.IntType(8).as_pointer()
        fetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, INT, INT, INT]),
            "llvm.prefetch.p0",
        )
        step = ir.Constant(arguments[3].type, CACHE_LINE // memory.alignment)
        lines = -(-lanes.count * count.count * memory.alignment // CACHE_LINE)
        for place in steps(builder, arguments[3], step, lines):
            address = builder.bitcast(memory.address(place), pointer)
            builder.call(fetch, [address, INT(0), INT(3), INT(1)])  # to read, keep, data
        return context.get_dummy_value()

    return types.none(lanes, count, array, index), generate


# -------------------------------------------------------------------------------------- arithmetic


@intrinsic
def zeros(typing: Any, lanes: Any, array: Any) -> Any:
    """Return a vector of zeros of the array's dtype."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Vector(array.dtype, lanes.count)(lanes, array), generate


@intrinsic
def spread(typing: Any, lanes: Any, scalar: Any) -> Any:
    """Return a vector of copies of a number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return spread_over(builder, arguments[1], lanes.count)

    return Vector(scalar, lanes.count)(lanes, scalar), generate


@intrinsic
def spread_all(typing: Any, lanes: Any, count: Any, array: Any, index: Any) -> Any:
    """Return `count` vectors, the k-th of copies of array[index + k]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = Memory(context, builder, array, arguments[2])
        one = ir.Constant(arguments[3].type, 1)
        vectors = [
            spread_over(builder, builder.load(memory.address(place)), lanes.count)
            for place in steps(builder, arguments[3], one, count.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    return vectors_of(array, lanes, count)(lanes, count, array, index), generate


@intrinsic
def add(typing: Any, x: Any, y: Any) -> Any:
    """Return x + y for two vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return x(x, y), generate


@intrinsic
def multiply(typing: Any, x: Any, y: Any) -> Any:
    """Return x y for two vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return x(x, y), generate


@intrinsic
def multiply_all(typing: Any, vectors: Any, factors: Any) -> Any:
    """Return the products of vectors and factors: as many vectors, or one for all."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = cgutils.unpack_tuple(builder, arguments[0])
        right = (
            [arguments[1]] * vectors.count
            if isinstance(factors, Vector)
            else cgutils.unpack_tuple(builder, arguments[1])
        )
        products = [builder.fmul(x, y) for x, y in zip(left, right, strict=True)]
        return context.make_tuple(builder, signature.return_type, products)

    return vectors(vectors, factors), generate


@intrinsic
def add_all(typing: Any, total: Any, vectors: Any) -> Any:
    """Return total + vectors[0] + vectors[1] + ..., added in this order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, vectors = arguments
        for vector in cgutils.unpack_tuple(builder, vectors):
            total = builder.fadd(total, vector)
        return total

    return total(total, vectors), generate


@intrinsic
def add_each(typing: Any, left: Any, right: Any) -> Any:
    """Return the sums of vectors, pair by pair."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = zip(*(cgutils.unpack_tuple(builder, vectors) for vectors in arguments), strict=True)
        sums = [builder.fadd(x, y) for x, y in pairs]
        return context.make_tuple(builder, signature.return_type, sums)

    return left(left, right), generate


@intrinsic
def multiply_add(typing: Any, factor: Any, x: Any, y: Any) -> Any:
    """Return factor * x + y for a scalar and two vectors, rounded once where the CPU can."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factor, x, y = arguments
        fused = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(y.type, [y.type] * 3),
            f"llvm.fmuladd.v{y.type.count}f{signature.args[0].bitwidth}",
        )
        return builder.call(fused, [spread_over(builder, factor, y.type.count), x, y])

    return y(factor, x, y), generate


# -------------------------------------------------------------------------- whole small transforms


@intrinsic
def butterflies(typing: Any, vectors: Any) -> Any:
    """Return H times the tuple of vectors: (x + y, x - y) of all pairs 1, 2, 4, ... apart."""

    def operation(builder: Any, v: list[Any]) -> list[Any]:
        half = 1
        while half < len(v):
            for i in range(len(v)):
                if not i & half:
                    x, y = v[i], v[i + half]
                    v[i], v[i + half] = builder.fadd(x, y), builder.fsub(x, y)
            half *= 2
        return v

    return vectors(vectors), on_tuples(operation)


@intrinsic
def butterflies_within(typing: Any, vectors: Any) -> Any:
    """Return H times each vector: (x + y, x - y) of its elements 1, 2, 4, ... apart."""
    lanes = vectors.dtype.lanes

    def operation(builder: Any, v: list[Any]) -> list[Any]:
        half, exact = 1, ("contract",)  # a multiplication by +-1: fused where the processor can
        while half < lanes:
            partner = [i ^ half for i in range(lanes)]
            signs = ir.Constant(v[0].type, [-1.0 if i & half else 1.0 for i in range(lanes)])
            v = [
                builder.fadd(
                    builder.fmul(x, signs, flags=exact),
                    shuffled(builder, x, x, partner),
                    flags=exact,
                )
                for x in v
            ]
            half *= 2
        return v

    return vectors(vectors), on_tuples(operation)


@intrinsic
def transpose(typing: Any, vectors: Any) -> Any:
    """Return the columns of a square matrix of which the vectors are the rows."""
    return vectors(vectors), on_tuples(transposed)


if jit.disabled():
    from fastfood_np.backends.cpu.simd_in_python import *  # noqa: F403
