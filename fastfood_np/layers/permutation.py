"""The permutation Pi as a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.validation import Array, check_permutation


class Permutation(Layer):
    """y = Pi x: ``y[..., i] = x[..., perm[..., i]]`` along the last axis. Cost O(m d).

    Backward is Pi^T: ``dx[..., perm[..., i]] = dy[..., i]``. Nothing is trained or counted.

    Parameters
    ----------
    perm : array of int, shape (..., d)
        One permutation of 0..d-1 for each leading index; inputs have this shape.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Permutation([2, 0, 1])
    >>> y, cache = layer.forward(np.array([[10.0, 11.0, 12.0]]))
    >>> y
    array([[12., 10., 11.]])
    >>> layer.backward(y, cache)[0]
    array([[10., 11., 12.]])
    """

    device_form = True

    def __init__(self, perm: npt.ArrayLike) -> None:
        checked = check_permutation(perm, "perm")
        super().__init__(perm=checked.tolist())
        self.constants["perm"] = checked
        self.input_shape = checked.shape

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        y = buffer(cache, "y", x.shape, x.dtype, x)
        backends.of(x).permute(x, self.constants["perm"], y)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        if not need_dx:
            return None, {}
        dx = buffer(cache, "dx", dy.shape, dy.dtype, dy)
        backends.of(dy).permute_backward(dy, self.constants["perm"], dx)
        return dx, {}
