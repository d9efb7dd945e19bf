"""Which network a data set is for: LeNet, or cifar10_quick."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from fastfood_np.datasets.cifar10 import NAME as CIFAR10
from fastfood_np.datasets.dataset import size_text
from fastfood_np.layers import Sequential
from fastfood_np.models import cifar10_quick, lenet
from fastfood_np.validation import Array, DatasetError


class Network(NamedTuple):
    """A network whose first dense layer may be another one.

    `image` is the shape of an image; `features` is how many inputs a head has; `weights` those of
    the network with its own dense layer. `build` takes `head`, `rng` and `dtype`, and LeNet's also
    `conv_relu`.
    """

    title: str
    image: tuple[int, int, int]
    features: int
    classes: int
    weights: int
    build: Callable[..., Sequential]


LENET = Network("LeNet", (1, 28, 28), 800, 10, 430_500, lenet)
CIFAR10_QUICK = Network("cifar10_quick", (3, 32, 32), 1024, 10, 145_376, cifar10_quick)


def network_of(name: str) -> Network:
    """Return the network for the data set of this name."""
    return CIFAR10_QUICK if name == CIFAR10 else LENET


def network_for(name: str, images: Array) -> Network:
    """Return the network for the data set of this name, made for these training images.

    From what cifar10_quick is given, their mean is subtracted, as in Caffe's example.

    Raises
    ------
    DatasetError
        The images have another size or other channels than the network takes.
    """
    network = network_of(name)
    if images.shape[1:] != network.image:
        raise DatasetError(
            f"the images must be {size_text(network.image)} pixels for {network.title}, got "
            f"{size_text(images.shape[1:])}"
        )
    if network is CIFAR10_QUICK:
        mean = images.mean(axis=0, dtype=np.float64) / 256
        return network._replace(build=partial(cifar10_quick, mean=mean))
    return network
