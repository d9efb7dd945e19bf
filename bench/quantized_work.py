"""What `bench_quantized` times: the layer of look-up tables, and the product with its matrix.

The truth is of the matrix that the codes stand for, in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fastfood_work import Entry
from harness import Contender, touch

from fastfood_np.layers import QuantizedDense

CHECKED_OUTPUTS = 64


@dataclass(frozen=True)
class Setting:
    """How a matrix is quantised: in runs of `length` columns."""

    length: int
    n_centroids: int
    shared: bool

    def __str__(self) -> str:
        books = "one codebook" if self.shared else "a codebook a run"
        return f"runs of {self.length}, {self.n_centroids} centroids, {books}"


class QuantizedWork:
    """A layer from d to n numbers, and W, the matrix that it stands for, both float32."""

    def __init__(self, d: int, n: int, setting: Setting) -> None:
        self.d, self.n, self.setting = d, n, setting
        self.layer = QuantizedDense(
            d,
            n,
            n_subspaces=d // setting.length,
            n_centroids=setting.n_centroids,
            shared=setting.shared,
            bias=False,
            rng=0,
        )
        self.W = self.layer.matrix()

    @property
    def nbytes(self) -> int:
        """Bytes of all that the layer holds."""
        held = (*self.layer.params.values(), *self.layer.constants.values())
        return sum(array.nbytes for array in held)

    def batch(self, m: int) -> Batch:
        """Return the contenders for m rows."""
        return Batch(self, m)


class Batch:
    """Rows of x for the data of `of`."""

    def __init__(self, of: QuantizedWork, m: int) -> None:
        self.of, self.d, self.m = of, of.d, m
        self.x = np.random.default_rng(m).standard_normal((m, of.d), np.float32)
        self._outputs = np.unique(np.linspace(0, of.n - 1, CHECKED_OUTPUTS).astype(int))
        rows = of.W[self._outputs].astype(np.float64)
        self._truth = {"y": self.x.astype(np.float64) @ rows.T}

    def quantized(self) -> Entry:
        """Y = X W^T by tables."""
        x, layer = self.x, self.of.layer
        y, cache = layer.forward(x, cache={})
        held = (*layer.params.values(), *layer.constants.values())
        contender = Contender(
            lambda: layer.forward(x, cache=cache),
            lambda: touch(*held, x, y),
            moved=float(self.of.nbytes + x.nbytes + y.nbytes),
        )
        return Entry(contender, lambda: {"y": y[:, self._outputs]}, self._truth)

    def dense(self) -> Entry:
        """Y = X W^T by NumPy's BLAS; of one row sgemv."""
        x, W = self.x, self.of.W
        y = np.empty((self.m, self.of.n), np.float32)
        left, right, out = (W, x[0], y[0]) if self.m == 1 else (x, W.T, y)
        contender = Contender(
            lambda: np.matmul(left, right, out=out),
            lambda: touch(W, x, y),
            flop=2.0 * self.m * W.size,
            moved=float(W.nbytes + x.nbytes + y.nbytes),
        )
        return Entry(contender, lambda: {"y": y[:, self._outputs]}, self._truth)
