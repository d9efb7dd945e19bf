"""What `bench_gpu` times of Fastfood: the fused layer forward and backward, and the transform."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from gpu_arrays import empty, random, sets_for
from gpu_dense import Dense
from gpu_device import cuda
from gpu_entries import TOLERANCES, Entry
from gpu_truth import FastfoodTruth
from harness import WrongResultError

from fastfood_np import backends, fastfood_transform
from fastfood_np.layers import Fastfood
from fastfood_np.transforms.factors import FastfoodFactors

WHOLE_ROWS = 64


class GpuWork:
    """Float32 rows x of d numbers, dy of n, and a layer that takes one to the other.

    Lengths are powers of two. The layer's matrix has entries of variance 1 / d, so that outputs are
    as large as inputs. Each set of buffers has a cache of its own, which owns what the layer
    returns; so nothing is allocated while it is timed.
    """

    def __init__(self, m: int, d: int, n: int) -> None:
        self.m, self.d, self.n = m, d, n
        self.host_layer = Fastfood(d, n, sigma=math.sqrt(d), rng=0)
        self.layer = self.host_layer.to_device()
        self.xs = [random(m, d, seed=d + i) for i in range(sets_for(4 * m * (d + n)))]
        self._truth = FastfoodTruth(
            self.host_layer.params, self.host_layer.perm, self.host_layer.scale
        )

    def forward(self) -> tuple[Entry, list[Any]]:
        """Enter y from x; return also the arrays y."""
        ys, caches = zip(*(self.layer.forward(x, cache={}) for x in self.xs), strict=True)
        entry = self._entry(
            [
                partial(self.layer.forward, x, cache=cache)
                for x, cache in zip(self.xs, caches, strict=True)
            ],
            [ys[0]],
            lambda: self._truth.error(self.xs[0], ys[0]),
            flop=self.m * self.n * (2 * math.log2(self.d) + 4),
            moved=4 * self.m * (self.d + self.n),
        )
        return entry, list(ys)

    def backward(self) -> tuple[Entry, list[Any], list[Any]]:
        """Enter dx and the gradients from x and dy; return also the arrays dy and dx."""
        dys = [random(self.m, self.n, seed=self.d + 1000 + i) for i in range(len(self.xs))]
        caches = [self.layer.forward(x, cache={})[1] for x in self.xs]
        pairs = list(zip(dys, caches, strict=True))
        results = [self.layer.backward(dy, cache) for dy, cache in pairs]
        dx, grads = results[0]
        entry = self._entry(
            [partial(self.layer.backward, dy, cache) for dy, cache in pairs],
            [dx, *grads.values()],
            lambda: self._truth.gradients_error(self.xs[0], dys[0], dx, grads),
            flop=self.m * self.n * (4 * math.log2(self.d) + 12),
            moved=4 * self.m * (2 * self.d + self.n),
        )
        return entry, dys, [dx for dx, _ in results]

    def transform(self, nonlinearity: str) -> Entry:
        """Enter `fastfood_transform` with a nonlinearity at its end."""
        layer, width = self.host_layer, self.n * (2 if nonlinearity == "cos_sin" else 1)
        params = layer.params
        factors = FastfoodFactors(S=params["S"], G=params["G"], B=params["B"], perm=layer.perm)
        factors = factors.to_device()
        ys = [empty(self.m, width) for _ in self.xs]
        call = partial(
            fastfood_transform,
            factors=factors,
            scale=layer.scale,
            nonlinearity=nonlinearity,
        )
        return self._entry(
            [partial(call, x, out=y) for x, y in zip(self.xs, ys, strict=True)],
            [ys[0]],
            lambda: self._truth.error(self.xs[0], ys[0], nonlinearity),
            moved=4 * self.m * (self.d + width),
        )

    def dense(self, name: str) -> Dense:
        """Return the dense layer of the same shapes."""
        return Dense(self.n, self.d, name)

    @staticmethod
    def _entry(
        calls: Any, outputs: Any, error: Any, *, moved: float, flop: float | None = None
    ) -> Entry:
        return Entry(
            calls, outputs, error, TOLERANCES["float32"], moved=moved, flop=flop, repeatable=True
        )


def check_whole_numbers(d: int, n: int, rows: int = WHOLE_ROWS, *, backward: bool = True) -> None:
    """See that sums which no rounding touches have the reference's bits."""
    rng = np.random.default_rng(d)
    layer = Fastfood(d, n, sigma=1 / math.sqrt(d), rng=0)  # its scale is 1
    for name in ("S", "G"):
        layer.params[name][...] = rng.choice([-1, 1], layer.perm.shape)
    x = rng.integers(-1, 2, (rows, d)).astype(np.float32)
    dy = rng.integers(-1, 2, (rows, n)).astype(np.float32)
    with backends.using("reference"):
        truths = _results(layer, x, dy, backward)
    found = _results(layer.to_device(), cuda.to_device(x), cuda.to_device(dy), backward)
    for name, truth in truths.items():
        if not np.array_equal(found[name].copy_to_host(), truth):
            raise WrongResultError(f"{name} of whole numbers, d = {d}, n = {n}: not the CPU's bits")


def _results(layer: Fastfood, x: Any, dy: Any, backward: bool) -> dict[str, Any]:
    y, cache = layer.forward(x)
    if not backward:
        return {"y": y}
    dx, grads = layer.backward(dy, cache)
    return {"y": y, "dx": dx, **grads}
