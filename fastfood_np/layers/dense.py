"""The fully connected layer that Fastfood replaces."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.initial import xavier
from fastfood_np.validation import Array, check_bool, check_int


class Dense(Layer):
    """y = W x + b with a full matrix W (n_out, d_in). Cost O(m n d), memory n (d + 1).

    W is drawn by Caffe's "xavier" rule, uniform in +-sqrt(3 / d_in); b starts at zero.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output.
    bias : bool
        Whether b is there.
    rng : None, int, SeedSequence or Generator
        Source of the initial W.
    dtype : float32 or float64
    """

    def __init__(
        self, d_in: int, n_out: int, *, bias: bool = True, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        d_in, n_out = check_int(d_in, "d_in", minimum=1), check_int(n_out, "n_out", minimum=1)
        check_bool(bias, "bias")
        super().__init__(dtype=dtype, d_in=d_in, n_out=n_out, bias=bias)
        self.input_shape = (d_in,)
        self.params["W"] = xavier((n_out, d_in), d_in, rng, self.dtype)
        if bias:
            self.params["b"] = np.zeros(n_out, self.dtype)
            self.biases = ("b",)
        self.trainable = tuple(self.params)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        W = self.params["W"]
        cache["x"] = x
        y = np.matmul(x, W.T, out=buffer(cache, "y", (len(x), len(W)), x.dtype))
        if "b" in self.params:
            y += self.params["b"]
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        W, x = self.params["W"], cache["x"]
        grads = {"W": np.matmul(dy.T, x, out=buffer(cache, "dW", W.shape, W.dtype))}
        if "b" in self.params:
            grads["b"] = np.sum(dy, axis=0, out=buffer(cache, "db", dy.shape[1:], W.dtype))
        dx = np.matmul(dy, W, out=buffer(cache, "dx", x.shape, x.dtype)) if need_dx else None
        return dx, grads
