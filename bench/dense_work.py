"""What `bench_fastfood` compares with: the same work with a dense matrix, by NumPy or by torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from fastfood_work import CHECKED_ROWS, Entry, Work
from harness import Contender, touch
from optional import imported


class Library(NamedTuple):
    """Who multiplies; `view` makes a NumPy array known to it without a copy."""

    view: Callable[[Any], Any]
    matmul: Callable[..., Any]
    cos: Callable[..., Any]
    sin: Callable[..., Any]


NUMPY = Library(np.asarray, np.matmul, np.cos, np.sin)


def libraries() -> dict[str, Library]:
    """Return the libraries that are there; say which is not."""
    found = {"dense": NUMPY}
    torch = imported("torch")
    if torch is None:
        print("PyTorch is not installed: not among the contenders")
    else:
        found["torch"] = Library(torch.from_numpy, torch.mm, torch.cos, torch.sin)
    return found


class DenseWork:
    """A dense matrix W (n, d) with entries of variance 1 / d for the data of `work`."""

    def __init__(self, work: Work) -> None:
        self.work, d = work, work.d
        self.W = np.random.default_rng(1).standard_normal((d, d), np.float32)
        self.W /= np.float32(np.sqrt(d))
        self._columns = np.unique(np.linspace(0, d - 1, CHECKED_ROWS).astype(int))

    def forward(self, library: Library) -> Entry:
        """Y = X W^T."""
        x, W, y = self.work.x, self.W, np.empty_like(self.work.x)
        X, W_, Y = map(library.view, (x, W, y))
        contender = Contender(
            lambda: library.matmul(X, W_.T, out=Y),
            lambda: touch(x, W, y),
            flop=2.0 * x.size * len(W),
            moved=float(x.nbytes + W.nbytes + y.nbytes),
        )
        return Entry(contender, lambda: {"y": y[self._part()]}, {"y": self._true_y()})

    def backward(self, library: Library) -> Entry:
        """dX = dY W and dW = dY^T X."""
        x, dy, W = self.work.x, self.work.dy, self.W
        dx, dW = np.empty_like(x), np.empty_like(W)
        X, dY, W_, dX, dW_ = map(library.view, (x, dy, W, dx, dW))

        def run() -> None:
            library.matmul(dY, W_, out=dX)
            library.matmul(dY.T, X, out=dW_)

        contender = Contender(
            run,
            lambda: touch(W, dW, x, dy, dx),
            flop=4.0 * x.size * len(W),
            moved=float(3 * x.nbytes + 2 * W.nbytes),
        )
        rows, columns = self.work.rows, self._columns
        truth = {
            "dx": _product(dy[rows], W[:, columns]),
            "dW": _product(dy[:, columns].T, x[:, columns]),
        }
        corner = np.ix_(columns, columns)
        return Entry(contender, lambda: {"dx": dx[self._part()], "dW": dW[corner]}, truth)

    def cos_sin(self, library: Library) -> Entry:
        """Cos and sin of Y = X W^T, each in an array of its own."""
        x, W, y = self.work.x, self.W, np.empty_like(self.work.x)
        cosine, sine = np.empty_like(y), np.empty_like(y)
        X, W_, Y, C, S = map(library.view, (x, W, y, cosine, sine))

        def run() -> None:
            library.matmul(X, W_.T, out=Y)
            library.cos(Y, out=C)
            library.sin(Y, out=S)

        contender = Contender(run, lambda: touch(W, x, y, cosine, sine))
        true_y = self._true_y()
        return Entry(
            contender,
            lambda: {"cos": cosine[self._part()], "sin": sine[self._part()]},
            {"cos": np.cos(true_y), "sin": np.sin(true_y)},
        )

    def _part(self) -> Any:
        """Return the index of the entries of Y and dX that are checked."""
        return np.ix_(self.work.rows, self._columns)

    def _true_y(self) -> Any:
        return _product(self.work.x[self.work.rows], self.W[self._columns].T)


def _product(a: Any, b: Any) -> Any:
    return a.astype(np.float64) @ b.astype(np.float64)
