"""Inputs less a mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.validation import Array, check_shape


class Center(Layer):
    """y = x - mean, element by element; nothing is trained and nothing counted.

    The mean is zero until the caller writes another, of a training set for one, into
    ``constants["mean"]``. It is kept in float64 and rounded to x's dtype.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one input.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Center(2)
    >>> layer.constants["mean"][:] = 1.0, 2.0
    >>> layer(np.array([[1.5, 1.5]]))
    array([[ 0.5, -0.5]])
    """

    def __init__(self, shape: int | tuple[int, ...]) -> None:
        self.input_shape = check_shape(shape, "shape")
        super().__init__(shape=shape)
        self.constants["mean"] = np.zeros(self.input_shape)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        mean = self.constants["mean"].astype(x.dtype, copy=False)
        return np.subtract(x, mean, out=buffer(cache, "y", x.shape, x.dtype))

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        if not need_dx:
            return None, {}
        dx = buffer(cache, "dx", dy.shape, dy.dtype)
        dx[:] = dy
        return dx, {}
