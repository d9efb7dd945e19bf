"""The Fastfood layer of Deep Fried Convnets: y = c S H G Pi H B x.

The path of one input, each factor under the paper's name, and each intermediate named after the
factor it enters (section 3.2 of the paper)::

    x (m, d_in)
      -> zeros up to d_pad = 2^k, the same for every block     h_l    (m, blocks, d_pad)
      -> B    diagonal                                         h_H2
      -> H    Walsh-Hadamard                                   h_Pi
      -> Pi   permutation; equation 7's dropout                h_G
      -> G    diagonal                                         h_H1
      -> H    Walsh-Hadamard                                   h_S
      -> S    diagonal; times c; blocks side by side, cut      y      (m, n_out)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.layers.base import Gradients, Layer, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.diagonal import Diagonal
from fastfood_np.layers.dropout import draw_mask, mask_scale
from fastfood_np.layers.hadamard import Hadamard
from fastfood_np.layers.permutation import Permutation
from fastfood_np.transforms.factors import draw_fastfood
from fastfood_np.transforms.on_device import check_length
from fastfood_np.validation import (
    Array,
    check_bool,
    check_choice,
    check_int,
    check_rate,
    check_real,
)


class Fastfood(Layer):
    """A structured replacement of a dense n_out x d_in matrix: equation 5, ``S H G Pi H B``.

    Memory 3 blocks d_pad parameters, time O(m n log d), with d_pad = 2^ceil(log2 d_in) and
    blocks = ceil(n_out / d_pad). No bias. The scalar c = ``layer.scale`` = 1 / (sigma sqrt(d_pad))
    makes the drawn layer approximate a matrix with entries N(0, 1 / sigma^2); it is fixed, not
    counted, and applied last.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output, any size >= 1.
    sigma : float
        Bandwidth: 1 / sigma is the standard deviation of the Gaussian matrix approximated.
    adaptive : bool
        Whether S, G and B are trained (the Adaptive Fastfood layer). Either way they are
        counted, S past n_out included; the permutation is not.
    dropout : float
        Rate in [0, 1) of equation 7's dropout, on h_G = Pi H B x, while training.
    form : {"fused", "composed"}
        "fused" does all in one pass and keeps only x and the mask; "composed" goes through one
        layer per factor and leaves every h_* in the cache, shape (m, blocks, d_pad).
    seed : int, optional
        B and the permutation are then those of this seed (0 to 2^64 - 1), whatever `rng`, so that
        a compact file need not hold the permutation; see `transforms.seeded`.
    rng : None, int, SeedSequence or Generator
        Source of S, G, B and the permutation; see `transforms.factors.draw_fastfood`.
    dtype : float32 or float64

    Attributes
    ----------
    params : dict
        "S", "G" and "B", each of shape (blocks, d_pad).
    perm : ndarray of int64, shape (blocks, d_pad)
        ``h_G[..., i] = h_Pi[..., perm[..., i]]``.
    scale : float

    Examples
    --------
    >>> import numpy as np
    >>> layer = Fastfood(800, 1024, rng=0)
    >>> layer(np.zeros((64, 800), np.float32)).shape, layer.n_weights
    ((64, 1024), 3072)
    """

    device_form = True

    def __init__(
        self,
        d_in: int,
        n_out: int,
        *,
        sigma: float = 1.0,
        adaptive: bool = True,
        dropout: float = 0.0,
        form: str = "fused",
        seed: int | None = None,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.input_shape = (check_int(d_in, "d_in", minimum=1),)
        self.n_out = check_int(n_out, "n_out", minimum=1)
        self.dropout = check_rate(dropout, "dropout")
        self.draws = self.dropout > 0
        self.form = check_choice(form, "form", ("fused", "composed"))
        sigma = check_real(sigma, "sigma", above=0.0)
        self.adaptive = check_bool(adaptive, "adaptive")
        super().__init__(
            dtype=dtype,
            d_in=d_in,
            n_out=n_out,
            sigma=sigma,
            adaptive=adaptive,
            dropout=dropout,
            form=form,
            seed=seed,
        )
        factors = draw_fastfood(d_in, n_out, rng, seed=seed)
        for name in ("S", "G", "B"):
            self.params[name] = getattr(factors, name).astype(self.dtype)
        self.constants["perm"] = factors.perm
        self.trainable = ("S", "G", "B") if adaptive else ()
        self.scale = 1.0 / (sigma * math.sqrt(factors.perm.shape[1]))

    @property
    def perm(self) -> Array:
        """The permutation Pi of each block, shape (blocks, d_pad)."""
        return self.constants["perm"]

    def check_input(self, x: Array) -> None:
        super().check_input(x)
        if self.on_device:
            check_length(self.perm.shape[1], "d_pad, d_in padded,", x)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["x"] = x = contiguous(x)
        cache["mask"] = None
        if rng is not None:
            mask = draw_mask(rng, (len(x), *self.perm.shape), self.dropout)
            if self.on_device:
                mask = backends.of(x).arrays.to_device(mask, beside=x)
            cache["mask"] = mask
        forward = self._forward_fused if self.form == "fused" else self._forward_composed
        return forward(x, cache)

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        backward = self._backward_fused if self.form == "fused" else self._backward_composed
        dx, grads = backward(dy, cache, need_dx)
        return dx, grads if self.trainable else {}

    def _forward_fused(self, x: Array, cache: Cache) -> Array:
        y = buffer(cache, "y", (len(x), self.n_out), x.dtype, x)
        backends.of(x).fastfood_forward(
            x, *self._factors(), *self._mask(cache), "none", None, 1.0, y
        )
        return y

    def _backward_fused(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        x = cache["x"]
        dx = buffer(cache, "dx", x.shape, x.dtype, dy) if need_dx else None
        grads = {name: buffer(cache, "d" + name, self.perm.shape, x.dtype, dy) for name in "SGB"}
        backend, scratch = backends.of(x), {}
        if self.on_device:
            size = backend.fastfood_scratch(len(x), tuple(self.perm.shape), x.dtype)
            scratch["partial"] = buffer(cache, "partial", (size,), x.dtype, dy)
        backend.fastfood_backward(
            x,
            contiguous(dy),
            *self._factors(),
            *self._mask(cache),
            dx,
            *grads.values(),
            **scratch,
        )
        return dx, grads

    def _factors(self) -> tuple[Array, Array, Array, Array, float]:
        return (self.params["S"], self.params["G"], self.params["B"], self.perm, self.scale)

    def _mask(self, cache: Cache) -> tuple[Array | None, float]:
        mask = cache["mask"]
        return mask, 1.0 if mask is None else mask_scale(self.dropout)

    def _forward_composed(self, x: Array, cache: Cache) -> Array:
        B, H, Pi, G, S = self._sublayers()
        h_l = buffer(cache, "h_l", (len(x), *self.perm.shape), x.dtype, x)
        backends.of(x).spread(x, 1.0, h_l)

        h_H2, cache["B"] = B.forward(h_l, cache=_sub_cache(cache, "B"))
        h_Pi, cache["H2"] = H.forward(h_H2, cache=_sub_cache(cache, "H2"))
        h_G, cache["Pi"] = Pi.forward(h_Pi, cache=_sub_cache(cache, "Pi"))
        self._drop(h_G, cache)
        h_H1, cache["G"] = G.forward(h_G, cache=_sub_cache(cache, "G"))
        h_S, cache["H1"] = H.forward(h_H1, cache=_sub_cache(cache, "H1"))
        h, cache["S"] = S.forward(h_S, cache=_sub_cache(cache, "S"))

        cache.update(h_l=h_l, h_H2=h_H2, h_Pi=h_Pi, h_G=h_G, h_H1=h_H1, h_S=h_S)
        y = buffer(cache, "y", (len(x), self.n_out), x.dtype, x)
        backends.of(x).join(h, self.scale, y)
        return y

    def _backward_composed(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        B, H, Pi, G, S = self._sublayers()
        dh = buffer(cache, "dh", (len(dy), *self.perm.shape), dy.dtype, dy)
        backends.of(dy).join_backward(dy, self.scale, dh)

        dh_S, dS = S.backward(dh, cache["S"])
        dh_H1, _ = H.backward(dh_S, cache["H1"])
        dh_G, dG = G.backward(dh_H1, cache["G"])
        self._drop(dh_G, cache)
        dh_Pi, _ = Pi.backward(dh_G, cache["Pi"])
        dh_H2, _ = H.backward(dh_Pi, cache["H2"])
        dh_l, dB = B.backward(dh_H2, cache["B"], need_dx)

        grads = {"S": dS["D"], "G": dG["D"], "B": dB["D"]} if self.adaptive else {}
        if not need_dx:
            return None, grads
        dx = buffer(cache, "dx", cache["x"].shape, dy.dtype, dy)
        backends.of(dy).spread_backward(dh_l, dx)
        return dx, grads

    def _sublayers(self) -> tuple[Layer, Hadamard, Permutation, Layer, Layer]:
        shape, diagonals = self.perm.shape, {}
        for name in "BGS":
            diagonals[name] = Diagonal(shape, adaptive=self.adaptive, dtype=self.dtype)
            diagonals[name].params["D"] = self.params[name]
        H, Pi = Hadamard(), Permutation([[0]])
        Pi.constants["perm"], Pi.input_shape = self.perm, tuple(self.perm.shape)  # checked already
        for layer in (H, Pi, *diagonals.values()):
            layer.on_device = self.on_device
        return diagonals["B"], H, Pi, diagonals["G"], diagonals["S"]

    def _drop(self, h: Array, cache: Cache) -> None:
        if cache["mask"] is not None:
            backends.of(h).drop(h, *self._mask(cache))


def _sub_cache(cache: Cache, name: str) -> Cache | None:
    return cache.get(name, {}) if "buffers" in cache else None
