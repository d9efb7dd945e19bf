"""Fastfood with a factor left out or wrong, and the check that tells it from the right one.

Without B or without Pi, the kernel is approximated as well as ever along random directions. What
does show is the spread along rows of H, and V itself, which is read off ReLU features here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from scipy.linalg import hadamard

pytest.importorskip("sklearn", reason="the feature maps need the extra sklearn")

from fastfood_np.features import FastfoodFeatures

pytestmark = pytest.mark.compiled_only

LEVEL = 1e-3  # chance of refusing a right draw, had the seeds not been fixed
D, SEEDS = 64, 60
LENGTH = 1.6  # of inputs; the kernel is 0.28


def right(factors):
    return factors


def no_B(factors):
    return factors._replace(B=np.ones_like(factors.B))


def no_Pi(factors):
    return factors._replace(perm=np.broadcast_to(np.arange(D), factors.perm.shape).copy())


def signs_as_G(factors):
    G = np.sign(factors.G)
    norms = np.linalg.norm(factors.G, axis=1, keepdims=True)
    return factors._replace(G=G, S=factors.S * norms / math.sqrt(D))


def constant_S(factors):
    norms = np.linalg.norm(factors.G, axis=1, keepdims=True)
    return factors._replace(S=np.ones_like(factors.S) * math.sqrt(D) / norms)


def scale_off_by_root_two(factors):
    return factors._replace(S=math.sqrt(2) * factors.S)


def sigma_off_by_a_tenth(factors):
    return factors._replace(S=factors.S / 1.1)


def exponent_as_printed(factors):
    """||G||_F^(-1/2), as equation 35 of Le et al. has it."""
    return factors._replace(S=factors.S * np.sqrt(np.linalg.norm(factors.G, axis=1, keepdims=True)))


def drawn(mutate, seed, n, **parameters):
    maps = FastfoodFeatures(n, sigma=1.0, random_state=seed, **parameters).fit(np.zeros((1, D)))
    maps.factors_ = mutate(maps.factors_)
    return maps


def matrices(mutate, blocks=1):
    """V for each seed, (seeds, rows, D): ReLU features of x less those of -x are sqrt(2/n) V x."""
    n, points = blocks * D, np.concatenate([np.eye(D), -np.eye(D)])
    maps = [drawn(mutate, seed, n, kernel="arc-cosine", order=1) for seed in range(SEEDS)]
    features = np.stack([each.transform(points) for each in maps])
    return math.sqrt(n / 2) * np.swapaxes(features[:, :D] - features[:, D:], 1, 2)


def spread_along(direction, mutate):
    """Standard deviation over seeds of one block's estimate, over that of independent rows."""
    points = np.stack([LENGTH * direction / np.linalg.norm(direction), np.zeros(D)])
    found = []
    for seed in range(SEEDS):
        features = drawn(mutate, seed, 2 * D).transform(points)
        found.append(features[0] @ features[1])
    independent = (1 - math.exp(-(LENGTH**2))) / math.sqrt(2 * D)  # Lemma 1 of Yu et al.
    return np.std(found, ddof=1) / independent


def steady_along_rows_of_H(mutate):
    """As much spread as theory allows: twice that of independent rows, where sqrt(64) is worst."""
    return all(spread_along(hadamard(D)[row], mutate) < 2 for row in (0, 5, D - 1))


def steady_along_random_directions(mutate):
    directions = np.random.default_rng(0).standard_normal((3, D))
    return all(spread_along(direction, mutate) < 2 for direction in directions)


def magnitudes_all_differ(mutate):
    """H G Pi H B has D^2 magnitudes, H G H B only D, and whole numbers for G at most D / 2 + 1."""
    V = matrices(mutate)[0]
    unit = np.abs(V / np.linalg.norm(V, axis=1, keepdims=True))
    return np.unique(unit.round(12)).size == D**2


def lengths_are_chi(mutate):
    lengths = np.linalg.norm(matrices(mutate, blocks=2), axis=2)
    return scipy.stats.kstest(lengths.ravel(), scipy.stats.chi(D).cdf).pvalue > LEVEL


CHECKS = (
    steady_along_rows_of_H,
    steady_along_random_directions,
    magnitudes_all_differ,
    lengths_are_chi,
)


@pytest.mark.parametrize("check", CHECKS)
def test_right_factors_pass(check):
    assert check(right)


@pytest.mark.parametrize(
    ("mutate", "check"),
    [
        (no_B, steady_along_rows_of_H),
        (no_Pi, magnitudes_all_differ),
        (signs_as_G, magnitudes_all_differ),
        (constant_S, lengths_are_chi),
        (scale_off_by_root_two, lengths_are_chi),
        (sigma_off_by_a_tenth, lengths_are_chi),
        (exponent_as_printed, lengths_are_chi),
    ],
)
def test_mutant_is_refused(mutate, check):
    assert not check(mutate)


@pytest.mark.parametrize("mutate", [no_B, no_Pi, signs_as_G, constant_S])
def test_what_random_directions_do_not_show(mutate):
    assert steady_along_random_directions(mutate)
