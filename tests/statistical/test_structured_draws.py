"""Hashes that look random, and draws of circulant projections that have the stated moments.

Seeds are fixed. Each p value is that of a right hash or draw; controls show what is noticed.
"""

import math

import numpy as np
import pytest
import scipy.stats

from fastfood_np.backends import reference
from fastfood_np.transforms import circulant_matrix, draw_circulant

pytestmark = pytest.mark.compiled_only

LEVEL = 1e-4  # chance of refusing a right one, had the seeds not been fixed
SHAPE = 300, 500
SEEDS = (0, 1, 2, 2**31, 2**32 - 1, 0x9E3779B1, 3141592653)
every_seed = pytest.mark.parametrize("seed", SEEDS)


def hashes(seed, n_hashed, shape=SHAPE):
    """h and s of all entries, read off a matrix made of 1, 2, 3, ..."""
    W = np.empty(shape)
    reference.hashed_matrix(np.arange(1.0, n_hashed + 1), seed, W)
    return np.abs(W).astype(int) - 1, (W > 0).astype(int)


def p_of_cells(*coordinates):
    """The p value of all cells being met equally often; an axis is (values, how many there are)."""
    sizes = [size for _, size in coordinates]
    cells = np.ravel_multi_index([values.ravel() for values, _ in coordinates], sizes)
    return scipy.stats.chisquare(np.bincount(cells, minlength=math.prod(sizes))).pvalue


@every_seed
@pytest.mark.parametrize("n_hashed", [2, 3, 64, 1000, 7919])
def test_indices_are_uniform_and_signs_independent_of_them(n_hashed, seed):
    h, s = hashes(seed, n_hashed)
    assert p_of_cells((h, n_hashed)) > LEVEL
    assert p_of_cells((s, 2)) > LEVEL
    assert p_of_cells((h, n_hashed), (s, 2)) > LEVEL


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("columns", [500, 512])
@pytest.mark.parametrize("step", [(0, 1), (0, 2), (1, 0), (1, 1), (16, 0)])
def test_neighbours_are_independent(step, columns, seed):
    """Of entries that lie next to each other, or in rows below each other."""
    down, right = step
    h, s = hashes(seed, 16, (300, columns))
    first, second = (slice(None, -down or None), slice(None, -right or None)), np.s_[down:, right:]
    assert p_of_cells((h[first], 16), (h[second], 16)) > LEVEL
    assert p_of_cells((s[first], 2), (s[second], 2)) > LEVEL
    assert p_of_cells((h[first], 16), (s[second], 2)) > LEVEL


def test_rows_and_columns_each_meet_all_weights():
    """No row and no column has its favourites: chi-squared of each of them, p values uniform."""
    h, _ = hashes(7, 20)
    for lines in (h, h.T):
        p = [p_of_cells((line, 20)) for line in lines]
        assert scipy.stats.kstest(p, "uniform").pvalue > LEVEL


def correlations(seeds, shape):
    """Of the entries of each pair of matrices, times the root of how many they are."""
    w, rows = np.random.default_rng(0).standard_normal(1000), np.empty((len(seeds), *shape))
    for W, seed in zip(rows, seeds, strict=True):
        reference.hashed_matrix(w, seed, W)
    rows = rows.reshape(len(seeds), -1)
    return (np.corrcoef(rows) - np.eye(len(seeds))) * math.sqrt(rows.shape[1])


def test_seeds_give_unrelated_matrices():
    """Seeds that follow each other, and seeds as `Hashed` draws them."""
    drawn = np.random.default_rng(1).integers(0, 2**32, 20, np.uint32)
    found = correlations([*range(20), *(int(seed) for seed in drawn)], (150, 200))
    assert np.abs(found).max() < 5


def test_the_few_seeds_that_are_related():
    """Inputs of the mix that differ in bits 16 apart meet in one bit after its first step.

    Such matrices correlate by 2 %. Two seeds drawn at random hardly ever differ like that.
    """
    first, second = 2**14, 2**30
    found = correlations([first, second], (1000, 1500))[0, 1] / math.sqrt(1.5e6)
    assert -0.03 < found < -0.01


def test_a_bad_hash_is_noticed():
    """Indices that go round, signs that are a bit of the index, seeds that shift by one place."""
    entries = np.arange(math.prod(SHAPE)).reshape(SHAPE)
    around = entries % 16
    assert p_of_cells((around[:, :-1], 16), (around[:, 1:], 16)) < 1e-100
    h, _ = hashes(0, 64)
    assert p_of_cells((h, 64), (h % 2, 2)) < 1e-100
    skewed = np.minimum(h, 62)
    assert p_of_cells((skewed, 64)) < 1e-100
    # The mix itself goes round with the seed: golden seeds apart, matrices are one entry apart.
    other, _ = hashes(0x9E3779B1, 64)
    np.testing.assert_array_equal(h.ravel()[1:], other.ravel()[:-1])


# ------------------------------------------------------------------------- circulant projections


def test_moments_of_circulant_draws():
    r, signs = draw_circulant(50, 40_000, rng=1)
    n = r.size
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert scipy.stats.kstest((r * math.sqrt(50)).ravel(), "norm").pvalue > LEVEL
    assert scipy.stats.binomtest(int((signs > 0).sum()), n).pvalue > LEVEL
    for lag in (1, 7, 50, 53):  # within blocks and from one to the next
        for a, b in ((r, r), (signs, signs), (r, signs), (signs, r)):
            a, b = a.ravel()[:-lag], b.ravel()[lag:]
            assert abs(np.dot(a, b)) < 5 * np.linalg.norm(a * b)
    assert abs(np.sum(r * signs)) < 5 * np.linalg.norm(r * signs)


@pytest.mark.parametrize("d", [1, 2, 5, 64])
def test_rows_have_length_one_in_the_mean(d):
    r, signs = draw_circulant(d, 4000 * d, rng=2)
    squares = np.square(r).sum(axis=1)  # of each row of a block alike
    assert squares.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / d / 4000))
    dense = circulant_matrix(r[:2], signs[:2])
    lengths = np.square(dense).sum(axis=1)
    np.testing.assert_allclose(lengths, np.repeat(squares[:2], d))


def test_angles_are_kept_in_the_mean():
    """E <R D x, R D y> = <x, y>, also for inputs of which a circulant matrix alone sees shifts."""
    d, draws = 32, 3000
    x = np.arange(d) / d
    y = np.roll(x, 3) - 0.3
    r, signs = draw_circulant(d, draws * d, rng=3)
    products = [
        np.vdot(*(np.fft.irfft(np.fft.rfft(one) * np.fft.rfft(D * v), d) for v in (x, y)))
        for one, D in zip(r, signs, strict=True)
    ]
    assert np.mean(products) == pytest.approx(
        float(x @ y), abs=5 * float(np.std(products)) / math.sqrt(draws)
    )
    without = [
        np.vdot(*(np.fft.irfft(np.fft.rfft(one) * np.fft.rfft(v), d) for v in (x, y))) for one in r
    ]
    assert np.std(without) > 2 * np.std(products)  # what the random signs are for
