"""The arc-cosine kernels, which step, ReLU and squared ReLU features approximate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastfood_np.kernels.pairs import check_pair, distances, row_blocks
from fastfood_np.validation import Array, check_choice, check_int

CONVENTIONS = ("cho-saul", "deep-fried")


def arc_cosine(
    X: npt.ArrayLike,
    Y: npt.ArrayLike | None = None,
    *,
    order: int = 1,
    convention: str = "cho-saul",
) -> Array:
    r"""Arc-cosine kernel of every row of X with every row of Y (Cho & Saul 2009).

    .. math::

        k_n(x, y) &= \frac{1}{\pi} |x|^n |y|^n J_n(\theta), \qquad
            \theta = \text{the angle between } x \text{ and } y \\
        J_0 &= \pi - \theta \\
        J_1 &= \sin\theta + (\pi - \theta) \cos\theta \\
        J_2 &= 3 \sin\theta \cos\theta + (\pi - \theta) (1 + 2 \cos^2\theta)

    It is the mean of 2 f(<w, x>) f(<w, y>) over w ~ N(0, I), where f(t) is the step function for
    n = 0, ReLU for n = 1 and ReLU squared for n = 2.

    Parameters
    ----------
    X : array_like of shape (m, d)
        Finite points, one a row: float32 or float64. Integers and bool become float64, float16
        becomes float32.
    Y : array_like of shape (p, d), optional
        Further points of X's dtype; X itself by default.
    order : {0, 1, 2}
        The n above.
    convention : {"cho-saul", "deep-fried"}
        "cho-saul" is the kernel above; "deep-fried" is half of it, without the factor 2 in front
        of the mean, which for n = 1 is equation 4 of Deep Fried Convnets.

    Returns
    -------
    ndarray of shape (m, p)
        Of X's dtype, nowhere negative. Without Y it is exactly symmetric, and its diagonal is
        1, |x|^2 or 3 |x|^4 (half of that for "deep-fried") up to rounding.

    Raises
    ------
    TypeError
        X or Y does not hold real numbers, their dtypes differ, or `order` is no integer.
    ValueError
        X or Y is not a finite, non-empty matrix, their d differ, or `order` or `convention` is
        none of those above.

    Notes
    -----
    A zero vector has no angle to anything. It is given pi / 2, also to itself: for n = 0 that is
    the mean above with f(0) = 1/2, so k_0 is 1/2 there; for n = 1 and 2 the kernel is 0.

    The angle comes from the unit vectors u and v as 2 atan2(|u - v|, |u + v|) (Kahan). Unlike
    arccos <u, v> it cannot leave its domain through rounding, and it is as accurate near 0 and pi
    as elsewhere; arccos is off by 1e-8 there in float64, which shows in k_0. The error is a few
    units in the last place of |x|^n |y|^n.

    O(m p d) operations in float64 whatever the dtype; beside the inputs and the result, float64
    copies of the inputs and 64 MiB.

    Examples
    --------
    >>> from fastfood_np.kernels import arc_cosine
    >>> arc_cosine([[1.0, 0.0], [0.0, 2.0]]).round(3)
    array([[1.   , 0.637],
           [0.637, 4.   ]])
    >>> arc_cosine([[1.0, 0.0], [0.0, 2.0]], order=0)
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    X, Y = check_pair(X, Y)
    order = check_int(order, "order", minimum=0, maximum=2)
    check_choice(convention, "convention", CONVENTIONS)
    U, x_norms = _directions(X)
    V, y_norms = (U, x_norms) if Y is X else _directions(Y)
    divisor = np.pi if convention == "cho-saul" else 2 * np.pi
    kernel = np.empty((len(X), len(Y)), X.dtype)
    for rows in row_blocks(len(X), 6 * 8 * len(Y)):  # six blocks alive at once, at the most
        block = _J(order, _angle_to_opposite(U[rows], V))
        block /= divisor
        block *= np.multiply.outer(x_norms[rows] ** order, y_norms**order)
        kernel[rows] = block
    return kernel


def _directions(X: Array) -> tuple[Array, Array]:
    """Return the rows of X as unit vectors in float64 (zero stays zero), and their norms."""
    X = X.astype(np.float64)
    largest = np.abs(X).max(axis=1)
    largest[largest == 0.0] = 1.0
    X /= largest[:, None]  # squares of the entries can now neither overflow nor all vanish
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    X /= np.where(norms == 0.0, 1.0, norms)[:, None]
    return X, largest * norms


def _angle_to_opposite(U: Array, V: Array) -> Array:
    """Return pi - theta for each pair of rows; pi / 2 where one of them is zero.

    The angle is wanted from pi: there the kernels vanish, and pi - theta would lose its digits.
    """
    angle: Array = np.arctan2(distances(U, -V), distances(U, V))
    angle *= 2.0
    # u = 0 and v /= 0 gives 2 atan2(|v|, |v|) = pi / 2 by itself, but atan2(0, 0) is 0.
    angle[~U.any(axis=1)] = np.pi / 2
    return angle


def _J(order: int, alpha: Array) -> Array:
    """Return J_n for alpha = pi - theta, so that sin theta = sin alpha, cos theta = -cos alpha."""
    if order == 0:
        return alpha
    if order == 1:
        J: Array = np.sin(alpha) - alpha * np.cos(alpha)
    else:
        J = alpha * (2.0 + np.cos(2.0 * alpha)) - 1.5 * np.sin(2.0 * alpha)
    np.maximum(J, 0.0, out=J)  # rounding may end just below zero
    return J
