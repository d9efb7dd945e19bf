"""Every backward pass against central differences, in float64.

One random direction moves x and all trainable params at once; dropout masks are held by drawing
them from the same seed.
"""

import numpy as np
import oracles
import pytest
from contract.layers_table import CASES

from fastfood_np import backends
from fastfood_np.backends import cpu
from fastfood_np.layers import (
    Conv2D,
    ConvPool2D,
    Dense,
    Dropout,
    Fastfood,
    Flatten,
    MaxPool2D,
    Permutation,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
)

LIMIT = 1e-7  # central differences with a step of 1e-6 lose at least ten of sixteen digits


def moved(layer, arrays, of):
    """What `of()` gives with the layer's trainable params set to `arrays`; then set back."""
    before = {name: layer.params[name].copy() for name in layer.trainable}
    for name, array in zip(layer.trainable, arrays, strict=True):
        layer.params[name][...] = array
    try:
        return of()
    finally:
        for name, array in before.items():
            layer.params[name][...] = array


def gap(f, arrays, gradients, seed=0):
    """Relative gap between the slope of f along a random direction and what `gradients` say."""
    rng = np.random.default_rng(seed)
    direction = [rng.standard_normal(array.shape) for array in arrays]
    slope = oracles.central_difference(f, arrays, direction)
    parts = [np.vdot(g, v) for g, v in zip(gradients, direction, strict=True)]
    return abs(slope - sum(parts)) / (abs(slope) + np.linalg.norm(parts))


def layer_gap(layer, shape, seed=0, rows=4):
    """The gap of a layer whose loss is <y, weights>."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, *shape))
    y, cache = layer.forward(x, train=True, rng=3)
    weights = rng.standard_normal(y.shape)
    dx, grads = layer.backward(weights, cache)

    def loss(x, *params):
        return moved(
            layer, params, lambda: np.vdot(layer.forward(x, train=True, rng=3)[0], weights)
        )

    arrays = [x, *(layer.params[name] for name in layer.trainable)]
    return gap(loss, arrays, [dx, *(grads[name] for name in layer.trainable)], seed + 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layer(case):
    layer = case.layer(np.float64)
    assert max(layer_gap(layer, case.shape, seed) for seed in range(3)) < LIMIT


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_gradient_alone(case):
    """Gradients of very different sizes could hide one another in a joint direction."""
    layer = case.layer(np.float64)
    x = case.inputs(np.float64)
    y, cache = layer.forward(x, train=True, rng=3)
    weights = np.random.default_rng(1).standard_normal(y.shape)
    dx, grads = layer.backward(weights, cache)

    def loss(x):
        return np.vdot(layer.forward(x, train=True, rng=3)[0], weights)

    assert gap(loss, [x], [dx]) < LIMIT
    for name in layer.trainable:
        value, before = layer.params[name], layer.params[name].copy()

        def loss_of_param(array, value=value):
            value[...] = array
            return loss(x)

        found = gap(loss_of_param, [before], [grads[name]])
        value[...] = before
        assert found < LIMIT, name


# ------------------------------------------------------------------------- loss and whole nets


@pytest.mark.parametrize("divisor", [None, 1, 40])
def test_softmax_cross_entropy(divisor):
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.standard_normal((5, 4)), np.array([0, 3, 1, 1, 2])
    ce = SoftmaxCrossEntropy()
    _, cache = ce.forward(logits, labels, divisor)
    found = gap(
        lambda logits: ce.forward(logits, labels, divisor)[0], [logits], [ce.backward(cache)]
    )
    assert found < LIMIT


def dense_net():
    rng = np.random.default_rng(1)
    return Sequential(
        [
            ("first", Dense(6, 9, rng=rng, dtype=np.float64)),
            ("relu", ReLU()),
            ("dropout", Dropout(0.3)),
            ("second", Dense(9, 4, rng=rng, dtype=np.float64)),
        ]
    )


def small_lenet(form="fused", adaptive=True):
    """LeNet's layers in LeNet's order, with Fastfood in the place of ip1."""
    rng = np.random.default_rng(2)
    return Sequential(
        [
            ("conv1", ConvPool2D(1, 3, 3, 2, rng=rng, dtype=np.float64)),
            ("conv2", Conv2D(3, 4, 2, rng=rng, dtype=np.float64)),
            ("pool2", MaxPool2D(2)),
            ("flatten", Flatten()),
            ("before", Dropout(0.2)),
            (
                "fastfood",
                Fastfood(
                    16, 25, dropout=0.3, adaptive=adaptive, form=form, rng=rng, dtype=np.float64
                ),
            ),
            ("relu", ReLU()),
            ("after", Dropout(0.5)),
            ("ip2", Dense(25, 4, rng=rng, dtype=np.float64)),
        ]
    )


NETS = {
    "dense": (dense_net, (6,)),
    "lenet-fused": (small_lenet, (1, 12, 12)),
    "lenet-composed": (lambda: small_lenet("composed"), (1, 12, 12)),
    "lenet-fixed": (lambda: small_lenet(adaptive=False), (1, 12, 12)),
}


def net_gap(net, shape, seed=0):
    """The gap of a net under its training loss; every param must have a gradient."""
    x = np.random.default_rng(seed).standard_normal((4, *shape))
    labels, ce = np.array([0, 3, 1, 2]), SoftmaxCrossEntropy()

    def forward(x):
        logits, cache = net.forward(x, train=True, rng=5)
        return ce.forward(logits, labels), cache

    (_, loss_cache), cache = forward(x)
    dx, grads = net.backward(ce.backward(loss_cache), cache)
    assert set(grads) == set(net.trainable)
    assert all(grad.any() for grad in grads.values())
    arrays = [x, *(net.params[name] for name in net.trainable)]
    return gap(
        lambda x, *params: moved(net, params, lambda: forward(x)[0][0]),
        arrays,
        [dx, *(grads[name] for name in net.trainable)],
        seed + 1,
    )


@pytest.mark.parametrize("name", NETS)
def test_whole_net(name):
    make, shape = NETS[name]
    assert net_gap(make(), shape) < 1e-6


@pytest.mark.parametrize("name", NETS)
def test_whole_net_on_the_reference_backend(name):
    make, shape = NETS[name]
    with backends.using("reference"):
        assert net_gap(make(), shape) < 1e-6


# --------------------------------------------------------- controls: these must be noticed

FORMS = ("fused", "composed")


def wrong_permutation(monkeypatch):
    """Backward with perm where its inverse belongs."""

    def backward(self, dy, cache, need_dx):
        return np.take_along_axis(dy, self.constants["perm"][None], axis=-1), {}

    right = cpu.fastfood_backward

    def fastfood_backward(x, dy, S, G, B, perm, *rest):
        right(x, dy, S, G, B, np.argsort(perm, axis=-1), *rest)

    monkeypatch.setattr(Permutation, "_backward", backward)
    monkeypatch.setattr(cpu, "fastfood_backward", fastfood_backward)


def scale_dropped(monkeypatch):
    """Backward without the factor c."""
    right = Fastfood._backward

    def backward(self, dy, cache, need_dx):
        scale, self.scale = self.scale, 1.0
        try:
            return right(self, dy, cache, need_dx)
        finally:
            self.scale = scale

    monkeypatch.setattr(Fastfood, "_backward", backward)


def mask_dropped(monkeypatch):
    """Backward that lets gradients through where dropout was."""
    right = Fastfood._backward

    def backward(self, dy, cache, need_dx):
        return right(self, dy, {**cache, "mask": None}, need_dx)

    monkeypatch.setattr(Fastfood, "_backward", backward)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mutant", [wrong_permutation, scale_dropped, mask_dropped])
def test_mutants_of_fastfood_are_noticed(form, mutant, monkeypatch):
    layer = Fastfood(6, 13, dropout=0.4, form=form, rng=1, dtype=np.float64)
    assert layer_gap(layer, (6,)) < LIMIT
    mutant(monkeypatch)
    assert layer_gap(layer, (6,)) > 1e-2


def test_a_wrong_mutant_of_permutation_is_noticed(monkeypatch):
    layer = Permutation([2, 0, 3, 1, 4])
    assert layer_gap(layer, (5,)) < LIMIT
    wrong_permutation(monkeypatch)
    assert layer_gap(layer, (5,)) > 1e-2


@pytest.mark.parametrize("name", ["lenet-fused", "lenet-composed"])
def test_a_wrong_permutation_is_noticed_in_a_net(name, monkeypatch):
    wrong_permutation(monkeypatch)
    make, shape = NETS[name]
    assert net_gap(make(), shape) > 1e-2
