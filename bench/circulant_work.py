"""What `bench_circulant` times of ours: the circulant layer forward and backward.

The truth is of dense matrices and sums in float64, without any FFT.
"""

from __future__ import annotations

import numpy as np
from dense_work import NUMPY, DenseWork
from fastfood_work import CHECKED_ROWS, Entry, Work
from harness import Contender, touch

from fastfood_np.layers import Circulant


class CirculantWork:
    """A circulant layer for the data of `work`; its matrix has entries of variance 1 / d."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.layer = Circulant(work.d, work.d, rng=0)
        self._columns = np.unique(np.linspace(0, work.d - 1, CHECKED_ROWS).astype(int))

    def forward(self) -> Entry:
        """Y = X (R D)^T."""
        x, layer = self.work.x, self.layer
        y, cache = layer.forward(x, cache={})
        contender = Contender(
            lambda: layer.forward(x, cache=cache),
            lambda: touch(x, y),
            moved=float(x.nbytes + y.nbytes),
        )
        truth = self._checked(x) @ self._matrix(outputs=True).T
        return Entry(contender, lambda: {"y": y[self._part()]}, {"y": truth})

    def backward(self) -> Entry:
        """The gradients of X and r from dY and what forward keeps of X."""
        x, dy, layer = self.work.x, self.work.dy, self.layer
        _, cache = layer.forward(x, cache={})
        dx, grads = layer.backward(dy, cache)
        kept = [array for array in cache.values() if isinstance(array, np.ndarray)]
        contender = Contender(
            lambda: layer.backward(dy, cache),
            lambda: touch(*kept, dy, dx),
            moved=float(x.nbytes + dy.nbytes + dx.nbytes),
        )
        truth = {"dx": self._checked(dy) @ self._matrix(outputs=False), "dr": self._true_dr()}
        return Entry(
            contender,
            lambda: {"dx": dx[self._part()], "dr": grads["r"][0, self._columns]},
            truth,
        )

    def _part(self) -> tuple[np.ndarray, ...]:
        """Return the index of the entries of Y and dX that are checked."""
        return np.ix_(self.work.rows, self._columns)

    def _checked(self, array: np.ndarray) -> np.ndarray:
        return array[self.work.rows].astype(np.float64)

    def _matrix(self, outputs: bool) -> np.ndarray:
        """Return the checked rows, or columns, of R D in float64: R_ij = r_(i - j)."""
        d, all_of_them = self.work.d, np.arange(self.work.d)
        i, j = (self._columns, all_of_them) if outputs else (all_of_them, self._columns)
        r = self.layer.params["r"][0].astype(np.float64)
        return r[(i[:, None] - j) % d] * self.layer.signs[0, j]

    def _true_dr(self) -> np.ndarray:
        """Return the checked entries of dL/dr_k, the sum of dY_i (D X)_(i - k) over i and rows."""
        signed = self.work.x * self.layer.signs[0]
        return np.array(
            [
                np.einsum("mi,mi->", self.work.dy, np.roll(signed, k, axis=1), dtype=np.float64)
                for k in self._columns
            ]
        )


def forward_entries(d: int, m: int) -> dict[str, Entry]:
    """Return the contenders of a forward by which the crossover is found."""
    work = Work(d, m)
    return {
        "forward": CirculantWork(work).forward(),
        "dense": DenseWork(work).forward(NUMPY),
    }


def backward_entries(d: int, m: int) -> dict[str, Entry]:
    """Return the contenders of a backward by which the crossover is found."""
    work = Work(d, m)
    return {
        "backward": CirculantWork(work).backward(),
        "dense": DenseWork(work).backward(NUMPY),
    }
