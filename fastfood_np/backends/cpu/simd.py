"""The vocabulary of vector registers: load, store, zeros, add, multiply-add on eight elements.

A vector is eight neighbouring elements of a float32 or float64 array (one AVX2 register or two;
LLVM splits it for narrower processors). Index and array are not checked. With just-in-time
compilation switched off the same words work on NumPy arrays, so that every kernel has a Python
form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from fastfood_np.backends.cpu import jit

LANES = 8


class Vector(types.Type):
    """Numba's type of a vector register."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype} x {LANES})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        super().__init__(manager, vector, ir.VectorType(element, LANES))


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, int]:
    """Return a pointer to the vector that starts at array[index], and its alignment in bytes."""
    array_type = signature.args[0]
    array = context.make_array(array_type)(context, builder, arguments[0])
    element = builder.gep(array.data, [arguments[1]])
    vector = context.get_value_type(Vector(array_type.dtype))
    return builder.bitcast(element, vector.as_pointer()), array_type.dtype.bitwidth // 8


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return array[index : index + 8]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, alignment = _address(context, builder, signature, arguments)
        return builder.load(address, align=alignment)

    return Vector(array.dtype)(array, index), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Set array[index : index + 8] = vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, alignment = _address(context, builder, signature, arguments)
        builder.store(arguments[2], address, align=alignment)
        return context.get_dummy_value()

    return types.none(array, index, vector), generate


@intrinsic
def zeros(typing: Any, array: Any) -> Any:
    """Return a vector of zeros of the array's dtype."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(context.get_value_type(signature.return_type), None)

    return Vector(array.dtype)(array), generate


@intrinsic
def add(typing: Any, x: Any, y: Any) -> Any:
    """Return x + y for two vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return x(x, y), generate


@intrinsic
def multiply_add(typing: Any, factor: Any, x: Any, y: Any) -> Any:
    """Return factor * x + y for a scalar and two vectors, rounded once where the CPU can."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = arguments[1].type
        nothing = ir.Constant(vector, ir.Undefined)
        first = ir.Constant(ir.IntType(32), 0)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        factors = builder.shuffle_vector(
            builder.insert_element(nothing, arguments[0], first), nothing, everywhere
        )
        fused = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector] * 3),
            f"llvm.fmuladd.v{LANES}f{signature.args[0].bitwidth}",
        )
        return builder.call(fused, [factors, *arguments[1:]])

    return y(factor, x, y), generate


if jit.disabled():

    def load(array: Any, index: Any) -> Any:
        """Return array[index : index + 8]."""
        return array[int(index) : int(index) + LANES].copy()

    def store(array: Any, index: Any, vector: Any) -> None:
        """Set array[index : index + 8] = vector."""
        array[int(index) : int(index) + LANES] = vector

    def zeros(array: Any) -> Any:
        """Return a vector of zeros of the array's dtype."""
        return np.zeros(LANES, array.dtype)

    def add(x: Any, y: Any) -> Any:
        """Return x + y for two vectors."""
        return x + y

    def multiply_add(factor: Any, x: Any, y: Any) -> Any:
        """Return factor * x + y for a scalar and two vectors."""
        return factor * x + y
