"""Haar blocks, and H D1 H D2 H D3, against dense matrices."""

import math

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag, hadamard
from small_runs import BACKEND

from fastfood_np import backends
from fastfood_np.transforms import orthogonal
from fastfood_np.transforms.orthogonal import draw_haar, draw_sorf, sorf

SIZES = [(1, 1), (3, 4), (8, 8), (5, 12), (16, 40)]  # d_in, n_out


@pytest.fixture(autouse=True)
def arithmetic():
    with backends.using(BACKEND):
        yield


def matrix(signs, lengths, d_in):
    """The dense matrix diag(lengths) Q, blocks stacked and cut."""
    d_pad = signs.shape[-1]
    H = hadamard(d_pad) / math.sqrt(d_pad)
    blocks = [H @ np.diag(D1) @ H @ np.diag(D2) @ H @ np.diag(D3) for D1, D2, D3 in signs]
    return lengths[:, None] * np.concatenate(blocks)[: len(lengths), :d_in]


def setting(m, d_in, n_out, dtype=np.float64):
    """x, signs, lengths and an `out` that holds NaN."""
    rng = np.random.default_rng(m)
    arrays = rng.standard_normal((m, d_in)), draw_sorf(d_in, n_out, rng), 1 + rng.random(n_out)
    return *(array.astype(dtype) for array in arrays), np.full((m, n_out), np.nan, dtype)


# ---------------------------------------------------------------------------------------- Haar


@pytest.mark.parametrize(("d_in", "n_out"), [*SIZES, (1, 5), (2, 1), (7, 6)])
def test_haar_blocks_are_orthogonal(d_in, n_out):
    Q = draw_haar(d_in, n_out, rng=0)
    assert Q.shape == (n_out, d_in) and Q.dtype == np.float64
    for first in range(0, n_out, d_in):
        block = Q[first : first + d_in]
        assert_allclose(block @ block.T, np.eye(len(block)), atol=1e-13)


def test_haar_blocks_are_independent():
    Q = draw_haar(6, 18, rng=1).reshape(3, 6, 6)
    assert np.abs(Q[0] - Q[1]).max() > 0.1 and np.abs(Q[1] - Q[2]).max() > 0.1
    assert np.abs(Q[0] @ Q[1].T).min(axis=1).max() > 1e-3  # no row is at right angles by design


def test_haar_cut_is_the_beginning_of_more():
    assert_allclose(draw_haar(4, 7, rng=2), draw_haar(4, 12, rng=2)[:7], atol=1e-14)


def test_few_haar_rows_of_many_columns_are_cheap():
    Q = draw_haar(200_000, 3, rng=2)  # a square block would not fit into memory
    assert_allclose(Q @ Q.T, np.eye(3), atol=1e-12)


def test_haar_of_one_dimension_is_a_sign():
    Q = draw_haar(1, 1000, rng=3)
    assert set(Q.ravel()) == {-1.0, 1.0}
    assert abs(Q.mean()) < 4 / math.sqrt(1000)


def test_haar_entries_are_those_of_uniform_directions():
    """(1 + q) / 2 ~ Beta((d - 1) / 2, (d - 1) / 2); by QR alone some would have one sign."""
    d, count = 5, 400
    Q = draw_haar(d, d * count, rng=4).reshape(count, d, d)
    beta = scipy.stats.beta((d - 1) / 2, (d - 1) / 2)
    for i, j in ((0, 0), (2, 2), (4, 4), (0, 4), (4, 0)):
        assert scipy.stats.kstest((1 + Q[:, i, j]) / 2, beta.cdf).pvalue > 1e-3
    determinants = np.linalg.det(Q)
    assert abs((determinants > 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(count)


# ---------------------------------------------------------------------------------------- SORF


@pytest.mark.parametrize(
    ("d_in", "n_out", "shape"),
    [
        (1, 1, (1, 3, 1)),
        (3, 4, (1, 3, 4)),
        (5, 12, (2, 3, 8)),
        (8, 8, (1, 3, 8)),
        (9, 8, (1, 3, 16)),
    ],
)
def test_sorf_signs(d_in, n_out, shape):
    signs = draw_sorf(d_in, n_out, rng=0)
    assert signs.shape == shape and signs.dtype == np.float64
    assert set(signs.ravel()) <= {-1.0, 1.0}


def test_sorf_signs_are_balanced_and_independent():
    signs = draw_sorf(64, 64 * 50, rng=1)
    assert np.abs(signs.mean(axis=(0, 2))).max() < 4 / math.sqrt(3200)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert abs((signs[:, i] * signs[:, j]).mean()) < 4 / math.sqrt(3200)
    assert len(np.unique(signs.reshape(150, 64), axis=0)) == 150


@pytest.mark.parametrize("draw", [draw_haar, draw_sorf])
def test_seeds(draw):
    first = draw(8, 16, rng=5)
    assert_array_equal(draw(8, 16, rng=5), first)
    assert_array_equal(draw(8, 16, rng=np.random.default_rng(5)), first)
    assert not np.array_equal(draw(8, 16, rng=6), first)
    rng = np.random.default_rng(5)
    draw(8, 16, rng=rng)
    assert not np.array_equal(draw(8, 16, rng=rng), first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 9])
@pytest.mark.parametrize(("d_in", "n_out"), [*SIZES, (5, 1), (5, 9), (64, 100), (100, 300)])
def test_sorf_is_the_dense_product(d_in, n_out, m, dtype):
    x, signs, lengths, out = setting(m, d_in, n_out, dtype)
    given = x.copy(), signs.copy(), lengths.copy()
    assert sorf(x, signs, lengths, out) is None
    expected = x.astype(np.float64) @ matrix(signs, lengths.astype(np.float64), d_in).T
    tolerance = 64 * np.finfo(dtype).eps * np.abs(x).max() * math.sqrt(d_in)
    assert_allclose(out, expected, rtol=0, atol=tolerance)
    for array, before in zip((x, signs, lengths), given, strict=True):
        assert_array_equal(array, before)


def test_sorf_blocks_are_orthogonal_and_of_the_given_lengths():
    x, signs, lengths, out = (
        np.eye(8),
        draw_sorf(8, 24, rng=6),
        np.arange(1.0, 25),
        np.empty((8, 24)),
    )
    sorf(x, signs, lengths, out)
    blocks = [out.T[first : first + 8] for first in (0, 8, 16)]
    for block, own in zip(blocks, lengths.reshape(3, 8), strict=True):
        assert_allclose(block @ block.T, np.diag(own**2), atol=1e-12 * own.max() ** 2)
    assert np.abs(blocks[0] @ blocks[1].T).max() > 1


@pytest.mark.parametrize("chunk", [1, 16, 5 * 16, 1000 * 16])
def test_sorf_in_chunks_of_rows(chunk, monkeypatch):
    x, signs, lengths, whole = setting(23, 13, 40)
    sorf(x, signs, lengths, whole)
    monkeypatch.setattr(orthogonal, "CHUNK_ELEMENTS", chunk)
    out = np.full_like(whole, np.nan)
    sorf(x, signs, lengths, out)
    assert_array_equal(out, whole)


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_sorf_scratch_does_not_grow_with_the_rows(rows, monkeypatch):
    shapes = []
    monkeypatch.setattr(orthogonal, "CHUNK_ELEMENTS", 3 * 16 + 1)
    reserve = np.empty

    def noting(shape, *arguments):
        shapes.append(shape)
        return reserve(shape, *arguments)

    x, signs, lengths, out = setting(rows, 13, 16)
    monkeypatch.setattr(np, "empty", noting)
    sorf(x, signs, lengths, out)
    assert shapes[0] == (min(rows, 3), 16)


def test_sorf_fills_strided_views_and_nothing_else():
    x, signs, lengths, expected = setting(9, 13, 40)
    sorf(x, signs, lengths, expected)
    whole = np.full((9, 100), 7.0)
    for out in (whole[:, :40], whole[:, 50:90], whole[:, 10:90:2]):
        whole[...] = 7
        sorf(x, signs, lengths, out)
        assert_array_equal(out, expected)
        out[...] = 7
        assert (whole == 7).all()


def test_sorf_of_strided_rows():
    x, signs, lengths, expected = setting(9, 13, 40)
    sorf(x, signs, lengths, expected)
    for view in (
        np.asfortranarray(x),
        np.repeat(x, 2, axis=0)[::2],
        np.repeat(x, 2, axis=1)[:, ::2],
    ):
        out = np.empty_like(expected)
        sorf(view, signs, lengths, out)
        assert_array_equal(out, expected)


def test_sorf_of_no_rows():
    x, signs, lengths, out = setting(0, 5, 8)
    sorf(x, signs, lengths, out)


def test_the_dense_matrix_of_the_tests_is_orthogonal():
    signs = draw_sorf(8, 16, rng=7)
    Q = matrix(signs, np.ones(16), 8)
    both = block_diag(Q[:8] @ Q[:8].T, Q[8:] @ Q[8:].T)
    assert_allclose(both, np.eye(16), atol=1e-13)


@pytest.mark.parametrize("draw", [draw_haar, draw_sorf])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "d_in must be at least 1, got 0"),
        ((1, 0), ValueError, "n_out must be at least 1, got 0"),
        ((2.0, 1), TypeError, r"d_in must be an integer, got 2\.0"),
        ((2, True), TypeError, "n_out must be an integer, got True"),
        ((2, 2, "seed"), TypeError, "rng must be .* got 'seed'"),
        ((2, 2, -1), ValueError, "rng must be at least 0, got -1"),
    ],
)
def test_wrong_arguments(draw, arguments, error, message):
    with pytest.raises(error, match=message):
        draw(*arguments)
