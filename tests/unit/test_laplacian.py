"""The exact Laplacian kernel."""

import math

import numpy as np
import oracles
import pytest

from fastfood_np.kernels import laplacian, pairs

DTYPES = (np.float32, np.float64)


def points(seed, m, d, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((m, d)).astype(dtype)


@pytest.mark.parametrize("sigma", [0.3, 1, 2.5, np.float32(4.0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_oracle(dtype, sigma):
    X, Y = points(1, 5, 3, dtype), points(2, 7, 3, dtype)
    kernel = laplacian(X, Y, sigma=sigma)
    assert kernel.shape == (5, 7) and kernel.dtype == dtype
    expected = oracles.laplacian(X, Y, float(sigma))
    # exp(-t) has t times the relative error of t.
    limit = np.finfo(dtype).eps * (2.0 - 4.0 * np.log(expected)) * expected
    assert (np.abs(kernel - expected) <= limit).all()


@pytest.mark.parametrize(("distance", "sigma"), [(0.0, 1.0), (1.0, 1.0), (3.0, 2.0), (1e-9, 1e-9)])
def test_closed_form(distance, sigma):
    # The sum of the coordinates counts, not the length.
    kernel = laplacian([[0.0, 0.0]], [[0.75 * distance, -0.25 * distance]], sigma=sigma)
    assert kernel.item() == pytest.approx(math.exp(-distance / sigma), rel=1e-15)


def test_against_scikit_learn():
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    X, Y = points(3, 6, 4), points(4, 5, 4)
    expected = pairwise.laplacian_kernel(X, Y, gamma=1.0 / 3.0)
    np.testing.assert_allclose(laplacian(X, Y, sigma=3.0), expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 7, 33])
def test_without_y(m, dtype):
    X = points(5, m, 4, dtype)
    kernel = laplacian(X, sigma=1.5)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel.diagonal(), 1.0)
    np.testing.assert_array_equal(kernel, laplacian(X, X.copy(), sigma=1.5))


def test_positive_semidefinite():
    kernel = laplacian(points(6, 40, 3), sigma=4.0)
    assert kernel.min() < 0.2 and np.median(kernel) > 0.2  # neither all 0 nor all 1
    assert np.linalg.eigvalsh(kernel).min() >= -16 * 40 * np.finfo(float).eps


def test_float32_is_computed_in_float64():
    X, Y = points(7, 4, 64, np.float32), points(8, 4, 64, np.float32)
    exact = laplacian(X.astype(np.float64), Y.astype(np.float64), sigma=50.0)
    np.testing.assert_array_equal(laplacian(X, Y, sigma=50.0), exact.astype(np.float32))


@pytest.mark.parametrize("sigma", [1e-320, 1e-200, 1e200])
def test_extreme_bandwidths(sigma):
    with np.errstate(all="raise", under="ignore"):
        kernel = laplacian([[0.0], [1.0]], sigma=sigma)
    np.testing.assert_array_equal(kernel, [[1, sigma > 1], [sigma > 1, 1]])


@pytest.mark.parametrize("far", [1e200, 1.7e308])
def test_huge_points(far):
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(laplacian([[far, far], [-far, far]], sigma=1.0), np.eye(2))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_blocks_change_no_bits(monkeypatch, rows):
    X, Y = points(9, 10, 3), points(10, 6, 3)
    whole = laplacian(X, Y, sigma=1.0)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", rows * 2 * 8 * len(Y))
    np.testing.assert_array_equal(laplacian(X, Y, sigma=1.0), whole)


def test_memory_beside_the_result_is_bounded(monkeypatch):
    tracemalloc = pytest.importorskip("tracemalloc")
    X = points(16, 400, 3)
    laplacian(X, sigma=1.0)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 1 << 18)
    tracemalloc.start()
    try:
        kernel = laplacian(X, sigma=1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= kernel.nbytes + (1 << 18) + (1 << 16)


@pytest.mark.parametrize(
    ("given", "returned"),
    [(bool, np.float64), (np.int32, np.float64), (np.float16, np.float32)],
)
def test_other_dtypes_are_converted(given, returned):
    kernel = laplacian(np.array([[0, 1], [1, 0]]).astype(given), sigma=1.0)
    assert kernel.dtype == returned
    np.testing.assert_allclose(kernel[0, 1], math.exp(-2.0), rtol=1e-6)


def test_inputs_are_not_written():
    X, Y = points(11, 4, 3), points(12, 4, 3)
    X.flags.writeable = Y.flags.writeable = False
    expected = laplacian(X.copy(), Y.copy(), sigma=1.0)
    np.testing.assert_array_equal(laplacian(np.asfortranarray(X), Y, sigma=1.0), expected)


GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("X", "Y", "sigma", "error", "message"),
    [
        (np.ones(3), None, 1.0, ValueError, r"X must have shape \(m, d\) .* got \(3,\)"),
        (GOOD, np.ones((2, 4)), 1.0, ValueError, r"Y must have X's d = 3 .* got shape \(2, 4\)"),
        (GOOD, np.ones((2, 3), np.float32), 1.0, TypeError, "Y must .* float64, got float32"),
        ([[np.nan, 1.0]], None, 1.0, ValueError, "X must be finite"),
        (GOOD, None, 0.0, ValueError, r"sigma must be greater than 0\.0, got 0\.0"),
        (GOOD, None, -1, ValueError, r"sigma must be greater than 0\.0, got -1"),
        (GOOD, None, np.nan, ValueError, "sigma must be finite, got nan"),
        (GOOD, None, "1", TypeError, "sigma must be a real number, got '1'"),
        (GOOD, None, None, TypeError, "sigma must be a real number, got None"),
        (GOOD, None, True, TypeError, "sigma must be a real number, got True"),
    ],
)
def test_refuses(X, Y, sigma, error, message):
    with pytest.raises(error, match=message):
        laplacian(X, Y, sigma=sigma)


def test_sigma_has_no_default():
    with pytest.raises(TypeError, match="sigma"):
        laplacian(GOOD)


def test_random_cosine_features_agree():
    # The kernel is the mean of cos(<w, x - y>) over Cauchy coordinates of scale 1 / sigma.
    n, sigma = 200_000, 2.5
    X, Y = 0.8 * points(13, 3, 4), 0.8 * points(14, 4, 4)
    w = np.random.default_rng(15).standard_cauchy((n, 4)) / sigma
    kernel = laplacian(X, Y, sigma=sigma)
    assert np.ptp(kernel) > 0.2
    samples = np.cos(np.einsum("nd,ijd->nij", w, X[:, None] - Y[None]))
    error = samples.std(axis=0) / math.sqrt(n)
    assert np.abs((samples.mean(axis=0) - kernel) / error).max() < 4.5
    # A bandwidth wrong by 2 % would have been seen.
    wrong = laplacian(X, Y, sigma=1.02 * sigma)
    assert np.abs((samples.mean(axis=0) - wrong) / error).max() > 4.5
