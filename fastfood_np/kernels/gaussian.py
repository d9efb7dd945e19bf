"""The Gaussian kernel, which cosine features approximate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastfood_np.kernels.pairs import check_pair, distances, row_blocks
from fastfood_np.validation import Array, check_real


def gaussian(X: npt.ArrayLike, Y: npt.ArrayLike | None = None, *, sigma: float) -> Array:
    r"""Gaussian (squared exponential, RBF) kernel of every row of X with every row of Y.

    .. math:: k(x, y) = \exp\left(-\frac{|x - y|^2}{2 \sigma^2}\right)

    The kernel over equation 2 of Deep Fried Convnets. scikit-learn's gamma is 1 / (2 sigma^2).

    Parameters
    ----------
    X : array_like of shape (m, d)
        Finite points, one a row: float32 or float64. Integers and bool become float64, float16
        becomes float32.
    Y : array_like of shape (p, d), optional
        Further points of X's dtype; X itself by default.
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
        X or Y is not a finite, non-empty matrix, their d differ, or sigma is not positive.

    Notes
    -----
    O(m p d) operations in float64 whatever the dtype, and 64 MiB beside the inputs and the result.
    Coordinates are subtracted before squaring: |x|^2 + |y|^2 - 2 <x, y> would be faster, but loses
    the digits of small distances.

    Examples
    --------
    >>> from fastfood_np.kernels import gaussian
    >>> gaussian([[0.0, 0.0], [3.0, 4.0]], sigma=5.0).round(3)
    array([[1.   , 0.607],
           [0.607, 1.   ]])
    """
    X, Y = check_pair(X, Y)
    sigma = check_real(sigma, "sigma", above=0.0)
    kernel = np.empty((len(X), len(Y)), X.dtype)
    for rows in row_blocks(len(X), 2 * 8 * len(Y)):  # the last block lives until the next is there
        block = distances(X[rows], Y, "sqeuclidean")
        # Divided twice, because sigma^2 alone may underflow; infinity is then the right answer.
        with np.errstate(over="ignore"):
            block /= sigma
            block /= -2.0 * sigma
        kernel[rows] = np.exp(block, out=block)
    return kernel
