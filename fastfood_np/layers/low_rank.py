"""A matrix of low rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.initial import xavier
from fastfood_np.validation import Array, check_int, check_rng


class LowRank(Layer):
    """y = U V x, with V (rank, d_in) and U (n_out, rank): rank (d_in + n_out) parameters.

    Cost O(m rank (d_in + n_out)). V and U are drawn uniformly with variance 1 / fan-in, Caffe's
    "xavier" rule, so that outputs are as large as those of `Dense`.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output.
    rank : int
        At least 1.
    rng : None, int, SeedSequence or Generator
        Source of the initial V, then U.
    dtype : float32 or float64

    Examples
    --------
    >>> layer = LowRank(800, 500, rank=4, rng=0)
    >>> layer.n_weights
    5200
    """

    def __init__(
        self, d_in: int, n_out: int, *, rank: int, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        self.input_shape = (check_int(d_in, "d_in", minimum=1),)
        check_int(n_out, "n_out", minimum=1)
        check_int(rank, "rank", minimum=1)
        super().__init__(dtype=dtype, d_in=d_in, n_out=n_out, rank=rank)
        rng = check_rng(rng)
        self.params["V"] = xavier((rank, d_in), d_in, rng, self.dtype)
        self.params["U"] = xavier((n_out, rank), rank, rng, self.dtype)
        self.trainable = ("V", "U")

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        V, U = self.params["V"], self.params["U"]
        cache["x"] = x
        cache["h"] = h = np.matmul(x, V.T, out=buffer(cache, "h", (len(x), len(V)), x.dtype))
        return np.matmul(h, U.T, out=buffer(cache, "y", (len(x), len(U)), x.dtype))

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        V, U, x, h = self.params["V"], self.params["U"], cache["x"], cache["h"]
        dU = np.matmul(dy.T, h, out=buffer(cache, "dU", U.shape, U.dtype))
        dh = np.matmul(dy, U, out=buffer(cache, "dh", h.shape, h.dtype))
        dV = np.matmul(dh.T, x, out=buffer(cache, "dV", V.shape, V.dtype))
        dx = np.matmul(dh, V, out=buffer(cache, "dx", x.shape, x.dtype)) if need_dx else None
        return dx, {"V": dV, "U": dU}
