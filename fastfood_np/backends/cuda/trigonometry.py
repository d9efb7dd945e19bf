"""Cosine and sine of one angle, without local memory: as in `backends.angles`.

The CUDA library's functions keep a table for huge angles on the stack of each thread, once for each
number it holds. Here the bits of 2/pi lie in constant memory, and are looked at only for angles
beyond the limit (in float64 the library still takes over there).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.angles import DOUBLE, SINGLE
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function

# The first 192 bits of 2/pi behind the point, in words of 32 bits after one of zeros.
_WORDS = (0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0)
_TWO_OVER_PI = np.array(_WORDS, np.uint64)
_QUARTER_TURN = math.pi / 2 / 2.0**64


@device_function
def reduce_huge(x):
    """Return k mod 4 and r of a float32 angle x, 2^16 <= |x| (after Payne and Hanek).

    x = m 2^(e - 32) with m < 2^32. Bits of 2/pi before bit e - 32 behind the point give multiples
    of four quarter turns; of the 96 from there on, the product with m keeps its upper 64 bits: two
    of k, and 62 of the fraction of a quarter turn.
    """
    words = cuda.const.array_like(_TWO_OVER_PI)
    fraction, exponent = math.frexp(abs(x))
    m = np.uint64(fraction * np.float32(2.0**24)) << np.uint64(8)
    first = np.uint64(exponent - 2)
    word, shift = first >> np.uint64(5), first & np.uint64(31)
    upper = (words[word] << np.uint64(32)) | words[word + np.uint64(1)]
    lower = (words[word + np.uint64(2)] << np.uint64(32)) | words[word + np.uint64(3)]
    low32 = np.uint64(0xFFFFFFFF)
    rest = np.uint64(64) - shift
    # (Shifting by 64 is undefined, so where shift is 0 nothing is taken over from the lower half.)
    carried = (lower >> rest) if shift > np.uint64(0) else np.uint64(0)
    window = (upper << shift) | carried
    third = ((lower << shift) >> np.uint64(32)) & low32
    high, middle = window >> np.uint64(32), window & low32
    product = ((m * high & low32) << np.uint64(32)) + m * middle + (m * third >> np.uint64(32))
    quadrant = np.int64(product >> np.uint64(62))
    turn = product << np.uint64(2)
    if turn >> np.uint64(63):  # nearer to the next quarter turn
        quadrant += 1
        r = np.float32(-np.float64((~turn) + np.uint64(1)) * _QUARTER_TURN)
    else:
        r = np.float32(np.float64(turn) * _QUARTER_TURN)
    if x < np.float32(0):
        return -quadrant, -r
    return quadrant, r


def make_polynomial(coefficients: tuple[Any, ...]) -> Any:
    """Return Horner's rule as nested device functions, highest power first.

    (A loop would index a tuple, which puts it on the stack.)
    """
    last = coefficients[-1]
    if len(coefficients) == 1:
        return device_function(lambda square: last)
    before = make_polynomial(coefficients[:-1])

    @device_function
    def polynomial(square):
        return before(square) * square + last

    return polynomial


@cache
def make_cos_sin(dtype: Any) -> Any:
    """Return a device function: the pair (cos x, sin x) of an angle of this dtype."""
    numbers = SINGLE if dtype is np.float32 else DOUBLE
    limit, scale = numbers.limit, numbers.two_over_pi
    part_1, part_2, part_3 = numbers.half_pi
    sine_over_r, cosine_of = make_polynomial(numbers.sine), make_polynomial(numbers.cosine)
    half, single = dtype(0.5), dtype is np.float32
    one_bit, two_bit = 1, 2

    @device_function
    def from_quadrant(quadrant, r):
        square = r * r
        sine, cosine = r * sine_over_r(square), cosine_of(square)
        c, s = (sine, cosine) if quadrant & one_bit else (cosine, sine)
        return (-c if (quadrant + 1) & two_bit else c), (-s if quadrant & two_bit else s)

    @device_function
    def cos_sin(x):
        if abs(x) <= limit:
            k = dtype(math.floor(x * scale + half))
            return from_quadrant(np.int64(k), ((x - k * part_1) - k * part_2) - k * part_3)
        if not math.isfinite(x):
            return x - x, x - x
        if single:
            quadrant, r = reduce_huge(x)
            return from_quadrant(quadrant, r)
        return math.cos(x), math.sin(x)

    return cos_sin
