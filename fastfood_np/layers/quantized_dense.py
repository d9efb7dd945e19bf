"""The dense layer with a product-quantised matrix: codes and codebooks, and look-up tables."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fastfood_np import backends
from fastfood_np.compression import product_quantized_matrix
from fastfood_np.layers.base import Gradients, Layer, contiguous
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.layers.codes import check_codes, pack_codes, unpack_codes
from fastfood_np.layers.initial import xavier
from fastfood_np.validation import (
    Array,
    check_bool,
    check_finite,
    check_float_dtype,
    check_int,
    check_rng,
)


class QuantizedDense(Layer):
    """y = W x + b, the rows of W (n_out, d_in) put together from pieces out of codebooks.

    Columns are cut into n_subspaces runs of equal length; in run s, row o of W is the centroid of
    the run's codebook that ``codes[o, s]`` names. This is product quantisation: Jegou et al.,
    "Product Quantization for Nearest Neighbor Search", PAMI 2011; of the weights of a network, Gong
    et al., arXiv 1412.6115. Forward takes the inner products of each part of x with all
    centroids, m d_in n_centroids multiplications, and adds m n_out n_subspaces of them; W is never
    written out. Backward costs twice as much and gives gradients of centroids; codes stay.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output.
    n_subspaces : int
        Number of runs of columns; divides d_in.
    n_centroids : int
        Number of vectors in a codebook, 2 to 256. With at most 16, a code takes four bits, else
        eight: with 16, and runs of 8 columns, a matrix of float32 takes a 64th of its memory,
        codebooks apart.
    shared : bool
        Whether all runs have one codebook.
    bias : bool
        Whether b is there.
    rng : None, int, SeedSequence or Generator
        Source of the initial codebooks, uniform in +-sqrt(3 / d_in), and of random codes. (Our
        choice. A layer made of a matrix: `from_codes`.)
    dtype : float32 or float64

    Attributes
    ----------
    params : dict
        "codebooks" of shape (n_subspaces, n_centroids, d_in / n_subspaces), or (1, ...) if shared,
        and "b" (n_out,).
    constants : dict
        "codes", uint8, as `layers.codes` packs them. Kernels index by them without a check: change
        them with `set_codes`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = QuantizedDense(256, 100, n_subspaces=32, n_centroids=16, rng=0)
    >>> layer(np.zeros((64, 256), np.float32)).shape, layer.codes.shape, layer.matrix().shape
    ((64, 100), (100, 32), (100, 256))
    >>> layer.constants["codes"].nbytes, layer.params["codebooks"].nbytes, layer.matrix().nbytes
    (1600, 16384, 102400)
    """

    def __init__(
        self,
        d_in: int,
        n_out: int,
        *,
        n_subspaces: int,
        n_centroids: int,
        shared: bool = False,
        bias: bool = True,
        rng: Any = None,
        dtype: Any = np.float32,
    ) -> None:
        d_in, n_out = check_int(d_in, "d_in", minimum=1), check_int(n_out, "n_out", minimum=1)
        n_subspaces = check_int(n_subspaces, "n_subspaces", minimum=1, maximum=d_in)
        n_centroids = check_int(n_centroids, "n_centroids", minimum=2, maximum=256)
        if d_in % n_subspaces:
            raise ValueError(f"n_subspaces must divide d_in = {d_in}, got {n_subspaces}")
        shared, bias = check_bool(shared, "shared"), check_bool(bias, "bias")
        super().__init__(
            dtype=dtype,
            d_in=d_in,
            n_out=n_out,
            n_subspaces=n_subspaces,
            n_centroids=n_centroids,
            shared=shared,
            bias=bias,
        )
        self.input_shape, self.n_out = (d_in,), n_out
        self.n_subspaces, self.n_centroids = n_subspaces, n_centroids
        rng = check_rng(rng)
        shape = (1 if shared else n_subspaces, n_centroids, d_in // n_subspaces)
        self.params["codebooks"] = xavier(shape, d_in, rng, self.dtype)
        if bias:
            self.params["b"] = np.zeros(n_out, self.dtype)
            self.biases = ("b",)
        self.trainable = tuple(self.params)
        self.set_codes(rng.integers(0, n_centroids, (n_out, n_subspaces), np.uint8))

    @classmethod
    def from_codes(cls, codebooks: Array, codes: Array, b: Array | None = None) -> Self:
        """Return the layer of the matrix that codebooks and codes stand for.

        Parameters
        ----------
        codebooks : ndarray of shape (n_subspaces or 1, n_centroids, length), float32 or float64
            One for each run of columns, or one for all; copied.
        codes : ndarray of shape (n_out, n_subspaces), uint8
            Which centroid each row has in each run, below n_centroids; copied.
        b : ndarray of shape (n_out,), optional
            The bias; copied. Without it the layer has none.

        Raises
        ------
        TypeError, ValueError
            An argument has another dtype or shape, or codebooks or b are not finite, or a code is
            too large.
        """
        check_float_dtype(getattr(codebooks, "dtype", type(codebooks)), "the dtype of codebooks")
        if codebooks.ndim != 3 or 0 in codebooks.shape:
            raise ValueError(
                "codebooks must have shape (n_subspaces or 1, n_centroids, length), none of them "
                f"0, got {codebooks.shape}"
            )
        if getattr(codes, "ndim", 0) != 2 or 0 in codes.shape:
            raise ValueError(
                "codes must be an array of shape (n_out, n_subspaces), none of them 0, got "
                f"{getattr(codes, 'shape', codes)!r}"
            )
        n_out, n_subspaces = codes.shape
        books, n_centroids, length = codebooks.shape
        if books not in (1, n_subspaces):
            raise ValueError(
                f"codebooks must hold 1 or, as codes, {n_subspaces} codebooks, got {books}"
            )
        check_finite(codebooks, "codebooks", codebooks.shape)
        layer = cls(
            n_subspaces * length,
            n_out,
            n_subspaces=n_subspaces,
            n_centroids=n_centroids,
            shared=books < n_subspaces,
            bias=b is not None,
            rng=0,
            dtype=codebooks.dtype,
        )
        layer.set_codes(codes)
        layer.params["codebooks"][...] = codebooks
        if b is not None:
            layer.params["b"][...] = check_finite(b, "b", (n_out,))
        return layer

    @property
    def codes(self) -> Array:
        """Which centroid each row of W has in each run: a new array (n_out, n_subspaces), uint8."""
        return unpack_codes(self.constants["codes"], self.n_centroids, self.n_out)

    def set_codes(self, codes: Array) -> None:
        """Set the codes: an array (n_out, n_subspaces) of uint8, all below n_centroids; copied."""
        checked = check_codes(codes, "codes", (self.n_out, self.n_subspaces), self.n_centroids)
        self.constants["codes"] = pack_codes(checked, self.n_centroids)

    def matrix(self) -> Array:
        """Return W (n_out, d_in), written out: for checks."""
        return product_quantized_matrix(self.params["codebooks"], self.codes)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["x"] = x = contiguous(x)
        y = buffer(cache, "y", (len(x), self.n_out), x.dtype)
        backends.select().quantized_forward(x, self.params["codebooks"], self.constants["codes"], y)
        if "b" in self.params:
            y += self.params["b"]
        return y

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        x, books = cache["x"], self.params["codebooks"]
        dx = buffer(cache, "dx", x.shape, x.dtype) if need_dx else None
        grads = {"codebooks": buffer(cache, "dcodebooks", books.shape, books.dtype)}
        backends.select().quantized_backward(
            x, contiguous(dy), books, self.constants["codes"], dx, grads["codebooks"]
        )
        if "b" in self.params:
            grads["b"] = np.sum(dy, axis=0, out=buffer(cache, "db", dy.shape[1:], dy.dtype))
        return dx, grads
