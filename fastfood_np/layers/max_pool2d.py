"""Max-pooling."""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.pool2d import Pool2D
from fastfood_np.validation import Array


class MaxPool2D(Pool2D):
    """The maximum of each size x size window. Cost O(m C H W), times (size / stride)^2.

    x is (m, C, H, W), y is (m, C, H / size, W / size), or as `stride` says. The first maximum in
    scan order gets the gradient; a NaN counts as the largest number.

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
    >>> layer = MaxPool2D(2)
    >>> y, cache = layer.forward(np.array([[[[1.0, 5.0], [5.0, 2.0]]]]))
    >>> y
    array([[[[5.]]]])
    >>> layer.backward(np.ones_like(y), cache)[0]
    array([[[[0., 1.],
             [0., 0.]]]])
    >>> MaxPool2D(3, stride=2)(np.zeros((1, 3, 32, 32))).shape
    (1, 3, 16, 16)
    """

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        shape = self._y_shape(x)
        y = buffer(cache, "y", shape, x.dtype)
        cache["position"] = position = buffer(cache, "position", shape, np.int32)
        cache["x_shape"] = x.shape
        backends.select().max_pool2d(contiguous(x), self.size, self.stride, y, position)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Array | None, Gradients]:
        if not need_dx:
            return None, {}
        dx = buffer(cache, "dx", cache["x_shape"], dy.dtype)
        backends.select().max_pool2d_backward(cache["position"], contiguous(dy), dx)
        return dx, {}
