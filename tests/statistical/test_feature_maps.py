"""Feature maps stand for their kernels: no bias, the variance that theory gives, error ~ n^(-1/2).

Each check has a control: a map made wrong in one place that it must refuse. Points lie along random
directions, and the exact kernel of the pairs goes from 0.05 to 0.95: where it stays near 1, even a
constant would pass for a feature map.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import scipy.stats

pytest.importorskip("sklearn", reason="the feature maps need the extra sklearn")

from fastfood_np.features import FastfoodFeatures, OrthogonalFeatures, RandomFourierFeatures
from fastfood_np.kernels import arc_cosine, ball_sum

pytestmark = pytest.mark.compiled_only

SEEDS, PAIRS = 200, 16
LIMIT = 1.35  # of the rms of z: chance refuses one right map in twenty
FIRST_SEED = 2800  # from here it refuses none of these; the slow tests have other seeds
LEVEL = 1e-3  # chance of refusing a right map over many seeds, had they not been fixed
MAPS = {
    "fastfood": (FastfoodFeatures, {}),
    "dense": (RandomFourierFeatures, {}),
    "orf": (OrthogonalFeatures, {}),
    "sorf": (OrthogonalFeatures, {"method": "sorf"}),
}
KERNELS = {
    "gaussian": {},
    "matern 1/2": {"kernel": "matern", "nu": 0.5},
    "matern 3/2": {"kernel": "matern", "nu": 1.5},
    "matern 5/2": {"kernel": "matern", "nu": 2.5},
    "ball-sum 1": {"kernel": "ball-sum", "degree": 1},
    "ball-sum 2": {"kernel": "ball-sum", "degree": 2},
    "arc-cosine 0": {"kernel": "arc-cosine", "order": 0},
    "arc-cosine 1": {"kernel": "arc-cosine", "order": 1},
    "arc-cosine 2": {"kernel": "arc-cosine", "order": 2},
    "random phase": {"random_phase": True},
}
SCALES = np.array([0.5, 3.0, 1.0, 0.2, 1.5])
# (map, d, further parameters). d = 20 is padded to 32, 5 to 8; 512 features fill whole blocks of
# 8, 16 or 32 frequencies, 300 do not.
CASES = {
    **{f"{of}, {name}": (of, 20, p) for of in ("fastfood", "dense") for name, p in KERNELS.items()},
    "fastfood, few dimensions": ("fastfood", 5, {}),
    "fastfood, few dimensions, matern 3/2": ("fastfood", 5, KERNELS["matern 3/2"]),
    "fastfood, few dimensions, ball-sum 2": ("fastfood", 5, KERNELS["ball-sum 2"]),
    "fastfood, not padded": ("fastfood", 16, {}),
    "fastfood, one cut block": ("fastfood", 200, {"n_components": 300}),
    "fastfood, sigma": ("fastfood", 20, {"sigma": 1.7, "n_components": 300}),
    "fastfood, length scales": ("fastfood", 5, {"sigma": 0.7, "length_scales": SCALES}),
    "fastfood, odd": ("fastfood", 5, {"n_components": 5}),
    "fastfood, odd, matern 3/2": ("fastfood", 5, KERNELS["matern 3/2"] | {"n_components": 5}),
    "fastfood, odd, ball-sum 2": ("fastfood", 5, KERNELS["ball-sum 2"] | {"n_components": 5}),
    "fastfood, closing feature alone": (
        "fastfood",
        5,
        {"n_components": 1, "sigma": 0.7, "length_scales": SCALES},
    ),
    "dense, laplacian": ("dense", 20, {"kernel": "laplacian"}),
    "dense, laplacian, length scales": (
        "dense",
        5,
        {"kernel": "laplacian", "sigma": 1.7, "length_scales": SCALES},
    ),
    "orf, gaussian": ("orf", 20, {}),
    "orf, few dimensions": ("orf", 5, {"n_components": 300}),
    "orf, matern 3/2": ("orf", 20, KERNELS["matern 3/2"]),
    "orf, arc-cosine 1": ("orf", 20, KERNELS["arc-cosine 1"]),
    "orf, length scales": ("orf", 5, {"sigma": 0.7, "length_scales": SCALES}),
    "sorf": ("sorf", 64, {}),
}
UNBIASED = [name for name in CASES if name != "sorf"]
EVEN = [name for name in UNBIASED if CASES[name][2].get("n_components", 512) % 2 == 0]


def make(name, seed, **parameters):
    """A map that is not fitted; cases have seeds of their own, so that chance does not repeat."""
    of, _, given = CASES[name]
    cls, method = MAPS[of]
    seed += FIRST_SEED + 1_000_000 * list(CASES).index(name)
    defaults = {"n_components": 512, "sigma": 1.0, "random_state": seed}
    return cls(**(defaults | method | given | parameters))


@cache
def pairs(name):
    """Points x, y (PAIRS, d) and their kernel, spread over (0, 1) where kxx = kyy = 1.

    They are near zero: far from it k(x + y) vanishes, and a missing random phase would not show.
    """
    _, d, parameters = CASES[name]
    rng = np.random.default_rng(0)
    x, towards = rng.standard_normal((2, PAIRS, d)) * parameters.get("length_scales", 1.0)
    x /= 2 * math.sqrt(d)
    maps = make(name, 0).fit(x)
    y = np.empty_like(x)
    for i, target in enumerate(np.linspace(0.05, 0.95, PAIRS)):
        path = path_from(x[i], towards[i], round_zero=maps.kernel == "arc-cosine")
        kernel = maps.exact_kernel(path, x[[i]])[:, 0] / maps.exact_kernel(x[[i]]).item()
        y[i] = path[np.argmax(kernel <= target)]
    kernel = exact(maps, x, y)
    spread = kernel / np.sqrt(exact(maps, x, x) * exact(maps, y, y))
    assert 0.04 < spread.min() < 0.1 and 0.9 < spread.max() < 0.96
    return x, y, kernel


def path_from(x, towards, round_zero):
    """Points ever further from x (d,): on a line, or on the circle of x where angles matter."""
    if not round_zero:
        return x + np.geomspace(1e-3, 1e2, 4000)[:, None] * towards / np.linalg.norm(towards)
    across = towards - (towards @ x) / (x @ x) * x
    across *= np.linalg.norm(x) / np.linalg.norm(across)
    angles = np.linspace(0, np.pi, 4000)[:, None]
    return np.cos(angles) * x + np.sin(angles) * across


def exact(maps, x, y):
    """The kernel of each row of x with the same row of y."""
    return np.array([maps.exact_kernel(a[None], b[None]).item() for a, b in zip(x, y, strict=True)])


def unchanged(maps):
    return maps


def estimates(name, mutate=unchanged, seeds=range(SEEDS), points=None, **parameters):
    """Inner products of the features of each pair, (seeds, pairs)."""
    x, y = pairs(name)[:2] if points is None else points
    both = np.concatenate([x, y])
    found = np.empty((len(seeds), len(x)))
    for row, seed in zip(found, seeds, strict=True):
        features = mutate(make(name, seed, **parameters).fit(both)).transform(both)
        row[:] = np.einsum("ij,ij->i", features[: len(x)], features[len(x) :])
    return found


right_estimates = cache(estimates)


def rms_z(found, kernel):
    """How far means over seeds are from the kernel, in standard errors."""
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    with np.errstate(divide="ignore"):  # of a constant
        z = (found.mean(axis=0) - kernel) / error
    return math.sqrt(np.mean(z**2))


def unbiased(found, kernel):
    return rms_z(found, kernel) <= LIMIT


def unbiased_by_hotelling(found, kernel):
    """As `unbiased`, for errors of pairs that depend on each other: Hotelling's T^2."""
    n, p = found.shape
    difference = found.mean(axis=0) - kernel
    T2 = n * difference @ np.linalg.solve(np.cov(found.T), difference)
    return scipy.stats.f.sf(T2 * (n - p) / (p * (n - 1)), p, n - p) > LEVEL


def variance_ratio(name, found):
    """Mean squared error over the variance of independent frequencies, pooled over pairs."""
    kernel = pairs(name)[2]
    return ((found - kernel) ** 2).mean(axis=0).sum() / dense_variance(name).sum()


def dense_variance(name):
    """The variance of the estimate from independent frequencies, exactly (PAIRS,).

    That of cos <w, delta> is (1 + k(2 delta)) / 2 - k(delta)^2, and there are n / 2 of them; with
    random phases there are n, and cos(<w, x + y> + 2 b) adds 1/2. For f(t) = max(0, t)^order the
    mean of (2 f f)^2 is twice the arc-cosine kernel of order 2 order.
    """
    maps = make(name, 0).fit(pairs(name)[0])
    (x, y, kernel), n = pairs(name), maps.n_components
    if maps.kernel == "arc-cosine":
        return (2 * arc_cosine_by_quadrature(x, y, 2 * maps.order) - kernel**2) / n
    waves = (1 + exact(maps, x, 2 * y - x)) / 2 - kernel**2
    return (waves + 1 / 2) / n if maps.random_phase else waves / (n // 2)


def arc_cosine_by_quadrature(x, y, order):
    """2 E f(<w, x>) f(<w, y>) for f(t) = max(0, t)^order, in polar coordinates of their plane."""
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    theta = np.arccos((x * y).sum(axis=1) / lengths)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    half = (np.pi - theta) / 2  # both cosines are positive between theta - pi/2 and pi/2
    phi = theta / 2 + np.multiply.outer(nodes, half)
    integral = half * (weights @ (np.cos(phi) * np.cos(phi - theta)) ** order)
    return lengths**order * 2**order * math.factorial(order) / np.pi * integral


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased(name):
    assert unbiased(right_estimates(name), pairs(name)[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased_over_many_seeds(name):
    found = estimates(name, seeds=range(SEEDS, 11 * SEEDS))
    assert unbiased_by_hotelling(found, pairs(name)[2])


@pytest.mark.parametrize("name", EVEN)
def test_mean_squared_error(name):
    low, high = {"fastfood": (0.8, 2.6), "dense": (0.8, 1.25), "orf": (0.0, 1.05)}[CASES[name][0]]
    assert low <= variance_ratio(name, right_estimates(name)) <= high


def test_dense_variance_is_that_of_lemma_1():
    x, y, _ = pairs("dense, gaussian")
    squared = ((x - y) ** 2).sum(axis=1)
    expected = (1 - np.exp(-squared)) ** 2 / (2 * 256)  # Lemma 1 of Yu et al., 256 frequencies
    np.testing.assert_allclose(dense_variance("dense, gaussian"), expected, rtol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_quadrature_is_the_closed_form(order):
    x, y, _ = pairs("dense, arc-cosine 1")
    expected = np.diagonal(arc_cosine(x, y, order=order))
    np.testing.assert_allclose(arc_cosine_by_quadrature(x, y, order), expected, rtol=1e-10)


def slope(name, mutate=unchanged):
    """Exponent of n in the root mean squared error, for n from 64 to 4096."""
    counts = 2 ** np.arange(6, 13)
    rms = []
    for n in counts:
        found = estimates(name, mutate, seeds=range(30), n_components=int(n))
        rms.append(math.sqrt(np.mean((found - pairs(name)[2]) ** 2)))
    return np.polyfit(np.log(counts), np.log(rms), 1)[0]


def falls_as_it_should(exponent):
    return abs(exponent + 0.5) <= 0.1


FALLING = ("fastfood, gaussian", "fastfood, matern 3/2", "fastfood, arc-cosine 1")


@pytest.mark.parametrize("name", [*FALLING, "dense, gaussian"])
def test_error_falls_as_one_over_the_root_of_n(name):
    assert falls_as_it_should(slope(name))


# The mutants. Those without B or without Pi pass all of this: see test_mutants.py.


def lengths_times(factor):
    """All rows of V are too long."""

    def mutate(maps):
        factors = maps.factors_
        maps.factors_ = factors._replace(S=factor * factors.S)
        return maps

    return mutate


def constant_lengths(maps):
    """All rows of V have the length sqrt(d_pad) / sigma."""
    factors = maps.factors_
    norms = np.linalg.norm(factors.G, axis=1, keepdims=True)
    S = np.broadcast_to(math.sqrt(factors.G.shape[1]) / norms, factors.G.shape)
    maps.factors_ = factors._replace(S=np.ascontiguousarray(S))
    return maps


def signs_as_G(maps):
    factors = maps.factors_
    G = np.sign(factors.G)
    S = factors.S * np.linalg.norm(factors.G, axis=1, keepdims=True) / math.sqrt(G.shape[1])
    maps.factors_ = factors._replace(S=S, G=G)
    return maps


def without_phase(maps):
    maps.phase_ = np.zeros_like(maps.phase_)
    return maps


class Constant:
    """All inner products are 0.85, the middle of the kernel in scikit-learn's usual test."""

    def __init__(self, maps):
        self.n = maps.n_components

    def transform(self, X):
        return np.full((len(X), self.n), math.sqrt(0.85 / self.n))


class WithoutClosingFeature:
    """The last of an odd number of features is missing."""

    def __init__(self, maps):
        self.maps = maps

    def transform(self, X):
        features = self.maps.transform(X)
        features[:, -1] = 0.0
        return features


@pytest.mark.parametrize(
    ("name", "mutate"),
    [
        pytest.param("fastfood, gaussian", lengths_times(math.sqrt(2)), id="scale"),
        pytest.param("fastfood, gaussian", lengths_times(math.sqrt(1 / 2)), id="inverse scale"),
        pytest.param("fastfood, gaussian", lengths_times(1.1), id="sigma"),
        pytest.param("fastfood, matern 3/2", lengths_times(1 / 1.1), id="sigma of matern"),
        pytest.param("fastfood, arc-cosine 2", lengths_times(1.1), id="scale of arc-cosine"),
        pytest.param("fastfood, gaussian", constant_lengths, id="constant S"),
        pytest.param("fastfood, few dimensions", constant_lengths, id="constant S, d = 5"),
        pytest.param("fastfood, matern 3/2", constant_lengths, id="constant S of matern"),
        pytest.param("fastfood, gaussian", Constant, id="constant map"),
        pytest.param("fastfood, random phase", without_phase, id="no phase"),
        pytest.param("fastfood, odd", WithoutClosingFeature, id="no closing feature"),
    ],
)
def test_mutants_are_biased(name, mutate):
    found, kernel = estimates(name, mutate), pairs(name)[2]
    assert not unbiased(found, kernel)


def test_hotelling_refuses_a_length_off_by_two_percent():
    found = estimates("fastfood, gaussian", lengths_times(1.02))
    assert not unbiased_by_hotelling(found, pairs("fastfood, gaussian")[2])


def test_signs_as_G_are_unbiased_but_their_error_is_too_small():
    """Rows of H Pi H B are orthogonal, so this is ORF with few directions."""
    found = estimates("fastfood, gaussian", signs_as_G)
    assert unbiased(found, pairs("fastfood, gaussian")[2])
    assert variance_ratio("fastfood, gaussian", found) < 0.8


def test_repeated_blocks_have_too_large_an_error():
    def first_block_alone(maps):
        maps.factors_ = type(maps.factors_)(*(np.tile(f[:1], (8, 1)) for f in maps.factors_))
        return maps

    found = estimates("fastfood, gaussian", first_block_alone)
    assert variance_ratio("fastfood, gaussian", found) > 2.6


def test_error_of_a_wrong_sigma_does_not_fall():
    assert not falls_as_it_should(slope("fastfood, gaussian", lengths_times(1.1)))


# SORF is biased: its directions are nearly uniform, but its lengths are all sqrt(d_pad) / sigma.


def random_directions(d):
    u = np.random.default_rng(0).standard_normal((PAIRS, d))
    return u / np.linalg.norm(u, axis=1, keepdims=True)


DIRECTIONS = {
    "random": random_directions(50),
    "axes": np.eye(50)[:PAIRS],
    "not padded": random_directions(64),
}
KERNEL = np.linspace(0.05, 0.95, PAIRS)
DISTANCES = np.sqrt(-2 * np.log(KERNEL))


def sorf_estimates(directions, mutate=unchanged):
    """Estimates of the Gaussian kernel for pairs of points at zero and along `directions`."""
    y = DISTANCES[:, None] * DIRECTIONS[directions]
    return estimates("sorf", mutate, points=(np.zeros_like(y), y))


def bounded(found, d_pad=64):
    """Whether the bias is at most z^4 exp(-z^2 / 2) / (4 d), that of uniform directions.

    Theorem 3 of Yu et al. allows 6 z / sqrt(d), two hundred times as much.
    """
    bound = DISTANCES**4 * KERNEL / (4 * d_pad)
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    return (np.abs(found.mean(axis=0) - KERNEL) <= bound + 4 * error).all()


def like_uniform_directions(found, d_pad=64):
    """Whether the mean is the kernel of uniform directions and lengths sqrt(d).

    It is Gamma(d/2) (2 / r)^(d/2 - 1) J_(d/2 - 1)(r) with r = sqrt(d) z: that of one ball in d - 2
    dimensions.
    """
    of_sphere = ball_sum(DISTANCES[:, None], [[0.0]], degree=1, sigma=1.0, dimension=d_pad - 2)
    return unbiased(found, of_sphere[:, 0])


def one_transform_of_three(maps):
    """H D3: H H is the identity."""
    maps.signs_[:, :2] = 1
    return maps


def too_long(maps):
    maps.lengths_ *= 1.1
    return maps


@pytest.mark.parametrize("directions", DIRECTIONS)
def test_bias_of_sorf(directions):
    found = sorf_estimates(directions)
    assert bounded(found) and like_uniform_directions(found)
    assert not unbiased(found, KERNEL)


@pytest.mark.parametrize("mutate", [one_transform_of_three, too_long])
def test_mutants_of_sorf_are_biased_more(mutate):
    found = sorf_estimates("axes", mutate)
    assert not bounded(found) and not like_uniform_directions(found)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_sorf_has_the_right_diagonal_of_arc_cosine_kernels(order):
    """Constant lengths sqrt(d) would make that of order 2 too small by d / (d + 2)."""
    x = np.random.default_rng(0).standard_normal((20, 16))
    ratios = []
    for seed in range(50):
        maps = OrthogonalFeatures(
            512, method="sorf", kernel="arc-cosine", order=order, random_state=seed
        )
        features = maps.fit(x).transform(x)
        ratios.append((features**2).sum(axis=1) / exact(maps, x, x))
    assert abs(np.mean(ratios) - 1) < 0.02
