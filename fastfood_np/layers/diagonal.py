"""A diagonal matrix: the B, G and S of a Fastfood layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.validation import Array, check_shape


class Diagonal(Layer):
    """y = D x: every input scaled by a factor of its own. Cost O(m d).

    Backward is equation 6 of Deep Fried Convnets: dE/dD = diag(dE/dy x^T), dE/dx = D dE/dy.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one input; the factors have it too, and start at one.
    adaptive : bool
        Whether the factors are trained.
    dtype : float32 or float64

    Examples
    --------
    >>> import numpy as np
    >>> layer = Diagonal(2, dtype=np.float64)
    >>> layer.params["D"][:] = [2.0, 3.0]
    >>> y, cache = layer.forward(np.array([[1.0, 10.0]]))
    >>> y
    array([[ 2., 30.]])
    >>> dx, grads = layer.backward(np.array([[1.0, 1.0]]), cache)
    >>> dx, grads["D"]
    (array([[2., 3.]]), array([ 1., 10.]))
    """

    device_form = True

    def __init__(
        self, shape: int | tuple[int, ...], *, adaptive: bool = True, dtype: Any = np.float32
    ) -> None:
        self.input_shape = check_shape(shape, "shape")
        super().__init__(dtype=dtype, shape=shape, adaptive=adaptive)
        self.params["D"] = np.ones(self.input_shape, self.dtype)
        self.trainable = ("D",) if adaptive else ()

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["x"] = x
        y = buffer(cache, "y", x.shape, x.dtype, x)
        backends.of(x).diagonal(x, self.params["D"], y)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        grads, dx, D = {}, None, self.params["D"]
        if self.trainable:
            grads["D"] = buffer(cache, "dD", D.shape, dy.dtype, dy)
            backends.of(dy).diagonal_backward(cache["x"], dy, grads["D"])
        if need_dx:
            dx = buffer(cache, "dx", dy.shape, dy.dtype, dy)
            backends.of(dy).diagonal(dy, D, dx)
        return dx, grads
