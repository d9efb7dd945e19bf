"""Max-pooling."""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.validation import Array, check_int


class MaxPool2D(Layer):
    """The maximum of each size x size window; the windows do not overlap. Cost O(m C H W).

    x is (m, C, H, W), y is (m, C, H / size, W / size). The first maximum in scan order gets the
    gradient; a NaN counts as the largest number.

    Parameters
    ----------
    size : int
        Height, width and stride of the windows; H and W must be multiples of it.

    Examples
    --------
    >>> import numpy as np
    >>> layer = MaxPool2D(2)
    >>> y, cache = layer.forward(np.array([[[[1.0, 5.0], [5.0, 2.0]]]]))
    >>> y
    array([[[[5.]]]])
    >>> layer.backward(np.ones_like(y), cache)[0]
    array([[[[0., 1.],
             [0., 0.]]]])
    """

    input_shape = (None, None, None)

    def __init__(self, size: int) -> None:
        check_int(size, "size", minimum=1)
        super().__init__(size=size)
        self.size = size

    def check_input(self, x: Array) -> None:
        """Raise a clear error unless `x` is a batch of images that whole windows tile."""
        super().check_input(x)
        if x.shape[2] % self.size or x.shape[3] % self.size:
            raise ValueError(
                f"x must hold images whose height and width are multiples of size = {self.size}, "
                f"got shape {x.shape}"
            )

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        m, channels, height, width = x.shape
        shape = (m, channels, height // self.size, width // self.size)
        y = buffer(cache, "y", shape, x.dtype)
        cache["position"] = position = buffer(cache, "position", shape, np.int32)
        cache["x_shape"] = x.shape
        backends.select().max_pool2d(contiguous(x), self.size, y, position)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Array | None, Gradients]:
        if not need_dx:
            return None, {}
        dx = buffer(cache, "dx", cache["x_shape"], dy.dtype)
        backends.select().max_pool2d_backward(cache["position"], contiguous(dy), dx)
        return dx, {}
