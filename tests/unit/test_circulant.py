"""Circulant projections: against dense matrices, every kind of argument, and the draws."""

import math

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal

from fastfood_np import backends
from fastfood_np.layers import Circulant
from fastfood_np.transforms import (
    circulant_adjoint,
    circulant_fft,
    circulant_matrix,
    circulant_transform,
    draw_circulant,
)

DTYPES = (np.float32, np.float64)
SIZES = (1, 2, 3, 4, 5, 8, 12, 13, 30, 31, 64, 97, 101, 206, 211)  # from 101 on by convolution
R, SIGNS = draw_circulant(13, 40, rng=0)  # 4 blocks of 13
X = np.random.default_rng(1).standard_normal((2, 5, 13))
Y = np.random.default_rng(2).standard_normal((2, 5, 40))
W = np.concatenate([scipy.linalg.circulant(r) * D for r, D in zip(R, SIGNS, strict=True)])

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def assert_near(ours, exact, dtype=np.float64, factor=8):
    """Relative to the longest row; errors of an FFT grow with log d at most."""
    assert ours.dtype == dtype and ours.shape == exact.shape
    lengths = np.linalg.norm(exact, axis=-1).max() if exact.ndim else np.abs(exact)
    limit = factor * np.finfo(dtype).eps * max(1, math.log2(exact.shape[-1])) * lengths
    assert_allclose(ours, exact, rtol=0, atol=limit)


# ----------------------------------------------------------------------------- dense matrices


@pytest.mark.parametrize("d", SIZES)
def test_matrix_is_that_of_scipy(d):
    r = np.random.default_rng(d).standard_normal(d)
    assert_array_equal(circulant_matrix(r), scipy.linalg.circulant(r), strict=True)


def test_matrix_of_the_definition():
    """R_ij = r_((i - j) mod d), each column times its sign."""
    dense = circulant_matrix(R, SIGNS, 17)
    for i in range(17):
        for j in range(13):
            assert dense[i, j] == R[i // 13, (i % 13 - j) % 13] * SIGNS[i // 13, j]


def test_matrix_of_blocks_cut_and_its_dtype():
    assert_array_equal(circulant_matrix(R, SIGNS), W, strict=True)
    for n_out in (1, 13, 14, 52):
        assert_array_equal(circulant_matrix(R, SIGNS, n_out), W[:n_out], strict=True)
    assert circulant_matrix(R.astype(np.float32), SIGNS).dtype == np.float32
    assert circulant_matrix([1, 2, 3]).dtype == np.float64
    assert circulant_matrix(np.ones(3, np.float16)).dtype == np.float32


@both_dtypes
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("d", SIZES)
def test_transform_and_adjoint_are_the_dense_products(d, blocks, dtype):
    rng = np.random.default_rng(d)
    r, signs = draw_circulant(d, blocks * d, rng)
    for n_out in {1, (blocks * d + 1) // 2, blocks * d - 1, blocks * d} - {0}:
        x, y = (rng.standard_normal((3, size)).astype(dtype) for size in (d, n_out))
        for given in (None, signs):
            dense = circulant_matrix(r, given, n_out)
            assert_near(circulant_transform(x, r, given, n_out=n_out), x @ dense.T, dtype)
            assert_near(circulant_adjoint(y, r, given), y @ dense, dtype)


@both_dtypes
def test_a_diagonal_of_any_numbers(dtype):
    D = np.random.default_rng(3).standard_normal(R.shape)
    dense = circulant_matrix(R, D)
    assert_near(circulant_transform(X.astype(dtype), R, D), X @ dense.T, dtype, 16)
    assert_near(circulant_adjoint(Y.astype(dtype), R, D), Y @ dense[:40], dtype, 16)


def test_length_one():
    """R is a number: nothing is rounded but the product."""
    x, r, signs = np.array([[3.0], [-0.1]]), np.array([[0.3], [7.0]]), np.array([[-1.0], [1.0]])
    assert_array_equal(circulant_transform(x, r, signs), x * (r * signs)[:, 0])
    assert_array_equal(circulant_adjoint(x, r[:1], signs[:1]), x * -0.3)
    assert_array_equal(circulant_transform(2.0 * np.ones(1), 3.0 * np.ones(1)), [6.0])


@both_dtypes
def test_short_powers_of_two_are_exact(dtype):
    """Whole numbers, lengths of which no factor of the FFT is rounded: d = 1, 2, 4."""
    rng = np.random.default_rng(4)
    for d in (1, 2, 4):
        x, r = rng.integers(-9, 10, (2, 5, d)).astype(dtype)
        dense = np.concatenate([scipy.linalg.circulant(one) for one in r])
        assert_array_equal(circulant_transform(x, r), x @ dense.T, strict=True)
        assert_array_equal(circulant_adjoint(x @ dense.T, r), x @ dense.T @ dense, strict=True)


def test_a_unit_vector_shifts():
    """r = e_k turns x by k places: circular convolution; the adjoint turns back."""
    x, unit = np.arange(13.0), np.eye(13)
    for k in range(13):
        assert_allclose(circulant_transform(x, unit[k]), np.roll(x, k), atol=1e-13)
        assert_allclose(circulant_adjoint(x, unit[k]), np.roll(x, -k), atol=1e-13)


# ---------------------------------------------------------------------------- kinds of input


def test_all_outputs_by_default_and_any_smaller_number():
    full = circulant_transform(X, R, SIGNS)
    assert full.shape == (2, 5, 52) and full.flags.c_contiguous
    for n_out in (1, 12, 13, 14, 39, 51, np.int64(7)):
        part = circulant_transform(X, R, SIGNS, n_out=n_out)
        assert_array_equal(part, full[..., :n_out])
        assert part.flags.c_contiguous


def test_the_adjoint_of_few_outputs_is_that_of_zeros_after_them():
    for n_out in (1, 13, 40, 51, 52):
        y = np.random.default_rng(n_out).standard_normal((4, n_out))
        padded = np.pad(y, ((0, 0), (0, 52 - n_out)))
        found = circulant_adjoint(y, R, SIGNS)
        assert_array_equal(found, circulant_adjoint(padded, R, SIGNS))
        assert found.shape == (4, 13) and found.flags.c_contiguous and found.flags.writeable


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float16, np.float32),
        (np.float32, np.float32),
        (np.float64, np.float64),
        (">f4", np.float32),
        (">f8", np.float64),
        (bool, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
    ],
)
def test_dtypes(given, kept):
    x = (X > 0).astype(given)
    expected = circulant_transform((X > 0).astype(kept), R, SIGNS)
    found = circulant_transform(x, R, SIGNS)
    assert found.dtype == kept
    assert_array_equal(found, expected)
    y = (Y > 0).astype(given)
    assert_array_equal(
        circulant_adjoint(y, R, SIGNS),
        circulant_adjoint((Y > 0).astype(kept), R, SIGNS),
        strict=True,
    )


def test_r_and_signs_are_rounded_to_the_dtype_of_the_result():
    x = X.astype(np.float32)
    expected = circulant_transform(x, R.astype(np.float32), SIGNS.astype(np.float32))
    for r in (R.astype(np.float32), R.astype(np.float32).astype(">f8"), R):
        for signs in (SIGNS, SIGNS.astype(np.int8), SIGNS.tolist()):
            assert_array_equal(circulant_transform(x, r, signs), expected, strict=True)
    assert_array_equal(circulant_transform(X, R[0] > 0), circulant_transform(X, (R[0] > 0) * 1.0))


def test_leading_axes():
    rows = circulant_transform(X.reshape(10, 13), R, SIGNS)
    back = circulant_adjoint(Y.reshape(10, 40), R, SIGNS)
    for shape in ((10,), (2, 5), (1, 5, 2, 1)):
        assert_array_equal(
            circulant_transform(X.reshape(*shape, 13), R, SIGNS), rows.reshape(*shape, 52)
        )
        assert_array_equal(
            circulant_adjoint(Y.reshape(*shape, 40), R, SIGNS), back.reshape(*shape, 13)
        )
    assert_array_equal(circulant_transform(X[0, 0], R, SIGNS), rows[0])
    assert_array_equal(circulant_adjoint(Y[0, 0], R, SIGNS), back[0])
    one = circulant_transform(X, R[:1], SIGNS[:1])
    assert_array_equal(circulant_transform(X, R[0], SIGNS[0]), one)


@both_dtypes
def test_no_rows(dtype):
    for shape in ((0,), (3, 0), (0, 5)):
        empty = np.empty((*shape, 13), dtype)
        found = circulant_transform(empty, R, SIGNS, n_out=40, workers=2)
        assert found.shape == (*shape, 40) and found.dtype == dtype
        found = circulant_adjoint(np.empty((*shape, 40), dtype), R, workers=2)
        assert found.shape == (*shape, 13) and found.dtype == dtype


def views(array):
    """The same numbers laid out otherwise, the last of them read-only and between two words."""
    yield np.asfortranarray(array)
    yield np.repeat(array, 2, axis=-1)[..., ::2]
    yield array[..., ::-1].copy()[..., ::-1]
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    raw.flags.writeable = False
    yield raw


def test_layouts_change_no_bit_and_nothing_is_written():
    transformed, back = circulant_transform(X, R, SIGNS), circulant_adjoint(Y, R, SIGNS)
    for x, r, signs in zip(views(X), views(R), views(SIGNS), strict=True):
        assert_array_equal(circulant_transform(x, r, signs), transformed)
        assert_array_equal(x, X)
        assert_array_equal(r, R)
        assert_array_equal(signs, SIGNS)
    for y in views(Y):
        assert_array_equal(circulant_adjoint(y, R, SIGNS), back)
        assert_array_equal(y, Y)


def test_out_is_filled_and_returned_whatever_its_layout():
    expected = circulant_transform(X, R, SIGNS, n_out=40)
    for out in (np.empty((2, 5, 40)), np.empty((40, 5, 2)).T, np.empty((2, 5, 80))[..., ::2]):
        assert circulant_transform(X, R, SIGNS, n_out=40, out=out) is out
        assert_array_equal(out, expected)
    wide = np.full((2, 5, 50), 7.0)
    circulant_transform(X, R, SIGNS, n_out=40, out=wide[..., 5:45])
    assert (wide[..., :5] == 7).all() and (wide[..., 45:] == 7).all()
    nothing = np.empty((0, 40))
    assert circulant_transform(X[:0, 0], R, n_out=40, out=nothing) is nothing


def test_out_may_be_an_argument():
    x, r, signs = (array[:4].copy() for array in (X.reshape(10, 13), R, SIGNS))
    expected = circulant_transform(x, r, signs, n_out=13)
    for i in range(3):
        given = [x.copy(), r.copy(), signs.copy()]
        assert_array_equal(circulant_transform(*given, n_out=13, out=given[i]), expected)


@both_dtypes
@pytest.mark.parametrize("d", [13, 16, 31, 101])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_row_spoils_no_other(bad, d, dtype):
    """Rows go through the FFT several at a time, side by side in vectors."""
    r, signs = draw_circulant(d, 2 * d, rng=0)
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal((11, n)).astype(dtype) for n in (d, 2 * d))
    whole, back = circulant_transform(x, r, signs), circulant_adjoint(y, r, signs)
    for row in range(11):
        spoilt, spoilt_y = x.copy(), y.copy()
        spoilt[row, row % d] = spoilt_y[row, d + row % d] = bad
        for found, expected in (
            (circulant_transform(spoilt, r, signs), whole),
            (circulant_adjoint(spoilt_y, r, signs), back),
        ):
            assert np.isnan(found[row]).all()
            assert_array_equal(np.delete(found, row, 0), np.delete(expected, row, 0))


# ------------------------------------------------------------------------------------ threads


@both_dtypes
@pytest.mark.parametrize("d", [64, 97, 211, 1000])
def test_workers_and_batches_change_no_bit(d, dtype, monkeypatch):
    """Chunks of 16 rows, so that there are five of them for the threads to share."""
    monkeypatch.setattr(circulant_fft, "CHUNK_BYTES", 1)
    r, signs = draw_circulant(d, 2 * d, rng=0)
    x = np.random.default_rng(6).standard_normal((70, d)).astype(dtype)
    one = circulant_transform(x, r, signs, workers=1)
    back = circulant_adjoint(one, r, signs, workers=1)
    for workers in (None, 2, 3, 50, -1):
        assert_array_equal(circulant_transform(x, r, signs, workers=workers), one)
        assert_array_equal(circulant_adjoint(one, r, signs, workers=workers), back)
    for rows in (1, 2, 5, 8, 17, 69):
        assert_array_equal(circulant_transform(x[:rows], r, signs), one[:rows])
        assert_array_equal(circulant_adjoint(one[:rows], r, signs), back[:rows])


@both_dtypes
@pytest.mark.parametrize("signs", ["random", "ones"])
@pytest.mark.parametrize("d", [12, 101])
def test_chunks_of_rows_change_no_bit(d, signs, dtype, monkeypatch):
    """16 rows at a time and the rest; only the sums of dL/dr are taken in another order."""
    layer = Circulant(d, 2 * d - 1, signs=signs, rng=0, dtype=dtype)
    x, dy = (
        np.random.default_rng(size).standard_normal((41, size)).astype(dtype)
        for size in (d, 2 * d - 1)
    )
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    monkeypatch.setattr(circulant_fft, "CHUNK_BYTES", 1)
    other_y, cache = layer.forward(x)
    other_dx, other_grads = layer.backward(dy, cache)
    assert_array_equal(other_y, y)
    assert_array_equal(other_dx, dx)
    assert_near(other_grads["r"], grads["r"], dtype)
    dr_alone = layer.backward(dy, cache, need_dx=False)[1]["r"]
    assert_array_equal(dr_alone, other_grads["r"])


def test_lengths_of_the_ffts():
    """d itself unless it has a prime factor above 100; else enough for a linear convolution."""
    primes = [p for p in range(2, 1000) if all(p % q for q in range(2, p))]
    for d in range(1, 1000):
        length, largest = circulant_fft.fft_length(d), max([1, *(p for p in primes if d % p == 0)])
        assert length == d if largest <= 100 else 2 * d - 1 <= length < 2.3 * d


def test_how_many_threads_work(monkeypatch):
    """As many as Numba has from 2^18 numbers on, or as many as asked for."""
    asked, in_chunks = [], circulant_fft.in_chunks

    def noting(work, m, r, threads):
        asked.append(threads)
        return in_chunks(work, m, r, threads)

    def threads_of(call, *arguments, **options):
        asked.clear()
        call(*arguments, **options)
        return max(asked)

    monkeypatch.setattr(circulant_fft, "in_chunks", noting)
    monkeypatch.setattr(backends.select(), "teams", lambda elements: 7)
    x, r = np.ones((256, 512)), np.ones((2, 512))
    for call in (circulant_transform, circulant_adjoint):
        assert threads_of(call, x, r) == 7
        assert threads_of(call, x[:255], r) == 1
        assert threads_of(call, x, r[:1]) == 1
        assert threads_of(call, x, r, workers=2) == 2
        assert threads_of(call, x[:1], r, workers=3) == 3


# -------------------------------------------------------------------------------------- draws


def test_order_of_the_draws():
    """Of each block first D, then r."""
    r, signs = draw_circulant(5, 12, rng=8)
    rng = np.random.default_rng(8)
    for block in range(3):
        assert_array_equal(signs[block], 2.0 * rng.integers(0, 2, 5) - 1)
        assert_array_equal(r[block], rng.standard_normal(5) / math.sqrt(5))


@pytest.mark.parametrize(("d_in", "n_out", "blocks"), [(1, 1, 1), (1, 5, 5), (7, 7, 1), (7, 8, 2)])
def test_shapes_of_the_draws(d_in, n_out, blocks):
    for drawn in draw_circulant(d_in, n_out, rng=0):
        assert drawn.shape == (blocks, d_in) and drawn.dtype == np.float64


def test_fewer_outputs_are_the_first_of_more():
    for small, large in zip(
        draw_circulant(50, 60, rng=3), draw_circulant(50, 1000, rng=3), strict=True
    ):
        assert_array_equal(small, large[:2])


def test_sources_of_the_draws():
    same = [draw_circulant(9, 20, rng=rng) for rng in (1, np.int64(1), np.random.default_rng(1))]
    for r, signs in same[1:]:
        assert_array_equal(r, same[0][0])
        assert_array_equal(signs, same[0][1])
    assert not np.array_equal(draw_circulant(9, 20)[0], draw_circulant(9, 20)[0])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(([1.0, 2.0], [[1.0], [2.0, 3.0]]), "r"), (([[1.0], [2.0, 3.0]], 1), "x")],
)
def test_lists_of_different_lengths_are_named(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} must be an array: "):
        circulant_transform(*arguments)
