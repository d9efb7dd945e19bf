"""What `bench_fastfood` times of ours: the fused layer forward and backward, and cos+sin features.

All arrays are made before anything is timed, and each contender comes with the truth to check it
against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from harness import Contender, check, touch

from fastfood_np import backends, transforms
from fastfood_np.backends import cpu
from fastfood_np.backends.cpu.kernel import Kernel
from fastfood_np.layers import Fastfood
from fastfood_np.transforms.factors import FastfoodFactors

CHECKED_ROWS = 16
Results = dict[str, Any]


class Entry(NamedTuple):
    """A contender, the part of its results that is checked, and what that should be."""

    contender: Contender
    results: Callable[[], Results]
    truth: Results


def check_all(entries: Mapping[str, Entry], title: str) -> dict[str, float]:
    """Run every contender once; return its largest error."""
    errors = {}
    for name, (contender, results, truth) in entries.items():
        contender.run()
        found = results()
        errors[name] = max(check(f"{name}, {title}: {k}", found[k], truth[k]) for k in truth)
    return errors


class Work:
    """Float32 data of one size, d = n, and a Fastfood layer.

    The layer's matrix has entries of variance 1 / d, so that outputs are as large as inputs.
    """

    def __init__(self, d: int, m: int) -> None:
        self.d, self.m = d, m
        rng = np.random.default_rng(d)
        self.x, self.dy = rng.standard_normal((2, m, d), np.float32)
        self.layer = Fastfood(d, d, sigma=math.sqrt(d), rng=0)
        self.rows = np.unique(np.linspace(0, m - 1, CHECKED_ROWS).astype(int))

    def forward(self) -> Entry:
        """Y from X."""
        x, layer = self.x, self.layer
        y, cache = layer.forward(x, cache={})
        contender = Contender(
            lambda: layer.forward(x, cache=cache),
            lambda: touch(x, y),
            flop=float(x.size * (2 * math.log2(self.d) + 4)),
            moved=float(x.nbytes + y.nbytes),
        )
        return Entry(contender, lambda: {"y": y[self.rows]}, {"y": self._true_y()})

    def kernel(self) -> Entry:
        """Y from X by the compiled kernel, called with what the backend prepares for it."""
        y = np.empty_like(self.x)
        p, layer = self.layer.params, self.layer
        calls: list[tuple[Any, ...]] = []
        with mock.patch.object(Kernel, "__call__", lambda *arguments: calls.append(arguments)):
            cpu.fastfood_forward(
                self.x,
                p["S"],
                p["G"],
                p["B"],
                layer.perm,
                layer.scale,
                None,
                1.0,
                "none",
                None,
                1.0,
                y,
            )
        ((kernel, *arguments),) = calls
        contender = Contender(lambda: kernel(*arguments), lambda: touch(self.x, y))
        return Entry(contender, lambda: {"y": y[self.rows]}, {"y": self._true_y()})

    def backward(self) -> Entry:
        """The gradients of X, S, G and B from X and dY."""
        x, dy, layer = self.x, self.dy, self.layer
        _, cache = layer.forward(x, cache={})
        dx, grads = layer.backward(dy, cache)
        contender = Contender(
            lambda: layer.backward(dy, cache),
            lambda: touch(x, dy, dx),
            flop=float(x.size * (4 * math.log2(self.d) + 12)),
            moved=float(x.nbytes + dy.nbytes + dx.nbytes),
        )
        precise = self._precise_layer()
        with backends.using("reference"):
            _, precise_cache = precise.forward(x.astype(np.float64))
            true_dx, true_grads = precise.backward(dy.astype(np.float64), precise_cache)
        return Entry(contender, lambda: {"dx": dx, **grads}, {"dx": true_dx, **true_grads})

    def cos_sin(self) -> Entry:
        """[cos Y, sin Y] from X."""
        x, layer = self.x, self.layer
        params = layer.params
        factors = FastfoodFactors(S=params["S"], G=params["G"], B=params["B"], perm=layer.perm)
        features = np.empty((self.m, 2 * self.d), np.float32)

        def run() -> None:
            transforms.fastfood_transform(
                x, factors, scale=layer.scale, nonlinearity="cos_sin", out=features
            )

        contender = Contender(
            run, lambda: touch(x, features), moved=float(x.nbytes + features.nbytes)
        )
        y = self._true_y()
        truth = np.concatenate([np.cos(y), np.sin(y)], axis=1)
        return Entry(contender, lambda: {"features": features[self.rows]}, {"features": truth})

    def _true_y(self) -> Any:
        with backends.using("reference"):
            return self._precise_layer()(self.x[self.rows].astype(np.float64))

    def _precise_layer(self) -> Fastfood:
        """Return the layer in float64, with the same factors to the bit."""
        precise = Fastfood(self.d, self.d, sigma=math.sqrt(self.d), rng=0, dtype=np.float64)
        for name, param in precise.params.items():
            param[...] = self.layer.params[name]
        return precise
