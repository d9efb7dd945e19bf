"""The max-pooling layer."""

import numpy as np
import oracles_convolution as oracles
import pytest

from fastfood_np.layers.max_pool2d import MaxPool2D


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_equals_loops(size, dtype):
    x = np.random.default_rng(0).integers(0, 4, (2, 2, 6, 6)).astype(dtype)  # with ties
    y, cache = MaxPool2D(size).forward(x)
    np.testing.assert_array_equal(y, oracles.max_pool2d(x, size)[0])
    assert y.dtype == dtype
    dy = np.arange(1, 1 + y.size, dtype=dtype).reshape(y.shape)
    dx, grads = MaxPool2D(size).backward(dy, cache)
    np.testing.assert_array_equal(dx, oracles.max_pool2d_backward(x, size, dy))
    assert dx.dtype == dtype
    assert grads == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (2, 2), (4, 3), (1, 1)])
def test_with_a_stride_equals_loops(size, stride, dtype):
    x = np.random.default_rng(0).integers(0, 4, (2, 2, 6, 5)).astype(dtype)  # with ties
    layer = MaxPool2D(size, stride=stride)
    y, cache = layer.forward(x)
    np.testing.assert_array_equal(y, oracles.max_pool2d(x, size, stride)[0], strict=True)
    dy = np.arange(1, 1 + y.size, dtype=dtype).reshape(y.shape)
    dx, _ = layer.backward(dy, cache)
    np.testing.assert_array_equal(dx, oracles.max_pool2d_backward(x, size, dy, stride), strict=True)


def test_a_maximum_of_several_windows_gets_all_their_gradients():
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = 1
    _, cache = MaxPool2D(3, 2).forward(x)
    dx, _ = MaxPool2D(3, 2).backward(np.array([[[[1.0, 2.0], [4.0, 8.0]]]]), cache)
    assert dx[0, 0, 2, 2] == 15 == dx.sum()


def test_the_first_of_equal_maxima_gets_the_gradient():
    _, cache = MaxPool2D(2).forward(np.ones((1, 1, 2, 2)))
    dx, _ = MaxPool2D(2).backward(np.full((1, 1, 1, 1), 3.0), cache)
    assert dx.ravel().tolist() == [3, 0, 0, 0]


def test_nan_and_infinity():
    x = np.array([[[[1.0, np.inf, np.nan, 9.0], [0.0, 2.0, 3.0, 4.0]]]])
    np.testing.assert_array_equal(MaxPool2D(2)(x), [[[[np.inf, np.nan]]]])


def test_buffers_are_kept_for_smaller_batches():
    layer, cache = MaxPool2D(2), {}
    for m in (3, 1, 0, 4):
        x = np.random.default_rng(m).standard_normal((m, 2, 2, 4))
        kept = x.copy()
        y, cache = layer.forward(x, cache=cache)
        np.testing.assert_array_equal(y, oracles.max_pool2d(x, 2)[0])
        dx, _ = layer.backward(y, cache)
        np.testing.assert_array_equal(dx, oracles.max_pool2d_backward(x, 2, y))
        np.testing.assert_array_equal(x, kept)
    assert layer.backward(y, cache, need_dx=False) == (None, {})


def test_strided_input():
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 3)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(MaxPool2D(2)(x), oracles.max_pool2d(x, 2)[0])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((1, 1, 4, 3)), ValueError, r"multiples of size = 2, got shape \(1, 1, 4, 3\)"),
        (np.zeros((1, 1, 3, 4)), ValueError, r"multiples of size = 2, got shape \(1, 1, 3, 4\)"),
        (np.zeros((1, 4, 4)), ValueError, r"\(m, any, any, any\), got \(1, 4, 4\)"),
        (np.zeros((1, 1, 4, 4), int), TypeError, "float32 or float64"),
    ],
)
def test_refuses_input(x, error, message):
    with pytest.raises(error, match=message):
        MaxPool2D(2)(x)


@pytest.mark.parametrize("shape", [(1, 1, 2, 5), (1, 1, 5, 2), (1, 1, 0, 5)])
def test_refuses_images_smaller_than_a_window(shape):
    with pytest.raises(ValueError, match="at least 3 x 3, the windows' size, got shape"):
        MaxPool2D(3, 2)(np.zeros(shape))


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_refuses_size(size, error):
    with pytest.raises(error, match="size"):
        MaxPool2D(size)


@pytest.mark.parametrize(
    ("stride", "error", "message"),
    [
        (0, ValueError, "stride must be at least 1, got 0"),
        (4, ValueError, "stride must be at most 3, got 4"),
        (2.0, TypeError, r"stride must be an integer, got 2\.0"),
    ],
)
def test_refuses_stride(stride, error, message):
    with pytest.raises(error, match=message):
        MaxPool2D(3, stride)


def test_config_rebuilds_the_layer():
    for layer in (MaxPool2D(3), MaxPool2D(3, 2)):
        other = MaxPool2D(**layer.config)
        assert (other.size, other.stride, other.config) == (3, layer.stride, layer.config)
    assert MaxPool2D(size=3).config["stride"] is None
