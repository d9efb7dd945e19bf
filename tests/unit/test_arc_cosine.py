"""The exact arc-cosine kernels."""

import math

import numpy as np
import oracles
import pytest

from fastfood_np.kernels import arc_cosine, pairs

DTYPES = (np.float32, np.float64)
ORDERS = (0, 1, 2)

# k_n(x, y) / (|x| |y|)^n at the angles 0, pi / 2 and pi.
AT_ZERO = {0: 1.0, 1: 1.0, 2: 3.0}
AT_RIGHT_ANGLE = {0: 0.5, 1: 1 / math.pi, 2: 0.5}
AT_PI = {0: 0.0, 1: 0.0, 2: 0.0}


def points(seed, m, d, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((m, d)).astype(dtype)


def at_angle(theta):
    """A pair of plane vectors of length 1 and 2 with this angle between them."""
    return [[1.0, 0.0]], [[2.0 * math.cos(theta), 2.0 * math.sin(theta)]]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_oracle(dtype, order):
    X, Y = points(1, 5, 3, dtype), points(2, 7, 3, dtype)
    kernel = arc_cosine(X, Y, order=order)
    assert kernel.shape == (5, 7) and kernel.dtype == dtype
    limit = 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(kernel, oracles.arc_cosine(X, Y, order), rtol=limit, atol=limit)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("length", [1.0, 0.1, 30.0])
def test_closed_forms(dtype, order, length):
    x = np.array([[0.3, -0.4, 1.2]], dtype)  # of length 1.3
    y = np.array([[4.0, 3.0, 0.0]], dtype)  # of length 5, at a right angle to x
    lengths = (1.3 * 1.3 * length) ** order
    eps = float(np.finfo(dtype).eps)

    def value(x, y):
        return arc_cosine(x, y, order=order).item()

    scaled = dtype(length) * x
    assert value(x, scaled) == pytest.approx(lengths * AT_ZERO[order], rel=4 * eps)
    assert value(x, -scaled) == pytest.approx(lengths * AT_PI[order], abs=eps * lengths)
    lengths = (1.3 * 5.0) ** order
    assert value(x, y) == pytest.approx(lengths * AT_RIGHT_ANGLE[order], rel=4 * eps)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("theta", [1e-12, 1e-9, 1e-6, 1e-3, 0.5, 1.5, 2.5, 3.0, 3.14, 3.1415926])
def test_accurate_at_every_angle(theta, order):
    expected = {
        0: math.pi - theta,
        1: math.sin(theta) + (math.pi - theta) * math.cos(theta),
        2: 3 * math.sin(theta) * math.cos(theta)
        + (math.pi - theta) * (1 + 2 * math.cos(theta) ** 2),
    }[order]
    kernel = arc_cosine(*at_angle(theta), order=order).item()
    assert kernel == pytest.approx(2.0**order * expected / math.pi, abs=1e-15 * 2.0**order)


@pytest.mark.parametrize("tiny", [1e-15, 1e-12, 1e-8, 1e-5])
def test_order_0_near_its_ends(tiny):
    # arccos of a float64 cosine is off by up to 1e-8 here.
    almost_along = arc_cosine([[1.0, 0.0]], [[1.0, tiny]], order=0).item()
    assert 1.0 - almost_along == pytest.approx(math.atan(tiny) / math.pi, abs=2e-16)
    almost_opposite = arc_cosine([[1.0, 0.0]], [[-1.0, tiny]], order=0).item()
    assert almost_opposite == pytest.approx(math.atan(tiny) / math.pi, rel=1e-14)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_parallel_and_opposite_points(dtype, order):
    # Dot products of these unit vectors exceed 1 by rounding for some of the rows.
    X = points(3, 200, 7, dtype)
    for sign, value in ((1, AT_ZERO[order]), (-1, AT_PI[order])):
        kernel = arc_cosine(X, sign * dtype(3.7) * X, order=order).diagonal()
        lengths = 3.7 * np.square(X.astype(np.float64)).sum(axis=1)
        ratio = kernel / lengths**order
        assert np.isfinite(ratio).all() and (ratio >= 0).all()
        # 3.7 x is rounded, which turns it by an angle of eps or so.
        np.testing.assert_allclose(ratio, value, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", [1, 2, 7, 33])
def test_without_y(m, dtype, order):
    X = points(4, m, 4, dtype)
    kernel = arc_cosine(X, order=order)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel, arc_cosine(X, X.copy(), order=order))
    norms = np.linalg.norm(X.astype(np.float64), axis=1)
    expected = AT_ZERO[order] * norms ** (2 * order)
    np.testing.assert_allclose(kernel.diagonal(), expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("order", ORDERS)
def test_positive_semidefinite(order):
    X = points(5, 40, 3)
    X[7] = 0.0
    kernel = arc_cosine(X, order=order)
    eigenvalues = np.linalg.eigvalsh(kernel)
    assert eigenvalues.min() >= -40 * np.finfo(float).eps * eigenvalues.max()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_zero_vectors(dtype, order):
    X = np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]], dtype)
    kernel = arc_cosine(X, order=order)
    at_zero = 0.5 if order == 0 else 0.0
    np.testing.assert_array_equal(kernel[[0, 2]], at_zero)
    np.testing.assert_array_equal(kernel[:, [0, 2]], at_zero)
    np.testing.assert_array_equal(arc_cosine(X[:1], X[1:2], order=order), at_zero)
    np.testing.assert_array_equal(arc_cosine(X[1:2], X[:1], order=order), at_zero)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_deep_fried_is_half(dtype, order):
    X, Y = points(6, 5, 3, dtype), points(7, 4, 3, dtype)
    np.testing.assert_array_equal(
        arc_cosine(X, Y, order=order, convention="deep-fried"), arc_cosine(X, Y, order=order) / 2
    )


def test_defaults_are_order_1_of_cho_and_saul():
    X = points(8, 4, 3)
    np.testing.assert_array_equal(arc_cosine(X), arc_cosine(X, order=1, convention="cho-saul"))


@pytest.mark.parametrize("order", ORDERS)
def test_float32_is_computed_in_float64(order):
    X, Y = points(9, 4, 64, np.float32), points(10, 4, 64, np.float32)
    exact = arc_cosine(X.astype(np.float64), Y.astype(np.float64), order=order)
    np.testing.assert_array_equal(arc_cosine(X, Y, order=order), exact.astype(np.float32))


@pytest.mark.parametrize("scale", [5e-324, 1e-200, 1e-160, 1e100, 1e300])
def test_extreme_lengths(scale):
    x, y = np.array([[3.0, 4.0]]), np.array([[4.0, -3.0]])
    with np.errstate(all="raise", under="ignore"):
        assert arc_cosine(scale * x, y, order=0).item() == pytest.approx(0.5, rel=1e-15)
        kernel = arc_cosine(scale * x, y).item()
    assert kernel == pytest.approx(scale * 25.0 / math.pi, rel=1e-14, abs=1e-323)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_row_blocks_change_no_bits(monkeypatch, rows):
    X, Y = points(11, 10, 3), points(12, 6, 3)
    whole = arc_cosine(X, Y)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", rows * 6 * 8 * len(Y))
    np.testing.assert_array_equal(arc_cosine(X, Y), whole)


def test_memory_beside_the_result_is_bounded(monkeypatch):
    tracemalloc = pytest.importorskip("tracemalloc")
    X = points(13, 400, 3)
    arc_cosine(X)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 1 << 18)
    tracemalloc.start()
    try:
        kernel = arc_cosine(X, order=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= kernel.nbytes + (1 << 18) + (1 << 16)


def test_inputs_are_not_written():
    X, Y = points(14, 4, 3), points(15, 4, 3)
    X.flags.writeable = Y.flags.writeable = False
    before = X.copy()
    arc_cosine(np.asfortranarray(X), Y)
    arc_cosine(X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("given", "returned"),
    [(bool, np.float64), (np.int32, np.float64), (np.float16, np.float32)],
)
def test_other_dtypes_are_converted(given, returned):
    kernel = arc_cosine(np.array([[0, 1], [1, 0]]).astype(given))
    assert kernel.dtype == returned
    np.testing.assert_allclose(kernel, [[1, 1 / math.pi], [1 / math.pi, 1]], rtol=1e-6)


GOOD = np.ones((2, 3))


@pytest.mark.parametrize(
    ("X", "Y", "arguments", "error", "message"),
    [
        (np.ones(3), None, {}, ValueError, r"X must have shape \(m, d\) .* got \(3,\)"),
        (np.ones((0, 3)), None, {}, ValueError, r"X must have shape \(m, d\) .* got \(0, 3\)"),
        (GOOD, np.ones((2, 4)), {}, ValueError, r"Y must have X's d = 3 .* got shape \(2, 4\)"),
        (GOOD, np.ones((2, 3), np.float32), {}, TypeError, "Y must .* float64, got float32"),
        ([[np.nan, 1.0]], None, {}, ValueError, "X must be finite"),
        (GOOD, [[-np.inf, 1.0, 1.0]], {}, ValueError, "Y must be finite"),
        (GOOD * 1j, None, {}, TypeError, "X must hold real numbers .* got complex128"),
        (GOOD, [["a"]], {}, TypeError, "Y must hold real numbers .* got <U1"),
        (GOOD, None, {"order": 3}, ValueError, "order must be at most 2, got 3"),
        (GOOD, None, {"order": -1}, ValueError, "order must be at least 0, got -1"),
        (GOOD, None, {"order": 1.0}, TypeError, r"order must be an integer, got 1\.0"),
        (GOOD, None, {"order": True}, TypeError, "order must be an integer, got True"),
        (GOOD, None, {"order": None}, TypeError, "order must be an integer, got None"),
        (GOOD, None, {"convention": "relu"}, ValueError, "convention must be .* got 'relu'"),
    ],
)
def test_refuses(X, Y, arguments, error, message):
    with pytest.raises(error, match=message):
        arc_cosine(X, Y, **arguments)


@pytest.mark.parametrize("order", ORDERS)
def test_random_features_agree(order):
    # The kernel is the mean of 2 f(<w, x>) f(<w, y>) over w ~ N(0, I), f(t) = max(0, t)^n.
    n = 200_000
    X, Y = points(16, 3, 4), points(17, 4, 4)
    w = np.random.default_rng(18).standard_normal((n, 4))

    def features(points):
        along = w @ points.T
        return (along > 0) * along**order

    samples = 2.0 * np.einsum("ni,nj->nij", features(X), features(Y))
    mean, error = samples.mean(axis=0), samples.std(axis=0) / math.sqrt(n)
    assert np.abs((mean - arc_cosine(X, Y, order=order)) / error).max() < 4.5
    half = arc_cosine(X, Y, order=order, convention="deep-fried")
    assert np.abs((mean - half) / error).min() > 4.5
