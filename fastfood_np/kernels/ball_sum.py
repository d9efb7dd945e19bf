"""The kernel whose frequencies are sums of points in a ball: Le, Sarlos & Smola's "Matern"."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastfood_np.kernels.pairs import check_pair, distances, row_blocks
from fastfood_np.validation import Array, check_int, check_real

TERMS = 28  # each is at most a quarter of the one before
LARGEST = 1 << 53  # up to here every integer is a float


def ball_sum(
    X: npt.ArrayLike,
    Y: npt.ArrayLike | None = None,
    *,
    degree: int,
    sigma: float,
    dimension: int | None = None,
) -> Array:
    r"""Kernel of frequencies that are sums of t points in a ball, for all rows of X and of Y.

    .. math::

        k(x, y) &= \Lambda(r)^t, \qquad
            r = \sqrt{\frac{D + 2}{t}} \, \frac{|x - y|}{\sigma} \\
        \Lambda(r) &= \Gamma(D/2 + 1) \, (2 / r)^{D/2} J_{D/2}(r)

    Equation 37 of Le, Sarlos & Smola, who call it Matern. It is not the Matern kernel of `matern`.

    Parameters
    ----------
    X : array_like of shape (m, d)
        Finite points, one a row: float32 or float64. Integers and bool become float64, float16
        becomes float32.
    Y : array_like of shape (p, d), optional
        Further points of X's dtype; X itself by default.
    degree : int
        The t above, from 1 to 2^53: how many points are added up.
    sigma : float
        Bandwidth, greater than zero.
    dimension : int, optional
        The D above, from d (the default) to 2^53: the ball is one of R^D. A positive definite
        function on R^D is one on R^d, d <= D, too. Fastfood pads its inputs, so its frequencies
        have D = d_pad.

    Returns
    -------
    ndarray of shape (m, p)
        Of X's dtype, between -1 and 1: it oscillates round 0 where t is odd. Without Y it is
        exactly symmetric with ones on the diagonal.

    Raises
    ------
    TypeError
        X or Y does not hold real numbers, their dtypes differ, or `degree` or `dimension` is no
        integer.
    ValueError
        X or Y is not a finite, non-empty matrix, their d differ, `degree` or `dimension` is out
        of range, or sigma is not positive.

    Notes
    -----
    Lambda is the characteristic function of a point uniform in the unit ball of R^D, so k is the
    mean of cos <w, x - y> over w = sqrt((D + 2) / t) / sigma times the sum of t such points.

    The scale of r is our choice. It gives w the covariance I / sigma^2, so that the kernel is
    1 - |x - y|^2 / (2 sigma^2) + ... near zero, as the Gaussian kernel is, to which it goes as t
    or D grow. Equation 37 itself, up to the constant that makes k(x, x) = 1, is
    sigma = sqrt((D + 2) / t).

    With nu = D/2 and r <= (nu + 1) / 2, log Lambda comes from its power series, whose terms are
    all negative; beyond, Lambda comes from the Bessel function. Against mpmath, absolute errors
    were at most 2e-16 by the series and 6e-15 by the Bessel function, for D from 1 to 5000, t up
    to 10,000 and any r.

    O(m p d) operations in float64 whatever the dtype, some 60 more for each pair, and a Bessel
    function beyond the series (1 to 2 microseconds). 64 MiB beside the inputs, float64 copies of
    float32 ones, and the result.

    Examples
    --------
    >>> from fastfood_np.kernels import ball_sum
    >>> ball_sum([[0.0, 0.0], [3.0, 4.0]], degree=2, sigma=5.0).round(3)
    array([[1.   , 0.593],
           [0.593, 1.   ]])
    >>> ball_sum([[0.0, 0.0], [3.0, 4.0]], degree=1, sigma=2.0).round(3)
    array([[ 1.   , -0.131],
           [-0.131,  1.   ]])
    """
    X, Y = check_pair(X, Y)
    degree = check_int(degree, "degree", minimum=1, maximum=LARGEST)
    sigma = check_real(sigma, "sigma", above=0.0)
    d = X.shape[1]
    D = d if dimension is None else check_int(dimension, "dimension", minimum=d, maximum=LARGEST)
    kernel = np.empty((len(X), len(Y)), X.dtype)
    for rows in row_blocks(len(X), 7 * 8 * len(Y)):  # seven blocks alive at once, at the most
        r = distances(X[rows], Y)
        with np.errstate(over="ignore"):
            r /= sigma
            r *= math.sqrt((D + 2) / degree)
        kernel[rows] = _power(r, D / 2, degree)
    return kernel


def _power(r: Array, nu: float, degree: int) -> Array:
    """Return Lambda(r)^degree for nu = D/2."""
    near = r <= (nu + 1.0) / 2.0
    far = ~near & np.isfinite(r)
    result = np.zeros_like(r)  # which is right at infinity
    result[near] = _near_power(r[near], nu, degree)
    if far.any():
        result[far] = _far_power(r[far], nu, degree)
    return result


def _near_power(r: Array, nu: float, degree: int) -> Array:
    """Return Lambda(r)^degree where r <= (nu + 1) / 2; r is overwritten.

    log Lambda = -sum_k sigma_k r^(2k) / k, where sigma_k is the sum of j^(-2k) over the positive
    zeros j of J_nu (Rayleigh). The first zero is beyond nu + 1, hence the quarter at `TERMS`.
    """
    r /= nu + 1.0
    r *= r
    total = np.zeros_like(r)
    for coefficient in reversed(_series(nu)):
        total += coefficient
        total *= r
    total *= -float(degree)
    return np.exp(total, out=total)


def _series(nu: float) -> list[float]:
    """Return (nu + 1)^(2k) sigma_k / k for k = 1, 2, ..., which no nu makes overflow."""
    scaled = [(nu + 1.0) / 4.0]  # (nu + 1)^(2k) sigma_k, by Kishore's convolution (1963)
    for n in range(2, TERMS + 1):
        products = (a * b for a, b in zip(scaled, reversed(scaled), strict=True))
        scaled.append(math.fsum(products) / (nu + n))
    return [value / k for k, value in enumerate(scaled, 1)]


def _far_power(r: Array, nu: float, degree: int) -> Array:
    """Return Lambda(r)^degree by the Bessel function, for finite r > (nu + 1) / 2.

    Where the Bessel function underflows, Lambda is below 1e-40, and 0 is right.
    """
    from scipy.special import jv  # here, because its import is slow

    J: Array = jv(nu, r)
    r /= 2.0
    exponent = np.log(r, out=r)
    exponent *= -nu
    exponent += math.lgamma(nu + 1.0)
    with np.errstate(divide="ignore"):
        exponent += np.log(np.abs(J))
    exponent *= float(degree)
    power = np.exp(exponent, out=exponent)
    return np.copysign(power, J) if degree % 2 else power
