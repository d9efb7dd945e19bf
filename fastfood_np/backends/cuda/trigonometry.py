"""Cosine and sine of one angle, without local memory: as in `backends.angles`.

The CUDA library's functions keep a table for huge angles on the stack of each thread, once for each
number it holds. Here the bits of 2/pi lie in constant memory, and are looked at only for angles
beyond the limit.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.angles import DOUBLE, SINGLE, two_over_pi
from fastfood_np.backends.cuda.numba_cuda import cuda, device_function

# Behind a word of zeros, as many bits of 2/pi as the greatest float64 needs.
_WORDS = 19
_TWO_OVER_PI = np.array(
    [two_over_pi(64 * (_WORDS - 1)) >> (64 * i) & (2**64 - 1) for i in reversed(range(_WORDS))],
    np.uint64,
)
_HALF_PI, _UNIT = math.pi / 2, 2.0**-64


@device_function
def product(a, b):
    """Return a b of two numbers of 64 bits: its upper 64 bits, and its lower ones."""
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    a_high, a_low, b_high, b_low = a >> half, a & low, b >> half, b & low
    lowest, cross = a_low * b_low, a_high * b_low
    middle = (lowest >> half) + (cross & low) + a_low * b_high
    return a_high * b_high + (cross >> half) + (middle >> half), (middle << half) | (lowest & low)


@device_function
def reduce_huge(x):
    """Return k mod 4 and r of a float64 angle x, 2^16 <= |x| (after Payne and Hanek).

    x = m 2^(e - 64) with m < 2^64. Bits of 2/pi before bit e - 64 behind the point give multiples
    of four quarter turns; of the 192 from there on, the product with m keeps its upper 128 bits:
    two of k, and 126 of the fraction of a quarter turn.
    """
    words = cuda.const.array_like(_TWO_OVER_PI)
    one, two, word_bits = np.uint64(1), np.uint64(2), np.uint64(64)
    fraction, exponent = math.frexp(abs(x))
    m = np.uint64(fraction * 2.0**53) << np.uint64(11)
    first = np.uint64(exponent - 2)
    word, shift = first >> np.uint64(6), first & np.uint64(63)
    # (Shifting by 64 is undefined: the bits of the next word come in two steps.)
    rest = word_bits - one - shift
    next_1, next_2 = words[word + one], words[word + two]
    window_1 = (words[word] << shift) | (next_1 >> one >> rest)
    window_2 = (next_1 << shift) | (next_2 >> one >> rest)
    window_3 = (next_2 << shift) | (words[word + two + one] >> one >> rest)
    carried, _ = product(m, window_3)
    high, lower = product(m, window_2)
    _, upper = product(m, window_1)
    lower += carried
    upper += high + (one if lower < carried else np.uint64(0))
    quadrant = upper >> np.uint64(62)
    turn, behind = (upper << two) | (lower >> np.uint64(62)), lower << two
    sign = 1.0
    if turn >> np.uint64(63):  # nearer to the next quarter turn
        quadrant, turn, behind, sign = quadrant + one, ~turn, ~behind, -1.0
    r = sign * ((np.float64(turn) + np.float64(behind) * _UNIT) * _UNIT * _HALF_PI)
    if x < 0.0:
        return np.uint32(np.uint64(4) - (quadrant & np.uint64(3))), -r
    return np.uint32(quadrant), r


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
    whole = np.uint32 if dtype is np.float32 else np.uint64
    limit, scale, rounding = numbers.limit, numbers.two_over_pi, numbers.rounding
    part_1, part_2, part_3 = numbers.half_pi
    sine_over_r, cosine_of = make_polynomial(numbers.sine), make_polynomial(numbers.cosine)
    one, two, lowest = np.uint32(1), np.uint32(2), whole(3)

    @device_function
    def from_quadrant(quadrant, r):
        square = r * r
        sine, cosine = r * sine_over_r(square), cosine_of(square)
        c, s = (sine, cosine) if quadrant & one else (cosine, sine)
        return (-c if np.uint32(quadrant + one) & two else c), (-s if quadrant & two else s)

    @device_function
    def cos_sin(x):
        if abs(x) <= limit:
            rounded = x * scale + rounding  # its lowest bits are those of k
            k = rounded - rounding
            quadrant = np.uint32(rounded.view(whole) & lowest)
            return from_quadrant(quadrant, ((x - k * part_1) - k * part_2) - k * part_3)
        if not math.isfinite(x):
            return x - x, x - x
        quadrant, r = reduce_huge(np.float64(x))
        return from_quadrant(quadrant, dtype(r))

    return cos_sin
