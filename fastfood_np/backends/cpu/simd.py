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

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from fastfood_np.backends.cpu import jit

ONE, TWO, FOUR, EIGHT, SIXTEEN = ((None,) * n for n in (1, 2, 4, 8, 16))

INT = ir.IntType(32)
CACHE_LINE = 64


class Vector(types.Type):
    """Numba's type of a vector register."""

    def __init__(self, dtype: Any, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype} x {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


# ---------------------------------------------------------------------------- to and from memory


class _Memory:
    """A flat array, or a pointer, as a kernel's code sees it."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        self.builder, self.element = builder, kind.dtype
        is_array = isinstance(kind, types.Array)
        self.data = context.make_array(kind)(context, builder, value).data if is_array else value

    def address(self, index: Any) -> Any:
        return self.builder.gep(self.data, [index])

    def load(self, index: Any, lanes: int, context: Any) -> Any:
        vector = context.get_value_type(Vector(self.element, lanes))
        return self.builder.load(
            self.builder.bitcast(self.address(index), vector.as_pointer()), align=self.alignment
        )

    def store(self, index: Any, vector: Any) -> None:
        pointer = self.builder.bitcast(self.address(index), vector.type.as_pointer())
        self.builder.store(vector, pointer, align=self.alignment)

    @property
    def alignment(self) -> int:
        return int(self.element.bitwidth // 8)  # of one element: rows may start anywhere


def _steps(builder: Any, index: Any, stride: Any, count: int) -> Iterator[Any]:
    """Yield index, index + stride, ... as code."""
    for k in range(count):
        yield index
        if k + 1 < count:
            index = builder.add(index, stride)


def _places(builder: Any, memory: _Memory, first: Any, width: Any, offset: Any, count: int) -> Any:
    """Yield places[first + k] * width + offset for k = 0, 1, ... as code."""
    one = ir.Constant(first.type, 1)
    for position in _steps(builder, first, one, count):
        place = builder.load(memory.address(position))
        yield builder.add(builder.mul(place, width), offset)


def _same(array: Any, lanes: Any, count: Any) -> Any:
    return types.UniTuple(Vector(array.dtype, lanes.count), count.count)


@intrinsic
def flat(typing: Any, array: Any) -> Any:
    """Return a C-contiguous array as a pointer: free to pass on, and indexed like a flat array.

    It does not keep the array alive: for arguments of a kernel only.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _Memory(context, builder, array, arguments[0]).data

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
        start = _Memory(context, builder, array, arguments[0]).address(arguments[1])
        gap = builder.and_(builder.neg(builder.ptrtoint(start, wide)), wide(CACHE_LINE - 1))
        reached = builder.icmp_unsigned("==", builder.and_(gap, wide(15)), wide(0))
        return builder.select(reached, builder.udiv(gap, wide(size)), wide(0))

    return types.uint64(array, index), generate


@intrinsic
def load(typing: Any, lanes: Any, array: Any, index: Any) -> Any:
    """Return the vector array[index : index + lanes]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, array, arguments[1])
        return memory.load(arguments[2], lanes.count, context)

    return Vector(array.dtype, lanes.count)(lanes, array, index), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Put the vector at array[index]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _Memory(context, builder, array, arguments[0]).store(*arguments[1:])
        return context.get_dummy_value()

    return types.none(array, index, vector), generate


@intrinsic
def load_all(typing: Any, lanes: Any, count: Any, array: Any, index: Any, stride: Any) -> Any:
    """Return `count` vectors, the k-th from array[index + k stride]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, array, arguments[2])
        vectors = [
            memory.load(place, lanes.count, context)
            for place in _steps(builder, *arguments[3:], count.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    return _same(array, lanes, count)(lanes, count, array, index, stride), generate


@intrinsic
def store_all(typing: Any, array: Any, index: Any, stride: Any, vectors: Any) -> Any:
    """Put the k-th vector at array[index + k stride]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, array, arguments[0])
        places = _steps(builder, *arguments[1:3], vectors.count)
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
        memory = _Memory(context, builder, array, arguments[2])
        index = _Memory(context, builder, places, arguments[3])
        vectors = [
            memory.load(place, lanes.count, context)
            for place in _places(builder, index, *arguments[4:], count.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    result = _same(array, lanes, count)
    return result(lanes, count, array, places, first, width, offset), generate


@intrinsic
def scatter_all(
    typing: Any, array: Any, places: Any, first: Any, width: Any, offset: Any, vectors: Any
) -> Any:
    """Put the k-th vector at array[places[first + k] width + offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, array, arguments[0])
        index = _Memory(context, builder, places, arguments[1])
        targets = _places(builder, index, *arguments[2:5], vectors.count)
        for place, vector in zip(targets, cgutils.unpack_tuple(builder, arguments[5]), strict=True):
            memory.store(place, vector)
        return context.get_dummy_value()

    return types.none(array, places, first, width, offset, vectors), generate


@intrinsic
def prefetch(typing: Any, lanes: Any, count: Any, array: Any, index: Any) -> Any:
    """Ask for `count` neighbouring vectors from array[index] on, which may lie behind its end."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, array, arguments[2])
        pointer = ir.IntType(8).as_pointer()
        fetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, INT, INT, INT]),
            "llvm.prefetch.p0",
        )
        step = ir.Constant(arguments[3].type, CACHE_LINE // memory.alignment)
        lines = -(-lanes.count * count.count * memory.alignment // CACHE_LINE)
        for place in _steps(builder, arguments[3], step, lines):
            address = builder.bitcast(memory.address(place), pointer)
            builder.call(fetch, [address, INT(0), INT(3), INT(1)])  # to read, keep, data
        return context.get_dummy_value()

    return types.none(lanes, count, array, index), generate


# -------------------------------------------------------------------------------------- arithmetic


def _on_tuples(operation: Callable[[Any, list[Any]], list[Any]]) -> Callable[..., Any]:
    """Return the code of a word that makes of a tuple of vectors another of the same type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = operation(builder, cgutils.unpack_tuple(builder, arguments[0]))
        return context.make_tuple(builder, signature.return_type, vectors)

    return generate


def _shuffled(builder: Any, x: Any, y: Any, picks: list[int]) -> Any:
    """Return the vector of these elements of x followed by y."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT, len(picks)), picks))


@intrinsic
def zeros(typing: Any, lanes: Any, array: Any) -> Any:
    """Return a vector of zeros of the array's dtype."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Vector(array.dtype, lanes.count)(lanes, array), generate


def _spread(builder: Any, scalar: Any, lanes: int) -> Any:
    nothing = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, scalar, INT(0))
    return _shuffled(builder, first, nothing, [0] * lanes)


@intrinsic
def spread(typing: Any, lanes: Any, scalar: Any) -> Any:
    """Return a vector of copies of a number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[1], lanes.count)

    return Vector(scalar, lanes.count)(lanes, scalar), generate


@intrinsic
def spread_all(typing: Any, lanes: Any, count: Any, array: Any, index: Any) -> Any:
    """Return `count` vectors, the k-th of copies of array[index + k]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        memory = _Memory(context, builder, array, arguments[2])
        one = ir.Constant(arguments[3].type, 1)
        vectors = [
            _spread(builder, builder.load(memory.address(place)), lanes.count)
            for place in _steps(builder, arguments[3], one, count.count)
        ]
        return context.make_tuple(builder, signature.return_type, vectors)

    return _same(array, lanes, count)(lanes, count, array, index), generate


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
        return builder.call(fused, [_spread(builder, factor, y.type.count), x, y])

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

    return vectors(vectors), _on_tuples(operation)


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
                    _shuffled(builder, x, x, partner),
                    flags=exact,
                )
                for x in v
            ]
            half *= 2
        return v

    return vectors(vectors), _on_tuples(operation)


@intrinsic
def transpose(typing: Any, vectors: Any) -> Any:
    """Return the columns of a square matrix of which the vectors are the rows."""
    lanes = vectors.dtype.lanes
    block = min(lanes, 128 // vectors.dtype.dtype.bitwidth)  # what processors shuffle at once

    def picked(builder: Any, x: Any, y: Any, size: int, parity: int) -> Any:
        """Pieces of that size and parity, all of x, then all of y."""
        picks = [i for i in range(2 * lanes) if i // size % 2 == parity]
        return _shuffled(builder, x, y, picks)

    def interleaved(builder: Any, x: Any, y: Any, size: int, parity: int) -> Any:
        """In each block: that half of x's pieces and of y's, in turn."""
        half = [
            start + piece
            for start in range(0, lanes, block)
            for piece in range(parity * block // 2, (parity + 1) * block // 2, size)
        ]
        picks = [i + k for p in half for i in (p, p + lanes) for k in range(size)]
        return _shuffled(builder, x, y, picks)

    def within_blocks(builder: Any, v: list[Any], size: int) -> list[Any]:
        if len(v) == 1:
            return v
        half = len(v) // 2
        low = [
            interleaved(builder, v[2 * i], v[2 * i + 1], size, parity)
            for parity in (0, 1)
            for i in range(half)
        ]
        return within_blocks(builder, low[:half], 2 * size) + within_blocks(
            builder, low[half:], 2 * size
        )

    def between_blocks(builder: Any, v: list[Any]) -> list[Any]:
        if len(v) == 1:
            return v
        pairs = list(zip(v[0::2], v[1::2], strict=True))
        result = [None] * len(v)
        for parity in (0, 1):
            result[parity::2] = between_blocks(
                builder, [picked(builder, x, y, block, parity) for x, y in pairs]
            )
        return result

    def operation(builder: Any, v: list[Any]) -> list[Any]:
        groups = [within_blocks(builder, v[g : g + block], 1) for g in range(0, lanes, block)]
        result = [None] * lanes
        for k in range(block):
            result[k::block] = between_blocks(builder, [group[k] for group in groups])
        return result

    return vectors(vectors), _on_tuples(operation)


if jit.disabled():
    from fastfood_np.backends.cpu.simd_in_python import *  # noqa: F403
