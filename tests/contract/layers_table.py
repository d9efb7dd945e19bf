"""Every layer in a small configuration: the table that the contract tests run over."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastfood_np.layers import (
    SORF,
    AveragePool2D,
    BlockCirculant,
    Center,
    Circulant,
    Conv2D,
    ConvPool2D,
    Dense,
    Diagonal,
    Dropout,
    Fastfood,
    Flatten,
    Hadamard,
    Hashed,
    Layer,
    LowRank,
    MaxPool2D,
    Permutation,
    QuantizedDense,
    ReLU,
    Sequential,
)

DTYPES = (np.float32, np.float64)
ROWS = 5


@dataclass(frozen=True)
class Case:
    """One line of the table.

    `make(dtype)` builds the layer, `shape` is the shape of one input, `wrong` holds shapes of
    whole batches that must be refused, `counts` are the weights and biases.
    """

    name: str
    make: Callable[[type], Layer]
    shape: tuple[int, ...]
    wrong: tuple[tuple[int, ...], ...]
    counts: tuple[int, int] = (0, 0)
    linear: bool = True
    exact: bool = True  # batching gives the same bits: no BLAS
    view: bool = False  # y may share memory with x

    def layer(self, dtype: type) -> Layer:
        """The layer, its params moved off any special value."""
        layer = self.make(dtype)
        rng = np.random.default_rng(99)
        for name, value in layer.params.items():
            if not (self.linear and name in layer.biases):
                value += 0.1 * rng.standard_normal(value.shape).astype(value.dtype)
        return layer

    def inputs(self, dtype: type, rows: int = ROWS, seed: int = 0) -> np.ndarray:
        """A batch that may not be written."""
        return frozen(np.random.default_rng(seed).standard_normal((rows, *self.shape)), dtype)


def frozen(array: np.ndarray, dtype: type) -> np.ndarray:
    """A read-only copy: a layer that writes into it raises."""
    array = np.array(array, dtype)
    array.flags.writeable = False
    return array


def run(layer, x, seed=7, cache=None, need_dx=True):
    """Forward and backward while training; returns y, dx, grads and the cache."""
    y, cache = layer.forward(x, train=True, rng=seed, cache=cache)
    dy = frozen(np.random.default_rng(seed).standard_normal(y.shape), y.dtype)
    dx, grads = layer.backward(dy, cache, need_dx)
    return y, dx, grads, cache


def _fastfood(d_in, n_out, **options):
    return lambda dtype: Fastfood(d_in, n_out, sigma=1.3, rng=4, dtype=dtype, **options)


def _net(dtype):
    rng = np.random.default_rng(3)
    return Sequential(
        [
            ("conv", ConvPool2D(1, 2, 3, 2, rng=rng, dtype=dtype)),
            ("flatten", Flatten()),
            ("before", Dropout(0.2)),
            ("fastfood", Fastfood(8, 19, dropout=0.3, rng=rng, dtype=dtype)),
            ("relu", ReLU()),
            ("after", Dropout(0.5)),
            ("dense", Dense(19, 3, rng=rng, dtype=dtype)),
        ]
    )


def _frozen_start(dtype):
    return Sequential(
        [
            ("fixed", Fastfood(6, 9, adaptive=False, rng=5, dtype=dtype)),
            ("relu", ReLU()),
            ("diagonal", Diagonal(9, dtype=dtype)),
        ]
    )


def _center(dtype):
    layer = Center((2, 3))
    layer.constants["mean"][:] = [[0.5, -1.25, 3.0], [0.0, 0.1, -0.2]]
    return layer


_PERM = [[2, 0, 3, 1, 7, 6, 4, 5], [1, 2, 3, 4, 5, 6, 7, 0]]
_VECTOR_8 = ((5, 7), (5, 9), (8,), (5, 2, 8))
_PLANES = ((5, 2, 6), (5, 6, 6), (5, 2, 2, 6, 6))

CASES = [
    Case("diagonal", lambda dtype: Diagonal(8, dtype=dtype), (8,), _VECTOR_8, (8, 0)),
    Case("diagonal-2d", lambda dtype: Diagonal((2, 8), dtype=dtype), (2, 8), ((5, 8),), (16, 0)),
    Case(
        "diagonal-fixed",
        lambda dtype: Diagonal(8, adaptive=False, dtype=dtype),
        (8,),
        _VECTOR_8,
        (8, 0),
    ),
    Case("hadamard", lambda dtype: Hadamard(), (3, 8), ((5, 6), (5, 8, 3), (8,))),
    Case("permutation", lambda dtype: Permutation(_PERM), (2, 8), ((5, 8), (5, 2, 7))),
    Case(
        "dense",
        lambda dtype: Dense(6, 4, rng=1, dtype=dtype),
        (6,),
        ((5, 7), (6,)),
        (24, 4),
        linear=False,
        exact=False,
    ),
    Case(
        "dense-no-bias",
        lambda dtype: Dense(6, 4, bias=False, rng=1, dtype=dtype),
        (6,),
        ((5, 7), (6,)),
        (24, 0),
        exact=False,
    ),
    Case("relu", lambda dtype: ReLU(), (2, 3), ((),), linear=False),
    Case("dropout", lambda dtype: Dropout(0.4), (2, 3), ((),), view=True),
    Case("dropout-0", lambda dtype: Dropout(0.0), (2, 3), ((),), view=True),
    Case("flatten", lambda dtype: Flatten(), (2, 3, 4), ((),), view=True),
    Case(
        "max-pool",
        lambda dtype: MaxPool2D(2),
        (2, 4, 6),
        ((5, 4, 6), (5, 2, 3, 6), (5, 2, 4, 5)),
        linear=False,
    ),
    # Few channels: backward copies patches; kernel 3 x 3.
    Case(
        "conv",
        lambda dtype: Conv2D(2, 3, 3, rng=1, dtype=dtype),
        (2, 5, 6),
        (*_PLANES, (5, 3, 5, 6), (5, 2, 2, 6)),
        (54, 3),
        linear=False,
    ),
    # Sixteen channels and more: backward reads the image where it is; oblong kernel.
    Case(
        "conv-wide-no-bias",
        lambda dtype: Conv2D(16, 2, (2, 1), bias=False, rng=1, dtype=dtype),
        (16, 3, 2),
        ((5, 2, 3, 2), (5, 16, 1, 2)),
        (64, 0),
    ),
    Case(
        "conv-pool",
        lambda dtype: ConvPool2D(2, 3, 3, 2, rng=1, dtype=dtype),
        (2, 6, 8),
        (*_PLANES, (5, 2, 5, 8), (5, 2, 6, 7)),
        (54, 3),
        linear=False,
    ),
    Case(
        "conv-pool-relu",
        lambda dtype: ConvPool2D(1, 9, 2, 2, relu=True, rng=1, dtype=dtype),
        (1, 5, 5),
        ((5, 1, 4, 5), (5, 2, 5, 5)),
        (36, 9),
        linear=False,
    ),
    Case(
        "conv-pool-wide-relu-no-bias",
        lambda dtype: ConvPool2D(8, 3, 2, 2, bias=False, relu=True, rng=1, dtype=dtype),
        (8, 3, 5),
        ((5, 8, 4, 5),),
        (96, 0),
        linear=False,
    ),
    Case(
        "sequential",
        _net,
        (1, 6, 6),
        ((5, 6, 6), (5, 1, 6, 8)),
        (18 + 72 + 57, 2 + 3),
        linear=False,
        exact=False,
    ),
    Case("sequential-fixed-start", _frozen_start, (6,), ((5, 7), (6,)), (48 + 9, 0), linear=False),
    Case(
        "sequential-nothing-trained",
        lambda dtype: Sequential([("H", Hadamard()), ("P", Permutation(_PERM))]),
        (2, 8),
        ((5, 2, 7), (5, 8)),
    ),
]


def _shape_of(d_in):
    """One input of a layer for vectors, and batches that it must refuse."""
    return (d_in,), ((5, d_in + 1), (d_in,), (5, 2, d_in))


def _circulant(name, d_in, n_out, counts, linear=True, **options):
    return Case(
        f"circulant-{name}",
        lambda dtype: Circulant(d_in, n_out, rng=4, dtype=dtype, **options),
        *_shape_of(d_in),
        counts,
        linear,
    )


def _block_circulant(name, d_in, n_out, block_size, weights):
    return Case(
        f"block-circulant-{name}",
        lambda dtype: BlockCirculant(d_in, n_out, block_size=block_size, rng=4, dtype=dtype),
        *_shape_of(d_in),
        (weights, 0),
        exact=False,
    )


def _low_rank(name, d_in, n_out, rank):
    return Case(
        f"low-rank-{name}",
        lambda dtype: LowRank(d_in, n_out, rank=rank, rng=4, dtype=dtype),
        *_shape_of(d_in),
        (rank * (d_in + n_out), 0),
        exact=False,
    )


def _hashed(name, d_in, n_out, n_hashed):
    return Case(
        f"hashed-{name}",
        lambda dtype: Hashed(d_in, n_out, n_hashed=n_hashed, rng=4, dtype=dtype),
        *_shape_of(d_in),
        (n_hashed, 0),
        exact=False,
    )


def _sorf(name, d_in, n_out, weights, **options):
    return Case(
        f"sorf-{name}",
        lambda dtype: SORF(d_in, n_out, sigma=1.3, rng=4, dtype=dtype, **options),
        *_shape_of(d_in),
        (weights, 0),
    )


def _quantized(name, d_in, n_out, n_subspaces, n_centroids, counts, **options):
    return Case(
        f"quantized-{name}",
        lambda dtype: QuantizedDense(
            d_in,
            n_out,
            n_subspaces=n_subspaces,
            n_centroids=n_centroids,
            rng=4,
            dtype=dtype,
            **options,
        ),
        *_shape_of(d_in),
        counts,
        linear=not counts[1],
    )


# Circulant, SORF and look-up tables use no BLAS: each row goes by itself.
CASES += [
    _circulant("square", 8, 8, (8, 0)),
    _circulant("cut-bias", 12, 5, (12, 5), linear=False, bias=True),
    _circulant("stacked-cut", 6, 20, (24, 0)),
    _circulant("stacked-ones-bias", 6, 20, (24, 20), signs="ones", bias=True),
    _circulant("prime", 31, 31, (31, 0)),
    _circulant("prime-stacked-ones", 13, 26, (26, 0), signs="ones"),
    _circulant("large-prime", 101, 130, (202, 0)),
    _circulant("one", 1, 1, (1, 0)),
    _circulant("one-stacked", 1, 3, (3, 0)),
    _circulant("fixed", 7, 9, (14, 0), adaptive=False),
    _circulant("fixed-bias", 7, 9, (14, 9), adaptive=False, bias=True),
    _block_circulant("multiples", 8, 12, 4, 24),
    _block_circulant("padded-cut", 7, 10, 4, 24),
    _block_circulant("odd", 7, 4, 3, 18),
    _block_circulant("ones", 4, 3, 1, 12),
    _block_circulant("one-block", 6, 6, 6, 6),
    _block_circulant("larger-than-all", 3, 5, 8, 8),
    _low_rank("one", 6, 5, 1),
    _low_rank("some", 6, 5, 3),
    _low_rank("more-than-full", 4, 3, 9),
    _hashed("one", 5, 4, 1),
    _hashed("some", 6, 5, 7),
    _hashed("more-than-entries", 3, 2, 50),
    _sorf("square", 8, 8, 24),
    _sorf("stacked-padded-cut", 5, 19, 72),
    _sorf("cut", 5, 3, 24),
    _sorf("one", 1, 1, 3),
    _sorf("fixed", 6, 9, 48, adaptive=False),
    # Two codes a byte, an odd number of outputs.
    _quantized("packed", 12, 9, 3, 16, (16 * 12, 9)),
    _quantized("packed-two-centroids", 15, 150, 5, 2, (30, 0), bias=False),
    _quantized("packed-shared", 20, 131, 5, 5, (20, 131), shared=True),
    _quantized("bytes", 12, 7, 4, 100, (1200, 7)),
    _quantized("bytes-shared", 12, 70, 6, 17, (34, 0), shared=True, bias=False),
    _quantized("one-subspace", 3, 4, 1, 3, (9, 0), bias=False),
    _quantized("one", 1, 1, 1, 2, (2, 1)),
]
for form in ("fused", "composed"):
    CASES += [
        Case(f"fastfood-{form}", _fastfood(8, 8, form=form), (8,), _VECTOR_8, (24, 0)),
        Case(
            f"fastfood-{form}-stacked-padded-cut",
            _fastfood(5, 19, form=form),
            (5,),
            ((5, 8), (5,)),
            (72, 0),
        ),
        Case(f"fastfood-{form}-one", _fastfood(1, 1, form=form), (1,), ((5, 2), (1,)), (3, 0)),
        Case(
            f"fastfood-{form}-fixed",
            _fastfood(6, 9, form=form, adaptive=False),
            (6,),
            ((5, 8), (6,)),
            (48, 0),
        ),
        Case(
            f"fastfood-{form}-dropout",
            _fastfood(8, 13, form=form, dropout=0.4),
            (8,),
            _VECTOR_8,
            (48, 0),
        ),
    ]
# The layers of cifar10_quick: padding, overlapping windows that are cut at the edges.
CASES += [
    Case("center", _center, (2, 3), ((5, 3), (2, 3), (5, 2, 4)), linear=False),
    Case(
        "max-pool-stride",
        lambda dtype: MaxPool2D(3, stride=2),
        (2, 6, 5),
        ((5, 6, 5), (5, 2, 2, 5), (5, 2, 6, 2)),
        linear=False,
    ),
    Case(
        "average-pool",
        lambda dtype: AveragePool2D(2),
        (2, 4, 6),
        ((5, 4, 6), (5, 2, 3, 6), (5, 2, 4, 5)),
    ),
    Case(
        "average-pool-stride",
        lambda dtype: AveragePool2D(3, stride=2),
        (2, 6, 5),
        ((5, 6, 5), (5, 2, 2, 5), (5, 2, 6, 2)),
    ),
    Case(
        "conv-padding",
        lambda dtype: Conv2D(2, 3, (5, 3), padding=2, rng=1, dtype=dtype),
        (2, 4, 3),
        (*_PLANES, (5, 3, 4, 3), (5, 2, 0, 3)),
        (90, 3),
        linear=False,
    ),
    Case(
        "conv-padding-no-bias",
        lambda dtype: Conv2D(16, 2, 3, padding=1, bias=False, rng=1, dtype=dtype),
        (16, 3, 2),
        ((5, 2, 3, 2), (5, 16, 0, 2)),
        (288, 0),
    ),
    Case(
        "conv-pool-padding-relu",
        lambda dtype: ConvPool2D(2, 3, 3, 2, padding=1, relu=True, rng=1, dtype=dtype),
        (2, 4, 6),
        (*_PLANES, (5, 2, 5, 6)),
        (54, 3),
        linear=False,
    ),
]
