"""Average-pooling."""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.pool2d import Pool2D
from fastfood_np.validation import Array


class AveragePool2D(Pool2D):
    """The mean of each size x size window. Cost O(m C H W), times (size / stride)^2.

    The windows are those of `MaxPool2D`. A window over the edge is cut, and its mean is that of
    the pixels left in it.

    Parameters
    ----------
    size : int
        Height and width of the windows.
    stride : int, optional
        From one window to the next, at most `size`. y then has Caffe's
        ceil((H - size) / stride) + 1 rows, columns likewise, and windows over the edge are cut.
        Unless given the windows do not overlap, and H and W must be multiples of `size`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = AveragePool2D(3, stride=2)
    >>> y, cache = layer.forward(np.arange(16.0).reshape(1, 1, 4, 4))
    >>> y
    array([[[[ 5. ,  6.5],
             [11. , 12.5]]]])
    >>> layer.backward(np.full_like(y, 36.0), cache)[0]
    array([[[[ 4.,  4., 10.,  6.],
             [ 4.,  4., 10.,  6.],
             [10., 10., 25., 15.],
             [ 6.,  6., 15.,  9.]]]])
    """

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        y = buffer(cache, "y", self._y_shape(x), x.dtype)
        cache["x_shape"] = x.shape
        backends.select().average_pool2d(contiguous(x), self.size, self.stride, y)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Array | None, Gradients]:
        if not need_dx:
            return None, {}
        dx = buffer(cache, "dx", cache["x_shape"], dy.dtype)
        backends.select().average_pool2d_backward(contiguous(dy), self.size, self.stride, dx)
        return dx, {}
