"""Convolution and pooling: each backend against loops, and the same bits for any threads."""

import numpy as np
import oracles_convolution as oracles
import pytest

from fastfood_np import backends
from fastfood_np.backends import cpu
from fastfood_np.backends.cpu import jit

BACKENDS = ("cpu", "reference")

# m, in, H, W, out, kh, kw, pool
CASES = [
    (2, 1, 6, 6, 3, 3, 3, 2),  # short patches: unfolded
    (2, 3, 5, 7, 2, 2, 3, 1),  # fewer than four columns in the last group, no pooling
    (1, 9, 5, 4, 9, 2, 3, 2),  # long patches: channels last; more outputs than a vector holds
    (2, 2, 7, 7, 1, 2, 2, 3),
    (1, 1, 1, 1, 1, 1, 1, 1),
    (2, 1, 3, 9, 2, 3, 1, 1),  # one row of outputs
    (1, 20, 4, 3, 2, 1, 1, 1),
]


def tolerance(dtype, terms):
    """A bound on the error of a sum of so many products of numbers of size about one."""
    return 8 * np.finfo(dtype).eps * (1 + terms)


def run(name, x, W, b, pool, relu, dy):
    """y, position, dx, dW and db of one backend."""
    backend = backends.select(name)
    y, position = np.full(dy.shape, 7, x.dtype), np.full(dy.shape, 7, np.int32)
    dx, dW, db = np.full_like(x, 7), np.full_like(W, 7), np.full_like(W[:, 0, 0, 0], 7)
    backend.conv_pool2d(x, W, b, pool, relu, y, position)
    backend.conv_pool2d_backward_weights(x, position, dy, dW, db)
    backend.conv_pool2d_backward_input(position, dy, W, dx)
    return y, position, dx, dW, db


def draw(case, dtype, seed=3):
    m, channels, height, width, n_out, kh, kw, pool = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, channels, height, width)).astype(dtype)
    W = rng.standard_normal((n_out, channels, kh, kw)).astype(dtype)
    b = rng.standard_normal(n_out).astype(dtype)
    shape = (m, n_out, (height - kh + 1) // pool, (width - kw + 1) // pool)
    return x, W, b, pool, rng.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_conv_pool_equals_loops(case, dtype, relu, backend):
    x, W, b, pool, dy = draw(case, dtype)
    y, _, dx, dW, db = run(backend, x, W, b, pool, relu, dy)
    want = oracles.conv_pool2d(x, W, b, pool, relu, dy)
    bound = tolerance(dtype, max(W[0].size, dy[:, 0].size, dy[0].size))
    for have, expected in zip((y, dx, dW, db), want, strict=True):
        np.testing.assert_allclose(have, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_backends_agree_exactly_on_whole_numbers(case, relu):
    """Every sum is exact, and there are many ties: also the positions must be the same."""
    x, W, b, pool, dy = (
        np.round(a * 2) if isinstance(a, np.ndarray) else a for a in draw(case, np.float32)
    )
    for have, want in zip(*(run(name, x, W, b, pool, relu, dy) for name in BACKENDS), strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_bias(backend):
    x, W, b, pool, dy = draw(CASES[0], np.float64)
    backend = backends.select(backend)
    dW, position = np.empty_like(W), np.empty(dy.shape, np.int32)
    y, with_zero = np.empty_like(dy), np.empty_like(dy)
    backend.conv_pool2d(x, W, np.zeros_like(b), pool, False, with_zero, position)
    backend.conv_pool2d(x, W, None, pool, False, y, position)
    backend.conv_pool2d_backward_weights(x, position, dy, dW, None)
    np.testing.assert_array_equal(y, with_zero)
    assert np.isfinite(dW).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("shape", "size"), [((2, 3, 4, 6), 2), ((1, 1, 3, 3), 3), ((2, 1, 3, 2), 1)]
)
def test_max_pool_equals_loops(shape, size, dtype, backend):
    x = np.random.default_rng(0).integers(-2, 3, shape).astype(dtype)  # with ties
    want, rows, columns = oracles.max_pool2d(x, size)
    y, position, dx = np.empty_like(want), np.empty(want.shape, np.int32), np.empty_like(x)
    backends.select(backend).max_pool2d(x, size, size, y, position)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(position, rows * shape[3] + columns)
    dy = np.arange(1.0, 1 + y.size, dtype=dtype).reshape(y.shape)
    backends.select(backend).max_pool2d_backward(position, dy, dx)
    np.testing.assert_array_equal(dx, oracles.max_pool2d_backward(x, size, dy))


# Height and width, size and stride: cut below, at the right, on both sides, nowhere.
WINDOWS = [
    ((6, 5), 3, 2),
    ((5, 6), 3, 2),
    ((4, 8), 3, 2),
    ((7, 5), 3, 2),
    ((3, 3), 3, 1),
    ((5, 6), 4, 3),
    ((3, 4), 3, 3),
    ((1, 3), 1, 1),
]
every_window = pytest.mark.parametrize(("plane", "size", "stride"), WINDOWS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_window
def test_max_pool_with_a_stride_equals_loops(plane, size, stride, dtype, backend):
    x = np.random.default_rng(0).integers(-4, 1, (2, 3, *plane)).astype(dtype)  # with ties
    x[0, 0, -1, -1] = -np.inf
    want, rows, columns = oracles.max_pool2d(x, size, stride)
    y, position, dx = np.empty_like(want), np.empty(want.shape, np.int32), np.full_like(x, np.nan)
    backends.select(backend).max_pool2d(x, size, stride, y, position)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(position, rows * plane[1] + columns)
    dy = np.arange(1.0, 1 + y.size, dtype=dtype).reshape(y.shape)
    backends.select(backend).max_pool2d_backward(position, dy, dx)
    np.testing.assert_array_equal(dx, oracles.max_pool2d_backward(x, size, dy, stride))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_window
def test_average_pool_equals_loops(plane, size, stride, dtype, backend):
    x = np.random.default_rng(0).standard_normal((2, 3, *plane)).astype(dtype)
    want = oracles.average_pool2d(x, size, stride)
    y, dx = np.empty(want.shape, dtype), np.full_like(x, np.nan)
    backends.select(backend).average_pool2d(x, size, stride, y)
    np.testing.assert_allclose(y, want, rtol=0, atol=tolerance(dtype, 1))
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    backends.select(backend).average_pool2d_backward(dy, size, stride, dx)
    want = oracles.average_pool2d_backward(x.shape, size, stride, dy)
    np.testing.assert_allclose(dx, want, rtol=0, atol=tolerance(dtype, 1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_windows_of_minus_infinity(backend):
    """The first pixel is the maximum, also where windows are cut."""
    x = np.full((1, 1, 4, 4), -np.inf)
    y, position = np.empty((1, 1, 2, 2)), np.empty((1, 1, 2, 2), np.int32)
    backends.select(backend).max_pool2d(x, 3, 2, y, position)
    assert (y == -np.inf).all()
    assert position.ravel().tolist() == [0, 2, 8, 10]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_in_overlapping_windows(backend):
    """Every window that holds it has it as its maximum and as its mean."""
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = np.nan
    y, position = np.empty((1, 1, 2, 2)), np.empty((1, 1, 2, 2), np.int32)
    backends.select(backend).max_pool2d(x, 3, 2, y, position)
    assert np.isnan(y).all()
    assert (position == 12).all()
    x[0, 0, 2, 2], x[0, 0, 0, 0] = 0, np.nan
    backends.select(backend).average_pool2d(x, 3, 2, y)
    assert np.isnan(y).ravel().tolist() == [True, False, False, False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nan_is_the_largest_number(backend):
    x = np.array([[[[9.0, 1.0], [np.nan, np.nan]]]])
    y, position = np.empty((1, 1, 1, 1)), np.empty((1, 1, 1, 1), np.int32)
    backends.select(backend).max_pool2d(x, 2, 2, y, position)
    assert np.isnan(y[0, 0, 0, 0])
    assert position[0, 0, 0, 0] == 2  # the first of them
    for relu in (False, True):
        W = np.ones((1, 1, 1, 1))
        backends.select(backend).conv_pool2d(x, W, None, 2, relu, y, position)
        assert np.isnan(y[0, 0, 0, 0])
        assert position[0, 0, 0, 0] == (-1 if relu else 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_relu_stops_the_gradient_at_zero(backend):
    """Of the outputs -1, 0 and 1 only the last passes it on."""
    x, W = np.array([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1), np.ones((1, 1, 1, 1))
    y, position, dx, dW, db = run(backend, x, W, np.zeros(1), 1, True, np.ones((3, 1, 1, 1)))
    assert y.ravel().tolist() == [0, 0, 1]
    assert position.ravel().tolist() == [-1, -1, 0]
    assert dx.ravel().tolist() == [0, 0, 1]
    assert dW.ravel().tolist() == [1]
    assert db.tolist() == [1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty_batch(backend):
    x, W, b, pool, dy = draw((0, *CASES[0][1:]), np.float32)
    y, _, dx, dW, db = run(backend, x, W, b, pool, False, dy)
    assert y.shape == dy.shape
    assert dx.shape == x.shape
    assert not dW.any()
    assert not db.any()


@pytest.mark.parametrize("case", CASES[:3])
def test_threads_change_no_bit(case, monkeypatch):
    x, W, b, pool, dy = draw((5, *case[1:]), np.float32)
    with backends.select("cpu").serial():
        want = run("cpu", x, W, b, pool, True, dy)
    monkeypatch.setattr(jit, "PARALLEL_MIN_ELEMENTS", 0)
    with backends.select("cpu").workers(2):
        have = run("cpu", x, W, b, pool, True, dy)
    for a, b in zip(have, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_change_no_bit_of_max_pool(monkeypatch):
    x = np.random.default_rng(0).standard_normal((5, 2, 4, 4))
    results = []
    for minimum in (10**9, 0):
        monkeypatch.setattr(jit, "PARALLEL_MIN_ELEMENTS", minimum)
        y, position, dx = np.empty((5, 2, 2, 2)), np.empty((5, 2, 2, 2), np.int32), np.empty_like(x)
        backends.select("cpu").max_pool2d(x, 2, 2, y, position)
        backends.select("cpu").max_pool2d_backward(position, y, dx)
        results.append((y, position, dx))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_change_no_bit_of_average_pool(monkeypatch):
    x = np.random.default_rng(0).standard_normal((5, 2, 6, 7)).astype(np.float32)
    results = []
    for minimum in (10**9, 0):
        monkeypatch.setattr(jit, "PARALLEL_MIN_ELEMENTS", minimum)
        y, dx = np.empty((5, 2, 3, 3), np.float32), np.empty_like(x)
        backends.select("cpu").average_pool2d(x, 3, 2, y)
        backends.select("cpu").average_pool2d_backward(y, 3, 2, dx)
        results.append((y, dx))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_changes_no_bit():
    """An image's y and dx do not depend on what else is in the batch."""
    x, W, b, pool, dy = draw(CASES[2], np.float32)
    x, dy = np.concatenate([x, x + 1, x - 1]), np.concatenate([dy, -dy, dy])
    y, position, dx, _, _ = run("cpu", x, W, b, pool, False, dy)
    for i in range(3):
        one = run("cpu", x[i : i + 1], W, b, pool, False, dy[i : i + 1])
        for have, want in zip(one[:3], (y, position, dx), strict=True):
            np.testing.assert_array_equal(have, want[i : i + 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [8, 20, 50])
def test_vectors_of_any_width_give_the_same_bits(channels, dtype):
    """Sixteen channels go at a time where the processor can and no more are padded, else eight."""
    x, W, b, pool, dy = draw((3, 2, 7, 9, channels, 2, 2, 2), dtype)
    expected = run("reference", x, W, b, pool, True, dy)
    results = []
    for form in ("avx512", "avx2", "portable"):
        with cpu.vectors(form):
            results.append(run("cpu", x, W, b, pool, True, dy))
    for result in results[1:]:
        for have, want in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(have, want)
    np.testing.assert_allclose(results[0][0], expected[0], rtol=0, atol=tolerance(dtype, W[0].size))
