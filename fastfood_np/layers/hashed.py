"""The layer of HashedNets: a large matrix whose entries are drawn from a small vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.initial import xavier
from fastfood_np.validation import Array, check_int, check_rng


class Hashed(Layer):
    """y = W x, W_ij = s(i, j) w[h(i, j)], with hash functions h in 0..n_hashed-1 and s in +-1.

    Chen et al., "Compressing Neural Networks with the Hashing Trick", ICML 2015, equations 7 and
    9; their hash is another. n_hashed parameters, whatever d_in and n_out. h and s take a few
    operations and no memory, but W is written out for each call, n_out d_in numbers, so time is
    that of `Dense` and more.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output.
    n_hashed : int
        Length of w, less than 2^31; W may have up to 2^32 entries.
    rng : None, int, SeedSequence or Generator
        Source of the hash's seed and of the initial w, uniform in +-sqrt(3 / d_in).
    dtype : float32 or float64

    Attributes
    ----------
    params : dict
        "w" of shape (n_hashed,).
    seed : int
        Of the hash functions; 32 bits.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Hashed(800, 500, n_hashed=1000, rng=0)
    >>> layer(np.zeros((64, 800), np.float32)).shape, layer.n_weights
    ((64, 500), 1000)
    """

    def __init__(
        self, d_in: int, n_out: int, *, n_hashed: int, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        d_in, n_out = check_int(d_in, "d_in", minimum=1), check_int(n_out, "n_out", minimum=1)
        self.input_shape, self.n_out = (d_in,), n_out
        check_int(n_hashed, "n_hashed", minimum=1, maximum=2**31 - 1)
        check_int(d_in * n_out, "d_in * n_out", maximum=2**32)  # entries have numbers of 32 bits
        super().__init__(dtype=dtype, d_in=d_in, n_out=n_out, n_hashed=n_hashed)
        rng = check_rng(rng)
        self.constants["seed"] = rng.integers(0, 2**32, 1, np.uint32)
        self.params["w"] = xavier((n_hashed,), d_in, rng, self.dtype)
        self.trainable = ("w",)

    @property
    def seed(self) -> int:
        """What h and s depend on beside i and j."""
        return int(self.constants["seed"][0])

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["x"] = x
        cache["W"] = W = buffer(cache, "W", (self.n_out, x.shape[1]), x.dtype)
        backends.select().hashed_matrix(self.params["w"], self.seed, W)
        return np.matmul(x, W.T, out=buffer(cache, "y", (len(x), len(W)), x.dtype))

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        x, W = cache["x"], cache["W"]
        dW = np.matmul(dy.T, x, out=buffer(cache, "dW", W.shape, W.dtype))
        dw = buffer(cache, "dw", self.params["w"].shape, W.dtype)
        backends.select().hashed_matrix_backward(dW, self.seed, dw)
        dx = np.matmul(dy, W, out=buffer(cache, "dx", x.shape, x.dtype)) if need_dx else None
        return dx, {"w": dw}
