"""The rectified linear unit: with Fastfood before it, features of the arc-cosine kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.validation import Array


class ReLU(Layer):
    """y = max(0, x), element by element; the slope at 0 is taken as 0. NaN stays NaN.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ReLU()
    >>> y, cache = layer.forward(np.array([[-1.0, 2.0]]))
    >>> y
    array([[0., 2.]])
    >>> layer.backward(np.array([[5.0, 5.0]]), cache)[0]
    array([[0., 5.]])
    """

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["y"] = np.maximum(x, 0, out=buffer(cache, "y", x.shape, x.dtype))
        return cache["y"]

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        if not need_dx:
            return None, {}
        active = np.greater(cache["y"], 0, out=buffer(cache, "active", dy.shape, np.bool_))
        return np.multiply(dy, active, out=buffer(cache, "dx", dy.shape, dy.dtype)), {}
