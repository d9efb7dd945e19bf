"""The distributions that frequencies, phases and orthogonal matrices are drawn from, fixed seeds.

Each test has a control: a draw from a nearby wrong distribution that it must refuse.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

pytest.importorskip("sklearn", reason="the feature maps need the extra sklearn")

from fastfood_np.features import OrthogonalFeatures, RandomFourierFeatures
from fastfood_np.features.spectra import BallSum, Gaussian, Laplacian, Matern
from fastfood_np.transforms.orthogonal import draw_haar, draw_sorf

pytestmark = pytest.mark.compiled_only

LEVEL = 1e-3  # chance of refusing a right draw, had the seeds not been fixed
COUNT = 20_000


def follows(values, distribution):
    return scipy.stats.kstest(np.ravel(values), distribution.cdf).pvalue > LEVEL


def alike(values, others):
    return scipy.stats.ks_2samp(np.ravel(values), np.ravel(others)).pvalue > LEVEL


def uncorrelated(a, b):
    return scipy.stats.pearsonr(np.ravel(a), np.ravel(b)).pvalue > LEVEL


def balanced(signs):
    """Whether +1 is as frequent as -1."""
    return scipy.stats.binomtest(int((signs == 1).sum()), signs.size).pvalue > LEVEL


def coordinate(d):
    """The distribution of one coordinate of a uniform direction in R^d."""
    half = (d - 1) / 2
    return scipy.stats.beta(half, half, loc=-1, scale=2)


def uniform_in_ball(rng, count, d):
    """Points uniform in the unit ball: those of the cube that lie inside."""
    points = rng.uniform(-1, 1, (10 * count, d))
    return points[(points**2).sum(axis=1) <= 1][:count]


def uniform_on_sphere(rng, count, d):
    w = rng.standard_normal((count, d))
    return w / np.linalg.norm(w, axis=1, keepdims=True)


@pytest.mark.parametrize("d", [1, 3, 20, 256])
def test_gaussian_radii(d):
    radii = Gaussian().radii(np.random.default_rng(0), COUNT, d)
    assert follows(radii, scipy.stats.chi(d))
    assert not follows(1.1 * radii, scipy.stats.chi(d))


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5])
@pytest.mark.parametrize("d", [1, 5, 64])
def test_matern_radii(d, nu):
    """|t|^2 / d of a multivariate t vector is F(d, 2 nu)."""
    radii = Matern(nu).radii(np.random.default_rng(0), COUNT, d)
    expected = scipy.stats.f(d, 2 * nu)
    assert follows(radii**2 / d, expected)
    assert not follows((1.1 * radii) ** 2 / d, expected)
    assert not follows(Gaussian().radii(np.random.default_rng(0), COUNT, d) ** 2 / d, expected)


@pytest.mark.parametrize("D", [1, 2, 5, 64])
def test_one_ball(D):
    """The D-th power of the length of a uniform point is uniform."""
    lengths = BallSum(1).radii(np.random.default_rng(0), COUNT, D) / math.sqrt(D + 2)
    assert follows(lengths**D, scipy.stats.uniform)
    assert not follows(lengths ** (1.2 * D), scipy.stats.uniform)
    assert not follows((1.03 * lengths) ** D, scipy.stats.uniform)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("D", [1, 2, 5])
def test_sums_of_balls(D, degree):
    lengths = BallSum(degree).radii(np.random.default_rng(0), COUNT, D)
    rng = np.random.default_rng(1)
    in_balls = sum(uniform_in_ball(rng, COUNT, D) for _ in range(degree))
    on_spheres = sum(uniform_on_sphere(rng, COUNT, D) for _ in range(degree))
    lengths /= math.sqrt((D + 2) / degree)
    assert alike(lengths, np.linalg.norm(in_balls, axis=1))
    assert not alike(1.1 * lengths, np.linalg.norm(in_balls, axis=1))
    assert not alike(lengths, np.linalg.norm(on_spheres, axis=1))


@pytest.mark.parametrize("kernel", [Gaussian(), Matern(1.5), BallSum(2)])
def test_directions_are_uniform(kernel):
    w = kernel.frequencies(np.random.default_rng(0), COUNT, 6)
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    assert all(follows(column, coordinate(6)) for column in w.T)
    assert not follows(w[:, 0], coordinate(7))
    along_axes = np.random.default_rng(0).standard_cauchy((COUNT, 6))
    along_axes /= np.linalg.norm(along_axes, axis=1, keepdims=True)
    assert not follows(along_axes[:, 0], coordinate(6))


def test_laplacian_coordinates_are_independent_cauchy():
    w = Laplacian().frequencies(np.random.default_rng(0), COUNT, 3)
    assert all(follows(column, scipy.stats.cauchy) for column in w.T)
    assert uncorrelated(np.arctan(w[:, 0]), np.arctan(w[:, 1]))
    assert uncorrelated(np.abs(np.arctan(w[:, 0])), np.abs(np.arctan(w[:, 1])))
    assert not follows(1.2 * w[:, 0], scipy.stats.cauchy)
    # A multivariate Cauchy vector has the same coordinates, but not independently of each other.
    together = Matern(0.5).frequencies(np.random.default_rng(0), COUNT, 3)
    assert follows(together[:, 0], scipy.stats.cauchy)
    assert not uncorrelated(np.abs(np.arctan(together[:, 0])), np.abs(np.arctan(together[:, 1])))


def test_dense_frequencies_are_normal_with_sigma_and_scales():
    scales = np.array([0.5, 1.0, 4.0])
    maps = RandomFourierFeatures(2 * COUNT, sigma=2.0, length_scales=scales, random_state=0)
    W = maps.fit(np.zeros((1, 3))).frequencies_
    for column, scale in zip(W.T, scales, strict=True):
        assert follows(column, scipy.stats.norm(scale=1 / (2.0 * scale)))
        assert not follows(1.1 * column, scipy.stats.norm(scale=1 / (2.0 * scale)))
    assert uncorrelated(W[:, 0], W[:, 1]) and uncorrelated(W[:-1], W[1:])


def test_phases_are_uniform():
    maps = RandomFourierFeatures(COUNT, sigma=1.0, random_phase=True, random_state=0)
    phases = maps.fit(np.zeros((1, 2))).phase_
    circle = scipy.stats.uniform(scale=2 * np.pi)
    assert follows(phases, circle)
    assert uncorrelated(phases, maps.frequencies_[:, 0])
    assert not follows(phases % np.pi, circle)


def test_phase_of_a_closing_feature_is_uniform():
    """At zero the feature is sqrt(2) cos b, and cos b follows the arcsine law."""
    zero = np.zeros((1, 2))
    maps = [RandomFourierFeatures(1, sigma=1.0, random_state=seed) for seed in range(500)]
    cosines = np.array([each.fit_transform(zero).item() for each in maps]) / math.sqrt(2)
    arcsine = scipy.stats.arcsine(loc=-1, scale=2)
    assert follows(cosines, arcsine)
    assert not follows(np.abs(cosines), arcsine)


def orthogonal(rows):
    """Whether all rows of each matrix (..., rows, d) are at right angles to each other."""
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    angles = unit @ np.swapaxes(unit, -1, -2)
    return bool((np.abs(angles - np.eye(rows.shape[-2])) < 1e-12).all())


def test_orf_rows():
    d, blocks = 16, 200
    maps = OrthogonalFeatures(2 * d * blocks, sigma=0.5, random_state=0).fit(np.zeros((1, d)))
    W = 0.5 * maps.frequencies_.reshape(blocks, d, d)
    assert orthogonal(W)
    assert not orthogonal(W.reshape(blocks // 2, 2 * d, d)[:, d // 2 :][:, :d])  # of two blocks
    lengths = np.linalg.norm(W, axis=-1)
    assert follows(lengths, scipy.stats.chi(d))
    assert uncorrelated(lengths[:, :-1], lengths[:, 1:])
    assert not follows(np.full(lengths.shape, math.sqrt(d)), scipy.stats.chi(d))
    assert not follows(1.1 * lengths, scipy.stats.chi(d))


def haar(columns):
    """Whether first columns (count, d) are uniform directions."""
    return all(follows(entries, coordinate(columns.shape[1])) for entries in columns.T)


def test_orf_directions_are_uniform():
    d, blocks = 8, 800
    Q = draw_haar(d, d * blocks, rng=0).reshape(blocks, d, d)
    assert orthogonal(Q)
    assert haar(Q[:, :, 0]) and haar(Q[:, 0]) and haar(Q[:, :, -1])
    assert balanced(np.sign(np.linalg.det(Q)))
    # Q of a QR decomposition is uniform only once the signs of R's diagonal are taken out.
    with_signs = np.linalg.qr(np.random.default_rng(0).standard_normal((blocks, d, d)))[0]
    assert orthogonal(with_signs) and not haar(with_signs[:, :, 0])


def test_orf_of_one_dimension_has_balanced_signs():
    assert balanced(draw_haar(1, COUNT, rng=0))


def test_sorf_signs_are_balanced():
    signs = draw_sorf(50, 64 * 100, rng=0)
    assert signs.shape == (100, 3, 64) and set(np.unique(signs)) == {-1.0, 1.0}
    assert balanced(signs)
    assert all(balanced(signs[:, factor, i]) for factor in range(3) for i in range(64))
    assert uncorrelated(signs[:, 0], signs[:, 1]) and uncorrelated(signs[:, 1], signs[:, 2])
    assert uncorrelated(signs[..., :-1], signs[..., 1:]) and uncorrelated(signs[:-1], signs[1:])
    assert not balanced(np.where(np.random.default_rng(0).random(signs.shape) < 0.52, 1.0, -1.0))
