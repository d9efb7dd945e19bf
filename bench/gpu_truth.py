"""What is right, in float64: the definitions once more, in PyTorch on the GPU or in NumPy.

Independent of the package, and quick enough for all elements of large arrays, chunk by chunk.
Lengths are powers of two and outputs are whole blocks, as in the benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpu_arrays import MODULE, chunks, double, put, view


def hadamard(rows: Any) -> Any:
    """H applied to each row, stage by stage."""
    h, shape = 1, rows.shape
    while h < shape[-1]:
        pairs = rows.reshape(-1, 2, h)
        rows = MODULE.empty_like(pairs)
        rows[:, 0] = pairs[:, 0] + pairs[:, 1]
        rows[:, 1] = pairs[:, 0] - pairs[:, 1]
        h *= 2
    return rows.reshape(shape)


class Difference:
    """The relative error ||result - truth|| / ||truth||, gathered chunk by chunk."""

    def __init__(self) -> None:
        self._wrong = self._true = 0.0

    def add(self, result: Any, truth: Any) -> None:
        """Take in a chunk; the result is a view of any dtype, the truth of float64."""
        self._wrong += float(((double(result) - truth) ** 2).sum())
        self._true += float((truth**2).sum())

    @property
    def error(self) -> float:
        """The error; NaN where a result is NaN."""
        return math.sqrt(self._wrong / self._true)


def fwht_error(x: Any, y: Any, scale: float) -> float:
    """Return the error of y = scale H x, arrays of shape (m, d)."""
    X, Y, difference = view(x), view(y), Difference()
    for rows in chunks(*x.shape):
        difference.add(Y[rows], scale * hadamard(double(X[rows])))
    return difference.error


class FastfoodTruth:
    """y = c S H G Pi H B x and its gradients, with the factors of a layer."""

    def __init__(self, params: Mapping[str, Any], perm: Any, scale: float) -> None:
        self._S, self._G, self._B = (double(put(params[name])) for name in "SGB")
        self._perm, self._scale = put(perm), scale

    def error(self, x: Any, y: Any, nonlinearity: str = "none") -> float:
        """Return the error of y, or of what `nonlinearity` makes of it."""
        X, Y, difference = view(x), view(y), Difference()
        for rows in chunks(len(x), y.shape[1]):
            v = self._forward(double(X[rows]))
            if nonlinearity == "relu":
                v = v * (v > 0)
            elif nonlinearity == "cos_sin":
                v = MODULE.hstack([MODULE.cos(v), MODULE.sin(v)])
            difference.add(Y[rows], v)
        return difference.error

    def gradients_error(self, x: Any, dy: Any, dx: Any, grads: Mapping[str, Any]) -> float:
        """Return the largest error among dx, dS, dG and dB."""
        X, dY, dX, of_dx = view(x), view(dy), view(dx), Difference()
        sums = {name: 0.0 * diagonal for name, diagonal in zip("SGB", self._factors(), strict=True)}
        for rows in chunks(len(x), dy.shape[1]):
            of_dx.add(dX[rows], self._backward(double(X[rows]), double(dY[rows]), sums))
        errors = [of_dx.error]
        for name, truth in sums.items():
            difference = Difference()
            difference.add(view(grads[name]), truth)
            errors.append(difference.error)
        return math.nan if any(map(math.isnan, errors)) else max(errors)

    def _factors(self) -> tuple[Any, Any, Any]:
        return self._S, self._G, self._B

    def _forward(self, x: Any) -> Any:
        blocks = []
        for S, G, B, perm in zip(*self._factors(), self._perm, strict=True):
            h_G = hadamard(x * B)[:, perm]
            blocks.append(self._scale * S * hadamard(h_G * G))
        return MODULE.hstack(blocks)

    def _backward(self, x: Any, dy: Any, sums: Mapping[str, Any]) -> Any:
        """Add to the sums over rows; return dx."""
        dx, d = 0.0 * x, x.shape[1]
        for i, (S, G, B, perm) in enumerate(zip(*self._factors(), self._perm, strict=True)):
            h_G = hadamard(x * B)[:, perm]
            h_S = hadamard(h_G * G)
            d_out = self._scale * dy[:, i * d : (i + 1) * d]
            dh_H1 = hadamard(S * d_out)
            dh_H2 = hadamard((G * dh_H1)[:, perm.argsort()])
            sums["S"][i] += (d_out * h_S).sum(0)
            sums["G"][i] += (dh_H1 * h_G).sum(0)
            sums["B"][i] += (dh_H2 * x).sum(0)
            dx = dx + B * dh_H2
        return dx
