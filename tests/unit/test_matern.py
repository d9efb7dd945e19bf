"""The exact Matern kernels."""

import math

import numpy as np
import oracles
import pytest

from fastfood_np.kernels import laplacian, matern, pairs

DTYPES = (np.float32, np.float64)
NUS = (0.5, 1.5, 2.5)

# The kernel at s = sqrt(2 nu) |x - y| / sigma = 1, 2: e^s k is 1, 1 + s, 1 + s + s^2 / 3.
AT_ONE = {0.5: 1 / math.e, 1.5: 2 / math.e, 2.5: 7 / 3 / math.e}
AT_TWO = {0.5: math.exp(-2), 1.5: 3 * math.exp(-2), 2.5: 13 / 3 * math.exp(-2)}


def points(seed, m, d, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((m, d)).astype(dtype)


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("sigma", [0.3, 1, np.float32(4.0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_oracle(dtype, sigma, nu):
    X, Y = points(1, 5, 3, dtype), points(2, 7, 3, dtype)
    kernel = matern(X, Y, nu=nu, sigma=sigma)
    assert kernel.shape == (5, 7) and kernel.dtype == dtype
    expected = oracles.matern(X, Y, nu, float(sigma))
    # exp(-s) has s times the relative error of s, and s is at most 5 more than -log k.
    limit = np.finfo(dtype).eps * (20.0 - 4.0 * np.log(expected)) * expected
    assert (np.abs(kernel - expected) <= limit).all()


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("sigma", [1.0, 1e-9, 30.0])
def test_closed_form(sigma, nu):
    for s, expected in ((0.0, {nu: 1.0}), (1.0, AT_ONE), (2.0, AT_TWO)):
        distance = s * sigma / math.sqrt(2.0 * nu)
        kernel = matern([[0.0, 0.0]], [[0.6 * distance, 0.8 * distance]], nu=nu, sigma=sigma)
        assert kernel.item() == pytest.approx(expected[nu], rel=2e-15)


@pytest.mark.parametrize("nu", NUS)
def test_against_scikit_learn(nu):
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
    X, Y = points(3, 6, 4), points(4, 5, 4)
    expected = kernels.Matern(length_scale=3.0, nu=nu)(X, Y)
    np.testing.assert_allclose(matern(X, Y, nu=nu, sigma=3.0), expected, rtol=1e-14)


def test_on_the_line_nu_one_half_is_the_laplacian():
    X = points(5, 20, 1)
    np.testing.assert_array_equal(matern(X, nu=0.5, sigma=0.7), laplacian(X, sigma=0.7))


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 7, 33])
def test_without_y(m, dtype, nu):
    X = points(6, m, 4, dtype)
    kernel = matern(X, nu=nu, sigma=1.5)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel.diagonal(), 1.0)
    np.testing.assert_array_equal(kernel, matern(X, X.copy(), nu=nu, sigma=1.5))


@pytest.mark.parametrize("nu", NUS)
def test_positive_semidefinite(nu):
    kernel = matern(points(7, 40, 3), nu=nu, sigma=2.0)
    assert kernel.min() < 0.2 and np.median(kernel) > 0.2  # neither all 0 nor all 1
    assert np.linalg.eigvalsh(kernel).min() >= -16 * 40 * np.finfo(float).eps


@pytest.mark.parametrize("nu", NUS)
def test_near_zero_no_value_exceeds_one(nu):
    s = 10.0 ** np.random.default_rng(8).uniform(-10.0, -6.0, (2000, 1))
    kernel = matern([[0.0]], s, nu=nu, sigma=1.0)
    assert kernel.max() <= 1.0
    np.testing.assert_allclose(kernel, oracles.matern([[0.0]], s, nu, 1.0), rtol=0, atol=5e-16)


@pytest.mark.parametrize("nu", NUS)
def test_float32_is_computed_in_float64(nu):
    X, Y = points(9, 4, 64, np.float32), points(10, 4, 64, np.float32)
    exact = matern(X.astype(np.float64), Y.astype(np.float64), nu=nu, sigma=9.0)
    np.testing.assert_array_equal(matern(X, Y, nu=nu, sigma=9.0), exact.astype(np.float32))


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("sigma", [1e-320, 1e-200, 1e200])
def test_extreme_bandwidths(sigma, nu):
    with np.errstate(all="raise", under="ignore"):
        kernel = matern([[0.0], [1.0]], nu=nu, sigma=sigma)
    np.testing.assert_array_equal(kernel, [[1, sigma > 1], [sigma > 1, 1]])


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("far", [1e4, 1e160, 1e200, 1.7e308])
def test_huge_points(far, nu):
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(matern([[far], [-far]], nu=nu, sigma=1.0), np.eye(2))


@pytest.mark.parametrize("nu", NUS)
def test_large_distances(nu):
    s = np.array([[100.0], [500.0], [700.0]])
    kernel = matern([[0.0]], s / math.sqrt(2.0 * nu), nu=nu, sigma=1.0)
    expected = oracles.matern([[0.0]], s / math.sqrt(2.0 * nu), nu, 1.0)
    assert (expected > 0).all()
    np.testing.assert_allclose(kernel, expected, rtol=1e-12)


@pytest.mark.parametrize("nu", NUS)
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_blocks_change_no_bits(monkeypatch, rows, nu):
    X, Y = points(11, 10, 3), points(12, 6, 3)
    whole = matern(X, Y, nu=nu, sigma=1.0)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", rows * 2 * 8 * len(Y))
    np.testing.assert_array_equal(matern(X, Y, nu=nu, sigma=1.0), whole)


def test_memory_beside_the_result_is_bounded(monkeypatch):
    tracemalloc = pytest.importorskip("tracemalloc")
    X = points(13, 400, 3)
    matern(X, nu=2.5, sigma=1.0)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 1 << 18)
    tracemalloc.start()
    try:
        kernel = matern(X, nu=2.5, sigma=1.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= kernel.nbytes + (1 << 18) + (1 << 16)


@pytest.mark.parametrize(
    ("given", "returned"),
    [(bool, np.float64), (np.int32, np.float64), (np.float16, np.float32)],
)
def test_other_dtypes_are_converted(given, returned):
    kernel = matern(np.array([[0], [1]]).astype(given), nu=0.5, sigma=1.0)
    assert kernel.dtype == returned
    np.testing.assert_allclose(kernel[0, 1], math.exp(-1.0), rtol=1e-6)


def test_inputs_are_not_written():
    X, Y = points(14, 4, 3), points(15, 4, 3)
    X.flags.writeable = Y.flags.writeable = False
    expected = matern(X.copy(), Y.copy(), nu=2.5, sigma=1.0)
    np.testing.assert_array_equal(matern(np.asfortranarray(X), Y, nu=2.5, sigma=1.0), expected)


GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("X", "Y", "arguments", "error", "message"),
    [
        (np.ones(3), None, {}, ValueError, r"X must have shape \(m, d\) .* got \(3,\)"),
        (GOOD, np.ones((2, 4)), {}, ValueError, r"Y must have X's d = 3 .* got shape \(2, 4\)"),
        (GOOD, np.ones((2, 3), np.float32), {}, TypeError, "Y must .* float64, got float32"),
        ([[np.nan, 1.0]], None, {}, ValueError, "X must be finite"),
        (GOOD, None, {"nu": 1}, ValueError, r"nu must be one of 0\.5, 1\.5, 2\.5, got 1"),
        (GOOD, None, {"nu": 3.5}, ValueError, r"nu must be one of .*, got 3\.5"),
        (GOOD, None, {"nu": np.inf}, ValueError, r"nu must be one of .*, got inf"),
        (GOOD, None, {"nu": "1.5"}, ValueError, r"nu must be one of .*, got '1\.5'"),
        (GOOD, None, {"nu": None}, ValueError, r"nu must be one of .*, got None"),
        (GOOD, None, {"nu": np.array(1.5)}, ValueError, r"nu must be one of .*, got array\(1\.5\)"),
        (GOOD, None, {"sigma": 0.0}, ValueError, r"sigma must be greater than 0\.0, got 0\.0"),
        (GOOD, None, {"sigma": -1}, ValueError, r"sigma must be greater than 0\.0, got -1"),
        (GOOD, None, {"sigma": np.inf}, ValueError, "sigma must be finite, got inf"),
        (GOOD, None, {"sigma": "1"}, TypeError, "sigma must be a real number, got '1'"),
        (GOOD, None, {"sigma": True}, TypeError, "sigma must be a real number, got True"),
    ],
)
def test_refuses(X, Y, arguments, error, message):
    with pytest.raises(error, match=message):
        matern(X, Y, **{"nu": 1.5, "sigma": 1.0} | arguments)


@pytest.mark.parametrize("given", [{"nu": 1.5}, {"sigma": 1.0}])
def test_nu_and_sigma_have_no_default(given):
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        matern(GOOD, **given)


@pytest.mark.parametrize("nu", NUS)
def test_random_cosine_features_agree(nu):
    # The kernel is the mean of cos(<w, x - y>) over w = t / sigma, 2 nu degrees of freedom.
    n, sigma = 100_000, 1.7
    X, Y = 0.8 * points(16, 3, 4), 0.8 * points(17, 4, 4)
    rng = np.random.default_rng(18)
    w = rng.standard_normal((n, 4)) / np.sqrt(rng.chisquare(2 * nu, (n, 1)) / (2 * nu)) / sigma
    kernel = matern(X, Y, nu=nu, sigma=sigma)
    assert np.ptp(kernel) > 0.2
    samples = np.cos(np.einsum("nd,ijd->nij", w, X[:, None] - Y[None]))
    error = samples.std(axis=0) / math.sqrt(n)
    assert np.abs((samples.mean(axis=0) - kernel) / error).max() < 4.5
    # A bandwidth wrong by 3 % would have been seen.
    wrong = matern(X, Y, nu=nu, sigma=1.03 * sigma)
    assert np.abs((samples.mean(axis=0) - wrong) / error).max() > 4.5
