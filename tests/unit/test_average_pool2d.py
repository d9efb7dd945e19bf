"""The average-pooling layer."""

import numpy as np
import oracles_convolution as oracles
import pytest

from fastfood_np import backends
from fastfood_np.layers.average_pool2d import AveragePool2D


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (2, None), (4, 3), (1, 1)])
def test_equals_loops(size, stride, dtype, backend):
    x = np.random.default_rng(0).standard_normal((2, 2, 6, 8)).astype(dtype)
    layer, step = AveragePool2D(size, stride=stride), stride or size
    with backends.using(backend):
        y, cache = layer.forward(x)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        dx, grads = layer.backward(dy, cache)
    assert y.dtype == dx.dtype == dtype and grads == {}
    bound = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, oracles.average_pool2d(x, size, step), rtol=0, atol=bound)
    want = oracles.average_pool2d_backward(x.shape, size, step, dy)
    np.testing.assert_allclose(dx, want, rtol=0, atol=bound)


def test_a_constant_image_stays_constant():
    """Cut windows are divided by what is left in them."""
    y = AveragePool2D(3, 2)(np.full((1, 1, 6, 6), 0.75))
    np.testing.assert_array_equal(y, np.full((1, 1, 3, 3), 0.75))


def test_nan_and_infinity():
    x = np.array([[[[1.0, np.inf, np.nan, 9.0], [0.0, 2.0, 3.0, 4.0]]]])
    np.testing.assert_array_equal(AveragePool2D(2)(x), [[[[np.inf, np.nan]]]])


def test_without_dx():
    layer = AveragePool2D(2)
    y, cache = layer.forward(np.zeros((1, 1, 2, 2)))
    assert layer.backward(y, cache, need_dx=False) == (None, {})


@pytest.mark.parametrize(
    ("arguments", "shape", "message"),
    [
        ((2,), (1, 1, 4, 3), r"multiples of size = 2, got shape \(1, 1, 4, 3\)"),
        ((3, 2), (1, 1, 4, 2), r"at least 3 x 3, the windows' size, got shape \(1, 1, 4, 2\)"),
        ((3, 2), (1, 4, 4), r"\(m, any, any, any\), got \(1, 4, 4\)"),
    ],
)
def test_refuses_input(arguments, shape, message):
    with pytest.raises(ValueError, match=message):
        AveragePool2D(*arguments)(np.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "size must be at least 1, got 0"),
        ((3, 4), ValueError, "stride must be at most 3, got 4"),
        ((3, 0), ValueError, "stride must be at least 1, got 0"),
        ((3, True), TypeError, "stride must be an integer, got True"),
    ],
)
def test_refuses_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        AveragePool2D(*arguments)
