"""The circulant projection of Cheng et al.: y = R D x, R circulant, D random signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.transforms.circulant import draw_circulant
from fastfood_np.transforms.circulant_fft import (
    circulant_backward,
    circulant_forward,
    complex_dtype,
    fft_threads,
    spectra_shape,
)
from fastfood_np.validation import Array, check_bool, check_choice, check_int


class Circulant(Layer):
    """A structured replacement of a dense n_out x d_in matrix: R D x (+ b).

    Memory: blocks * d_in parameters, blocks = ceil(n_out / d_in), and as many signs. Time:
    O(m blocks d_in log d_in), for any d_in, most quickly for products of small primes. Outputs
    are the first n_out of the blocks' outputs, one block after the other.

    With g = dL/dy, o the product element by element (Cheng et al., rederived)::

        R D x = IFFT(FFT(r) o FFT(D x))
        dL/dr = IFFT(FFT(g) o conj FFT(D x)),  summed over the batch
        dL/dx = D IFFT(FFT(g) o conj FFT(r)),  summed over the blocks

    FFT(D x) stays in the cache of a call, as large as x for each block (for lengths with a large
    prime factor about twice as large); FFT(r) is computed anew: r may have been trained.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output, any size >= 1.
    adaptive : bool
        Whether r is trained ("optimised" in the paper) or stays as drawn ("randomised").
    signs : {"random", "ones"}
        D: drawn once and fixed, or all ones. (The theory needs random signs, so that any input is
        spread over all outputs; in LeNet on MNIST no gain was seen, see docs/results.)
    bias : bool
        Whether b is added, which starts at zero.
    rng : None, int, SeedSequence or Generator
        Source of r ~ N(0, 1 / d_in) and of the signs; see `transforms.draw_circulant`.
    dtype : float32 or float64

    Attributes
    ----------
    params : dict
        "r" of shape (blocks, d_in), the first columns of R; "b" of shape (n_out,).
    signs : ndarray of shape (blocks, d_in)
        The diagonals D.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Circulant(800, 1024, rng=0)
    >>> layer(np.zeros((64, 800), np.float32)).shape, layer.n_weights
    ((64, 1024), 1600)
    """

    def __init__(
        self,
        d_in: int,
        n_out: int,
        *,
        adaptive: bool = True,
        signs: str = "random",
        bias: bool = False,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        self.input_shape = (check_int(d_in, "d_in", minimum=1),)
        self.n_out = check_int(n_out, "n_out", minimum=1)
        check_choice(signs, "signs", ("random", "ones"))
        self.adaptive, bias = check_bool(adaptive, "adaptive"), check_bool(bias, "bias")
        super().__init__(
            dtype=dtype, d_in=d_in, n_out=n_out, adaptive=adaptive, signs=signs, bias=bias
        )
        r, drawn = draw_circulant(d_in, n_out, rng)
        self.params["r"] = r.astype(self.dtype)
        self.constants["signs"] = (drawn if signs == "random" else np.ones_like(r)).astype(np.int8)
        self.trainable = ("r",) if adaptive else ()
        if bias:
            self.params["b"] = np.zeros(n_out, self.dtype)
            self.biases = ("b",)
            self.trainable += ("b",)

    @property
    def signs(self) -> Array:
        """The diagonal D of each block, shape (blocks, d_in), int8."""
        return self.constants["signs"]

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        r, D = self.params["r"], self._D()
        shape = spectra_shape(len(x), r, D)
        cache["x_spectra"] = buffer(cache, "x_spectra", shape, complex_dtype(x.dtype))
        y = buffer(cache, "y", (len(x), self.n_out), x.dtype)
        circulant_forward(x, r, D, y, cache["x_spectra"], fft_threads(len(x) * r.size))
        if "b" in self.params:
            y += self.params["b"]
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        r, grads = self.params["r"], {}
        dx = buffer(cache, "dx", (len(dy), r.shape[1]), dy.dtype) if need_dx else None
        dr = buffer(cache, "dr", r.shape, r.dtype) if self.adaptive else None
        threads = fft_threads(len(dy) * r.size)
        circulant_backward(dy, cache["x_spectra"], r, self._D(), dr, dx, threads)
        if dr is not None:
            grads["r"] = dr
        if "b" in self.params:
            grads["b"] = np.sum(dy, axis=0, out=buffer(cache, "db", dy.shape[1:], r.dtype))
        return dx, grads

    def _D(self) -> Array | None:
        return None if self.config["signs"] == "ones" else self.signs.astype(self.params["r"].dtype)
