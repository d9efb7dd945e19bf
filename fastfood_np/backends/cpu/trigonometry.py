"""Cosine and sine of rows, in loops that LLVM turns into vector instructions.

An angle x is reduced to r = x - k pi/2 with k = round(2 x / pi), |r| < 0.8, in the manner of Cody
and Waite: pi/2 is a sum of three parts, and the first two end in so many zero bits that their
products with k and both differences are exact, with or without a fused multiply-add. Then

    sin r = r (1 + s_1 r^2 + s_2 r^4 + ...)        cos r = 1 + c_1 r^2 + c_2 r^4 + ...

and the two lowest bits of k say which of the two, with which sign, are cos x and sin x. The s and c
are minimax: Remez' exchange on 0 < r <= 0.8 for the absolute error, in 60 digits; s_1 (c_1) was
rounded to the dtype, the others were fitted again, and so on. The polynomials are off by at most
2.2e-9 in float32 and 2.1e-18 in float64. With all roundings, cosine and sine are off by at most
9e-8 and 2e-16 (measured: 8.8e-8 and 1.7e-16, and less with a fused multiply-add).

An element has the same bits wherever it stands in a row and whatever stands beside it. For this
nothing here may be compiled with ``fastmath``, which would also fold the rounding of k away.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from fastfood_np.backends.cpu.jit import jit, part

# Beyond, k has more bits than the parts of pi/2 leave free, and libm takes over.
LIMIT = 1e5

# Reduction and polynomials in one loop would be a chain of operations longer than processors look
# ahead. So there are two loops, and so many elements wait in the first-level cache in between.
TILE = 1024


class _Numbers(NamedTuple):
    """The constants of one dtype."""

    limit: Any
    two_over_pi: Any
    rounding: Any  # 1.5 * 2^(bits of the mantissa): a small number plus it is rounded to a whole
    half_pi: tuple[Any, ...]  # its parts, the largest first
    sine: tuple[Any, ...]  # the highest power first
    cosine: tuple[Any, ...]


def _numbers_as(real: Any, *tuples: tuple[float, ...]) -> _Numbers:
    scalars = (LIMIT, 2 / math.pi, 1.5 / np.finfo(real).eps)
    return _Numbers(*map(real, scalars), *(tuple(map(real, values)) for values in tuples))


_SINGLE = _numbers_as(
    np.float32,
    (1.5703125, 0.0004825592041015625, 1.2675908465098473e-06),  # 8 bits, 8 bits, the rest
    (-0.00019484643, 0.008331895, -0.1666665, 1.0),
    (2.4428644e-05, -0.0013887291, 0.041666646, -0.5, 1.0),
)
_DOUBLE = _numbers_as(
    np.float64,
    (1.5707963267923333, 2.5632829192545614e-12, 6.123233995736766e-17),  # 37, 15 bits, the rest
    (
        1.5882377909930731e-10,
        -2.5050488629629014e-08,
        2.7557311793216183e-06,
        -0.00019841269823608405,
        0.008333333333313268,
        -0.16666666666666585,
        1.0,
    ),
    (
        -1.1355091284648657e-11,
        2.08756366026574e-09,
        -2.755731372648031e-07,
        2.480158728736453e-05,
        -0.0013888888888870827,
        0.04166666666666658,
        -0.5,
        1.0,
    ),
)


# What Python and Numba have to be told differently: first for Python, then for Numba, which wants
# results of one type and so chooses by the type of x when it compiles.


def _numbers(x: Any) -> _Numbers:
    return _SINGLE if x.dtype == np.float32 else _DOUBLE


@overload(_numbers)
def _compiled_numbers(x):
    return (lambda x: _SINGLE) if x == types.float32 else (lambda x: _DOUBLE)


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


# Rows.


@part
def _slice(row, start, stop):
    return None if row is None else row[start:stop]


# Each loop is a function of its own: so it becomes vectors before it is put into its caller, where
# LLVM would understand less of it.


@part
def _reduce(angles, phase, r, shifted):
    """Reduce angles + phase (unless None); return whether all of them are within LIMIT."""
    largest = limit = _bits(_numbers(r[0]).limit)
    for i in range(r.size):
        x = angles[i] if phase is None else angles[i] + phase[i]
        largest = max(largest, _bits(abs(x)))  # bits rise with the number; NaN's are above all
        r[i], shifted[i] = _reduced(x)
    return largest == limit


@part
def _finish(r, shifted, amplitude, cosines, sines):
    for i in range(r.size):
        cosine, sine = _cos_sin_reduced(r[i], shifted[i])
        cosines[i] = amplitude * cosine
        if sines is not None:
            sines[i] = amplitude * sine


@part
def _one_by_one(angles, phase, amplitude, cosines, sines):
    real = angles.dtype.type
    for i in range(angles.size):
        cosine, sine = _cos_sin(angles[i] if phase is None else angles[i] + phase[i])
        cosines[i] = amplitude * real(cosine)
        if sines is not None:
            sines[i] = amplitude * real(sine)


@part
def _fill(scratch, angles, phase, amplitude, cosines, sines):
    for start in range(0, angles.size, TILE):
        stop = min(start + TILE, angles.size)
        r, shifted = scratch[0, : stop - start], scratch[1, : stop - start]
        x, p = angles[start:stop], _slice(phase, start, stop)
        c, s = cosines[start:stop], _slice(sines, start, stop)
        if _reduce(x, p, r, shifted):
            _finish(r, shifted, amplitude, c, s)
        else:
            _one_by_one(x, p, amplitude, c, s)


@jit
def cos_sin_row(scratch, angles, amplitude, cosines, sines):
    """Fill two rows with `amplitude` times the cosines and sines of `angles`.

    All are contiguous rows (n,) of one dtype, float32 or float64, which is also that of the
    amplitude and of `scratch` (2, TILE). `angles` may be the same memory as `cosines` or `sines`.
    NaN and infinities give NaN, and sin(-0) = -0. One |x| > LIMIT, or not finite, brings its tile
    of `TILE` elements down to the pace of libm.
    """
    _fill(scratch, angles, None, amplitude, cosines, sines)


@jit
def cos_row(scratch, angles, phase, amplitude, out):
    """Fill the row `out` with amplitude * cos(angles + phase), the sum rounded to their dtype.

    As `cos_sin_row`; `out` may be the same memory as `angles` or `phase`.
    """
    _fill(scratch, angles, phase, amplitude, out, None)
