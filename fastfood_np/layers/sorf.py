"""Three Hadamard transforms with trained diagonals between them: H D1 H D2 H D3."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.transforms.orthogonal import draw_sorf
from fastfood_np.validation import Array, check_bool, check_int, check_real


class SORF(Layer):
    """y = c H D1 H D2 H D3 x: structured orthogonal random features (Yu et al. 2016), trained.

    The diagonals start as random signs, so that a block starts as an orthogonal matrix times
    sqrt(d_pad) / sigma, and are then trained like S, G and B of `Fastfood`, with which this layer
    shares sizes and counts: d_pad = 2^ceil(log2 d_in), ceil(n_out / d_pad) blocks, 3 blocks d_pad
    parameters, time O(m n log d), no bias. c = ``layer.scale`` = 1 / (sigma d_pad), H not
    normalised.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output, any size >= 1.
    sigma : float
        Bandwidth, as in `Fastfood`.
    adaptive : bool
        Whether the diagonals are trained.
    rng : None, int, SeedSequence or Generator
        Source of the signs.
    dtype : float32 or float64

    Attributes
    ----------
    params : dict
        "D1", "D2" and "D3", each of shape (blocks, d_pad).

    Examples
    --------
    >>> import numpy as np
    >>> layer = SORF(800, 1024, rng=0)
    >>> layer(np.zeros((64, 800), np.float32)).shape, layer.n_weights
    ((64, 1024), 3072)
    """

    def __init__(
        self,
        d_in: int,
        n_out: int,
        *,
        sigma: float = 1.0,
        adaptive: bool = True,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.d_in = check_int(d_in, "d_in", minimum=1)
        self.input_shape = (self.d_in,)
        self.n_out = check_int(n_out, "n_out", minimum=1)
        sigma = check_real(sigma, "sigma", above=0.0)
        check_bool(adaptive, "adaptive")
        super().__init__(dtype=dtype, d_in=d_in, n_out=n_out, sigma=sigma, adaptive=adaptive)
        signs = draw_sorf(d_in, n_out, rng).astype(self.dtype)
        for i, name in enumerate(("D1", "D2", "D3")):
            self.params[name] = np.ascontiguousarray(signs[:, i])
        self.trainable = ("D1", "D2", "D3") if adaptive else ()
        self.scale = 1.0 / (sigma * signs.shape[2])

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        backend, shape = backends.select(), (len(x), *self.params["D1"].shape)
        h = buffer(cache, "h3", shape, x.dtype)
        backend.spread(x, 1.0, h)
        for name in ("D3", "D2", "D1"):  # cache[name] is what enters that diagonal
            cache[name] = h
            h = buffer(cache, f"H {name}", shape, x.dtype)
            backend.diagonal(cache[name], self.params[name], h)
            _transform(h)
        y = buffer(cache, "y", (len(x), self.n_out), x.dtype)
        backend.join(h, self.scale, y)
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        backend, shape = backends.select(), (len(dy), *self.params["D1"].shape)
        dh, grads, dx = buffer(cache, "dh", shape, dy.dtype), {}, None
        backend.join_backward(dy, self.scale, dh)
        for name in ("D1", "D2", "D3"):
            D = self.params[name]
            _transform(dh)  # H is symmetric
            if self.trainable:
                grads[name] = buffer(cache, "d" + name, D.shape, dy.dtype)
                backend.diagonal_backward(cache[name], dh, grads[name])
            dh *= D
        if need_dx:
            dx = buffer(cache, "dx", (len(dy), self.d_in), dy.dtype)
            backend.spread_backward(dh, dx)
        return dx, grads


def _transform(h: Array) -> None:
    """Apply H to every row of h, in place."""
    rows = h.reshape(-1, h.shape[-1])
    backends.select().fwht(rows, rows)
