"""What Fastfood on a GPU is compared with: products of a dense layer, by cuBLAS through PyTorch.

In float32 proper, in float32 by TF32 matrix units, and on bfloat16 data, which are made beforehand
and are half as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gpu_arrays import PLACE, TORCH, double, view
from gpu_entries import Entry
from gpu_truth import Difference

# name: what PyTorch calls it, and the error that it explains
PRECISIONS = {"float32": ("highest", 1e-5), "tf32": ("high", 3e-3), "bf16": ("highest", 2e-2)}
CHECKED = 256  # rows or columns


class Dense:
    """A dense matrix W (n, d) with entries of variance 1 / d, for rows x of d and dy of n."""

    def __init__(self, n: int, d: int, name: str) -> None:
        self.name = name
        self._precision, self._tolerance = PRECISIONS[name]
        self._W = self._own(TORCH.randn(n, d, device=PLACE, dtype=TORCH.float32))
        self._W /= math.sqrt(d)

    def forward(self, xs: Sequence[Any], ys: Sequence[Any]) -> Entry:
        """Y = X W^T, into the memory of `ys` where the precision is theirs."""
        W = self._W
        X, Y = [self._own(view(x)) for x in xs], [self._own(view(y)) for y in ys]

        def error() -> float:
            part = slice(0, CHECKED)
            return _error(Y[0][part], double(X[0][part]) @ double(W).T)

        calls = [partial(self._multiply, (x, W.T, y)) for x, y in zip(X, Y, strict=True)]
        return self._entry(calls, [X[0], W], [Y[0]], error, 2.0 * X[0].numel() * len(W))

    def backward(self, xs: Sequence[Any], dys: Sequence[Any], dxs: Sequence[Any]) -> Entry:
        """dX = dY W and dW = dY^T X."""
        W, dW = self._W, TORCH.empty_like(self._W)
        X, dY, dX = ([self._own(view(a)) for a in arrays] for arrays in (xs, dys, dxs))

        def error() -> float:
            part = slice(0, CHECKED)
            of_dx = _error(dX[0][part], double(dY[0][part]) @ double(W))
            of_dW = _error(dW[part], _transposed_product(dY[0][:, part], X[0]))
            return math.nan if math.isnan(of_dx + of_dW) else max(of_dx, of_dW)

        calls = [
            partial(self._multiply, (dy, W, dx), (dy.T, x, dW))
            for dy, x, dx in zip(dY, X, dX, strict=True)
        ]
        flop = 4.0 * X[0].numel() * len(W)
        return self._entry(calls, [X[0], dY[0], W], [dX[0], dW], error, flop)

    def _own(self, tensor: Any) -> Any:
        """Return the tensor as this precision stores it."""
        return tensor.bfloat16() if self.name == "bf16" else tensor

    def _multiply(self, *products: tuple[Any, Any, Any]) -> None:
        TORCH.set_float32_matmul_precision(self._precision)
        for a, b, out in products:
            TORCH.mm(a, b, out=out)

    def _entry(
        self,
        calls: Sequence[Callable[[], Any]],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        error: Callable[[], float],
        flop: float,
    ) -> Entry:
        moved = float(sum(a.numel() * a.element_size() for a in (*inputs, *outputs)))
        return Entry(calls, outputs, error, self._tolerance, moved, flop)


def _transposed_product(a: Any, b: Any) -> Any:
    """Return a^T b in float64, by parts: b is long."""
    step = 1 << 13
    parts = (slice(start, start + step) for start in range(0, len(a), step))
    return sum(double(a[part]).T @ double(b[part]) for part in parts)


def _error(result: Any, truth: Any) -> float:
    difference = Difference()
    difference.add(result, truth)
    return difference.error
