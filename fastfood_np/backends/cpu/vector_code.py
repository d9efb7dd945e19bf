"""What the words of `simd` consist of: the type of a vector, memory, and small pieces of LLVM code.

Numba asks an intrinsic for a function that generates its code; these are the parts that such
functions share. `builder` writes the code, and values are its names for what will be known at run
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import models, register_model

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


class Memory:
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


def steps(builder: Any, index: Any, stride: Any, count: int) -> Iterator[Any]:
    """Yield index, index + stride, ... as code."""
    for k in range(count):
        yield index
        if k + 1 < count:
            index = builder.add(index, stride)


def places_of(builder: Any, memory: Memory, first: Any, width: Any, offset: Any, count: int) -> Any:
    """Yield places[first + k] * width + offset for k = 0, 1, ... as code."""
    one = ir.Constant(first.type, 1)
    for position in steps(builder, first, one, count):
        place = builder.load(memory.address(position))
        yield builder.add(builder.mul(place, width), offset)


def vectors_of(array: Any, lanes: Any, count: Any) -> Any:
    """Return the type of `count` vectors of the array's dtype."""
    return types.UniTuple(Vector(array.dtype, lanes.count), count.count)


def on_tuples(operation: Callable[[Any, list[Any]], list[Any]]) -> Callable[..., Any]:
    """Return the code of a word that makes of a tuple of vectors another of the same type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = operation(builder, cgutils.unpack_tuple(builder, arguments[0]))
        return context.make_tuple(builder, signature.return_type, vectors)

    return generate


def shuffled(builder: Any, x: Any, y: Any, picks: list[int]) -> Any:
    """Return the vector of these elements of x followed by y."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT, len(picks)), picks))


def spread_over(builder: Any, scalar: Any, lanes: int) -> Any:
    """Return the vector of so many copies of a scalar."""
    nothing = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, scalar, INT(0))
    return shuffled(builder, first, nothing, [0] * lanes)


def permuted(builder: Any, x: Any, places: Any) -> Any:
    """Return the vector of the elements of x at these places, a vector of as many integers.

    In this form LLVM knows it for a permutation, one instruction where the processor has it.
    """
    result = ir.Constant(x.type, ir.Undefined)
    for i in range(x.type.count):
        picked = builder.extract_element(x, builder.extract_element(places, INT(i)))
        result = builder.insert_element(result, picked, INT(i))
    return result


def gathered(builder: Any, memory: Memory, first: Any, places: Any) -> Any:
    """Return the vector of memory[first + place] for the integers in `places`."""
    result = ir.Constant(ir.VectorType(memory.data.type.pointee, places.type.count), ir.Undefined)
    for i in range(places.type.count):
        place = builder.zext(builder.extract_element(places, INT(i)), first.type)
        picked = builder.load(memory.address(builder.add(first, place)))
        result = builder.insert_element(result, picked, INT(i))
    return result


def transposed(builder: Any, v: list[Any]) -> list[Any]:
    """Return the columns of a square matrix of which the vectors are the rows."""
    lanes = len(v)
    block = min(lanes, 4 if isinstance(v[0].type.element, ir.FloatType) else 2)  # shuffled at once

    def picked(x: Any, y: Any, size: int, parity: int) -> Any:
        """Pieces of that size and parity, all of x, then all of y."""
        picks = [i for i in range(2 * lanes) if i // size % 2 == parity]
        return shuffled(builder, x, y, picks)

    def interleaved(x: Any, y: Any, size: int, parity: int) -> Any:
        """In each block: that half of x's pieces and of y's, in turn."""
        half = [
            start + piece
            for start in range(0, lanes, block)
            for piece in range(parity * block // 2, (parity + 1) * block // 2, size)
        ]
        picks = [i + k for p in half for i in (p, p + lanes) for k in range(size)]
        return shuffled(builder, x, y, picks)

    def within_blocks(v: list[Any], size: int) -> list[Any]:
        if len(v) == 1:
            return v
        half = len(v) // 2
        low = [
            interleaved(v[2 * i], v[2 * i + 1], size, parity)
            for parity in (0, 1)
            for i in range(half)
        ]
        return within_blocks(low[:half], 2 * size) + within_blocks(low[half:], 2 * size)

    def between_blocks(v: list[Any]) -> list[Any]:
        if len(v) == 1:
            return v
        pairs = list(zip(v[0::2], v[1::2], strict=True))
        result = [None] * len(v)
        for parity in (0, 1):
            result[parity::2] = between_blocks([picked(x, y, block, parity) for x, y in pairs])
        return result

    groups = [within_blocks(v[g : g + block], 1) for g in range(0, lanes, block)]
    result = [None] * lanes
    for k in range(block):
        result[k::block] = between_blocks([group[k] for group in groups])
    return result
