"""The bandwidth of a kernel from gamma, sigma or the data."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.spatial.distance import pdist
from small_runs import BACKEND

pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")

from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.svm import SVC

from fastfood_np import backends, kernels
from fastfood_np.features import FastfoodFeatures, OrthogonalFeatures, RandomFourierFeatures
from fastfood_np.features.bandwidth import bandwidth
from fastfood_np.features.spectra import BallSum, Gaussian, Laplacian, Matern

GAUSSIAN, LAPLACIAN = Gaussian(), Laplacian()
EUCLIDEAN = (GAUSSIAN, Matern(1.5), BallSum(2))
METRICS = ((GAUSSIAN, "euclidean"), (LAPLACIAN, "cityblock"))
both_metrics = pytest.mark.parametrize(("kernel", "metric"), METRICS)


@pytest.fixture(autouse=True)
def arithmetic():
    with backends.using(BACKEND):
        yield


def points(seed, m=40, d=3):
    return np.random.default_rng(seed).standard_normal((m, d)) * np.linspace(0.5, 3, d) + 0.3


def gamma_of(sigma, kernel):
    """As in scikit-learn's kernels."""
    return 1 / sigma if kernel is LAPLACIAN else 1 / (2 * sigma**2)


# ----------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("gamma", [0.3, 2, np.float32(0.25), np.int64(3), 1e-300, 1e300])
def test_gamma_is_scikit_learns(gamma):
    X = points(0)
    for kernel in EUCLIDEAN:
        sigma = bandwidth(gamma, None, X, kernel)
        assert type(sigma) is float
        assert sigma == pytest.approx(math.sqrt(0.5) / math.sqrt(gamma), rel=1e-15)
    assert bandwidth(gamma, None, X, LAPLACIAN) == pytest.approx(1 / float(gamma), rel=1e-15)


def test_kernels_agree_with_scikit_learns():
    X, Y, gamma = points(1), points(2), 0.2
    sigma = bandwidth(gamma, None, X, GAUSSIAN)
    assert_allclose(kernels.gaussian(X, Y, sigma=sigma), rbf_kernel(X, Y, gamma), rtol=1e-10)
    sigma = bandwidth(gamma, None, X, LAPLACIAN)
    expected = laplacian_kernel(X, Y, gamma)
    assert_allclose(kernels.laplacian(X, Y, sigma=sigma), expected, rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.7, 3, np.float32(0.5), 1e-200])
def test_sigma_is_taken_as_it_is(sigma):
    for kernel in (*EUCLIDEAN, LAPLACIAN):
        found = bandwidth("scale", sigma, points(3), kernel)
        assert type(found) is float and found == sigma


def test_gamma_and_sigma_exclude_each_other():
    for gamma in (1.0, 0.5, "median"):
        with pytest.raises(ValueError, match=f"only one of gamma and sigma.*{gamma!r}, 2.0"):
            bandwidth(gamma, 2.0, points(4), GAUSSIAN)


@pytest.mark.parametrize(
    ("maps", "gamma"),
    [
        (FastfoodFeatures, 1 / 8),
        (OrthogonalFeatures, 1 / 8),
        (RandomFourierFeatures, 1 / 8),
        (lambda **more: RandomFourierFeatures(kernel="laplacian", **more), 1 / 2),
    ],
)
def test_maps_have_it_as_an_attribute(maps, gamma):
    X = points(5)
    assert maps(gamma=gamma).fit(X).sigma_ == pytest.approx(2.0, rel=1e-15)
    assert maps(sigma=2).fit(X).sigma_ == 2.0
    assert maps(gamma="median").fit(X).sigma_ != pytest.approx(maps().fit(X).sigma_, rel=0.01)


# ------------------------------------------------------------------------------------- "scale"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scale(dtype, form):
    X = np.where(points(6) > 0, points(6), 0).astype(dtype)
    variance = X.astype(np.float64).var()
    for kernel in EUCLIDEAN:
        sigma = bandwidth("scale", None, form(X), kernel)
        assert gamma_of(sigma, kernel) == pytest.approx(1 / (3 * variance), rel=1e-13)
    sigma = bandwidth("scale", None, form(X), LAPLACIAN)
    assert sigma == pytest.approx(3 * math.sqrt(variance), rel=1e-13)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_scale_is_scikit_learns(form):
    X = form(points(7))
    gamma = gamma_of(bandwidth("scale", None, X, GAUSSIAN), GAUSSIAN)
    theirs = RBFSampler(gamma="scale", random_state=0).fit(X)
    ours = RBFSampler(gamma=gamma, random_state=0).fit(X)
    assert_allclose(ours.random_weights_, theirs.random_weights_, rtol=1e-12)
    labels = points(7)[:, 0] > 0.3
    theirs, ours = (SVC(gamma=g).fit(X, labels).decision_function(X) for g in ("scale", gamma))
    assert_allclose(ours, theirs, rtol=1e-10)
    assert not np.allclose(SVC(gamma=1.1 * gamma).fit(X, labels).decision_function(X), theirs)


@pytest.mark.parametrize("factor", [1e-100, 1e-10, 1e10, 1e100])
@both_metrics
def test_scale_and_median_grow_with_the_data(kernel, metric, factor):
    X = points(8)
    for rule in ("scale", "median"):
        sigma = bandwidth(rule, None, X, kernel)
        assert bandwidth(rule, None, factor * X, kernel) == pytest.approx(
            factor * sigma, rel=1e-12, abs=0
        )


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_scale_of_float32_with_a_large_mean(form):
    """By the mean of squares less the squared mean, no digit would be left."""
    X = (points(9, 500) + 1e4).astype(np.float32)
    variance = X.astype(np.float64).var()
    assert 1 < variance < 10
    sigma = bandwidth("scale", None, form(X), GAUSSIAN)
    assert gamma_of(sigma, GAUSSIAN) == pytest.approx(1 / (3 * variance), rel=1e-9)
    sigma = bandwidth("median", None, form(X), GAUSSIAN)
    assert sigma == pytest.approx(np.median(pdist(X.astype(np.float64))), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 0.1, 1e5 / 3])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_where_all_entries_are_the_same_gamma_is_one(form, value):
    X = form(np.full((7, 3), value))
    for rule in ("scale", "median"):
        for kernel in (*EUCLIDEAN, LAPLACIAN):
            sigma = bandwidth(rule, None, X, kernel)
            assert gamma_of(sigma, kernel) == pytest.approx(1.0, rel=1e-15), rule


@pytest.mark.parametrize("rule", ["scale", "median"])
def test_entries_stored_twice_count_once(rule):
    """A csr matrix may hold summands of one entry."""
    X = sparse.csr_array(
        (np.array([1.0, 2.0, 3.0, 0.0]), np.array([0, 0, 1, 0]), np.array([0, 2, 4])), shape=(2, 2)
    )
    np.testing.assert_array_equal(X.toarray(), [[3, 0], [0, 3]])
    for kernel in (GAUSSIAN, LAPLACIAN):
        expected = bandwidth(rule, None, X.toarray(), kernel)
        assert bandwidth(rule, None, X.copy(), kernel) == pytest.approx(expected, rel=1e-14)


# ------------------------------------------------------------------------------------ "median"


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [2, 3, 40, 1000])
@both_metrics
def test_median(kernel, metric, m, dtype, form):
    X = np.where(points(10, m) > 0, points(10, m), 0).astype(dtype)
    distances = pdist(X.astype(np.float64), metric)
    expected = np.median(distances[distances > 0])
    assert bandwidth("median", None, form(X), kernel) == pytest.approx(expected, rel=1e-13)


@both_metrics
def test_median_of_duplicates_is_of_the_others(kernel, metric):
    X = np.array([[0.0, 0.0]] * 9 + [[3.0, 4.0]])
    expected = {"euclidean": 5.0, "cityblock": 7.0}[metric]
    assert bandwidth("median", None, X, kernel) == pytest.approx(expected, rel=1e-15)
    once = points(11)
    twice = np.repeat(once, 2, axis=0)
    assert bandwidth("median", None, twice, kernel) == pytest.approx(
        bandwidth("median", None, once, kernel), rel=1e-14
    )


def test_median_of_one_row_is_gamma_one():
    X = points(12, m=1)
    assert bandwidth("median", None, X, GAUSSIAN) == pytest.approx(math.sqrt(0.5), rel=1e-15)
    assert bandwidth("median", None, X, LAPLACIAN) == 1.0


@pytest.mark.parametrize("m", [1001, 3000])
@both_metrics
def test_median_of_many_rows_is_of_a_thousand(kernel, metric, m, monkeypatch):
    X = points(13, m)
    X = X[np.argsort(np.linalg.norm(X, axis=1))]  # the first thousand are near to each other
    given = []

    def noting(rows, *arguments):
        given.append(rows)
        return pdist(rows, *arguments)

    monkeypatch.setattr("scipy.spatial.distance.pdist", noting)
    sigma = bandwidth("median", None, X, kernel)
    assert given[0].shape == (1000, 3) and len(np.unique(given[0], axis=0)) == 1000
    assert sigma == pytest.approx(np.median(pdist(X, metric)), rel=0.05)
    if m == 3000:
        assert np.median(pdist(X[:1000], metric)) < 0.9 * sigma
    # Which rows depends on m alone, and on no random state.
    assert bandwidth("median", None, X.copy(), kernel) == sigma
    assert bandwidth("median", None, sparse.csr_array(X), kernel) == sigma
    assert bandwidth("median", None, 4 * X, kernel) == 4 * sigma


def test_median_in_a_map_depends_on_no_random_state():
    X = points(14, 1200)
    found = {FastfoodFeatures(8, gamma="median", random_state=i).fit(X).sigma_ for i in range(3)}
    assert len(found) == 1


@pytest.mark.parametrize("rule", ["scale", "median"])
def test_arc_cosine_kernels_have_none(rule):
    for gamma, sigma in ((rule, None), (3.0, None), ("scale", 3.0)):
        maps = FastfoodFeatures(8, kernel="arc-cosine", gamma=gamma, sigma=sigma)
        assert maps.fit(points(15)).sigma_ == 1.0


@pytest.mark.parametrize(
    ("gamma", "sigma", "error", "message"),
    [
        (0, None, ValueError, r"gamma must be greater than 0\.0, got 0"),
        (-1.0, None, ValueError, r"gamma must be greater than 0\.0, got -1\.0"),
        (np.nan, None, ValueError, "gamma must be finite, got nan"),
        (np.inf, None, ValueError, "gamma must be finite, got inf"),
        (True, None, TypeError, "gamma must be .* got True"),
        ("auto", None, ValueError, "gamma must be 'scale', 'median' or a number, got 'auto'"),
        (None, None, TypeError, "gamma must be .*'scale', 'median'.*got None"),
        ("scale", 0, ValueError, r"sigma must be greater than 0\.0, got 0"),
        ("scale", -1, ValueError, r"sigma must be greater than 0\.0, got -1"),
        ("scale", np.inf, ValueError, "sigma must be finite, got inf"),
        ("scale", "1", TypeError, "sigma must be a real number, got '1'"),
        ("scale", [1.0], TypeError, r"sigma must be a real number, got \[1\.0\]"),
    ],
)
def test_refuses(gamma, sigma, error, message):
    for kernel in (GAUSSIAN, LAPLACIAN):
        with pytest.raises(error, match=message):
            bandwidth(gamma, sigma, points(16), kernel)


@pytest.mark.parametrize("rule", ["scale", "median"])
def test_a_rule_that_overflows_is_refused(rule):
    with pytest.raises(
        ValueError, match=f"gamma must be a number, got '{rule}' where X is too large"
    ):
        FastfoodFeatures(8, gamma=rule).fit(1e200 * points(17))


@pytest.mark.parametrize(("dtype", "sigma"), [(np.float32, 1e-40), (np.float64, 1e-320)])
def test_a_sigma_whose_inverse_overflows_is_refused(dtype, sigma):
    with pytest.raises(ValueError, match=r"sigma must be at least .*e-\d+, got .*e-"):
        FastfoodFeatures(8, sigma=sigma).fit(points(18).astype(dtype))
