"""The numbers by which the compiled backends reduce angles and approximate cosine and sine.

An angle x is reduced to r = x - k pi/2 with k = round(2 x / pi), |r| < 0.8, in the manner of Cody
and Waite: pi/2 is a sum of three parts, and the first two end in so many zero bits that their
products with k and both differences are exact, with or without a fused multiply-add. Then

    sin r = r (1 + s_1 r^2 + s_2 r^4 + ...)        cos r = 1 + c_1 r^2 + c_2 r^4 + ...

and the two lowest bits of k say which of the two, with which sign, are cos x and sin x. The s and c
are minimax: Remez' exchange on 0 < r <= 0.8 for the absolute error, in 60 digits; s_1 (c_1) was
rounded to the dtype, the others were fitted again, and so on. The polynomials are off by at most
2.2e-9 in float32 and 2.1e-18 in float64.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

# Beyond, k has more bits than the parts of pi/2 leave free.
LIMIT = 1e5


def two_over_pi(bits: int) -> int:
    """Return the first bits of 2 / pi behind the point, as one whole number (pi after Machin)."""
    guarded = bits + 64

    def arctangent_of_inverse(n: int) -> int:
        total = term = (1 << guarded) // n
        divisor = 1
        while term:
            term //= -n * n
            divisor += 2
            total += term // divisor
        return total

    pi = 4 * (4 * arctangent_of_inverse(5) - arctangent_of_inverse(239))
    return (2 << 2 * guarded) // pi >> (guarded - bits)


class Numbers(NamedTuple):
    """The constants of one dtype."""

    limit: Any
    two_over_pi: Any
    rounding: Any  # 1.5 * 2^(bits of the mantissa): a small number plus it is rounded to a whole
    half_pi: tuple[Any, ...]  # its parts, the largest first
    sine: tuple[Any, ...]  # the highest power first
    cosine: tuple[Any, ...]


def _numbers_as(real: Any, *tuples: tuple[float, ...]) -> Numbers:
    scalars = (LIMIT, 2 / math.pi, 1.5 / np.finfo(real).eps)
    return Numbers(*map(real, scalars), *(tuple(map(real, values)) for values in tuples))


SINGLE = _numbers_as(
    np.float32,
    (1.5703125, 0.0004825592041015625, 1.2675908465098473e-06),  # 8 bits, 8 bits, the rest
    (-0.00019484643, 0.008331895, -0.1666665, 1.0),
    (2.4428644e-05, -0.0013887291, 0.041666646, -0.5, 1.0),
)
DOUBLE = _numbers_as(
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
