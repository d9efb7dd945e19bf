"""Which network a data set's images are for: LeNet, or cifar10_quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastfood_np.datasets import Dataset
from fastfood_np.layers import Sequential
from fastfood_np.models import cifar10_quick, lenet
from fastfood_np.validation import DatasetError


class Network(NamedTuple):
    """A network whose first dense layer may be another one.

    `build` takes `head`, `rng` and `dtype`, and LeNet's also `conv_relu`; `features` is how many
    inputs a head has.
    """

    title: str
    features: int
    classes: int
    build: Callable[..., Sequential]


def network_for(dataset: Dataset) -> Network:
    """Return the network for these images; for cifar10_quick their mean is subtracted.

    Raises
    ------
    DatasetError
        The images are neither 28 x 28 nor 32 x 32 in three colours.
    """
    shape = dataset.train_images.shape[1:]
    if shape == (1, 28, 28):
        return Network("LeNet", 800, 10, lenet)
    if shape == (3, 32, 32):
        mean = dataset.train_images.mean(axis=0, dtype=np.float64) / 256

        def build(**options: Any) -> Sequential:
            return cifar10_quick(mean=mean, **options)

        return Network("cifar10_quick", 1024, 10, build)
    raise DatasetError(
        "the images must be 28 x 28 for LeNet, or 3 x 32 x 32 for cifar10_quick, got "
        f"{' x '.join(map(str, shape))}"
    )
