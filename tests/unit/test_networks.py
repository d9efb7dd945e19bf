"""Which network is for which data set, and that it is made for the images."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.datasets.known import FOLDERS
from fastfood_np.experiments.networks import CIFAR10_QUICK, LENET, Network, network_for, network_of
from fastfood_np.layers import Dense
from fastfood_np.validation import DatasetError


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("network", [LENET, CIFAR10_QUICK], ids=lambda network: network.title)
def test_what_is_said_of_a_network_is_so(network: Network) -> None:
    net = network.build(rng=0)
    assert net.n_weights == network.weights
    with backends.using(BACKEND):
        assert net(np.zeros((2, *network.image), np.float32)).shape == (2, network.classes)
    head = Dense(network.features, 7, rng=0)
    assert network.build(head=head, rng=0).layers["head"] is head


def test_by_name() -> None:
    assert {name: network_of(name).title for name in ("sample", *FOLDERS)} == {
        "sample": "LeNet",
        "mnist": "LeNet",
        "fashion": "LeNet",
        "cifar10": "cifar10_quick",
    }


def test_lenet_subtracts_no_mean() -> None:
    assert network_for("mnist", images(5, 1, 28, 28)) is LENET
    assert "center" not in LENET.build(rng=0).layers


def test_cifar10_quick_subtracts_the_mean_of_the_images() -> None:
    x = images(5, 3, 32, 32)
    net = network_for("cifar10", x).build(rng=0)
    np.testing.assert_allclose(net.constants["center.mean"], (x / 256).mean(axis=0), rtol=1e-14)
    assert "center" not in CIFAR10_QUICK.build(rng=0).layers


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("mnist", (3, 32, 32), "must be 28 x 28 pixels for LeNet, got 3 x 32 x 32"),
        ("sample", (3, 28, 28), "must be 28 x 28 pixels for LeNet, got 3 x 28 x 28"),
        ("fashion", (1, 32, 32), "must be 28 x 28 pixels for LeNet, got 32 x 32"),
        ("cifar10", (1, 28, 28), "must be 3 x 32 x 32 pixels for cifar10_quick, got 28 x 28"),
        ("cifar10", (3, 28, 28), "must be 3 x 32 x 32 pixels for cifar10_quick, got 3 x 28 x 28"),
    ],
)
def test_images_of_another_kind(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(message)):
        network_for(name, images(2, *shape))
