"""The distributions that a Fastfood layer is drawn from, with fixed seeds.

Each test has a control: a draw from a nearby wrong distribution that it must refuse.
"""

import numpy as np
import pytest
import scipy.stats

from fastfood_np.layers import Fastfood
from fastfood_np.transforms.factors import draw_fastfood, fastfood_matrix

pytestmark = pytest.mark.compiled_only

LEVEL = 1e-3  # chance of refusing a right draw, had the seeds not been fixed
D, SEEDS = 64, 60


@pytest.fixture(scope="module")
def draws():
    """Two blocks of 64 for each seed."""
    return [draw_fastfood(D, 2 * D, rng=seed) for seed in range(SEEDS)]


def stacked(draws, name):
    """All blocks, shape (SEEDS, 2, D)."""
    return np.stack([getattr(factors, name) for factors in draws])


def balanced(signs):
    """Whether +1 is as frequent as -1."""
    test = scipy.stats.binomtest(int((signs == 1).sum()), signs.size)
    return test.pvalue > LEVEL


def uncorrelated(a, b):
    return scipy.stats.pearsonr(a.ravel(), b.ravel()).pvalue > LEVEL


def standard_normal(values):
    return scipy.stats.kstest(values.ravel(), "norm").pvalue > LEVEL


def chi(values, d=D):
    return scipy.stats.kstest(values.ravel(), scipy.stats.chi(d).cdf).pvalue > LEVEL


def uniform_places(perms):
    """Whether every element lands in every eighth of the row equally often."""
    d = perms.shape[-1]
    counts = np.zeros((d, 8))
    rows = perms.reshape(-1, d)
    for row in rows:
        counts[row, np.arange(d) * 8 // d] += 1
    statistic = ((counts - len(rows) / 8) ** 2 / (len(rows) / 8)).sum()
    return scipy.stats.chi2.sf(statistic, (d - 1) * 7) > LEVEL


def test_B_is_balanced_signs(draws):
    B = stacked(draws, "B")
    assert set(np.unique(B)) == {-1.0, 1.0}
    assert balanced(B)
    assert all(balanced(column) for column in B.reshape(-1, D).T)
    assert uncorrelated(B[:, 0], B[:, 1])
    assert uncorrelated(B[..., :-1], B[..., 1:])
    rng = np.random.default_rng(0)
    assert not balanced(np.where(rng.random(B.shape) < 0.55, 1.0, -1.0))


def test_perm_is_a_uniform_permutation(draws):
    perm = stacked(draws, "perm")
    np.testing.assert_array_equal(np.sort(perm, axis=-1), np.broadcast_to(np.arange(D), perm.shape))
    assert uniform_places(perm)
    fixed = (perm == np.arange(D)).sum(axis=-1)  # Poisson(1): mean and variance 1
    assert abs(fixed.mean() - 1) < 4 / np.sqrt(fixed.size)
    # One riffle of two halves is far from uniform.
    rng = np.random.default_rng(0)
    riffled = [np.argsort(rng.random(D) < 0.5, kind="stable") for _ in range(2 * SEEDS)]
    assert not uniform_places(np.stack(riffled))


def test_G_is_standard_normal(draws):
    G = stacked(draws, "G")
    assert standard_normal(G)
    assert uncorrelated(G[:, 0], G[:, 1])
    assert uncorrelated(G[..., :-1], G[..., 1:])
    assert uncorrelated(np.abs(G), stacked(draws, "B"))
    assert not standard_normal(1.2 * G)
    assert not standard_normal(np.sign(G))


def test_row_lengths_are_chi(draws):
    """Row i of the dense matrix c S H G Pi H B has the length s_i / sigma, s_i ~ chi(d)."""
    lengths = np.stack(
        [np.linalg.norm(fastfood_matrix(factors, 1 / np.sqrt(D)), axis=1) for factors in draws]
    )
    assert chi(lengths)
    assert uncorrelated(lengths[:, :D], lengths[:, D:])
    # Without S all rows of a block have the length ||G||_F, which is chi only over blocks;
    # and with the exponent -1/2 that is printed for ||G||_F they are far too long.
    constant = [factors._replace(S=np.full((2, D), 1.0)) for factors in draws]
    without = [np.linalg.norm(fastfood_matrix(f, 1 / np.sqrt(D)), axis=1) for f in constant]
    assert not chi(np.stack(without))
    too_long = lengths * np.stack(
        [np.sqrt(np.linalg.norm(factors.G, axis=1)).repeat(D) for factors in draws]
    )
    assert not chi(too_long)


@pytest.mark.parametrize("sigma", [0.5, 20.0])
def test_the_layer_as_a_gaussian_matrix(sigma):
    """Entries of the layer's dense matrix are N(0, 1 / sigma^2), also where it is padded."""
    columns = []
    for seed in range(SEEDS):
        layer = Fastfood(50, D, sigma=sigma, rng=seed, dtype=np.float64)
        columns.append(sigma * layer(np.eye(50)).T)
    matrices = np.stack(columns)  # (SEEDS, 64, 50)
    # Entries of one row are independent; rows of one draw are not, so one row of each draw.
    assert standard_normal(matrices[:, 0])
    assert standard_normal(matrices[:, 37])
    # Of all entries the mean square is 1: over seeds, as rows of one draw depend on each other.
    squares = (matrices**2).mean(axis=(1, 2))
    assert abs(squares.mean() - 1) < 4 * squares.std(ddof=1) / np.sqrt(SEEDS)
    assert not standard_normal(1.25 * matrices[:, 0])
