"""The exact kernel of sums of points in a ball."""

import math

import numpy as np
import oracles
import pytest
from scipy.special import jv

from fastfood_np.kernels import ball_sum, gaussian, pairs

DTYPES = (np.float32, np.float64)
DEGREES = (1, 2, 3)

# (D, r, Lambda(r)) by mpmath with 60 digits: hyp0f1(D/2 + 1, -r^2 / 4). The series ends at
# r = (D + 2) / 4.
VALUES = [
    (1, 1e-08, 1.0),
    (1, 0.5, 0.958851077208406),
    (1, 0.75, 0.90885168003111222),
    (1, 0.8, 0.89669511362440344),
    (1, 4.5, -0.21722891503668823),
    (1, 1e4, -3.0561438888825214e-5),
    (2, 1e-08, 1.0),
    (2, 0.9, 0.90211010239734594),
    (2, 1.1, 0.85618617248416895),
    (2, 5.0, -0.13103165503658609),
    (2, 1e4, 7.2949015110591607e-7),
    (3, 1e-08, 1.0),
    (3, 1.2, 0.8632114246444758),
    (3, 1.3, 0.84088717551920254),
    (3, 6.0, -0.083894961362515583),
    (3, 1e4, 2.8563744204603781e-8),
    (10, 1e-08, 1.0),
    (10, 2.5, 0.76683510288888181),
    (10, 3.5, 0.58813061934344203),
    (10, 9.0, -0.0035792173579727453),
    (10, 1e4, 1.3973501715085719e-19),
    (64, 1e-08, 1.0),
    (64, 1.0, 0.99245202827472251),
    (64, 16.0, 0.13543475930140647),
    (64, 17.0, 0.10366961215350375),
    (64, 40.0, -8.5408228018822681e-8),
    (64, 1e4, -8.2201359392542114e-86),
    (784, 1e-08, 1.0),
    (784, 10.0, 0.93836304058041817),
    (784, 50.0, 0.20320138786221832),
    (784, 196.0, 1.0639329372693646e-11),
    (784, 198.0, 6.2164855178935777e-12),
    (784, 295.0, 6.7555959240909405e-27),
    (784, 500.0, -4.822862594815923e-94),
    (1024, 1e-08, 1.0),
    (1024, 30.0, 0.64482015445282473),
    (1024, 256.0, 4.5530262454731684e-15),
    (1024, 258.0, 2.6612072360696953e-15),
    (1024, 700.0, -1.079771848461148e-138),
    (5000, 1e-08, 1.0),
    (5000, 70.0, 0.6127170486855795),
    (5000, 1250.0, 7.1000005600878372e-71),
    (5000, 1300.0, 0.0),  # 8e-77, but J_2500 underflows
    (5000, 1e4, 0.0),  # -4e-1839
]


def points(seed, m, d, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((m, d)).astype(dtype)


def profile(r, dimension, degree=1):
    """Lambda(r)^degree for every element of r."""
    r = np.reshape(r, (-1, 1))
    sigma = math.sqrt((dimension + 2) / degree)  # then r is the distance itself
    return ball_sum([[0.0]], r, degree=degree, sigma=sigma, dimension=dimension)[0]


@pytest.mark.parametrize(("dimension", "r", "expected"), VALUES)
def test_values_by_mpmath(dimension, r, expected):
    with np.errstate(all="raise", under="ignore"):
        value = profile(r, dimension).item()
    assert value == pytest.approx(expected, rel=0, abs=5e-15)
    if expected:
        by_series = r <= (dimension + 2) / 4
        assert value == pytest.approx(expected, rel=1e-13 if by_series else 5e-12, abs=0)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("sigma", [0.3, 1, np.float32(4.0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_oracle(dtype, sigma, degree):
    X, Y = points(1, 5, 3, dtype), points(2, 7, 3, dtype)
    kernel = ball_sum(X, Y, degree=degree, sigma=sigma)
    assert kernel.shape == (5, 7) and kernel.dtype == dtype
    expected = oracles.ball_sum(X, Y, degree, float(sigma), 3)
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=5e-15 + np.finfo(dtype).eps / 2)
    wider = ball_sum(X, Y, degree=degree, sigma=sigma, dimension=np.int64(8))
    expected = oracles.ball_sum(X, Y, degree, float(sigma), 8)
    np.testing.assert_allclose(wider, expected, rtol=0, atol=5e-15 + np.finfo(dtype).eps / 2)


@pytest.mark.parametrize("degree", [1, 2, 7])
def test_closed_forms(degree):
    r = np.concatenate([np.linspace(0.05, 30.0, 600), np.geomspace(30.0, 1e9, 200)])
    on_line, in_space = np.sin(r) / r, 3.0 * (np.sin(r) - r * np.cos(r)) / r**3
    np.testing.assert_allclose(profile(r, 1, degree), on_line**degree, rtol=0, atol=1e-14)
    # The closed form cancels for small r: its own error is 1e-16 / r^3.
    np.testing.assert_allclose(
        profile(r, 3, degree)[20:], in_space[20:] ** degree, rtol=0, atol=1e-14
    )
    assert on_line.min() < -0.2 and in_space.min() < -0.08


@pytest.mark.parametrize("dimension", [1, 2, 9, 64])
def test_series_and_bessel_function_meet(dimension):
    r = (dimension + 2) / 4 * np.array([1.0 - 1e-12, 1.0 + 1e-12])
    for degree in (1, 4, 10):
        below, above = profile(r, dimension, degree)
        assert 0.0 < below < 1.0 and above == pytest.approx(below, rel=0, abs=3e-12)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_equation_37(degree):
    # |x - y|^(-t D/2) J_{D/2}(|x - y|)^t, up to a constant.
    d = 6
    X, Y = points(3, 5, d), points(4, 7, d)
    distance = np.linalg.norm(X[:, None] - Y[None], axis=2)
    printed = distance ** (-degree * d / 2) * jv(d / 2, distance) ** degree
    kernel = ball_sum(X, Y, degree=degree, sigma=math.sqrt((d + 2) / degree))
    constant = (2 ** (d / 2) * math.gamma(d / 2 + 1)) ** degree
    np.testing.assert_allclose(kernel, constant * printed, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("degree", "dimension"), [(1, 4), (2, 4), (5, 64), (2**53, 2**53)])
def test_near_zero_it_is_the_gaussian(degree, dimension):
    X = 1e-3 * points(5, 5, 4)
    kernel = ball_sum(X, degree=degree, sigma=1.0, dimension=dimension)
    expected = gaussian(X, sigma=1.0)
    assert expected.min() < 1.0 - 1e-6
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("degree", "dimension"),
    [(10**6, None), (2**53, None), (1, 10**6), (3, 2**53), (2**53, 2**53)],
)
def test_it_goes_to_the_gaussian(degree, dimension):
    X, Y = points(6, 5, 4), points(7, 6, 4)
    kernel = ball_sum(X, Y, degree=degree, sigma=1.3, dimension=dimension)
    difference = kernel - gaussian(X, Y, sigma=1.3)
    # The next cumulant gives u^4 k / (4 t (D + 4)), where u = |x - y| / sigma.
    assert np.abs(difference).max() <= 1.0 / (degree * ((dimension or 4) + 4)) + 1e-14


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 7, 33])
def test_without_y(m, dtype, degree):
    X = points(8, m, 4, dtype)
    kernel = ball_sum(X, degree=degree, sigma=0.5)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel.diagonal(), 1.0)
    np.testing.assert_array_equal(kernel, ball_sum(X, X.copy(), degree=degree, sigma=0.5))


def test_dimension_is_the_number_of_columns_by_default():
    X = points(9, 6, 5)
    default = ball_sum(X, degree=2, sigma=1.0)
    np.testing.assert_array_equal(default, ball_sum(X, degree=2, sigma=1.0, dimension=5))
    assert np.abs(default - ball_sum(X, degree=2, sigma=1.0, dimension=8)).max() > 0.005


def test_padding_with_zeros_is_a_larger_dimension():
    X = points(10, 6, 5)
    padded = np.hstack([X, np.zeros((6, 3))])
    np.testing.assert_array_equal(
        ball_sum(padded, degree=2, sigma=1.0), ball_sum(X, degree=2, sigma=1.0, dimension=8)
    )


@pytest.mark.parametrize("degree", DEGREES)
def test_positive_semidefinite(degree):
    X = points(11, 40, 3)
    limit = -32 * 40 * np.finfo(float).eps
    for dimension in (3, 4, 50):
        kernel = ball_sum(X, degree=degree, sigma=1.5, dimension=dimension)
        assert kernel.min() < 0.1 and np.median(kernel) > 0.1  # neither all 0 nor all 1
        assert np.linalg.eigvalsh(kernel).min() >= limit


def test_a_dimension_below_the_columns_is_refused_for_a_reason():
    # sin(r) / r at distances in R^20 is not positive definite.
    X = points(12, 40, 20)
    with pytest.raises(ValueError, match="dimension must be at least 20, got 1"):
        ball_sum(X, degree=1, sigma=2.0, dimension=1)
    distance = np.linalg.norm(X[:, None] - X[None], axis=2)
    kernel = np.array([profile(row, 1) for row in distance])
    assert np.linalg.eigvalsh(kernel).min() < -0.1


@pytest.mark.parametrize("degree", DEGREES)
def test_float32_is_computed_in_float64(degree):
    X, Y = points(13, 4, 64, np.float32), points(14, 4, 64, np.float32)
    exact = ball_sum(X.astype(np.float64), Y.astype(np.float64), degree=degree, sigma=9.0)
    np.testing.assert_array_equal(
        ball_sum(X, Y, degree=degree, sigma=9.0), exact.astype(np.float32)
    )


@pytest.mark.parametrize("degree", [1, 2, 2**53])
@pytest.mark.parametrize("dimension", [1, 1024, 2**53])
@pytest.mark.parametrize("sigma", [1e-320, 1e-200, 1e200])
def test_extreme_bandwidths(sigma, dimension, degree):
    with np.errstate(all="raise", under="ignore"):
        kernel = ball_sum([[0.0], [1.0]], degree=degree, sigma=sigma, dimension=dimension)
    near = float(sigma > 1)
    np.testing.assert_allclose(kernel, [[1, near], [near, 1]], rtol=0, atol=1e-199)


@pytest.mark.parametrize("degree", [1, 2, 2**53])
@pytest.mark.parametrize("far", [1e160, 1e200, 1.7e308])
def test_huge_points(far, degree):
    with np.errstate(all="raise", under="ignore"):
        kernel = ball_sum([[far], [-far]], degree=degree, sigma=1.0)
    np.testing.assert_array_equal(kernel, np.eye(2))


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_blocks_change_no_bits(monkeypatch, rows):
    X, Y = points(15, 10, 3), points(16, 6, 3)
    whole = ball_sum(X, Y, degree=1, sigma=1.0)
    assert whole.min() < 0 and whole.max() > 0.91  # by the Bessel function, and by the series
    monkeypatch.setattr(pairs, "BLOCK_BYTES", rows * 7 * 8 * len(Y))
    np.testing.assert_array_equal(ball_sum(X, Y, degree=1, sigma=1.0), whole)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 100.0])
def test_memory_beside_the_result_is_bounded(monkeypatch, sigma):
    tracemalloc = pytest.importorskip("tracemalloc")
    X = points(17, 200, 3)
    ball_sum(X, degree=1, sigma=sigma)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 1 << 17)
    tracemalloc.start()
    try:
        kernel = ball_sum(X, degree=1, sigma=sigma)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= kernel.nbytes + (1 << 17) + (1 << 14)


@pytest.mark.parametrize(
    ("given", "returned"),
    [(bool, np.float64), (np.int32, np.float64), (np.float16, np.float32)],
)
def test_other_dtypes_are_converted(given, returned):
    kernel = ball_sum(np.array([[0], [1]]).astype(given), degree=1, sigma=math.sqrt(3.0))
    assert kernel.dtype == returned
    np.testing.assert_allclose(kernel[0, 1], math.sin(1.0), rtol=1e-6)


def test_inputs_are_not_written():
    X, Y = points(18, 4, 3), points(19, 4, 3)
    X.flags.writeable = Y.flags.writeable = False
    expected = ball_sum(X.copy(), Y.copy(), degree=1, sigma=1.0)
    np.testing.assert_array_equal(ball_sum(np.asfortranarray(X), Y, degree=1, sigma=1.0), expected)


GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("X", "Y", "arguments", "error", "message"),
    [
        (np.ones(3), None, {}, ValueError, r"X must have shape \(m, d\) .* got \(3,\)"),
        (GOOD, np.ones((2, 4)), {}, ValueError, r"Y must have X's d = 3 .* got shape \(2, 4\)"),
        (GOOD, np.ones((2, 3), np.float32), {}, TypeError, "Y must .* float64, got float32"),
        ([[np.nan, 1.0]], None, {}, ValueError, "X must be finite"),
        (GOOD, None, {"degree": 0}, ValueError, "degree must be at least 1, got 0"),
        (GOOD, None, {"degree": -2}, ValueError, "degree must be at least 1, got -2"),
        (GOOD, None, {"degree": 10**400}, ValueError, f"degree must be at most {2**53}, got 1000"),
        (GOOD, None, {"degree": 1.0}, TypeError, r"degree must be an integer, got 1\.0"),
        (GOOD, None, {"degree": True}, TypeError, "degree must be an integer, got True"),
        (GOOD, None, {"degree": None}, TypeError, "degree must be an integer, got None"),
        (GOOD, None, {"dimension": 2}, ValueError, "dimension must be at least 3, got 2"),
        (GOOD, None, {"dimension": 10**400}, ValueError, "dimension must be at most .*, got 1000"),
        (GOOD, None, {"dimension": 4.0}, TypeError, r"dimension must be an integer, got 4\.0"),
        (GOOD, None, {"dimension": "4"}, TypeError, "dimension must be an integer, got '4'"),
        (GOOD, None, {"sigma": 0.0}, ValueError, r"sigma must be greater than 0\.0, got 0\.0"),
        (GOOD, None, {"sigma": -1}, ValueError, r"sigma must be greater than 0\.0, got -1"),
        (GOOD, None, {"sigma": np.nan}, ValueError, "sigma must be finite, got nan"),
        (GOOD, None, {"sigma": "1"}, TypeError, "sigma must be a real number, got '1'"),
        (GOOD, None, {"sigma": True}, TypeError, "sigma must be a real number, got True"),
    ],
)
def test_refuses(X, Y, arguments, error, message):
    with pytest.raises(error, match=message):
        ball_sum(X, Y, **{"degree": 2, "sigma": 1.0} | arguments)


@pytest.mark.parametrize("given", [{"degree": 1}, {"sigma": 1.0}])
def test_degree_and_sigma_have_no_default(given):
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        ball_sum(GOOD, **given)


@pytest.mark.parametrize(("degree", "dimension"), [(1, 4), (3, 4), (2, 8)])
def test_random_cosine_features_agree(degree, dimension):
    # The kernel is the mean of cos(<w, x - y>) over scaled sums w of points in the ball.
    n, sigma = 50_000, 1.0
    X, Y = 0.8 * points(20, 3, 4), 0.8 * points(21, 4, 4)
    rng = np.random.default_rng(22)
    directions = rng.standard_normal((n, degree, dimension))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    w = (directions * rng.random((n, degree, 1)) ** (1 / dimension)).sum(axis=1)
    w *= math.sqrt((dimension + 2) / degree) / sigma
    kernel = ball_sum(X, Y, degree=degree, sigma=sigma, dimension=dimension)
    assert np.ptp(kernel) > 0.2
    samples = np.cos(np.einsum("nd,ijd->nij", w[:, :4], X[:, None] - Y[None]))
    error = samples.std(axis=0) / math.sqrt(n)
    assert np.abs((samples.mean(axis=0) - kernel) / error).max() < 4.5
    # A bandwidth wrong by 3 % would have been seen.
    wrong = ball_sum(X, Y, degree=degree, sigma=1.03 * sigma, dimension=dimension)
    assert np.abs((samples.mean(axis=0) - wrong) / error).max() > 4.5
