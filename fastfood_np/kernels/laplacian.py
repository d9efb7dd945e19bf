"""The Laplacian kernel, which cosines of Cauchy frequencies approximate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastfood_np.kernels.pairs import check_pair, distances, row_blocks
from fastfood_np.validation import Array, check_real


def laplacian(X: npt.ArrayLike, Y: npt.ArrayLike | None = None, *, sigma: float) -> Array:
    r"""Laplacian kernel of every row of X with every row of Y.

    .. math:: k(x, y) = \exp\left(-\frac{|x - y|_1}{\sigma}\right), \qquad
        |z|_1 = \sum_i |z_i|

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
    It is the mean of cos <w, x - y> over frequencies w whose coordinates are independent Cauchy
    variables of scale 1 / sigma (Rahimi & Recht 2007). It is no function of |x - y|_2: rotations
    change it. scikit-learn's gamma is 1 / sigma.

    O(m p d) operations in float64 whatever the dtype, and 64 MiB beside the inputs, float64
    copies of float32 ones, and the result.

    Examples
    --------
    >>> from fastfood_np.kernels import laplacian
    >>> laplacian([[0.0, 0.0], [3.0, 4.0]], sigma=5.0).round(3)
    array([[1.   , 0.247],
           [0.247, 1.   ]])
    """
    X, Y = check_pair(X, Y)
    sigma = check_real(sigma, "sigma", above=0.0)
    kernel = np.empty((len(X), len(Y)), X.dtype)
    for rows in row_blocks(len(X), 2 * 8 * len(Y)):  # the last block lives until the next is there
        block = distances(X[rows], Y, "cityblock")
        with np.errstate(over="ignore"):  # infinity is then the right answer
            block /= -sigma
        kernel[rows] = np.exp(block, out=block)
    return kernel
