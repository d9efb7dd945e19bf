"""The hash functions behind `Hashed`: pinned numbers, an oracle in Python's integers, backward."""

import numpy as np
import oracles_hashing
import pytest

from fastfood_np.backends import cpu, reference
from fastfood_np.backends.cpu import jit

BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def matrix(backend, w, seed, shape):
    W = np.full(shape, np.nan, w.dtype)
    backend.hashed_matrix(w, seed, W)
    return W


def places(backend, seed, shape, n_hashed):
    """h and s of all entries, read off a matrix made of 1, 2, 3, ..."""
    W = matrix(backend, np.arange(1.0, n_hashed + 1), seed, shape)
    return np.abs(W).astype(int) - 1, np.sign(W).astype(int)


def test_the_mix_is_that_of_murmurhash():
    """The published MurmurHash3 of the empty text, for seeds 0, 1 and 2^32 - 1."""
    assert [oracles_hashing.mixed(seed) for seed in (0, 1, 2**32 - 1)] == [
        0,
        0x514E28B7,
        0x81F16F39,
    ]


# Seed, entry, number of weights, and then h and s: files of models depend on them.
PINNED = [
    (0, 0, 1000, 0, -1),
    (1, 0, 1000, 317, 1),
    (0, 1, 1000, 70, 1),
    (0, 1234, 1000, 926, 1),
    (2**32 - 1, 7, 1000, 934, -1),
    (3141592653, 399, 65536, 21555, 1),
    (42, 1000, 3, 2, -1),
]


@BACKENDS
@pytest.mark.parametrize(("seed", "entry", "n_hashed", "h", "s"), PINNED)
def test_pinned(seed, entry, n_hashed, h, s, backend):
    for shape in ((1, entry + 1), (entry + 1, 1)):
        hs, ss = places(backend, seed, shape, n_hashed)
        assert (hs.flat[entry], ss.flat[entry]) == (h, s)
    assert oracles_hashing.place(entry, seed, n_hashed) == (h, s)


@BACKENDS
@both_dtypes
@pytest.mark.parametrize(("n_out", "d_in"), [(1, 1), (1, 9), (7, 1), (13, 17)])
@pytest.mark.parametrize("n_hashed", [1, 2, 3, 100, 4097])
def test_against_the_oracle(n_hashed, n_out, d_in, dtype, backend):
    w = np.random.default_rng(n_hashed).standard_normal(n_hashed).astype(dtype)
    for seed in (0, 1, 2**31, 2**32 - 1, 3141592653):
        expected = np.array(oracles_hashing.hashed_matrix(w, seed, n_out, d_in), dtype)
        found = matrix(backend, w, seed, (n_out, d_in))
        np.testing.assert_array_equal(found, expected, strict=True)


@BACKENDS
def test_many_weights(backend):
    """Products of 31 bits and of the number of weights need 64."""
    n_hashed = 2**17 + 3
    h, s = places(backend, 5, (20, 50), n_hashed)
    for entry in range(1000):
        assert (h.flat[entry], s.flat[entry]) == oracles_hashing.place(entry, 5, n_hashed)
    assert h.max() > 0.99 * n_hashed


@BACKENDS
@both_dtypes
@pytest.mark.parametrize("n_hashed", [1, 10, 5000])
def test_backward_is_the_transpose(n_hashed, dtype, backend):
    """<W(w), dW> = <w, dw>, exactly on whole numbers; what is in dw before does not matter."""
    rng = np.random.default_rng(n_hashed)
    w, dW = (rng.integers(-9, 10, shape).astype(dtype) for shape in (n_hashed, (30, 41)))
    dw = np.full_like(w, np.nan)
    backend.hashed_matrix_backward(dW, 77, dw)
    assert np.vdot(matrix(backend, w, 77, dW.shape), dW) == np.vdot(w, dw)
    # Each weight by itself: its gradient is the sum over the entries where it stands.
    h, s = places(backend, 77, dW.shape, n_hashed)
    expected = np.bincount(h.ravel(), (s * dW).ravel(), n_hashed)
    np.testing.assert_array_equal(dw, expected)


@BACKENDS
def test_no_entries_and_read_only_inputs(backend):
    w = np.arange(1.0, 4)
    w.flags.writeable = False
    assert matrix(backend, w, 0, (0, 5)).shape == (0, 5)
    dw = np.ones(3)
    backend.hashed_matrix_backward(np.empty((0, 5)), 0, dw)
    np.testing.assert_array_equal(dw, 0)
    matrix(backend, w, 0, (2, 5))
    np.testing.assert_array_equal(w, [1, 2, 3])


@BACKENDS
def test_nan_reaches_the_entries_of_its_weight_only(backend):
    w = np.arange(1.0, 8)
    W = matrix(backend, w, 3, (6, 5))
    w[4] = np.nan
    spoilt = matrix(backend, w, 3, (6, 5))
    np.testing.assert_array_equal(np.isnan(spoilt), np.abs(W) == 5)
    dW, dw = np.ones((6, 5)), np.empty(7)
    dW[2, 3] = np.nan
    backend.hashed_matrix_backward(dW, 3, dw)
    assert np.flatnonzero(np.isnan(dw)) == [np.abs(W[2, 3]) - 1]


@pytest.mark.skipif(jit.disabled(), reason="too slow as plain Python")
def test_large_matrices_agree():
    """More rows than are hashed by one thread; rows of 1027 entries: vectors and what is left."""
    w = np.random.default_rng(0).standard_normal(999)
    ours, theirs = (matrix(backend, w, 2**32 - 5, (300, 1027)) for backend in (cpu, reference))
    np.testing.assert_array_equal(ours, theirs)
    grads = np.empty((2, 999))
    for backend, dw in zip((cpu, reference), grads, strict=True):
        backend.hashed_matrix_backward(ours, 2**32 - 5, dw)
    np.testing.assert_allclose(grads[0], grads[1], rtol=1e-13)
