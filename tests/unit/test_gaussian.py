"""The exact Gaussian kernel."""

import math

import numpy as np
import oracles
import pytest

from fastfood_np.kernels import gaussian, pairs

DTYPES = (np.float32, np.float64)


def points(seed, m, d, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((m, d)).astype(dtype)


@pytest.mark.parametrize("sigma", [0.3, 1, 2.5, np.float32(4.0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_oracle(dtype, sigma):
    X, Y = points(1, 5, 3, dtype), points(2, 7, 3, dtype)
    kernel = gaussian(X, Y, sigma=sigma)
    assert kernel.shape == (5, 7) and kernel.dtype == dtype
    expected = oracles.gaussian(X, Y, float(sigma))
    # exp(-t) has t times the relative error of t.
    limit = np.finfo(dtype).eps * (2.0 - 4.0 * np.log(expected)) * expected
    assert (np.abs(kernel - expected) <= limit).all()


@pytest.mark.parametrize(("distance", "sigma"), [(0.0, 1.0), (1.0, 1.0), (3.0, 2.0), (1e-9, 1e-9)])
def test_closed_form(distance, sigma):
    kernel = gaussian([[0.0, 0.0]], [[0.6 * distance, 0.8 * distance]], sigma=sigma)
    assert kernel.item() == pytest.approx(math.exp(-((distance / sigma) ** 2) / 2), rel=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 7, 33])
def test_without_y(m, dtype):
    X = points(3, m, 4, dtype)
    kernel = gaussian(X, sigma=1.5)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel.diagonal(), 1.0)
    np.testing.assert_array_equal(kernel, gaussian(X, X.copy(), sigma=1.5))


def test_positive_semidefinite():
    kernel = gaussian(points(4, 40, 3), sigma=2.0)
    assert kernel.min() < 0.1 and np.median(kernel) > 0.05  # neither all 0 nor all 1
    assert np.linalg.eigvalsh(kernel).min() >= -16 * 40 * np.finfo(float).eps


def test_near_points_far_from_the_origin():
    # By |x|^2 + |y|^2 - 2 <x, y> this squared distance would have no correct digit.
    X = np.array([[1e8, 1.0]])
    kernel = gaussian(X, X + np.array([0.0, 1e-3]), sigma=1e-3)
    shift = (1.0 + 1e-3) - 1.0
    assert kernel.item() == pytest.approx(math.exp(-((shift / 1e-3) ** 2) / 2), rel=1e-13)


def test_float32_is_computed_in_float64():
    X, Y = points(5, 4, 64, np.float32), points(6, 4, 64, np.float32)
    exact = gaussian(X.astype(np.float64), Y.astype(np.float64), sigma=3.0)
    np.testing.assert_array_equal(gaussian(X, Y, sigma=3.0), exact.astype(np.float32))


@pytest.mark.parametrize("sigma", [1e-320, 1e-200, 1e200])
def test_extreme_bandwidths(sigma):
    with np.errstate(all="raise", under="ignore"):
        kernel = gaussian([[0.0], [1.0]], sigma=sigma)
    np.testing.assert_array_equal(kernel, [[1, sigma > 1], [sigma > 1, 1]])


def test_huge_points():
    np.testing.assert_array_equal(gaussian([[1e200], [-1e200]], sigma=1.0), np.eye(2))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_blocks_change_no_bits(monkeypatch, rows):
    X, Y = points(7, 10, 3), points(8, 6, 3)
    whole = gaussian(X, Y, sigma=1.0)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", rows * 2 * 8 * len(Y))
    np.testing.assert_array_equal(gaussian(X, Y, sigma=1.0), whole)


@pytest.mark.parametrize("m", [1, 5, 6, 7])
def test_row_blocks_cover_every_row_once(monkeypatch, m):
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 24)
    covered = [i for rows in pairs.row_blocks(m, 8) for i in range(rows.start, rows.stop)]
    assert covered == list(range(m))
    assert max(rows.stop - rows.start for rows in pairs.row_blocks(m, 8)) <= 3
    assert all(rows.stop - rows.start == 1 for rows in pairs.row_blocks(m, 1000))


@pytest.mark.parametrize("arrange", [np.asfortranarray, lambda X: np.repeat(X, 2, 0)[::2]])
def test_layout_and_inputs(arrange):
    X = points(9, 6, 4)
    given = arrange(X)
    given.flags.writeable = False
    np.testing.assert_array_equal(gaussian(given, sigma=1.0), gaussian(X, sigma=1.0))
    np.testing.assert_array_equal(given, X)


@pytest.mark.parametrize(
    ("given", "returned"),
    [(bool, np.float64), (np.int32, np.float64), (np.float16, np.float32)],
)
def test_other_dtypes_are_converted(given, returned):
    X = np.array([[0, 1], [1, 1]]).astype(given)
    kernel = gaussian(X, sigma=1.0)
    assert kernel.dtype == returned
    np.testing.assert_allclose(kernel[0, 1], math.exp(-0.5), rtol=1e-6)


GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("X", "Y", "sigma", "error", "message"),
    [
        (np.ones(3), None, 1.0, ValueError, r"X must have shape \(m, d\) .* got \(3,\)"),
        (np.ones((0, 3)), None, 1.0, ValueError, r"X must have shape \(m, d\) .* got \(0, 3\)"),
        (GOOD, np.ones((2, 0)), 1.0, ValueError, r"Y must have shape \(m, d\) .* got \(2, 0\)"),
        (GOOD, np.ones((2, 4)), 1.0, ValueError, r"Y must have X's d = 3 .* got shape \(2, 4\)"),
        (GOOD, np.ones((2, 3), np.float32), 1.0, TypeError, "Y must .* float64, got float32"),
        (np.ones((2, 3), np.float32), GOOD, 1.0, TypeError, "Y must .* float32, got float64"),
        ([[np.nan, 1.0]], None, 1.0, ValueError, "X must be finite"),
        (GOOD, [[np.inf, 1.0, 1.0]], 1.0, ValueError, "Y must be finite"),
        (GOOD * 1j, None, 1.0, TypeError, "X must hold real numbers .* got complex128"),
        (GOOD.astype(np.longdouble), None, 1.0, TypeError, "X must hold real numbers"),
        ([["a"]], None, 1.0, TypeError, "X must hold real numbers .* got <U1"),
        (None, None, 1.0, TypeError, "X must hold real numbers .* got object"),
        (GOOD, None, 0.0, ValueError, r"sigma must be greater than 0\.0, got 0\.0"),
        (GOOD, None, -1, ValueError, r"sigma must be greater than 0\.0, got -1"),
        (GOOD, None, np.nan, ValueError, "sigma must be finite, got nan"),
        (GOOD, None, np.inf, ValueError, "sigma must be finite, got inf"),
        (GOOD, None, "1", TypeError, "sigma must be a real number, got '1'"),
        (GOOD, None, None, TypeError, "sigma must be a real number, got None"),
        (GOOD, None, [1.0], TypeError, r"sigma must be a real number, got \[1\.0\]"),
        (GOOD, None, True, TypeError, "sigma must be a real number, got True"),
    ],
)
def test_refuses(X, Y, sigma, error, message):
    with pytest.raises(error, match=message):
        gaussian(X, Y, sigma=sigma)


def test_sigma_has_no_default():
    with pytest.raises(TypeError, match="sigma"):
        gaussian(GOOD)


def test_random_cosine_features_agree():
    # Bochner: the kernel is the mean of cos(<w, x - y>) over w ~ N(0, I / sigma^2).
    n, sigma = 200_000, 1.7
    X, Y = 0.8 * points(10, 3, 4), 0.8 * points(11, 4, 4)
    w = np.random.default_rng(12).standard_normal((n, 4)) / sigma
    kernel = gaussian(X, Y, sigma=sigma)
    assert np.ptp(kernel) > 0.2
    samples = np.cos(np.einsum("nd,ijd->nij", w, X[:, None] - Y[None]))
    z = (samples.mean(axis=0) - kernel) / (samples.std(axis=0) / math.sqrt(n))
    assert np.abs(z).max() < 4.5
    # A bandwidth wrong by 1 % would have been seen.
    wrong = (samples.mean(axis=0) - gaussian(X, Y, sigma=1.01 * sigma)) / samples.std(axis=0)
    assert np.abs(wrong * math.sqrt(n)).max() > 4.5
