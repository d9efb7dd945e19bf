"""From images to vectors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache
from fastfood_np.validation import Array


class Flatten(Layer):
    """(m, C, H, W) to (m, C H W), in that order: a view, nothing is computed."""

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["x_shape"] = x.shape
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        return dy.reshape(cache["x_shape"]) if need_dx else None, {}
