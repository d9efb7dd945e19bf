"""Caffe's cifar10_quick: sizes, counts, one step of training, other layers for ip1; PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfood_np import backends
from fastfood_np.backends.cpu import jit
from fastfood_np.layers import (
    AveragePool2D,
    Conv2D,
    Dense,
    Dropout,
    Fastfood,
    Flatten,
    Hadamard,
    Layer,
    MaxPool2D,
    ReLU,
    Sequential,
    SoftmaxCrossEntropy,
)
from fastfood_np.model_files import load_model, save_model
from fastfood_np.models import cifar10_quick, decay_multipliers, rate_multipliers
from fastfood_np.training import SGD, Constant, Trainer
from fastfood_np.training.inputs import to_inputs

BACKEND = "reference" if jit.disabled() else "cpu"  # where plain Python loops are too slow

STAGES = [
    ("center", (3, 32, 32)),
    ("conv1", (32, 32, 32)),
    ("pool1", (32, 16, 16)),
    ("relu1", (32, 16, 16)),
    ("conv2", (32, 16, 16)),
    ("pool2", (32, 8, 8)),
    ("conv3", (64, 8, 8)),
    ("pool3", (64, 4, 4)),
    ("flatten", (1024,)),
    ("ip1", (64,)),
    ("ip2", (10,)),
]


@pytest.fixture(autouse=True)
def fast_enough() -> Iterator[None]:
    with backends.using(BACKEND):
        yield


def separable(count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Noisy copies of ten pictures, one for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 10
    pictures = rng.integers(30, 226, (10, 3, 4, 4)).repeat(8, axis=2).repeat(8, axis=3)
    images = pictures[labels] + rng.integers(-30, 31, (count, 3, 32, 32))
    return images.astype(np.uint8), labels


def mean_of(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=0) / 256


def stages(net: Sequential, x: np.ndarray) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, layer in net.layers.items():
        x = layer(x)
        yield name, x.shape[1:]


def loss_of(net: Sequential, images: np.ndarray, labels: np.ndarray) -> float:
    logits = net(to_inputs(images, net.dtype))
    return float(SoftmaxCrossEntropy().forward(logits, labels)[0])


def trainer(net: Sequential, rate: float) -> Trainer:
    optimizer = SGD(
        net.params,
        net.trainable,
        weight_decay=0.004,
        rate_multipliers=rate_multipliers(net),
        decay_multipliers=decay_multipliers(net),
    )
    return Trainer(net, optimizer, Constant(rate), batch=40, threads=1)


# ------------------------------------------------------------------------- sizes and counts


def test_sizes_of_every_stage() -> None:
    net = cifar10_quick(mean=np.zeros((3, 32, 32)), rng=0)
    assert list(stages(net, np.zeros((2, 3, 32, 32), np.float32))) == STAGES
    assert [name for name, _ in STAGES[1:]] == list(cifar10_quick(rng=0).layers)


def test_counts() -> None:
    net = cifar10_quick(rng=0)
    convolutions = 32 * 3 * 5 * 5 + 32 * 32 * 5 * 5 + 64 * 32 * 5 * 5
    assert net.n_weights == convolutions + 1024 * 64 + 64 * 10 == 145_376
    assert net.n_biases == 32 + 32 + 64 + 64 + 10 == 202
    centered = cifar10_quick(mean=np.ones((3, 32, 32)), rng=0)
    assert (centered.n_weights, centered.n_biases) == (145_376, 202)
    assert centered.trainable == net.trainable


def test_seed_and_dtype() -> None:
    one, same, other = (cifar10_quick(rng=seed) for seed in (3, 3, 4))
    double = cifar10_quick(rng=3, dtype=np.float64)
    assert double.dtype == np.float64 and one.dtype == np.float32
    for name, value in one.params.items():
        np.testing.assert_array_equal(value, same.params[name])
        np.testing.assert_array_equal(value, double.params[name].astype(np.float32))
        assert name in one.biases or not np.array_equal(value, other.params[name])
    assert not any(one.params[name].any() for name in one.biases)


def test_biases_learn_twice_as_fast() -> None:
    assert rate_multipliers(cifar10_quick(rng=0)) == {
        f"{name}.b": 2.0 for name in ("conv1", "conv2", "conv3", "ip1", "ip2")
    }


def test_the_mean_is_subtracted() -> None:
    images, _ = separable()
    mean = mean_of(images)
    plain, centered = cifar10_quick(rng=0), cifar10_quick(mean=mean, rng=0)
    x = to_inputs(images, np.float32)
    np.testing.assert_array_equal(centered(x), plain(x - mean.astype(np.float32)))
    kept = centered.constants["center.mean"].copy()
    np.testing.assert_array_equal(kept, mean)
    mean[:] = 0
    np.testing.assert_array_equal(centered.constants["center.mean"], kept)


@pytest.mark.parametrize("name", ["conv2", "conv3"])
def test_these_convolutions_have_a_relu(name: str) -> None:
    net = cifar10_quick(rng=0)
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    for key, layer in net.layers.items():
        x = layer(x)
        if key == name:
            assert (x >= 0).all() and 0.1 < (x == 0).mean() < 0.9


# --------------------------------------------------------------------------------- training


HEADS = {
    "ip1": lambda: None,
    "fastfood": lambda: Fastfood(1024, 256, sigma=20.0, rng=1),
    "dense": lambda: Dense(1024, 16, rng=1),
}


@pytest.mark.parametrize("head", HEADS)
def test_one_step_lowers_the_loss(head: str) -> None:
    images, labels = separable()
    net = cifar10_quick(head=HEADS[head](), mean=mean_of(images), rng=0)
    before = loss_of(net, images, labels)
    weights = {name: value.copy() for name, value in net.params.items()}
    trainer(net, 0.01).fit(images, labels, steps=1)
    assert loss_of(net, images, labels) < before
    assert all((net.params[name] != weights[name]).any() for name in net.trainable)


@pytest.mark.compiled_only
def test_it_learns() -> None:
    images, labels = separable()
    net = cifar10_quick(mean=mean_of(images), rng=0)
    assert trainer(net, 0.02).fit(images, labels, steps=25)
    assert (net(to_inputs(images, np.float32)).argmax(axis=1) == labels).all()


# ------------------------------------------------------------------------------------ heads


@pytest.mark.parametrize(
    ("head", "outputs", "weights"),
    [
        (Fastfood(1024, 256, rng=0), 256, 3 * 1024),
        (Fastfood(1024, 2048, dropout=0.5, rng=0), 2048, 3 * 2048),
        (Hadamard(), 1024, 0),
        (
            Sequential([("low", Dense(1024, 8, bias=False)), ("out", Dense(8, 300, bias=False))]),
            300,
            8 * (1024 + 300),
        ),
        (Sequential([("drop", Dropout(0.5))]), 1024, 0),
    ],
)
def test_heads(head: Layer, outputs: int, weights: int) -> None:
    net = cifar10_quick(head=head, rng=0)
    assert list(net.layers)[-4:] == ["flatten", "head", "relu_head", "ip2"]
    assert net.layers["head"] is head
    assert net.n_weights == 2400 + 25_600 + 51_200 + weights + 10 * outputs
    assert net(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 10)


def test_a_head_in_float64() -> None:
    net = cifar10_quick(head=Fastfood(1024, 64, rng=0, dtype=np.float64), rng=0, dtype=np.float64)
    assert net.dtype == np.float64
    with pytest.raises(TypeError, match="layers must all have one dtype, got float32, float64"):
        cifar10_quick(head=Fastfood(1024, 64, rng=0, dtype=np.float64))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"head": 64}, TypeError, "head must be a layer, got 64"),
        ({"head": Fastfood}, TypeError, "head must be a layer, got <class"),
        ({"head": Dense(800, 64)}, ValueError, "head must take rows of 1024 features: x must have"),
        ({"head": MaxPool2D(2)}, ValueError, "head must take rows of 1024 features: x must have"),
        ({"mean": np.zeros(3)}, ValueError, r"mean must have shape \(3, 32, 32\), got \(3,\)"),
        ({"mean": [[1], [1, 2]]}, ValueError, r"mean must have shape \(3, 32, 32\)"),
        ({"mean": np.full((3, 32, 32), np.nan)}, ValueError, "mean must be finite"),
        ({"mean": np.zeros((3, 32, 32), complex)}, TypeError, "mean must hold real numbers"),
        ({"rng": "seed"}, TypeError, "rng must be None, an integer"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
    ],
)
def test_refuses(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cifar10_quick(**arguments)


def test_a_head_must_give_rows() -> None:
    class Images(Flatten):
        def _forward(self, x: np.ndarray, cache: Any, rng: Any) -> np.ndarray:
            return x.reshape(len(x), 4, 16, 16)

    with pytest.raises(ValueError, match=r"head must give a row .* got y of shape \(1, 4, 16, 16"):
        cifar10_quick(head=Images())


def test_model_file(tmp_path: Path) -> None:
    images, _ = separable(10)
    net = cifar10_quick(head=Fastfood(1024, 96, rng=0), mean=mean_of(images), rng=0)
    save_model(tmp_path / "model.npz", net)
    back, _ = load_model(tmp_path / "model.npz")
    x = to_inputs(images, np.float32)
    np.testing.assert_array_equal(back(x), net(x))
    assert back.n_weights == net.n_weights


# --------------------------------------------------------------------------------- PyTorch's


class TorchQuick:
    """The net by PyTorch's functions, stage by stage in Caffe's order, in float64."""

    def __init__(self, torch: Any, net: Sequential) -> None:
        self.torch = torch
        self.params = {
            name: torch.tensor(value, requires_grad=True) for name, value in net.params.items()
        }

    def loss(self, x: np.ndarray, labels: np.ndarray) -> Any:
        F, h = self.torch.nn.functional, self.torch.tensor(x)
        pooling = {"ceil_mode": True}
        h = F.relu(F.max_pool2d(self.layer(F.conv2d, "conv1", h, padding=2), 3, 2, **pooling))
        for name in ("conv2", "conv3"):
            h = F.relu(self.layer(F.conv2d, name, h, padding=2))
            h = F.avg_pool2d(h, 3, 2, count_include_pad=False, **pooling)
        h = self.layer(F.linear, "ip1", h.flatten(1))
        return F.cross_entropy(self.layer(F.linear, "ip2", h), self.torch.tensor(labels))

    def layer(self, function: Any, name: str, h: Any, **options: Any) -> Any:
        return function(h, self.params[f"{name}.W"], self.params[f"{name}.b"], **options)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs the extra torch")


@pytest.mark.torch
def test_loss_and_gradients_equal_pytorchs(torch: Any) -> None:
    images, labels = separable(6)
    net = cifar10_quick(rng=0, dtype=np.float64)
    for name in net.biases:
        net.params[name][:] = np.random.default_rng(1).uniform(-0.1, 0.1, net.params[name].shape)
    x, ce = to_inputs(images, np.float64) - mean_of(images), SoftmaxCrossEntropy()
    theirs = TorchQuick(torch, net)
    their_loss = theirs.loss(x, labels)
    their_grads = torch.autograd.grad(their_loss, list(theirs.params.values()))
    logits, cache = net.forward(x, train=True)
    loss, loss_cache = ce.forward(logits, labels)
    _, grads = net.backward(ce.backward(loss_cache), cache, need_dx=False)
    assert loss == pytest.approx(their_loss.item(), rel=1e-13)
    for name, wanted in zip(theirs.params, their_grads, strict=True):
        limit = 1e-12 * float(wanted.abs().max())
        np.testing.assert_allclose(grads[name], wanted.numpy(), rtol=0, atol=limit, err_msg=name)


def torch_functions(torch: Any, size: int, stride: int) -> dict[type[Layer], Any]:
    F = torch.nn.functional
    return {
        MaxPool2D: lambda x: F.max_pool2d(x, size, stride, ceil_mode=True),
        AveragePool2D: lambda x: F.avg_pool2d(
            x, size, stride, ceil_mode=True, count_include_pad=False
        ),
    }


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("layer_class", [MaxPool2D, AveragePool2D])
@pytest.mark.parametrize("plane", [(32, 32), (16, 9), (7, 6), (3, 4)])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (3, 1), (3, 3), (2, 1)])
def test_pooling_equals_pytorchs(
    torch: Any,
    size: int,
    stride: int,
    plane: tuple[int, int],
    layer_class: type[Layer],
    backend: str,
) -> None:
    rng = np.random.default_rng(0)
    x, layer = rng.standard_normal((2, 3, *plane)), layer_class(size, stride=stride)
    with backends.using(backend):
        y, cache = layer.forward(x)
        dy = rng.standard_normal(y.shape)
        dx, _ = layer.backward(dy, cache)
    their_x = torch.tensor(x, requires_grad=True)
    their_y = torch_functions(torch, size, stride)[layer_class](their_x)
    assert y.shape == tuple(their_y.shape)
    their_y.backward(torch.tensor(dy))
    np.testing.assert_allclose(y, their_y.detach().numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(dx, their_x.grad.numpy(), rtol=0, atol=1e-14)


@pytest.mark.torch
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(("kernel", "padding"), [((5, 5), 2), ((3, 2), 1), ((1, 1), 3)])
def test_padded_convolution_equals_pytorchs(
    torch: Any, kernel: tuple[int, int], padding: int, backend: str
) -> None:
    rng = np.random.default_rng(0)
    layer = Conv2D(3, 4, kernel, padding=padding, rng=1, dtype=np.float64)
    x = rng.standard_normal((2, 3, 8, 5))
    with backends.using(backend):
        y, cache = layer.forward(x)
        dy = rng.standard_normal(y.shape)
        dx, grads = layer.backward(dy, cache)
    their_x, W, b = (
        torch.tensor(value, requires_grad=True)
        for value in (x, layer.params["W"], layer.params["b"])
    )
    their_y = torch.nn.functional.conv2d(their_x, W, b, padding=padding)
    their_y.backward(torch.tensor(dy))
    for ours, theirs in (
        (y, their_y.detach()),
        (dx, their_x.grad),
        (grads["W"], W.grad),
        (grads["b"], b.grad),
    ):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-12)


def test_the_relu_inside_equals_a_relu_behind() -> None:
    """conv2 and conv3 have theirs in the same pass."""
    net = cifar10_quick(rng=0)
    inner = net.layers["conv2"]
    outer = Conv2D(32, 32, 5, padding=2)
    outer.params = inner.params
    x = np.random.default_rng(0).standard_normal((2, 32, 16, 16)).astype(np.float32)
    np.testing.assert_array_equal(inner(x), ReLU()(outer(x)))
