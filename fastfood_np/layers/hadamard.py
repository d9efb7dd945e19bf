"""The Walsh-Hadamard matrix as a layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.transforms.on_device import check_length
from fastfood_np.validation import Array, check_power_of_two


class Hadamard(Layer):
    """y = H x along the last axis, H the un-normalised +-1 matrix. Cost O(m d log d).

    H is symmetric, so backward is the same transform: dE/dx = H dE/dy. Nothing is trained.

    Examples
    --------
    >>> import numpy as np
    >>> Hadamard()(np.array([[1.0, 2.0]]))
    array([[ 3., -1.]])
    """

    device_form = True

    def check_input(self, x: Array) -> None:
        super().check_input(x)
        if x.ndim < 2:
            raise ValueError(f"x must have shape (m, ..., d), got {x.shape}")
        d = x.shape[x.ndim - 1]
        check_power_of_two(d, "the last axis of x")
        if self.on_device:
            check_length(d, "the last axis of x", x)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        return self._transform(x, buffer(cache, "y", x.shape, x.dtype, x))

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        if not need_dx:
            return None, {}
        return self._transform(dy, buffer(cache, "dx", dy.shape, dy.dtype, dy)), {}

    @staticmethod
    def _transform(x: Array, out: Array) -> Array:
        *batch, d = out.shape
        rows = (math.prod(batch), d)
        reshaped = backends.reshaped
        backends.of(x).fwht(reshaped(contiguous(x), rows), reshaped(out, rows))
        return out
