"""LeNet as the Caffe example defines it, and the deep-fried LeNet.

Both: 1 x 28 x 28 pixels in 0..255 scaled by 1/256; conv1 20@5x5, max pool 2; conv2 50@5x5, max
pool 2; 800 features. The reference goes on with ip1 (500), ReLU, ip2 (10). That ReLU is its only
non-linearity besides pooling: Caffe's example has none after its convolutions, and `conv_relu`
adds them. The deep-fried net puts one Fastfood layer and a ReLU in the place of ip1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers import (
    SORF,
    ConvPool2D,
    Dense,
    Dropout,
    Fastfood,
    Flatten,
    Layer,
    ReLU,
    Sequential,
)
from fastfood_np.models.heads import outputs_of
from fastfood_np.transforms.seeded import MOST
from fastfood_np.validation import check_rng, check_shape

CLASSES = 10
CHANNELS = (20, 50)
PLANE = 4 * 4  # pixels that are left of 28 x 28


def _convolutions(
    channels: tuple[int, int], conv_relu: bool, rng: np.random.Generator, dtype: Any
) -> list[tuple[str, Layer]]:
    first, second = channels
    return [
        ("conv1", ConvPool2D(1, first, 5, pool=2, relu=conv_relu, rng=rng, dtype=dtype)),
        ("conv2", ConvPool2D(first, second, 5, pool=2, relu=conv_relu, rng=rng, dtype=dtype)),
        ("flatten", Flatten()),
    ]


def lenet(
    *,
    head: Layer | None = None,
    channels: tuple[int, int] = CHANNELS,
    conv_relu: bool = False,
    rng: Any = None,
    dtype: Any = np.float32,
) -> Sequential:
    """Return the reference LeNet, 430,500 weights and 580 biases, or one with another ip1.

    Parameters
    ----------
    head : Layer, optional
        Takes the place of ip1, from 800 features (16 times ``channels[1]``) to any number;
        `structured_layer` makes such.
    channels : pair of int
        Outputs of the convolutions.
    conv_relu : bool
        Put a ReLU after both pooled convolutions.
    rng : None, int, SeedSequence or Generator
        Source of the initial weights, but for those of `head`.
    dtype : float32 or float64

    Raises
    ------
    TypeError
        `head` is no layer, or of another dtype.
    ValueError
        `head` does not take rows of so many features to rows.

    Examples
    --------
    >>> net = lenet(rng=0)
    >>> net.n_weights, net.n_weights + net.n_biases
    (430500, 431080)
    >>> from fastfood_np.layers import Circulant
    >>> lenet(head=Circulant(800, 1024, rng=0), rng=0).n_weights
    37340
    """
    inputs = _features(channels)
    n_out = 500 if head is None else outputs_of(head, inputs)
    rng = check_rng(rng)
    layers = _convolutions(channels, conv_relu, rng, dtype)
    if head is None:
        layers.append(("ip1", Dense(inputs, n_out, rng=rng, dtype=dtype)))
    else:
        layers.append(("head", head))
    return Sequential(
        [*layers, ("relu1", ReLU()), ("ip2", Dense(n_out, CLASSES, rng=rng, dtype=dtype))]
    )


def deep_fried_lenet(
    features: int = 1024,
    *,
    channels: tuple[int, int] = CHANNELS,
    sigma: float = 20.0,
    adaptive: bool = True,
    conv_relu: bool = False,
    dropout: float = 0.0,
    dropout_inside: float = 0.0,
    dropout_input: float = 0.0,
    rng: Any = None,
    dtype: Any = np.float32,
) -> Sequential:
    """Return the deep-fried LeNet: Fastfood with `features` outputs, ReLU, softmax weights.

    With 1,024 features it has 38,812 weights: 25,500 of the convolutions, 3 * 1024 of S, G and B
    and 1024 * 10 of ip2. (The paper prints 38,821, which contains 13,321 for 13 * 1024 = 13,312.)
    Its permutation is made of a seed that is drawn from `rng`, for the sake of small files.

    Parameters
    ----------
    features : int
        Outputs of the Fastfood layer.
    channels : pair of int
        Outputs of the convolutions; the Fastfood layer has 16 ``channels[1]`` inputs.
    sigma : float
        Bandwidth. 20 is the widest of the paper's standard deviations 1/sigma, 0.05.
    adaptive : bool
        Whether S, G and B are trained.
    conv_relu : bool
        Put a ReLU after both pooled convolutions.
    dropout, dropout_inside, dropout_input : float
        Rates after the ReLU (Table 1's D), on h_G inside the layer (equation 7), and on the
        layer's input.
    rng : None, int, SeedSequence or Generator
    dtype : float32 or float64

    Examples
    --------
    >>> net = deep_fried_lenet(rng=0)
    >>> net.n_weights, net.n_weights + net.n_biases
    (38812, 38892)
    """
    inputs = _features(channels)
    rng = check_rng(rng)
    layers = _convolutions(channels, conv_relu, rng, dtype)
    if dropout_input:
        layers.append(("dropout_input", Dropout(dropout_input)))
    fastfood = Fastfood(
        inputs,
        features,
        sigma=sigma,
        adaptive=adaptive,
        dropout=dropout_inside,
        seed=int(rng.integers(0, MOST, dtype=np.uint64, endpoint=True)),
        rng=rng,
        dtype=dtype,
    )
    layers += [("fastfood", fastfood), ("relu1", ReLU())]
    if dropout:
        layers.append(("dropout", Dropout(dropout)))
    return Sequential([*layers, ("ip2", Dense(features, CLASSES, rng=rng, dtype=dtype))])


def _features(channels: Any) -> int:
    """Return how many numbers the convolutions make of an image."""
    if len(check_shape(channels, "channels")) != 2:
        raise ValueError(f"channels must be two integers, got {channels!r}")
    return PLANE * int(channels[1])


def rate_multipliers(model: Sequential) -> dict[str, float]:
    """Return the learning-rate multipliers: Caffe's 2 for biases, and 3 for trained diagonals.

    Those are S, G and B of a Fastfood layer, and D1, D2 and D3 of a SORF layer. The 3 is our
    choice: the paper names no rates.
    """
    diagonals = dict.fromkeys(_diagonals(model), 3.0)
    return diagonals | dict.fromkeys(model.biases, 2.0)


def decay_multipliers(model: Sequential) -> dict[str, float]:
    """Return the weight-decay multipliers: none on diagonals (our choice), all others 1."""
    return dict.fromkeys(_diagonals(model), 0.0)


def _diagonals(model: Sequential) -> list[str]:
    return [
        f"{name}.{key}"
        for name, layer in model.layers.items()
        if isinstance(layer, (Fastfood, SORF))
        for key in layer.trainable
    ]
