"""The convolution layer: values, gradients, buffers, and what it refuses."""

import numpy as np
import oracles_convolution as oracles
import pytest

from fastfood_np import backends
from fastfood_np.layers.conv2d import Conv2D


def images(m, *shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((m, *shape)).astype(dtype)


def directional_error(layer, x):
    """|central difference - gradient| of <y, c> along one random direction of x and params."""
    rng = np.random.default_rng(8)
    y, cache = layer.forward(x)
    c = rng.standard_normal(y.shape)
    dx, grads = layer.backward(c, cache)
    along_x = rng.standard_normal(x.shape)
    along = {name: rng.standard_normal(value.shape) for name, value in layer.params.items()}
    want = (dx * along_x).sum() + sum((grads[name] * along[name]).sum() for name in grads)
    start = {name: value.copy() for name, value in layer.params.items()}
    values = []
    for step in (1e-6, -1e-6):
        for name, value in layer.params.items():
            value[:] = start[name] + step * along[name]
        values.append((layer(x + step * along_x) * c).sum())
    return abs((values[0] - values[1]) / 2e-6 - want) / abs(want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", [2, (1, 3), (3, 1)])
def test_equals_loops(kernel, dtype):
    layer = Conv2D(2, 3, kernel, rng=1, dtype=dtype)
    layer.params["b"][:] = [1, -2, 3]
    x = images(2, 2, 5, 4, dtype=dtype)
    y, cache = layer.forward(x)
    assert y.dtype == dtype
    bound = 100 * np.finfo(dtype).eps
    W, b = layer.params["W"], layer.params["b"]
    np.testing.assert_allclose(y, oracles.conv2d(x, W, b), rtol=0, atol=bound)
    dy = images(*y.shape, dtype=dtype, seed=4)
    dx, grads = layer.backward(dy, cache)
    want = oracles.conv2d_backward(x, W, dy)
    for have, expected in zip((dx, grads["W"], grads["b"]), want, strict=True):
        assert have.dtype == dtype
        np.testing.assert_allclose(have, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (5, 2), ((1, 2), 3)])
def test_padding_is_zeros_around_the_image(kernel, padding, dtype, backend):
    layer = Conv2D(2, 3, kernel, padding=padding, rng=1, dtype=dtype)
    x = images(2, 2, 5, 4, dtype=dtype)
    around = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    W, b = layer.params["W"], layer.params["b"]
    with backends.using(backend):
        y, cache = layer.forward(x)
        dy = images(*y.shape, dtype=dtype, seed=4)
        dx, grads = layer.backward(dy, cache)
    bound = 200 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, oracles.conv2d(around, W, b), rtol=0, atol=bound)
    inner = slice(padding, -padding)
    want_dx, *want = oracles.conv2d_backward(around, W, dy)
    np.testing.assert_allclose(dx, want_dx[:, :, inner, inner], rtol=0, atol=bound)
    for have, expected in zip((grads["W"], grads["b"]), want, strict=True):
        np.testing.assert_allclose(have, expected, rtol=0, atol=bound)


def test_padding_makes_room_for_the_kernel():
    layer = Conv2D(1, 2, (5, 1), padding=2, rng=1)
    assert layer(np.ones((1, 1, 1, 1), np.float32)).shape == (1, 2, 1, 5)
    with pytest.raises(ValueError, match="at least 1 x 1, the kernel's size less 4 for the padd"):
        layer(np.ones((1, 1, 0, 1), np.float32))
    with pytest.raises(ValueError, match=r"at least 3 x 3, .* less 2 .*\(1, 1, 2, 9\)"):
        Conv2D(1, 2, 5, padding=1)(np.ones((1, 1, 2, 9), np.float32))


def test_gradient():
    assert (
        directional_error(Conv2D(2, 3, (2, 3), rng=1, dtype=np.float64), images(3, 2, 4, 5)) < 1e-7
    )


def test_without_bias():
    layer = Conv2D(1, 2, 2, bias=False, rng=1, dtype=np.float64)
    assert layer.trainable == ("W",)
    assert (layer.n_weights, layer.n_biases) == (8, 0)
    x = images(2, 1, 3, 3)
    y, cache = layer.forward(x)
    np.testing.assert_allclose(y, oracles.conv2d(x, layer.params["W"], np.zeros(2)), atol=1e-14)
    assert set(layer.backward(y, cache)[1]) == {"W"}


def test_first_layer_needs_no_dx():
    layer = Conv2D(1, 2, 2, rng=1)
    y, cache = layer.forward(images(1, 1, 3, 3, dtype=np.float32))
    dx, grads = layer.backward(y, cache, need_dx=False)
    assert dx is None
    assert set(grads) == {"W", "b"}


def test_initial_weights():
    layer = Conv2D(4, 50, 5, rng=1)
    assert layer.params["W"].shape == (50, 4, 5, 5)
    assert (layer.n_weights, layer.n_biases) == (5000, 50)
    bound = np.sqrt(3 / 100)
    assert 0.99 * bound < abs(layer.params["W"]).max() <= bound
    assert not layer.params["b"].any()
    same = Conv2D(4, 50, 5, rng=1, dtype=np.float64)
    np.testing.assert_array_equal(same.params["W"].astype(np.float32), layer.params["W"])


def test_buffers_are_kept_for_smaller_batches():
    layer = Conv2D(1, 2, 2, rng=1)
    cache = {}
    for m in (3, 1, 0, 2, 4):
        x = images(m, 1, 3, 3, dtype=np.float32)
        kept = x.copy()
        fresh, fresh_cache = layer.forward(x)
        y, cache = layer.forward(x, cache=cache)
        np.testing.assert_array_equal(y, fresh)
        dx, grads = layer.backward(y, cache)
        want_dx, want = layer.backward(fresh, fresh_cache)
        np.testing.assert_array_equal(dx, want_dx)
        for name in want:
            np.testing.assert_array_equal(grads[name], want[name])
        np.testing.assert_array_equal(x, kept)
        if m == 1:
            assert len(cache["buffers"]["y"]) == 3


def test_strided_input_and_gradient():
    layer = Conv2D(2, 1, 2, rng=1, dtype=np.float64)
    x = images(2, 3, 3, 2).transpose(0, 3, 1, 2)
    y, cache = layer.forward(x)
    copied, copied_cache = layer.forward(x.copy(order="C"))
    np.testing.assert_array_equal(y, copied)
    dy = np.broadcast_to(np.float64(2), y.shape)
    dx, grads = layer.backward(dy, cache)
    want_dx, want = layer.backward(dy.copy(), copied_cache)
    np.testing.assert_array_equal(dx, want_dx)
    np.testing.assert_array_equal(grads["W"], want["W"])


def test_config_rebuilds_the_layer():
    layer = Conv2D(1, 2, (2, 3), bias=False)
    assert Conv2D(**layer.config).params["W"].shape == (2, 1, 2, 3)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((2, 1, 4, 9), np.float32), ValueError, r"at least 5 x 5.*\(2, 1, 4, 9\)"),
        (np.zeros((2, 1, 9, 4), np.float32), ValueError, r"at least 5 x 5.*\(2, 1, 9, 4\)"),
        (np.zeros((2, 3, 9, 9), np.float32), ValueError, r"\(m, 1, any, any\), got \(2, 3, 9, 9\)"),
        (np.zeros((1, 9, 9), np.float32), ValueError, r"\(m, 1, any, any\), got \(1, 9, 9\)"),
        (np.zeros((2, 1, 9, 9)), TypeError, "float64"),
        ([[1.0]], TypeError, "x must be a NumPy array"),
    ],
)
def test_refuses_input(x, error, message):
    with pytest.raises(error, match=message):
        Conv2D(1, 2, 5)(x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"in_channels": 0}, ValueError, "in_channels"),
        ({"out_channels": 1.5}, TypeError, "out_channels"),
        ({"kernel_size": 0}, ValueError, "kernel_size"),
        ({"kernel_size": (2, 2, 2)}, ValueError, "kernel_size"),
        ({"kernel_size": (2,)}, ValueError, "kernel_size"),
        ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        ({"padding": (1, 1)}, TypeError, "padding must be an integer"),
        ({"bias": 1}, TypeError, "bias"),
        ({"dtype": np.float16}, TypeError, "dtype"),
    ],
)
def test_refuses_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        Conv2D(**{"in_channels": 1, "out_channels": 1, "kernel_size": 2, **arguments})
