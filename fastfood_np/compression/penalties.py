"""Penalties that a training may add to its cost so that weights compress better afterwards.

"Compression of Deep Neural Networks on the Fly" adds such a term to the cost of fully connected
layers and product-quantises their weights after training. Its abstract names no formula; its
references point to penalties that pull weights to two values. The forms here, their coefficients
and schedules are therefore **our reading**, not the paper's. Another reading is one more class with
`value`, `gradient` and `progress`.

The cost is E + alpha R(W), with R the sum over all weights; `Trainer(penalties=...)` adds
alpha R'(W) to the gradient and takes alpha as a function of the step.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from fastfood_np.validation import Array, check_int, check_real


class Penalty(Protocol):
    """What the trainer asks of a penalty."""

    def value(self, w: Array) -> float:
        """Return R(w)."""

    def gradient(self, w: Array) -> Array:
        """Return dR/dw, a fresh array of w's shape and dtype."""

    def progress(self, w: Array) -> str:
        """Return, in a few words, how far w has come to what the penalty asks for."""


class TwoValues:
    """R(w) = sum of (|w| - c)^2, the squared distance to the nearer one of -c and +c.

    The gradient is 2 (|w| - c) sign(w), with 0 at w = 0. For c >= 0 this is sum of
    min((w - c)^2, (w + c)^2) as well, number for number: the two forms differ in writing only.

    Parameters
    ----------
    c : float, optional
        At least 0. Without it c is the mean of |w| at the moment, the value for which R is least;
        R then depends on w through c too, but at its minimum that adds nothing to the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([1.0, -1.5, 0.5])
    >>> TwoValues(1.0).value(w), TwoValues(1.0).gradient(w).tolist()
    (0.5, [0.0, -1.0, -1.0])
    >>> TwoValues().progress(w)
    'two values 0.41'
    """

    def __init__(self, c: float | None = None) -> None:
        self.c = None if c is None else check_real(c, "c", minimum=0.0)

    def value(self, w: Array) -> float:
        """Return R(w), summed in float64."""
        return float(np.sum(np.square(np.abs(w) - self._c(w)), dtype=np.float64))

    def gradient(self, w: Array) -> Array:
        """Return dR/dw."""
        grad = np.abs(w)
        grad -= w.dtype.type(self._c(w))
        grad *= 2.0 * np.sign(w)
        return grad

    def distance(self, w: Array) -> float:
        """Return the root mean square of |w| - c, in units of c.

        0 where all weights are -c or +c, sqrt(pi/2 - 1) = 0.76 for normally distributed ones
        (c their mean size). For c = 0, which is no unit, it is infinite but for zeros.
        """
        c, rms = self._c(w), float(np.sqrt(self.value(w) / w.size))
        return rms / c if c else (math.inf if rms else 0.0)

    def progress(self, w: Array) -> str:
        """Return the distance."""
        return f"two values {self.distance(w):.2f}"

    def _c(self, w: Array) -> float:
        return float(np.mean(np.abs(w), dtype=np.float64)) if self.c is None else self.c


class Binary(TwoValues):
    """R(w) = sum of x (1 - x) with x = (w / c + 1) / 2 cut to [0, 1], after Murray and Ng (2010).

    They relax binary variables to the interval between their two values, and drive them to its
    ends by this concave term. Weights move away from 0, the faster the nearer they are to +-c:
    x (1 - x) = (1 - w^2 / c^2) / 4. At +-c and beyond value and gradient are 0 (our choice: their
    variables never leave the interval), so that decay and data alone hold weights back there.

    Parameters
    ----------
    c : float, optional
        Greater than 0. Without it c is the mean of |w| at the moment, taken as a constant.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([0.5, -1.0, 3.0])
    >>> Binary(1.0).value(w), Binary(1.0).gradient(w).tolist()
    (0.1875, [-0.25, 0.0, 0.0])
    """

    def __init__(self, c: float | None = None) -> None:
        super().__init__(None if c is None else check_real(c, "c", above=0.0))

    def value(self, w: Array) -> float:
        """Return R(w), summed in float64."""
        c = self._c(w)
        if not c:
            return 0.0  # all weights are at both values
        inside = 1.0 - np.minimum(np.square(w / w.dtype.type(c)), 1.0)
        return 0.25 * float(np.sum(inside, dtype=np.float64))

    def gradient(self, w: Array) -> Array:
        """Return dR/dw for this c."""
        c = self._c(w)
        if not c:
            return np.zeros_like(w)
        return np.where(np.abs(w) < c, w * w.dtype.type(-0.5 / c**2), w.dtype.type(0))

    def distance(self, w: Array) -> float:
        """Return the root mean square of |w| - c, in units of c."""
        return TwoValues(self._c(w)).distance(w)


class GroupLasso:
    """R(W) = sqrt(size) times the sum of the groups' Euclidean norms; whole groups vanish.

    A group is what has one index along `axis`: of W (n_out, d_in) a row with axis 0, so an output
    of the layer, and a column with axis 1, so one of its inputs. `size` is the number of weights in
    a group, as Yuan and Lin (2006) have it. The gradient is sqrt(size) w / ||w||, with 0 where the
    norm is 0. (Collins and Kohli's sparse training of convnets is what the Deep Fried paper names
    as future work for its last layer; which groups and which weights are our choice.)

    Parameters
    ----------
    axis : int
        At least 0.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.array([[3.0, 4.0], [0.0, 0.0]])
    >>> round(GroupLasso().value(W), 4), GroupLasso().progress(W)
    (7.0711, '1 of 2 groups')
    """

    # Gradient steps bring norms near 0, not to it: so much below the largest a group counts as out.
    SMALL = 1e-2

    def __init__(self, axis: int = 0) -> None:
        self.axis = check_int(axis, "axis", minimum=0)

    def value(self, w: Array) -> float:
        """Return R(w), summed in float64."""
        return float(np.sum(self._norms(w), dtype=np.float64) * self._root(w))

    def gradient(self, w: Array) -> Array:
        """Return dR/dw."""
        norms = self._norms(w)
        inverse = np.divide(self._root(w), norms, out=np.zeros_like(norms), where=norms > 0)
        return w * inverse

    def alive(self, w: Array) -> Array:
        """Return which groups have more than a hundredth of the largest group's norm."""
        norms = self._norms(w).ravel()
        return norms > self.SMALL * norms.max(initial=0.0)

    def progress(self, w: Array) -> str:
        """Return how many groups are alive."""
        alive = self.alive(w)
        return f"{np.count_nonzero(alive)} of {alive.size} groups"

    def _norms(self, w: Array) -> Array:
        if self.axis >= w.ndim:
            raise ValueError(f"axis must be at most {w.ndim - 1} for {w.ndim}-D weights")
        others = tuple(axis for axis in range(w.ndim) if axis != self.axis)
        return np.linalg.norm(w, axis=others, keepdims=True) if others else np.abs(w)

    def _root(self, w: Array) -> float:
        return float(np.sqrt(w.size / w.shape[self.axis]))
