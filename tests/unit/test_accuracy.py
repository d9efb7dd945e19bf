"""The kernels' rounding errors are at most twice those of dense matrix products in the same dtype.

A truth that is rounded far less comes from `backends.reference` in the next wider dtype.
"""

import functools

import numpy as np
import pytest
from scipy.linalg import hadamard

from fastfood_np.backends import cpu, reference
from fastfood_np.backends.cpu import jit
from fastfood_np.backends.cpu.widths import BYTES, chosen
from fastfood_np.transforms.factors import FastfoodFactors, draw_fastfood, fastfood_matrix

WIDER = {np.float32: np.float64, np.float64: np.longdouble}
NOT_WIDER = np.finfo(np.longdouble).eps > np.finfo(np.float64).eps / 100
SEEDS = (1, 2, 3)

pytestmark = pytest.mark.skipif(
    jit.disabled(), reason="compiled arithmetic is the subject; plain Python takes minutes"
)
every_form = pytest.mark.parametrize("form", BYTES)
every_dtype = pytest.mark.parametrize(
    "dtype",
    [
        np.float32,
        pytest.param(
            np.float64,
            marks=pytest.mark.skipif(NOT_WIDER, reason="long double is no longer than double"),
        ),
    ],
)


def assert_at_most_twice(ours, dense, truth):
    """Compare the root mean square and the largest of the errors over the whole arrays."""
    ours, dense = ours - truth, dense - truth
    assert np.sqrt(np.mean(ours**2)) <= 2 * np.sqrt(np.mean(dense**2))
    assert np.abs(ours).max() <= 2 * np.abs(dense).max()


# ---------------------------------------------------------------------------------- fwht


@functools.cache
def fwht_case(d, dtype, seed):
    """x, its dense product with H, and the true one."""
    x = np.random.default_rng(seed).standard_normal((max(16, 2**14 // d), d)).astype(dtype)
    truth = x.astype(WIDER[dtype])
    reference.fwht(truth, truth)
    return x, x @ hadamard(d, dtype=dtype), truth


@every_dtype
@every_form
@pytest.mark.parametrize("d", [16, 64, 256, 1024, 4096])
def test_fwht(form, dtype, d):
    for seed in SEEDS:
        x, dense, truth = fwht_case(d, dtype, seed)
        y = np.empty_like(x)
        with cpu.vectors(form), cpu.serial():
            cpu.fwht(x, y)
        assert_at_most_twice(y, dense, truth)


# ------------------------------------------------------------------------------ Fastfood

# A plain case; one padded and cut, of several blocks; one of a few rows, which go one by one.
SHAPES = {"square": (64, 256, 256), "cut": (50, 100, 300), "few rows": (3, 100, 200)}
RESULTS = ("y", "dx", "dS", "dG", "dB")


def run(backend, x, dy, S, G, B, perm, scale):
    """All five results of a backend, in the dtype of the arguments."""
    y, dx, dS, dG, dB = map(np.empty_like, (dy, x, S, G, B))
    backend.fastfood_forward(x, S, G, B, perm, scale, None, 1.0, "none", None, 1.0, y)
    backend.fastfood_backward(x, dy, S, G, B, perm, scale, None, 1.0, dx, dS, dG, dB)
    return y, dx, dS, dG, dB


def dense_results(V, x, dy, S, G, B, perm, scale):
    """All five from dense products: y and dx with V, the others by equation 6 with H."""
    (m, n_out), (blocks, d_pad) = dy.shape, S.shape
    H = hadamard(d_pad, dtype=x.dtype)
    padded = np.zeros((m, 1, d_pad), x.dtype)
    padded[:, 0, : x.shape[1]] = x
    h_G = np.take_along_axis((B * padded) @ H, perm[None], axis=2)
    h_S = (G * h_G) @ H
    dh = np.zeros((m, blocks * d_pad), x.dtype)
    dh[:, :n_out] = x.dtype.type(scale) * dy
    dh = dh.reshape(m, blocks, d_pad)
    dS = (dh * h_S).sum(axis=0)
    dh = (S * dh) @ H
    dG = (dh * h_G).sum(axis=0)
    dh_Pi = np.empty_like(dh)
    np.put_along_axis(dh_Pi, perm[None], G * dh, axis=2)
    dB = (dh_Pi @ H * padded).sum(axis=0)
    return x @ V.T, dy @ V, dS, dG, dB


@functools.cache
def fastfood_case(shape, dtype, seed):
    """Arguments, what dense products make of them, and the true results."""
    m, d_in, n_out = SHAPES[shape]
    rng = np.random.default_rng(seed)
    factors = draw_fastfood(d_in, n_out, rng)
    factors = factors._replace(**{name: getattr(factors, name).astype(dtype) for name in "SGB"})
    scale = 1 / np.sqrt(factors.S.shape[1])
    x = rng.standard_normal((m, d_in)).astype(dtype)
    dy = rng.standard_normal((m, n_out)).astype(dtype)
    arguments = (x, dy, *factors, scale)

    wide_x, wide_dy, *wide = (a.astype(WIDER[dtype]) for a in (x, dy, *factors[:3]))
    wide_factors = FastfoodFactors(*wide, factors.perm)
    truth = run(reference, wide_x, wide_dy, *wide_factors, WIDER[dtype](scale))
    V = fastfood_matrix(wide_factors, scale, (n_out, d_in)).astype(dtype)
    return arguments, dense_results(V, *arguments), truth


# In the processor's own form and in the portable one: test_widths shows that forms agree.
@every_dtype
@pytest.mark.parametrize(
    ("form", "shape"),
    [*((chosen(), shape) for shape in SHAPES), ("portable", next(iter(SHAPES)))],
)
def test_fastfood(form, dtype, shape):
    for seed in SEEDS:
        arguments, dense, truth = fastfood_case(shape, dtype, seed)
        with cpu.vectors(form), cpu.serial():
            ours = run(cpu, *arguments)
        for results in zip(ours, dense, truth, strict=True):
            assert_at_most_twice(*results)
