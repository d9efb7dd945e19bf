"""Chains of layers: names, shared params, what backward skips."""

import numpy as np
import pytest

from fastfood_np.layers import (
    Dense,
    Diagonal,
    Dropout,
    Fastfood,
    Flatten,
    Hadamard,
    ReLU,
    Sequential,
)
from fastfood_np.layers.base import Layer


def net(dtype=np.float64):
    rng = np.random.default_rng(0)
    return Sequential(
        [
            ("flatten", Flatten()),
            ("fastfood", Fastfood(6, 9, rng=rng, dtype=dtype)),
            ("relu", ReLU()),
            ("dense", Dense(9, 3, rng=rng, dtype=dtype)),
        ]
    )


class Watched(Layer):
    """The identity, which notes how it is called."""

    def __init__(self, calls, trainable=False):
        super().__init__(np.float64)
        self.calls = calls
        if trainable:
            self.params["p"] = np.zeros(1)
            self.trainable = ("p",)

    def _forward(self, x, cache, rng):
        self.calls.append(("forward", rng is not None))
        return x.copy()

    def _backward(self, dy, cache, need_dx):
        self.calls.append(("backward", need_dx))
        grads = {"p": np.ones(1)} if self.trainable else {}
        return (dy.copy() if need_dx else None), grads


def test_names_of_params():
    chain = net()
    names = ["fastfood.S", "fastfood.G", "fastfood.B", "dense.W", "dense.b"]
    assert list(chain.params) == names
    assert chain.trainable == tuple(names)
    assert chain.biases == ("dense.b",)
    assert list(chain.constants) == ["fastfood.perm"]
    assert list(chain.layers) == ["flatten", "fastfood", "relu", "dense"]
    for name, array in chain.params.items():
        layer, key = name.split(".")
        assert array is chain.layers[layer].params[key]


def test_counts():
    chain = net()
    assert (chain.n_weights, chain.n_biases) == (48 + 27, 3)
    assert chain.parameter_counts() == [("fastfood", 48, 0), ("dense", 27, 3)]
    first = chain.parameter_counts()[0]
    assert (first.layer, first.weights, first.biases) == ("fastfood", 48, 0)


def test_forward_and_backward_are_the_layers_in_order():
    chain = net()
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 3))
    y, cache = chain.forward(x)
    dx, grads = chain.backward(dy, cache)
    h, caches = x, []
    for layer in chain.layers.values():
        h, layer_cache = layer.forward(h)
        caches.append(layer_cache)
    np.testing.assert_array_equal(y, h)
    expected, dh = {}, dy
    for (name, layer), layer_cache in zip(
        reversed(chain.layers.items()), reversed(caches), strict=True
    ):
        dh, layer_grads = layer.backward(dh, layer_cache)
        expected |= {f"{name}.{key}": grad for key, grad in layer_grads.items()}
    np.testing.assert_array_equal(dx, dh)
    assert grads.keys() == expected.keys() == set(chain.trainable)
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, expected[name])


@pytest.mark.parametrize("need_dx", [True, False])
@pytest.mark.parametrize("first_trained", [0, 1, 2, None])
def test_backward_stops_below_the_first_trained_layer(first_trained, need_dx):
    """Without dx, layers before it are not visited at all, and it computes no dx itself."""
    calls = [[], [], []]
    chain = Sequential((f"l{i}", Watched(calls[i], trainable=i == first_trained)) for i in range(3))
    x = np.ones((2, 2))
    _, cache = chain.forward(x)
    for log in calls:
        log.clear()
    dx, grads = chain.backward(x, cache, need_dx)
    for i, log in enumerate(calls):
        if need_dx:
            assert log == [("backward", True)]
        elif first_trained is None or i < first_trained:
            assert log == []
        else:
            assert log == [("backward", i > first_trained)]
    assert (dx is None) == (not need_dx)
    assert list(grads) == ([] if first_trained is None else [f"l{first_trained}.p"])


def test_layers_draw_one_after_the_other_from_one_generator():
    chain = Sequential([("a", Dropout(0.5)), ("h", Hadamard()), ("b", Dropout(0.5))])
    assert chain.draws
    x = np.ones((3, 4))
    _, cache = chain.forward(x, train=True, rng=8)
    rng = np.random.default_rng(8)
    for name in ("a", "b"):
        _, alone = chain.layers[name].forward(x, train=True, rng=rng)
        np.testing.assert_array_equal(cache["layers"][name]["mask"], alone["mask"])
    with pytest.raises(ValueError, match="rng must be given"):
        chain.forward(x, train=True)
    assert not net().draws


def test_one_layer_more_than_once():
    """Each place in the chain has its own cache."""
    H = Hadamard()
    chain = Sequential([("first", H), ("relu", ReLU()), ("second", H)])
    x, cache = np.random.default_rng(0).standard_normal((3, 4)), {}
    y, _ = chain.forward(x, cache=cache)
    np.testing.assert_array_equal(y, H(np.maximum(H(x), 0)))
    dx, _ = chain.backward(x, cache)
    np.testing.assert_array_equal(dx, H(H(x) * (H(x) > 0)))


def test_nested():
    inner = net()
    outer = Sequential([("inner", inner), ("scale", Diagonal(3, dtype=np.float64))])
    assert "inner.fastfood.S" in outer.params and outer.trainable[-1] == "scale.D"
    assert outer.biases == ("inner.dense.b",)
    x = np.random.default_rng(0).standard_normal((4, 6))
    np.testing.assert_array_equal(outer(x), inner(x))
    y, cache = outer.forward(x)
    _, grads = outer.backward(y, cache, need_dx=False)
    assert set(grads) == set(outer.trainable)


def test_empty():
    chain, x = Sequential([]), np.ones((2, 3))
    y, cache = chain.forward(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(chain.backward(x, cache)[0], x)
    assert chain.backward(x, cache, need_dx=False) == (None, {})
    assert chain.dtype is None and chain.n_weights == 0


def test_dtype_and_astype():
    chain = net()
    assert chain.dtype == np.float64
    assert Sequential([("relu", ReLU())]).dtype is None
    single = chain.astype(np.float32)
    assert isinstance(single, Sequential) and single.dtype == np.float32
    assert list(single.layers) == list(chain.layers)
    for name, value in single.params.items():
        np.testing.assert_array_equal(value, chain.params[name].astype(np.float32), strict=True)


def test_names_twice():
    with pytest.raises(ValueError, match=r"names of layers must differ, got \['a', 'b', 'a'\]"):
        Sequential([("a", ReLU()), ("b", ReLU()), ("a", ReLU())])


@pytest.mark.parametrize("name", ["conv.1", ".", "", 3, None])
def test_impossible_names(name):
    with pytest.raises(ValueError, match="a layer's name must be a string without dots"):
        Sequential([(name, ReLU())])


def test_no_layers():
    with pytest.raises(TypeError, match=r"layers must hold \(name, Layer\) pairs, got 'relu'"):
        Sequential([("a", "relu")])


def test_mixed_dtypes():
    with pytest.raises(TypeError, match="one dtype, got float32, float64"):
        Sequential([("a", Diagonal(2)), ("r", ReLU()), ("b", Diagonal(2, dtype=np.float64))])


def test_layers_that_do_not_fit():
    chain = Sequential([("a", Diagonal(2)), ("b", Diagonal(3))])
    with pytest.raises(ValueError, match=r"x must have shape \(m, 3\), got \(1, 2\)"):
        chain(np.zeros((1, 2), np.float32))


def test_params_are_those_the_layers_have_now():
    net = Sequential([("dense", Dense(3, 2, rng=0))])
    net.layers["dense"].params["W"] = np.zeros((2, 3), np.float32)
    assert net.params["dense.W"] is net.layers["dense"].params["W"]
    with pytest.raises(TypeError, match="does not support item assignment"):
        net.params["dense.W"] = np.ones((2, 3), np.float32)
