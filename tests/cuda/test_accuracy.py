"""Rounding in device memory: at most twice what a dense product of the same numbers loses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.linalg import hadamard

from fastfood_np import fwht
from fastfood_np.backends.cuda.numba_cuda import cuda
from fastfood_np.layers import Fastfood
from fastfood_np.transforms import FastfoodFactors, fastfood_matrix

pytestmark = pytest.mark.simulated

ROWS = 3


def normal(seed: int, *shape: int) -> Any:
    """Return N(0, 1) numbers of single precision."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def error(found: Any, truth: Any) -> float:
    """Return the norm of the error by that of the truth."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("d", [64, 512, 1024])
def test_fwht(d: int) -> None:
    x, H = normal(0, ROWS, d), hadamard(d)
    truth = x.astype(np.float64) @ H
    ours = fwht(cuda.to_device(x)).copy_to_host()
    assert error(ours, truth) <= 2 * error(x @ H.astype(np.float32), truth)


@pytest.mark.parametrize(("d", "n_out"), [(64, 100), (256, 256), (1024, 1024)])
def test_fastfood_and_its_input_gradient(d: int, n_out: int) -> None:
    layer = Fastfood(d, n_out, rng=1)
    S, G, B = (layer.params[name].astype(np.float64) for name in "SGB")
    factors = FastfoodFactors(S, G, B, layer.perm)
    W = fastfood_matrix(factors, scale=layer.scale)[:n_out]
    x, dy = normal(2, ROWS, d), normal(3, ROWS, n_out)
    y, cache = layer.to_device().forward(cuda.to_device(x))
    dx, _ = layer.to_device().backward(cuda.to_device(dy), cache)
    for ours, given, matrix in ((y, x, W.T), (dx, dy, W)):
        truth = given.astype(np.float64) @ matrix
        assert error(ours.copy_to_host(), truth) <= 2 * error(
            given @ matrix.astype(np.float32), truth
        )
