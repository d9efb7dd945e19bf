"""The net ``cifar10_quick`` of Caffe's examples, and the same with another layer for its ip1.

3 x 32 x 32 pixels in 0..255 scaled by 1/256; conv1 32@5x5, max pool, ReLU; conv2 32@5x5, ReLU,
average pool; conv3 64@5x5, ReLU, average pool; ip1 64; ip2 10. All images are padded by two pixels,
all windows are 3 x 3, every two pixels, and cut at the edge: 32 -> 16 -> 8 -> 4 pixels, 1,024
features. Between ip1 and ip2 there is no ReLU. Caffe reports about 75 % accuracy with this net.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers import (
    AveragePool2D,
    Center,
    Conv2D,
    ConvPool2D,
    Dense,
    Flatten,
    Layer,
    MaxPool2D,
    ReLU,
    Sequential,
)
from fastfood_np.models.heads import outputs_of
from fastfood_np.validation import check_finite, check_rng

CLASSES = 10
IMAGE = (3, 32, 32)
FEATURES = 64 * 4 * 4


def cifar10_quick(
    *, head: Layer | None = None, mean: Any = None, rng: Any = None, dtype: Any = np.float32
) -> Sequential:
    """Return cifar10_quick: 145,376 weights and 202 biases; 65,536 of the weights are ip1's.

    Weights start by Caffe's "xavier" rule, which is our choice: Caffe draws them from Gaussians
    whose deviations, 1e-4 in conv1, are made for pixels in 0..255. Biases start at zero.

    Parameters
    ----------
    head : Layer, optional
        Takes the place of ip1, from 1,024 features to any number, and a ReLU follows it.
    mean : array_like of shape (3, 32, 32), optional
        Subtracted from each input, so on the same scale: the mean of the training images / 256.
        Without it there is no layer "center".
    rng : None, int, SeedSequence or Generator
        Source of the initial weights, but for those of `head`.
    dtype : float32 or float64

    Raises
    ------
    TypeError
        `head` is no layer, or of another dtype; `mean` does not hold real numbers.
    ValueError
        `head` does not take rows of 1,024 features to rows; `mean` has another shape, or NaN or
        infinity in it.

    Examples
    --------
    >>> net = cifar10_quick(rng=0)
    >>> net.n_weights, net.n_weights + net.n_biases
    (145376, 145578)
    >>> from fastfood_np.layers import Fastfood
    >>> cifar10_quick(head=Fastfood(1024, 1024, sigma=20.0, rng=0), rng=0).n_weights
    92512
    """
    n_head = 64 if head is None else outputs_of(head, FEATURES)
    rng = check_rng(rng)
    layers: list[tuple[str, Layer]] = []
    if mean is not None:
        center = Center(IMAGE)
        center.constants["mean"][:] = check_finite(mean, "mean", IMAGE)
        layers.append(("center", center))
    layers += [
        ("conv1", Conv2D(3, 32, 5, padding=2, rng=rng, dtype=dtype)),
        ("pool1", MaxPool2D(3, stride=2)),
        ("relu1", ReLU()),
        # With their ReLU in one pass: backward then leaves out what it stops.
        ("conv2", ConvPool2D(32, 32, 5, pool=1, padding=2, relu=True, rng=rng, dtype=dtype)),
        ("pool2", AveragePool2D(3, stride=2)),
        ("conv3", ConvPool2D(32, 64, 5, pool=1, padding=2, relu=True, rng=rng, dtype=dtype)),
        ("pool3", AveragePool2D(3, stride=2)),
        ("flatten", Flatten()),
    ]
    if head is None:
        layers.append(("ip1", Dense(FEATURES, n_head, rng=rng, dtype=dtype)))
    else:
        layers += [("head", head), ("relu_head", ReLU())]
    return Sequential([*layers, ("ip2", Dense(n_head, CLASSES, rng=rng, dtype=dtype))])
