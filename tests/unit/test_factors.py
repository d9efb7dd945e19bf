"""The draws of a Fastfood transform and the dense matrix they stand for."""

import numpy as np
import oracles
import pytest
import scipy.linalg

from fastfood_np.transforms.factors import (
    FastfoodFactors,
    draw_fastfood,
    fastfood_matrix,
    padded_size,
)


def whole_factors(blocks, d, seed=0):
    rng = np.random.default_rng(seed)
    S, G, B = rng.integers(-4, 5, (3, blocks, d)).astype(np.float64)
    perm = np.stack([rng.permutation(d) for _ in range(blocks)])
    return FastfoodFactors(S, G, B, perm)


@pytest.mark.parametrize(
    ("d", "expected"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (800, 1024), (1025, 2048)]
)
def test_padded_size(d, expected):
    assert padded_size(d) == expected


@pytest.mark.parametrize(("blocks", "d"), [(1, 1), (1, 2), (3, 1), (2, 8), (3, 16)])
def test_matrix_is_the_product_of_its_factors(blocks, d):
    factors = whole_factors(blocks, d)
    expected = oracles.fastfood_matrix(*factors, 0.25)
    np.testing.assert_array_equal(fastfood_matrix(factors, 0.25), expected, strict=True)
    cut = (max(1, blocks * d - 1), max(1, d - 1))
    np.testing.assert_array_equal(
        fastfood_matrix(factors, 0.25, cut), expected[: cut[0], : cut[1]], strict=True
    )


def test_draws_are_in_the_documented_order():
    """Block by block, each in the order B, perm, G, s, from one generator."""
    factors, rng = draw_fastfood(5, 20, rng=7), np.random.default_rng(7)
    for block in range(3):
        np.testing.assert_array_equal(factors.B[block], 2 * rng.integers(0, 2, 8) - 1)
        np.testing.assert_array_equal(factors.perm[block], rng.permutation(8))
        G = rng.standard_normal(8)
        np.testing.assert_array_equal(factors.G[block], G)
        s = np.sqrt(rng.chisquare(8, 8))
        np.testing.assert_allclose(factors.S[block], s / np.sqrt(G @ G), rtol=1e-15)


@pytest.mark.parametrize(("d_in", "n_out"), [(1, 1), (3, 4), (8, 9), (800, 2048)])
def test_shapes_and_dtypes(d_in, n_out):
    factors = draw_fastfood(d_in, n_out, rng=0)
    d_pad = padded_size(d_in)
    for array in factors:
        assert array.shape == (-(-n_out // d_pad), d_pad)
    assert [array.dtype for array in factors] == [np.float64] * 3 + [np.int64]


def test_a_smaller_draw_is_a_prefix():
    small, large = draw_fastfood(800, 1024, 5), draw_fastfood(800, 2048, 5)
    for one, two in zip(small, large, strict=True):
        np.testing.assert_array_equal(one, two[:1], strict=True)
        assert not np.array_equal(two[0], two[1])


def test_seeds():
    same, again, other = (draw_fastfood(8, 8, seed) for seed in (1, 1, 2))
    for name in ("S", "G", "B", "perm"):
        np.testing.assert_array_equal(getattr(same, name), getattr(again, name))
        assert not np.array_equal(getattr(same, name), getattr(other, name))
    generator = np.random.default_rng(1)
    first, second = draw_fastfood(8, 8, generator), draw_fastfood(8, 8, generator)
    np.testing.assert_array_equal(first.G, same.G)
    assert not np.array_equal(second.G, same.G)


def test_every_row_of_a_block_has_its_own_chi_length():
    """All rows of H G Pi H B have the norm sqrt(d) ||G||_F, so row i of c V has s_i / sigma."""
    factors = draw_fastfood(32, 64, rng=3)
    rows = fastfood_matrix(factors, 1 / np.sqrt(32))
    s = factors.S * np.linalg.norm(factors.G, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), s.ravel(), rtol=1e-13)


def test_without_the_permutation_few_magnitudes_are_left():
    """H G Pi H B has about d^2 distinct magnitudes, H G H B only d (a control)."""
    factors = draw_fastfood(16, 16, rng=3)
    plain = factors._replace(S=np.ones((1, 16)))
    magnitudes = {
        name: len(np.unique(np.abs(fastfood_matrix(f)).round(9)))
        for name, f in {
            "with": plain,
            "without": plain._replace(perm=np.arange(16)[None]),
        }.items()
    }
    assert magnitudes["without"] == 16
    assert magnitudes["with"] > 16**2 / 2


def test_h_is_scipys():
    np.testing.assert_array_equal(oracles.hadamard_matrix(16), scipy.linalg.hadamard(16))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "d_in must be at least 1, got 0"),
        ((1, 0), ValueError, "n_out must be at least 1, got 0"),
        ((2.0, 1), TypeError, "d_in must be an integer, got 2.0"),
        ((1, 1, "seed"), TypeError, "rng must be"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        draw_fastfood(*arguments)
