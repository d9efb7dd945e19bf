"""The Matern kernels, which cosines of multivariate t frequencies approximate."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastfood_np.kernels.pairs import check_pair, distances, row_blocks
from fastfood_np.validation import Array, check_choice, check_real

NUS = (0.5, 1.5, 2.5)


def matern(X: npt.ArrayLike, Y: npt.ArrayLike | None = None, *, nu: float, sigma: float) -> Array:
    r"""Matern kernel of every row of X with every row of Y, where it has a closed form.

    .. math::

        k_{1/2}(x, y) &= e^{-s}, \qquad s = \sqrt{2 \nu} \, |x - y| / \sigma \\
        k_{3/2}(x, y) &= (1 + s) e^{-s} \\
        k_{5/2}(x, y) &= (1 + s + s^2 / 3) e^{-s}

    Parameters
    ----------
    X : array_like of shape (m, d)
        Finite points, one a row: float32 or float64. Integers and bool become float64, float16
        becomes float32.
    Y : array_like of shape (p, d), optional
        Further points of X's dtype; X itself by default.
    nu : {0.5, 1.5, 2.5}
        Smoothness: a Gaussian process of this kernel has derivatives up to the order nu - 1/2.
    sigma : float
        Bandwidth, greater than zero.

    Returns
    -------
    ndarray of shape (m, p)
        Of X's dtype, between 0 and 1. Without Y it is exactly symmetric with ones on the
        diagonal.

    Raises
    ------
    TypeError
        X or Y does not hold real numbers, or their dtypes differ.
    ValueError
        X or Y is not a finite, non-empty matrix, their d differ, nu is none of those above, or
        sigma is not positive.

    Notes
    -----
    It is the mean of cos <w, x - y> over frequencies w = t / sigma, where t has the multivariate
    t distribution with 2 nu degrees of freedom. As nu grows it goes to the Gaussian kernel of
    that sigma. It is scikit-learn's gaussian_process.kernels.Matern(length_scale=sigma, nu=nu).
    What Le, Sarlos & Smola call Matern is another kernel: see `ball_sum`.

    O(m p d) operations in float64 whatever the dtype, and 64 MiB beside the inputs, float64
    copies of float32 ones, and the result.

    Examples
    --------
    >>> from fastfood_np.kernels import matern
    >>> matern([[0.0, 0.0], [3.0, 4.0]], nu=1.5, sigma=5.0).round(3)
    array([[1.   , 0.483],
           [0.483, 1.   ]])
    """
    X, Y = check_pair(X, Y)
    nu = check_choice(nu, "nu", NUS)
    sigma = check_real(sigma, "sigma", above=0.0)
    kernel = np.empty((len(X), len(Y)), X.dtype)
    for rows in row_blocks(len(X), 2 * 8 * len(Y)):  # s and its polynomial
        s = distances(X[rows], Y)
        # By sigma first: sqrt(2 nu) / sigma alone may overflow, and infinity times 0 is NaN.
        with np.errstate(over="ignore"):
            s /= sigma
            s *= math.sqrt(2.0 * nu)
        kernel[rows] = _decay(s, nu)
    return kernel


def _decay(s: Array, nu: float) -> Array:
    """Return the kernel at distances s, which are overwritten."""
    np.minimum(s, 1000.0, out=s)  # exp(-s) is 0 there already; infinity would make 0 times infinity
    polynomial: Array | float = 1.0
    if nu == 1.5:
        polynomial = 1.0 + s
    elif nu == 2.5:
        polynomial = s / 3.0
        polynomial += 1.0
        polynomial *= s
        polynomial += 1.0
    np.negative(s, out=s)
    np.exp(s, out=s)
    s *= polynomial
    return np.minimum(s, 1.0, out=s)  # rounding may end just above one
