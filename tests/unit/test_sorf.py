"""The layer SORF against dense matrices, and what it starts as."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.linalg import hadamard

from fastfood_np.layers import SORF
from fastfood_np.transforms.orthogonal import draw_sorf, sorf

DTYPES = (np.float32, np.float64)
# d_in, n_out: one block, padded, stacked, stacked and cut, cut within the first block, smallest.
SIZES = [(8, 8), (5, 8), (8, 24), (13, 40), (9, 3), (1, 1), (1, 5), (2, 7)]

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
all_sizes = pytest.mark.parametrize(("d_in", "n_out"), SIZES)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def factors(layer, block):
    """H and D1, D2, D3 of a block as matrices."""
    D1, D2, D3 = (np.diag(np.float64(layer.params[name][block])) for name in ("D1", "D2", "D3"))
    return np.float64(hadamard(len(D1))), D1, D2, D3


def blocks_of(layer):
    """c H D1 H D2 H D3 of each block, c from its formula."""
    n, d_pad = layer.params["D1"].shape
    scale = 1 / (layer.config["sigma"] * d_pad)
    return [
        scale * (H @ D1 @ H @ D2 @ H @ D3)
        for H, D1, D2, D3 in (factors(layer, block) for block in range(n))
    ]


def trained(d_in, n_out, dtype=np.float64, **options):
    """A layer whose diagonals are no longer signs."""
    layer = SORF(d_in, n_out, rng=2, dtype=dtype, **options)
    for i, value in enumerate(layer.params.values()):
        value += normal(*value.shape, dtype=dtype, seed=i)
    return layer


def assert_near(ours, exact, factor=32):
    limit = factor * np.finfo(ours.dtype).eps * np.abs(exact).max()
    np.testing.assert_allclose(ours, exact, rtol=0, atol=limit)


@both_dtypes
@all_sizes
def test_against_the_dense_matrix(d_in, n_out, dtype):
    layer = trained(d_in, n_out, dtype, sigma=1.7)
    W = np.concatenate(blocks_of(layer))[:n_out, :d_in]
    x, dy = normal(6, d_in, dtype=dtype), normal(6, n_out, dtype=dtype, seed=1)
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    assert_near(y, x @ W.T)
    assert_near(dx, dy @ W)
    assert set(grads) == {"D1", "D2", "D3"}


@all_sizes
def test_gradients_by_the_product_rule(d_in, n_out):
    """dL/dD_i = sum of (what enters D_i) o (what comes back to it), with dense matrices."""
    layer = trained(d_in, n_out, sigma=0.6)
    n, d_pad = layer.params["D1"].shape
    x, dy = normal(6, d_in), normal(6, n_out, seed=1)
    padded = np.pad(x, ((0, 0), (0, d_pad - d_in)))
    filled = np.pad(dy, ((0, 0), (0, n * d_pad - n_out))).reshape(6, n, d_pad) * layer.scale
    _, grads = layer.backward(dy, layer.forward(x)[1])
    for block in range(n):
        H, D1, D2, D3 = factors(layer, block)
        g = filled[:, block]
        for name, before, after in (
            ("D3", np.eye(d_pad), H @ D1 @ H @ D2 @ H),
            ("D2", H @ D3, H @ D1 @ H),
            ("D1", H @ D2 @ H @ D3, H),
        ):
            expected = ((padded @ before.T) * (g @ after)).sum(axis=0)
            assert_near(grads[name][block], expected, 128)


@both_dtypes
@all_sizes
def test_as_drawn_it_is_the_transform(d_in, n_out, dtype):
    """Rows of sqrt(d_pad) / sigma times an orthogonal matrix, in the bits of `transforms.sorf`."""
    layer = SORF(d_in, n_out, sigma=2.0, rng=7, dtype=dtype)
    signs = draw_sorf(d_in, n_out, rng=7).astype(dtype)
    for i, name in enumerate(("D1", "D2", "D3")):
        assert_array_equal(layer.params[name], signs[:, i], strict=True)
        assert layer.params[name].flags.c_contiguous
    x = normal(6, d_in, dtype=dtype)
    lengths = np.full(n_out, math.sqrt(signs.shape[2]) / 2.0, dtype)
    expected = np.empty((6, n_out), dtype)
    sorf(x, signs, lengths, expected)
    assert_near(layer(x), expected, 4)


@pytest.mark.parametrize("sigma", [0.5, 1, 20.0])
@all_sizes
def test_blocks_start_orthogonal(d_in, n_out, sigma):
    """Rows of a block have length sqrt(d_pad) / sigma; of a padded one, those of its d_in columns
    are shorter, sqrt(d_in) / sigma in the mean."""
    layer = SORF(d_in, n_out, sigma=sigma, rng=1, dtype=np.float64)
    d_pad = 2 ** math.ceil(math.log2(d_in))
    assert layer.params["D1"].shape == (math.ceil(n_out / d_pad), d_pad)
    assert layer.n_weights == 3 * layer.params["D1"].size and layer.n_biases == 0
    assert layer.scale == pytest.approx(1 / (sigma * d_pad), rel=1e-15)
    blocks = blocks_of(layer)
    for block in blocks:
        gram = block @ block.T
        np.testing.assert_allclose(gram, d_pad / sigma**2 * np.eye(d_pad), atol=1e-12 * gram.max())
        squares = np.square(block[:, :d_in]).sum(axis=1)
        assert squares.mean() == pytest.approx(d_in / sigma**2)
    # The layer's own matrix is made of them.
    W = np.concatenate(blocks)[:n_out, :d_in]
    np.testing.assert_allclose(layer(np.eye(d_in)).T, W, atol=1e-13 * np.abs(W).max())


def test_1024_features_are_the_first_of_2048():
    small, large = (SORF(800, n_out, rng=9) for n_out in (1024, 2048))
    x = normal(2, 800, dtype=np.float32)
    assert_array_equal(small(x), large(x)[:, :1024])


def test_fixed_diagonals_count_but_have_no_gradients():
    layer = SORF(6, 9, adaptive=False, rng=0)
    y, cache = layer.forward(normal(3, 6, dtype=np.float32))
    dx, grads = layer.backward(y, cache)
    assert layer.trainable == () and layer.n_weights == 48 and grads == {}
    np.testing.assert_array_equal(dx, SORF(6, 9, rng=0).backward(y, cache)[0])


def test_backward_twice():
    layer = trained(6, 9)
    y, cache = layer.forward(normal(3, 6))
    dx, grads = layer.backward(y, cache)
    again, second = layer.backward(y, cache)
    assert_array_equal(dx, again)
    for name, grad in grads.items():
        assert_array_equal(grad, second[name])
