"""The convolution of LeNet, cifar10_quick and CaffeNet."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.initial import xavier
from fastfood_np.validation import Array, check_bool, check_int, check_shape


class Conv2D(Layer):
    """Cross-correlation of images (in, H, W) with W (out, in, kh, kw), stride 1.

    ``y[o, r, q] = b[o] + sum over c, i, j of W[o, c, i, j] x[c, r + i, q + j]``, so y has shape
    (m, out, H - kh + 1, W - kw + 1). Cost O(m out OH OW in kh kw). With `padding`, x is taken as
    the image with that many zeros on each side, a copy that is made first.

    W is drawn by Caffe's "xavier" rule, uniform in +-sqrt(3 / (in kh kw)); b starts at zero.

    Parameters
    ----------
    in_channels, out_channels : int
        Number of planes of one input and of one output.
    kernel_size : int or pair of int
        Height and width of the kernel; an int stands for both.
    padding : int
        Zeros above, below, left and right of the image.
    bias : bool
        Whether b is there.
    rng : None, int, SeedSequence or Generator
        Source of the initial W.
    dtype : float32 or float64

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2D(1, 1, 2, dtype=np.float64)
    >>> layer.params["W"][:] = 1.0
    >>> layer(np.arange(9.0).reshape(1, 1, 3, 3))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """

    # What ConvPool2D does besides: pooling windows of one pixel change nothing.
    pool: int = 1
    relu: bool = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        padding: int = 0,
        bias: bool = True,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        check_int(in_channels, "in_channels", minimum=1)
        check_int(out_channels, "out_channels", minimum=1)
        kernel = check_shape(kernel_size, "kernel_size")
        if not isinstance(kernel_size, (tuple, list)):
            kernel = 2 * kernel
        if len(kernel) != 2:
            raise ValueError(f"kernel_size must be an integer or two, got {kernel_size!r}")
        self.padding = check_int(padding, "padding", minimum=0)
        check_bool(bias, "bias")
        super().__init__(
            dtype=dtype,
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=kernel_size,
            padding=padding,
            bias=bias,
        )
        self.input_shape = (in_channels, None, None)
        shape = (out_channels, in_channels, *kernel)
        self.params["W"] = xavier(shape, in_channels * kernel[0] * kernel[1], rng, self.dtype)
        if bias:
            self.params["b"] = np.zeros(out_channels, self.dtype)
            self.biases = ("b",)
        self.trainable = tuple(self.params)

    def check_input(self, x: Array) -> None:
        """Raise a clear error unless `x` is a batch of images that the kernel fits into."""
        super().check_input(x)
        around = 2 * self.padding
        height, width = (max(1, size - around) for size in self.params["W"].shape[2:])
        if x.shape[2] < height or x.shape[3] < width:
            less = f" less {around} for the padding" if around else ""
            raise ValueError(
                f"x must hold images of at least {height} x {width}, the kernel's size{less}, "
                f"got shape {x.shape}"
            )

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        W, b = self.params["W"], self.params.get("b")
        x = self._padded(x, cache) if self.padding else contiguous(x)
        m, _, height, width = x.shape
        height, width = height - W.shape[2] + 1, width - W.shape[3] + 1
        shape = (m, len(W), height // self.pool, width // self.pool)
        y = buffer(cache, "y", shape, x.dtype)
        cache["x"] = x
        cache["position"] = position = buffer(cache, "position", shape, np.int32)
        backends.select().conv_pool2d(x, W, b, self.pool, self.relu, y, position)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Array | None, Gradients]:
        W, x, position = self.params["W"], cache["x"], cache["position"]
        backend, dy, dx = backends.select(), contiguous(dy), None
        grads = {
            name: buffer(cache, f"d{name}", value.shape, value.dtype)
            for name, value in self.params.items()
        }
        backend.conv_pool2d_backward_weights(x, position, dy, grads["W"], grads.get("b"))
        if need_dx:
            dx = buffer(cache, "dx", x.shape, x.dtype)
            backend.conv_pool2d_backward_input(position, dy, W, dx)
            rows, columns = (slice(self.padding, n - self.padding) for n in x.shape[2:])
            dx = dx[:, :, rows, columns]
        return dx, grads

    def _padded(self, x: Array, cache: Cache) -> Array:
        m, channels, height, width = x.shape
        p = self.padding
        padded = buffer(cache, "padded", (m, channels, height + 2 * p, width + 2 * p), x.dtype)
        padded[:] = 0
        padded[:, :, p : p + height, p : p + width] = x
        return padded
