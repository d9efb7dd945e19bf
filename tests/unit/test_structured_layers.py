"""Circulant, block-circulant, low-rank and hashed layers against the dense matrix of each."""

import math

import numpy as np
import oracles_hashing
import pytest
import scipy.linalg
from numpy.testing import assert_array_equal

from fastfood_np import backends
from fastfood_np.layers import BlockCirculant, Circulant, Dense, Hashed, LowRank
from fastfood_np.transforms import (
    circulant_adjoint,
    circulant_matrix,
    circulant_transform,
    draw_circulant,
)

DTYPES = (np.float32, np.float64)
SIZES = [(8, 8), (7, 19), (13, 5), (31, 31), (1, 1), (1, 4), (4, 1), (60, 97)]  # d_in, n_out

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
all_sizes = pytest.mark.parametrize(("d_in", "n_out"), SIZES)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def run(layer, rows=6, seed=0):
    """x, dy, y, dx and the gradients."""
    x = normal(rows, *layer.input_shape, dtype=layer.dtype, seed=seed)
    y, cache = layer.forward(x)
    dy = normal(*y.shape, dtype=layer.dtype, seed=seed + 1)
    return x, dy, y, *layer.backward(dy, cache)


def assert_near(ours, exact, factor=32):
    limit = factor * np.finfo(ours.dtype).eps * max(np.abs(exact).max(), 1e-300)
    assert ours.shape == exact.shape
    np.testing.assert_allclose(ours, exact, rtol=0, atol=limit)


def assert_is_the_dense_layer(layer, W):
    """y = W x and dx = W^T dy; returns what remains to be checked: dL/dW and the gradients."""
    x, dy, y, dx, grads = run(layer)
    W = np.float64(W)
    assert_near(y, x @ W.T)
    assert_near(dx, dy @ W)
    return np.float64(dy).T @ x, grads


# ----------------------------------------------------------------------------------- circulant


@both_dtypes
@pytest.mark.parametrize("signs", ["random", "ones"])
@pytest.mark.parametrize(("d_in", "n_out"), [*SIZES, (101, 150), (202, 50)])
def test_circulant(d_in, n_out, signs, dtype):
    layer = Circulant(d_in, n_out, signs=signs, rng=2, dtype=dtype)
    r, D = layer.params["r"], layer.signs
    assert D.dtype == np.int8 and D.shape == r.shape == (math.ceil(n_out / d_in), d_in)
    dW, grads = assert_is_the_dense_layer(layer, circulant_matrix(np.float64(r), D, n_out))
    # dL/dr_k is the sum of dL/dW_ij D_j over the entries where r_k stands.
    i, j = np.indices(dW.shape)
    expected = np.zeros(r.shape)
    np.add.at(expected, (i // d_in, (i - j) % d_in), dW * D[i // d_in, j])
    assert_near(grads["r"], expected, 64)


@both_dtypes
@pytest.mark.parametrize("signs", ["random", "ones"])
@pytest.mark.parametrize(("d_in", "n_out"), [(8, 24), (13, 13), (30, 45), (101, 150)])
def test_spectra_of_the_docstring(d_in, n_out, signs, dtype):
    """Its formulas as NumPy's complex FFT, block by block."""
    layer = Circulant(d_in, n_out, signs=signs, rng=3, dtype=dtype)
    x, dy, y, dx, grads = run(layer)
    expected_dx = 0
    for block, (r, D) in enumerate(zip(layer.params["r"], layer.signs, strict=True)):
        part = slice(block * d_in, (block + 1) * d_in)
        width = dy[:, part].shape[1]
        g = np.pad(dy[:, part], ((0, 0), (0, d_in - width)))
        FFT_r, FFT_Dx, FFT_g = (np.fft.fft(np.float64(each)) for each in (r, D * x, g))
        assert_near(y[:, part], np.fft.ifft(FFT_r * FFT_Dx).real[:, :width])
        dr = np.fft.ifft(FFT_g * FFT_Dx.conj()).real.sum(axis=0)
        assert_near(grads["r"][block], dr)
        expected_dx = expected_dx + D * np.fft.ifft(FFT_g * FFT_r.conj()).real
    assert_near(dx, expected_dx)


@both_dtypes
@pytest.mark.parametrize("signs", ["random", "ones"])
def test_circulant_is_the_transform_with_the_drawn_numbers(signs, dtype):
    layer = Circulant(13, 40, signs=signs, rng=5, dtype=dtype)
    r, D = draw_circulant(13, 40, rng=5)
    assert_array_equal(layer.params["r"], r.astype(dtype), strict=True)
    assert_array_equal(layer.signs, D if signs == "random" else np.ones_like(D))
    x, dy, y, dx, _ = run(layer)
    given = layer.signs if signs == "random" else None
    assert_array_equal(y, circulant_transform(x, r, given, n_out=40), strict=True)
    assert_array_equal(dx, circulant_adjoint(dy, r, given), strict=True)


def test_circulant_bias():
    layer = Circulant(6, 20, bias=True, rng=0, dtype=np.float64)
    plain = Circulant(6, 20, rng=0, dtype=np.float64)
    x = normal(4, 6)
    assert_array_equal(layer(x), plain(x))
    layer.params["b"][:] = np.arange(20.0)
    assert_array_equal(layer(x), plain(x) + np.arange(20.0))
    _, dy, _, dx, grads = run(layer)
    assert layer.trainable == ("r", "b") and layer.biases == ("b",)
    assert_near(grads["b"], dy.sum(axis=0))
    assert_array_equal(dx, run(plain)[3])
    fixed = Circulant(6, 20, bias=True, adaptive=False, rng=0, dtype=np.float64)
    assert fixed.trainable == ("b",) and fixed.n_weights == layer.n_weights == 24
    assert set(run(fixed)[4]) == {"b"}


def test_circulant_reads_r_anew():
    layer = Circulant(6, 6, rng=0, dtype=np.float64)
    x = normal(3, 6)
    y, cache = layer.forward(x)
    layer.params["r"] *= 2
    assert_array_equal(layer(x), 2 * y)
    dx, _ = layer.backward(y, cache)
    assert_near(dx, y @ circulant_matrix(layer.params["r"], layer.signs))


def test_backward_twice():
    """Spectra that are overwritten on the way back are not those in the cache."""
    for layer in (Circulant(7, 20, rng=0), BlockCirculant(7, 20, block_size=3, rng=0)):
        x = normal(3, 7, dtype=np.float32)
        y, cache = layer.forward(x)
        first, first_grads = layer.backward(y, cache)
        second, second_grads = layer.backward(y, cache)
        assert_array_equal(first, second)
        assert_array_equal(first_grads["r"], second_grads["r"])


def test_1024_outputs_are_the_first_of_2048():
    small, large = (Circulant(800, n_out, rng=9) for n_out in (1024, 2048))
    x = normal(2, 800, dtype=np.float32)
    assert_array_equal(small(x), large(x)[:, :1024])


# ---------------------------------------------------------------------------- circulant blocks


def dense_blocks(layer):
    """The matrix put together from SciPy's circulant blocks, and cut."""
    rows = [[scipy.linalg.circulant(np.float64(r)) for r in row] for row in layer.params["r"]]
    return np.block(rows)[: layer.n_out, : layer.d_in]


@both_dtypes
@pytest.mark.parametrize("block_size", [1, 2, 3, 8, 13, 100])
@all_sizes
def test_block_circulant(d_in, n_out, block_size, dtype):
    layer = BlockCirculant(d_in, n_out, block_size=block_size, rng=2, dtype=dtype)
    b, r = block_size, layer.params["r"]
    assert r.shape == (math.ceil(n_out / b), math.ceil(d_in / b), b)
    dW, grads = assert_is_the_dense_layer(layer, dense_blocks(layer))
    i, j = np.indices(dW.shape)
    expected = np.zeros(r.shape)
    np.add.at(expected, (i // b, j // b, (i - j) % b), dW)
    assert_near(grads["r"], expected, 64)


@both_dtypes
@pytest.mark.parametrize("d", [1, 6, 13, 32])
def test_one_block_is_the_circulant_layer_without_signs(d, dtype):
    block = BlockCirculant(d, d, block_size=d, rng=2, dtype=dtype)
    circulant = Circulant(d, d, signs="ones", rng=3, dtype=dtype)
    circulant.params["r"][:] = block.params["r"][0]
    _, _, y, dx, grads = run(block)
    _, _, expected_y, expected_dx, expected_grads = run(circulant)
    assert_near(y, expected_y)
    assert_near(dx, expected_dx)
    assert_near(grads["r"][0], expected_grads["r"])


@both_dtypes
def test_blocks_of_one_are_the_dense_layer(dtype):
    block = BlockCirculant(7, 5, block_size=1, rng=2, dtype=dtype)
    dense = Dense(7, 5, bias=False, rng=3, dtype=dtype)
    dense.params["W"][:] = block.params["r"][..., 0]
    _, _, y, dx, grads = run(block)
    _, _, expected_y, expected_dx, expected_grads = run(dense)
    assert_near(y, expected_y)
    assert_near(dx, expected_dx)
    assert_near(grads["r"][..., 0], expected_grads["W"])


# ------------------------------------------------------------------------------------ low rank


@both_dtypes
@pytest.mark.parametrize("rank", [1, 4, 70])
@all_sizes
def test_low_rank(d_in, n_out, rank, dtype):
    layer = LowRank(d_in, n_out, rank=rank, rng=2, dtype=dtype)
    V, U = np.float64(layer.params["V"]), np.float64(layer.params["U"])
    assert (V.shape, U.shape) == ((rank, d_in), (n_out, rank))
    dW, grads = assert_is_the_dense_layer(layer, U @ V)
    assert_near(grads["U"], dW @ V.T, 64)
    assert_near(grads["V"], U.T @ dW, 64)
    assert np.linalg.matrix_rank(U @ V) == min(rank, d_in, n_out)


# -------------------------------------------------------------------------------------- hashed


@both_dtypes
@pytest.mark.parametrize("n_hashed", [1, 10, 10**4])
@all_sizes
def test_hashed(d_in, n_out, n_hashed, dtype):
    layer = Hashed(d_in, n_out, n_hashed=n_hashed, rng=2, dtype=dtype)
    w = layer.params["w"]
    assert w.shape == (n_hashed,) and 0 <= layer.seed < 2**32
    W = np.array(oracles_hashing.hashed_matrix(w, layer.seed, n_out, d_in))
    dW, grads = assert_is_the_dense_layer(layer, W)
    expected = np.zeros(n_hashed)
    for entry, slope in enumerate(dW.ravel()):
        h, s = oracles_hashing.place(entry, layer.seed, n_hashed)
        expected[h] += s * slope
    assert_near(grads["w"], expected, 128)


def test_hashed_seed_and_weights_of_the_draw():
    layer = Hashed(5, 4, n_hashed=7, rng=11)
    rng = np.random.default_rng(11)
    assert layer.seed == int(rng.integers(0, 2**32, dtype=np.uint32))
    expected = rng.uniform(-math.sqrt(3 / 5), math.sqrt(3 / 5), 7).astype(np.float32)
    assert_array_equal(layer.params["w"], expected, strict=True)
    assert layer.seed != Hashed(5, 4, n_hashed=7, rng=12).seed
    assert layer.astype(np.float64).seed == layer.seed


# ----------------------------------------------------------------------------- sizes as drawn


@pytest.mark.parametrize(
    "make",
    [
        lambda d, n, rng: Circulant(d, n, rng=rng),
        lambda d, n, rng: BlockCirculant(d, n, block_size=16, rng=rng),
        lambda d, n, rng: LowRank(d, n, rank=64, rng=rng),
        lambda d, n, rng: Hashed(d, n, n_hashed=4000, rng=rng),
        lambda d, n, rng: Dense(d, n, bias=False, rng=rng),
    ],
    ids=["Circulant", "BlockCirculant", "LowRank", "Hashed", "Dense"],
)
def test_outputs_are_as_large_as_inputs(make):
    """Entries of W have variance 1 / d_in: mean squares of y and x agree, for every layer alike."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(40):
        layer = make(100, 200, rng)
        x = rng.standard_normal((8, 100)).astype(np.float32)
        with backends.using("reference"):
            ratios.append(float(np.mean(np.square(layer(x))) / np.mean(np.square(x))))
    assert np.mean(ratios) == pytest.approx(1.0, abs=5 * float(np.std(ratios)) / math.sqrt(40))
    assert np.std(ratios) < 0.3
