"""A matrix of small circulant blocks."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.transforms.circulant_fft import irfft, rfft
from fastfood_np.validation import Array, check_int, check_rng


class BlockCirculant(Layer):
    """y = W x, W an n_out x d_in matrix of circulant blocks of size b x b.

    n_out d_in / b parameters: between a dense matrix (b = 1) and circulant ones (b = d_in). Block
    (i, j) is circ(r_ij), so with all numbers cut into pieces of b,
    ``FFT(y_i) = sum_j FFT(r_ij) o FFT(x_j)``: for each frequency a small matrix product. Time
    O(m (d_in + n_out) log b + m n_out d_in / b). There are no signs: many blocks mix as they do.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output; neither need be a multiple of b, zeros fill up the
        input and outputs are cut.
    block_size : int
        b, any size >= 1.
    rng : None, int, SeedSequence or Generator
        Source of r ~ N(0, 1 / d_in), so that the rows of W have length 1 in the mean.
    dtype : float32 or float64

    Attributes
    ----------
    params : dict
        "r" of shape (ceil(n_out / b), ceil(d_in / b), b): the first column of each block.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BlockCirculant(800, 500, block_size=100, rng=0)
    >>> layer(np.zeros((64, 800), np.float32)).shape, layer.n_weights
    ((64, 500), 4000)
    """

    def __init__(
        self, d_in: int, n_out: int, *, block_size: int, rng: Any = None, dtype: Any = np.float32
    ) -> None:
        # Python's integers: NumPy's small ones overflow, and their square roots are float16.
        self.d_in = d_in = check_int(d_in, "d_in", minimum=1)
        self.input_shape = (d_in,)
        self.n_out = n_out = check_int(n_out, "n_out", minimum=1)
        b = check_int(block_size, "block_size", minimum=1)
        super().__init__(dtype=dtype, d_in=d_in, n_out=n_out, block_size=b)
        drawn = check_rng(rng).standard_normal((-(-n_out // b), -(-d_in // b), b))
        self.params["r"] = (drawn / np.sqrt(d_in)).astype(self.dtype)
        self.trainable = ("r",)

    # For each frequency f, X_f is (m, columns) and R_f (rows, columns): frequencies go first.

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        _, columns, b = self.params["r"].shape
        cache["X"] = X = _by_frequency(x, columns, b)
        Y = X @ rfft(self.params["r"]).transpose(2, 1, 0)
        return _from_frequencies(Y, b, buffer(cache, "y", (len(x), self.n_out), x.dtype))

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        rows, _, b = self.params["r"].shape
        G, dx = _by_frequency(dy, rows, b), None
        dR = G.transpose(0, 2, 1) @ cache["X"].conj()
        dr = buffer(cache, "dr", self.params["r"].shape, dy.dtype)
        dr[...] = irfft(np.ascontiguousarray(dR.transpose(1, 2, 0)), b)
        if need_dx:
            dX = G @ rfft(self.params["r"]).conj().transpose(2, 0, 1)
            dx = buffer(cache, "dx", (len(dy), self.d_in), dy.dtype)
            _from_frequencies(dX, b, dx)
        return dx, {"r": dr}


def _by_frequency(x: Array, pieces: int, b: int) -> Array:
    """Return the FFT of x (m, d), cut into pieces of b: shape (b // 2 + 1, m, pieces)."""
    m, d = x.shape
    padded = np.zeros((m, pieces * b), x.dtype)
    padded[:, :d] = x
    return np.ascontiguousarray(rfft(padded.reshape(m, pieces, b)).transpose(2, 0, 1))


def _from_frequencies(Y: Array, b: int, out: Array) -> Array:
    """Fill out (m, n) with the numbers whose FFT, cut into pieces of b, is Y."""
    pieces = irfft(np.ascontiguousarray(Y.transpose(1, 2, 0)), b)
    out[...] = pieces.reshape(len(out), Y.shape[2] * b)[:, : out.shape[1]]
    return out
