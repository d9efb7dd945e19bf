"""Convolution, pooling and ReLU in one pass: the same numbers as the chain of layers."""

import numpy as np
import pytest

from fastfood_np import backends
from fastfood_np.layers.conv2d import Conv2D
from fastfood_np.layers.conv_pool2d import ConvPool2D
from fastfood_np.layers.max_pool2d import MaxPool2D

# in, out, kernel, pool, H, W
CASES = [(1, 3, 3, 2, 6, 8), (9, 2, (1, 2), 2, 4, 3), (2, 1, 2, 3, 4, 7), (1, 2, 2, 1, 3, 3)]


def build(case, relu, dtype):
    channels, n_out, kernel, pool, height, width = case
    layer = ConvPool2D(channels, n_out, kernel, pool, relu=relu, rng=1, dtype=dtype)
    layer.params["b"][:] = np.linspace(-0.5, 0.5, n_out)
    x = np.random.default_rng(0).standard_normal((3, channels, height, width)).astype(dtype)
    return layer, x


def chain(layer, x, dy):
    """y, dx and grads of Conv2D, MaxPool2D and a ReLU with the params of `layer`."""
    config = dict(layer.config)
    pool, relu = config.pop("pool"), config.pop("relu")
    conv, pooling = Conv2D(**config, dtype=layer.dtype), MaxPool2D(pool)
    conv.params = layer.params
    full, conv_cache = conv.forward(x)
    y, pool_cache = pooling.forward(full)
    if relu:
        dy = np.where(y > 0, dy, 0).astype(dy.dtype)
        y = np.maximum(y, 0)
    d_full, _ = pooling.backward(dy, pool_cache)
    return y, *conv.backward(d_full, conv_cache)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_equals_the_chain(case, dtype, relu, backend):
    """y bit for bit; the gradients, summed in another order, within a few eps."""
    layer, x = build(case, relu, dtype)
    with backends.using(backend):
        y, cache = layer.forward(x)
        dy = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
        dx, grads = layer.backward(dy, cache)
        want_y, want_dx, want = chain(layer, x, dy)
    np.testing.assert_array_equal(y, want_y)
    assert y.dtype == dx.dtype == dtype
    for have, expected in [(dx, want_dx), *((grads[name], want[name]) for name in ("W", "b"))]:
        bound = 16 * np.finfo(dtype).eps * max(1, abs(expected).max())
        np.testing.assert_allclose(have, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("pool", [1, 2])
def test_padding_is_that_of_the_chain(pool, relu):
    layer = ConvPool2D(2, 3, 3, pool, padding=1, relu=relu, rng=1, dtype=np.float64)
    x = np.random.default_rng(0).standard_normal((3, 2, 4, 6))
    y, cache = layer.forward(x)
    assert y.shape == (3, 3, 4 // pool, 6 // pool)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)
    want_y, want_dx, want = chain(layer, x, dy)
    np.testing.assert_array_equal(y, want_y)
    for have, expected in [(dx, want_dx), *((grads[name], want[name]) for name in ("W", "b"))]:
        np.testing.assert_allclose(have, expected, rtol=0, atol=1e-13)


def test_ties_go_to_the_first_also_where_the_bias_makes_them():
    """1e8 + 1 and 1e8 are the same float32: then the first gets the gradient, as in the chain."""
    layer = ConvPool2D(1, 1, 1, 2)
    layer.params["W"][:], layer.params["b"][:] = 1, 1e8
    x = np.array([[[[0, 0], [1, 0]]]], np.float32)
    y, cache = layer.forward(x)
    dx, _ = layer.backward(np.ones_like(y), cache)
    assert y.item() == 1e8
    assert dx.ravel().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("relu", [False, True])
def test_nan_reaches_y(relu):
    layer, x = build(CASES[0], relu, np.float64)
    x[1, 0, 0, 0] = np.nan
    y = layer(x)
    assert np.isnan(y[1, :, 0, 0]).all()
    assert np.isfinite(y[0]).all()
    assert np.isnan(y).sum() == y.shape[1]


@pytest.mark.parametrize("relu", [False, True])
def test_gradient(relu):
    layer, x = build(CASES[0], relu, np.float64)
    rng = np.random.default_rng(8)
    y, cache = layer.forward(x)
    c = rng.standard_normal(y.shape)
    dx, grads = layer.backward(c, cache)
    along_x = rng.standard_normal(x.shape)
    along = {name: rng.standard_normal(value.shape) for name, value in layer.params.items()}
    want = (dx * along_x).sum() + sum((grads[name] * along[name]).sum() for name in grads)
    start = {name: value.copy() for name, value in layer.params.items()}
    values = []
    for step in (1e-7, -1e-7):
        for name, value in layer.params.items():
            value[:] = start[name] + step * along[name]
        values.append((layer(x + step * along_x) * c).sum())
    assert abs((values[0] - values[1]) / 2e-7 - want) < 1e-6 * abs(want)


def test_buffers_are_kept_for_smaller_batches():
    layer, x = build(CASES[0], True, np.float32)
    cache = {}
    for m in (2, 1, 0, 3):
        kept = x.copy()
        y, cache = layer.forward(x[:m], cache=cache)
        fresh, fresh_cache = layer.forward(x[:m])
        np.testing.assert_array_equal(y, fresh)
        dx, grads = layer.backward(y, cache)
        want_dx, want = layer.backward(fresh, fresh_cache)
        np.testing.assert_array_equal(dx, want_dx)
        np.testing.assert_array_equal(grads["W"], want["W"])
        np.testing.assert_array_equal(grads["b"], want["b"])
        np.testing.assert_array_equal(x, kept)


def test_config_rebuilds_the_layer():
    layer, x = build(CASES[0], True, np.float32)
    other = ConvPool2D(**layer.config)
    other.params = layer.params
    np.testing.assert_array_equal(other(x), layer(x))


def test_astype():
    layer, x = build(CASES[0], True, np.float32)
    y = layer.astype(np.float64)(x.astype(np.float64))
    np.testing.assert_allclose(y, layer(x), rtol=0, atol=1e-5)


def test_refuses():
    layer = ConvPool2D(1, 2, 5, 2)
    with pytest.raises(ValueError, match=r"multiples of pool = 2, got shape .*, which gives 3 x 4"):
        layer(np.zeros((1, 1, 7, 8), np.float32))
    with pytest.raises(ValueError, match=r"at least 5 x 5"):
        layer(np.zeros((1, 1, 4, 8), np.float32))
    with pytest.raises(ValueError, match="which gives 5 x 6"):
        ConvPool2D(1, 2, 5, 2, padding=1)(np.zeros((1, 1, 7, 8), np.float32))
    with pytest.raises(ValueError, match="pool"):
        ConvPool2D(1, 2, 5, 0)
    with pytest.raises(TypeError, match="relu"):
        ConvPool2D(1, 2, 5, 2, relu=1)
