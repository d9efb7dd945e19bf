"""Structured layers that may take the place of a network's dense layer, sized by a budget.

A head is such a layer, the ReLU after it and the softmax weights; its weights are
``layer.n_weights + classes * n_out``. For a budget of them each kind of layer gets as many outputs
as fit. Kinds that have a second size besides (rank, block size, hashed weights) take it from a
rule, which is our choice and no search: see `structured_layer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastfood_np.layers import (
    SORF,
    BlockCirculant,
    Circulant,
    Dense,
    Fastfood,
    Hashed,
    Layer,
    LowRank,
)
from fastfood_np.transforms.factors import padded_size
from fastfood_np.validation import Array, check_choice, check_int, check_rng

SIGMA = 20.0  # as in `deep_fried_lenet`
BLOCKS = 8  # columns of blocks in a block-circulant layer
WIDEST_HASHED = 512  # about LeNet's 500: a hashed layer keeps the size of the net


def structured_layer(
    kind: str, d_in: int, classes: int, budget: int, *, rng: Any = None, dtype: Any = np.float32
) -> Layer:
    """Return the layer of this kind with the most outputs that fit a budget of weights.

    Second sizes follow rules of ours: a low rank takes about half of the budget for its first
    factor; a block-circulant layer has at most eight columns of blocks; a hashed layer has at most
    512 outputs, whose softmax weights take at most half of the budget, and as many weights as are
    left, up to one for each entry of its matrix.

    Parameters
    ----------
    kind : str
        One of `HEADS`.
    d_in, classes : int
        Inputs of the layer, and outputs of the softmax layer behind it.
    budget : int
        Most weights of both together.
    rng : None, int, SeedSequence or Generator
    dtype : float32 or float64

    Raises
    ------
    ValueError
        Not even one output fits.

    Examples
    --------
    >>> for kind in HEADS:
    ...     layer = structured_layer(kind, 800, 10, 13_312, rng=0)
    ...     n = outputs_of(layer, 800)
    ...     print(f"{kind:18} {n:5} {layer.n_weights + 10 * n:6}")
    dense                 16  12960
    low-rank             384  13312
    hashed               512  13312
    block-circulant      700  12600
    circulant           1171  13310
    circulant-random    1171  13310
    circulant-ones      1171  13310
    sorf                1024  13312
    fastfood            1024  13312
    """
    make = HEADS[check_choice(kind, "kind", tuple(HEADS))]
    check_int(d_in, "d_in", minimum=1)
    check_int(classes, "classes", minimum=1)
    check_int(budget, "budget", minimum=1)
    try:
        return make(d_in, classes, budget, rng=check_rng(rng), dtype=dtype)
    except _TooSmallError as error:
        raise ValueError(
            f"budget must allow one output of {kind}, which takes {error} weights, got {budget}"
        ) from None


def outputs_of(head: Any, features: int) -> int:
    """Return how many numbers a layer makes of the features of one image.

    Raises
    ------
    TypeError
        `head` is no layer, or in device memory.
    ValueError
        It does not take rows of so many features to rows.
    """
    if not isinstance(head, Layer):
        raise TypeError(f"head must be a layer, got {head!r}")
    if head.on_device:
        raise TypeError("head must be in host memory, got a layer in device memory")
    row: Array = np.zeros((1, features), head.dtype or np.float32)
    try:
        y, _ = head.forward(row)
    except ValueError as error:
        raise ValueError(f"head must take rows of {features} features: {error}") from error
    if y.ndim != 2:
        raise ValueError(f"head must give a row for each image, got y of shape {y.shape}")
    return y.shape[1]


class _TooSmallError(Exception):
    """One output does not fit."""


def _most_outputs(weights: Callable[[int], int], budget: int) -> int:
    """Return the largest n with weights(n) <= budget, for weights that grow with n."""
    if weights(1) > budget:
        raise _TooSmallError(weights(1))
    n, step = 1, 1 << budget.bit_length()
    while step:
        n += step * (weights(n + step) <= budget)
        step //= 2
    return n


def _dense(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    n_out = _most_outputs(lambda n: (d_in + classes) * n, budget)
    return Dense(d_in, n_out, bias=False, **draw)


def _low_rank(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    """About half of the budget goes to the d_in x rank factor, if that is enough for one rank."""
    rank = max(1, budget // (2 * d_in))
    n_out = _most_outputs(lambda n: rank * (d_in + n) + classes * n, budget)
    return LowRank(d_in, n_out, rank=rank, **draw)


def _hashed(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    """At most half of the budget goes to the softmax weights, and to no more than 512 outputs."""
    if budget <= classes:
        raise _TooSmallError(classes + 1)
    n_out = max(1, min(WIDEST_HASHED, budget // (2 * classes)))
    n_hashed = min(budget - classes * n_out, d_in * n_out)
    return Hashed(d_in, n_out, n_hashed=n_hashed, **draw)


def _block_circulant(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    """At most eight columns of blocks, so about eight weights an output."""
    b = -(-d_in // BLOCKS)
    columns = -(-d_in // b)
    n_out = _most_outputs(lambda n: -(-n // b) * b * columns + classes * n, budget)
    return BlockCirculant(d_in, n_out, block_size=b, **draw)


def _circulant(d_in: int, classes: int, budget: int, **options: Any) -> Layer:
    n_out = _most_outputs(lambda n: -(-n // d_in) * d_in + classes * n, budget)
    return Circulant(d_in, n_out, **options)


def _circulant_random(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    return _circulant(d_in, classes, budget, adaptive=False, **draw)


def _circulant_ones(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    return _circulant(d_in, classes, budget, signs="ones", **draw)


def _hadamard_outputs(d_in: int, classes: int, budget: int) -> int:
    d_pad = padded_size(d_in)
    return _most_outputs(lambda n: 3 * -(-n // d_pad) * d_pad + classes * n, budget)


def _sorf(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    return SORF(d_in, _hadamard_outputs(d_in, classes, budget), sigma=SIGMA, **draw)


def _fastfood(d_in: int, classes: int, budget: int, **draw: Any) -> Layer:
    return Fastfood(d_in, _hadamard_outputs(d_in, classes, budget), sigma=SIGMA, **draw)


HEADS: dict[str, Callable[..., Layer]] = {
    "dense": _dense,
    "low-rank": _low_rank,
    "hashed": _hashed,
    "block-circulant": _block_circulant,
    "circulant": _circulant,
    "circulant-random": _circulant_random,
    "circulant-ones": _circulant_ones,
    "sorf": _sorf,
    "fastfood": _fastfood,
}
