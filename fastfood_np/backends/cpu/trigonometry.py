"""Cosine and sine of rows, in loops that LLVM turns into vector instructions.

The method and its numbers stand in `backends.angles`; angles beyond its limit are left to libm.
With all roundings, cosine and sine are off by at most 9e-8 and 2e-16 (measured: 8.8e-8 and 1.7e-16,
and less with a fused multiply-add).

An element has the same bits wherever it stands in a row and whatever stands beside it. For this
nothing here may be compiled with ``fastmath``, which would also fold the rounding of k away.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from fastfood_np.backends.angles import DOUBLE, SINGLE, Numbers
from fastfood_np.backends.cpu.jit import part
from fastfood_np.backends.cpu.simd import U, start_at

# Reduction and polynomials in one loop would be a chain of operations longer than processors look
# ahead. So there are two loops, and so many elements wait in the first-level cache in between.
TILE = 1024


# What Python and Numba have to be told differently: first for Python, then for Numba, which wants
# results of one type and so chooses by the type of x when it compiles.


def _numbers(x: Any) -> Numbers:
    return SINGLE if x.dtype == np.float32 else DOUBLE


@overload(_numbers)
def _compiled_numbers(x):
    return (lambda x: SINGLE) if x == types.float32 else (lambda x: DOUBLE)


def _bits(x: Any) -> Any:
    """Return the whole number that has the bits of x."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


@overload(_bits)
def _compiled_bits(x):
    if x == types.float32:
        return lambda x: np.float32(x).view(np.int32)
    return lambda x: np.float64(x).view(np.int64)


def _multiply_add(x: Any, y: Any, z: Any) -> Any:
    """Return x y + z, rounded once where the processor can."""
    return x * y + z


@intrinsic
def _fmuladd(typing, x, y, z):
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        real = arguments[0].type
        name = f"llvm.fmuladd.f{signature.return_type.bitwidth}"
        fused: Any = cgutils.get_or_insert_function  # untyped
        kind = ir.FunctionType(real, [real] * 3)
        return builder.call(fused(builder.module, kind, name), arguments)

    return x(x, x, x), generate


@overload(_multiply_add)
def _compiled_multiply_add(x, y, z):
    return lambda x, y, z: _fmuladd(x, y, z)  # type: ignore[call-arg]


# One element.


@part
def _reduced(x):
    """Return r and, in the two lowest bits of a number of the same dtype, k."""
    numbers = _numbers(x)
    shifted = _multiply_add(x, numbers.two_over_pi, numbers.rounding)
    k = shifted - numbers.rounding
    for piece in numbers.half_pi:
        x = _multiply_add(-k, piece, x)
    return x, shifted


@part
def _polynomial(coefficients, z):
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = _multiply_add(total, z, coefficient)
    return total


@part
def _cos_sin_reduced(r, shifted):
    """Return cos x and sin x of what `_reduced` returned."""
    cosine = _polynomial(_numbers(r).cosine, r * r)
    sine = r * _polynomial(_numbers(r).sine, r * r)
    k = _bits(shifted)
    if k & 1:
        cosine, sine = sine, cosine
    return -cosine if (k + 1) & 2 else cosine, -sine if k & 2 else sine


@part
def _cos_sin(x):
    """Return cos x and sin x for any x, NaN where it is not finite."""
    if abs(x) <= _numbers(x).limit:
        return _cos_sin_reduced(*_reduced(x))
    if not np.isfinite(x):
        return math.nan, math.nan
    return math.cos(np.float64(x)), math.sin(np.float64(x))


# Rows: flat memory, see `simd.flat`.


@part
def _start_at(row, index):
    return None if row is None else start_at(row, index)


# Each loop is a function of its own: so it becomes vectors before it is put into its caller, where
# LLVM would understand less of it.


@part
def _reduce(count, angles, phase, r, shifted):
    """Reduce angles + phase (unless None); return whether all of them are within LIMIT."""
    largest = limit = _bits(_numbers(r[0]).limit)
    for i in range(count):
        x = angles[i] if phase is None else angles[i] + phase[i]
        largest = max(largest, _bits(abs(x)))  # bits rise with the number; NaN's are above all
        r[i], shifted[i] = _reduced(x)
    return largest == limit


@part
def _finish(count, r, shifted, amplitude, cosines, sines):
    for i in range(count):
        cosine, sine = _cos_sin_reduced(r[i], shifted[i])
        cosines[i] = amplitude * cosine
        if sines is not None:
            sines[i] = amplitude * sine


@part
def _one_by_one(count, angles, phase, amplitude, cosines, sines):
    real = type(amplitude)
    for i in range(count):
        cosine, sine = _cos_sin(angles[i] if phase is None else angles[i] + phase[i])
        cosines[i] = amplitude * real(cosine)
        if sines is not None:
            sines[i] = amplitude * real(sine)


@part
def _fill(count, scratch, angles, phase, amplitude, cosines, sines):
    r, shifted = scratch, start_at(scratch, U(TILE))
    for start in range(U(0), count, U(TILE)):
        n = min(U(TILE), count - start)
        x, p = start_at(angles, start), _start_at(phase, start)
        c, s = start_at(cosines, start), _start_at(sines, start)
        if _reduce(n, x, p, r, shifted):
            _finish(n, r, shifted, amplitude, c, s)
        else:
            _one_by_one(n, x, p, amplitude, c, s)


@part
def cos_sin_row(count, scratch, angles, amplitude, cosines, sines):
    """Fill two rows with `amplitude` times the cosines and sines of `count` angles.

    All are flat memory of one dtype, float32 or float64, which is also that of the amplitude and of
    `scratch`, 2 TILE numbers. `angles` may be the same memory as `cosines` or `sines`. NaN and
    infinities give NaN, and sin(-0) = -0. One |x| > LIMIT, or not finite, brings its tile of `TILE`
    elements down to the pace of libm.
    """
    _fill(count, scratch, angles, None, amplitude, cosines, sines)


@part
def cos_row(count, scratch, angles, phase, amplitude, out):
    """Fill the row `out` with amplitude * cos(angles + phase), the sum rounded to their dtype.

    As `cos_sin_row`; `out` may be the same memory as `angles` or `phase`.
    """
    _fill(count, scratch, angles, phase, amplitude, out, None)
