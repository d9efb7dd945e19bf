"""Every kind of bad input to the feature maps, and what a failed `fit` leaves behind."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from small_runs import BACKEND

pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")

from sklearn.exceptions import NotFittedError

from fastfood_np import backends
from fastfood_np.features import FastfoodFeatures, OrthogonalFeatures, RandomFourierFeatures

MAPS = (FastfoodFeatures, RandomFourierFeatures, OrthogonalFeatures)
X = np.random.default_rng(0).standard_normal((12, 5))
every_map = pytest.mark.parametrize("kind", MAPS, ids=lambda kind: kind.__name__)


@pytest.fixture(autouse=True)
def arithmetic():
    with backends.using(BACKEND):
        yield


def holding(value):
    """X with one entry replaced."""
    other = X.copy()
    other[3, 2] = value
    return other


# ----------------------------------------------------------------------------------- parameters

RADIAL = "kernel must be one of 'gaussian', 'matern', 'ball-sum', 'arc-cosine'"
STATES = "random_state must be None, an integer, a numpy RandomState or a numpy Generator, got "
MATERN, BALLS, ARC = {"kernel": "matern"}, {"kernel": "ball-sum"}, {"kernel": "arc-cosine"}

PARAMETERS = [
    ({"n_components": 0}, ValueError, "n_components must be at least 1, got 0"),
    ({"n_components": -1}, ValueError, "n_components must be at least 1, got -1"),
    ({"n_components": 2.5}, TypeError, "n_components must be an integer, got 2.5"),
    ({"n_components": 64.0}, TypeError, "n_components must be an integer, got 64.0"),
    ({"n_components": True}, TypeError, "n_components must be an integer, got True"),
    ({"n_components": "10"}, TypeError, "n_components must be an integer, got '10'"),
    ({"n_components": None}, TypeError, "n_components must be an integer, got None"),
    ({"kernel": "rbf"}, ValueError, RADIAL),
    ({"kernel": "Gaussian"}, ValueError, "got 'Gaussian'"),
    ({"kernel": 3}, ValueError, "got 3"),
    ({"kernel": None}, ValueError, "got None"),
    ({"kernel": ["gaussian"]}, ValueError, "got ['gaussian']"),
    ({"kernel": np.array("gaussian")}, ValueError, "got array('gaussian'"),
    ({"gamma": 0}, ValueError, "gamma must be greater than 0.0, got 0"),
    ({"gamma": -1}, ValueError, "gamma must be greater than 0.0, got -1"),
    ({"gamma": np.nan}, ValueError, "gamma must be finite, got nan"),
    ({"gamma": np.inf}, ValueError, "gamma must be finite, got inf"),
    ({"gamma": "auto"}, ValueError, "gamma must be 'scale', 'median' or a number, got 'auto'"),
    ({"gamma": "0.5"}, ValueError, "gamma must be 'scale', 'median' or a number, got '0.5'"),
    ({"gamma": None}, TypeError, "got None"),
    ({"gamma": False}, TypeError, "got False"),
    ({"gamma": [1.0]}, TypeError, "got [1.0]"),
    ({"gamma": 1j}, TypeError, "got 1j"),
    ({"sigma": 0}, ValueError, "sigma must be greater than 0.0, got 0"),
    ({"sigma": -1}, ValueError, "sigma must be greater than 0.0, got -1"),
    ({"sigma": np.inf}, ValueError, "sigma must be finite, got inf"),
    ({"sigma": "1"}, TypeError, "sigma must be a real number, got '1'"),
    ({"sigma": "median"}, TypeError, "sigma must be a real number, got 'median'"),
    ({"gamma": 0.5, "sigma": 1.0}, ValueError, "only one of gamma and sigma may be given, got 0.5"),
    ({"gamma": "median", "sigma": 1.0}, ValueError, "only one of gamma and sigma may be given"),
    ({"length_scales": [1.0, 2.0]}, ValueError, "length_scales must have shape (5,), got (2,)"),
    ({"length_scales": 2.0}, ValueError, "length_scales must have shape (5,), got ()"),
    ({"length_scales": np.ones((1, 5))}, ValueError, "must have shape (5,), got (1, 5)"),
    ({"length_scales": [1, 1, 1, 1, 0]}, ValueError, "length_scales must be finite and greater"),
    ({"length_scales": [1, 1, -2, 1, 1]}, ValueError, "than 0, got [1, 1, -2, 1, 1]"),
    ({"length_scales": [1, 1, np.nan, 1, 1]}, ValueError, "length_scales must be finite and"),
    ({"length_scales": [1, 1, np.inf, 1, 1]}, ValueError, "length_scales must be finite and"),
    ({"length_scales": list("abcde")}, TypeError, "length_scales must hold real numbers, got ['a'"),
    ({"length_scales": list("12345")}, TypeError, "length_scales must hold real numbers, got ['1'"),
    ({"length_scales": "abcde"}, TypeError, "length_scales must hold real numbers, got 'abcde'"),
    ({"length_scales": [1j] * 5}, TypeError, "length_scales must hold real numbers"),
    ({"length_scales": np.ones(5) + 0j}, TypeError, "length_scales must hold real numbers"),
    ({"length_scales": [[1], [1, 2]]}, TypeError, "length_scales must hold real numbers"),
    ({"nu": 2, **MATERN}, ValueError, "nu must be one of 0.5, 1.5, 2.5, got 2"),
    ({"nu": np.inf, **MATERN}, ValueError, "nu must be one of 0.5, 1.5, 2.5, got inf"),
    ({"nu": "1.5", **MATERN}, ValueError, "nu must be one of 0.5, 1.5, 2.5, got '1.5'"),
    ({"order": 3, **ARC}, ValueError, "order must be at most 2, got 3"),
    ({"order": -1, **ARC}, ValueError, "order must be at least 0, got -1"),
    ({"order": 1.0, **ARC}, TypeError, "order must be an integer, got 1.0"),
    ({"order": True, **ARC}, TypeError, "order must be an integer, got True"),
    ({"degree": 0, **BALLS}, ValueError, "degree must be at least 1, got 0"),
    ({"degree": 2.0, **BALLS}, TypeError, "degree must be an integer, got 2.0"),
    ({"random_phase": "yes"}, TypeError, "random_phase must be True or False, got 'yes'"),
    ({"random_phase": 1}, TypeError, "random_phase must be True or False, got 1"),
    ({"random_phase": None}, TypeError, "random_phase must be True or False, got None"),
    ({"random_state": -1}, ValueError, "random_state must be at least 0, got -1"),
    ({"random_state": "a"}, TypeError, STATES + "'a'"),
    ({"random_state": 1.5}, TypeError, STATES + "1.5"),
    ({"random_state": True}, TypeError, STATES + "True"),
    ({"random_state": [1, 2]}, TypeError, STATES + "[1, 2]"),
]

NAMES = [", ".join(f"{key}={item!r}" for key, item in wrong.items()) for wrong, *_ in PARAMETERS]


@pytest.mark.parametrize(("wrong", "error", "message"), PARAMETERS, ids=NAMES)
@every_map
def test_wrong_parameters(kind, wrong, error, message):
    maps = kind(**{"n_components": 8, **wrong})  # nothing is checked before fit
    for points in (X, sparse.csr_array(X)):
        with pytest.raises(error, match=re.escape(message)) as raised:
            maps.fit(points)
        assert next(iter(wrong)) in str(raised.value)


@pytest.mark.parametrize("kind", [FastfoodFeatures, OrthogonalFeatures])
def test_the_laplacian_kernel_needs_independent_frequencies(kind):
    with pytest.raises(ValueError, match=f"{RADIAL}, got 'laplacian'"):
        kind(8, kernel="laplacian").fit(X)
    RandomFourierFeatures(8, kernel="laplacian").fit(X)
    with pytest.raises(ValueError, match=f"{RADIAL}, 'laplacian', got 'rbf'"):
        RandomFourierFeatures(8, kernel="rbf").fit(X)


@pytest.mark.parametrize("method", ["haar", "ORF", None, 3])
def test_wrong_methods(method):
    with pytest.raises(ValueError, match=f"method must be one of 'orf', 'sorf', got {method!r}"):
        OrthogonalFeatures(8, method=method).fit(X)


@every_map
def test_no_such_parameter(kind):
    with pytest.raises(TypeError, match="unexpected keyword argument 'bandwidth'"):
        kind(8, bandwidth=1.0)
    with pytest.raises(TypeError, match="positional argument"):
        kind(8, "gaussian")
    with pytest.raises(ValueError, match="Invalid parameter 'bandwidth' for estimator"):
        kind(8).set_params(bandwidth=1.0)


@every_map
def test_parameters_that_a_kernel_does_not_have_are_not_looked_at(kind):
    kind(8, nu=7, order=9, degree=-3).fit(X)
    kind(8, kernel="arc-cosine", nu=7, degree=-3, gamma="none", sigma=-1).fit(X)


# ---------------------------------------------------------------------------------------- input

POINTS = [
    ("NaN", holding(np.nan), ValueError, "Input X contains NaN"),
    ("infinity", holding(-np.inf), ValueError, "Input X contains infinity or a value too large"),
    ("1-D", X[0], ValueError, "Expected 2D array, got 1D array"),
    ("3-D", X[None], ValueError, "Found array with dim 3"),
    ("a number", 3.0, ValueError, "Expected 2D array, got scalar array"),
    ("nothing", None, ValueError, "Expected 2D array, got scalar array"),
    ("complex", X + 1j, ValueError, "Complex data not supported"),
    ("words", np.full((12, 5), "word"), ValueError, "could not convert string to float"),
    ("objects", np.full((12, 5), "word", object), ValueError, "could not convert string to float"),
    ("no rows", X[:0], ValueError, "Found array with 0 sample(s) (shape=(0, 5))"),
    ("no columns", X[:, :0], ValueError, "Found array with 0 feature(s) (shape=(12, 0))"),
    ("ragged", [[1.0, 2.0], [3.0]], ValueError, "inhomogeneous"),
    ("sparse NaN", sparse.csr_array(holding(np.nan)), ValueError, "Input X contains NaN"),
    ("sparse infinity", sparse.coo_array(holding(np.inf)), ValueError, "contains infinity"),
    ("sparse complex", sparse.csr_array(X + 1j), ValueError, "Complex data not supported"),
    ("sparse without rows", sparse.csr_array((0, 5)), ValueError, "Found array with 0 sample(s)"),
]
every_point = pytest.mark.parametrize(
    ("points", "error", "message"), [case[1:] for case in POINTS], ids=[case[0] for case in POINTS]
)


@every_point
@every_map
def test_wrong_points(kind, points, error, message):
    fitted = kind(8, random_state=0).fit(X)
    Z = fitted.transform(X)
    calls = [kind(8).fit, kind(8).fit_transform, fitted.transform]
    if not sparse.issparse(points):
        calls.append(fitted.exact_kernel)
    for call in calls:
        with pytest.raises(error, match=re.escape(message)):
            call(points)
    assert_array_equal(fitted.transform(X), Z)


@every_map
def test_sparse_objects(kind):
    words = sparse.csr_array(X)
    words.data = np.full(words.nnz, "word", object)
    with pytest.raises(ValueError, match="could not convert string to float"):
        kind(8).fit(words)


@every_map
def test_another_number_of_columns(kind):
    maps = kind(8).fit(X)
    message = f"X has 4 features, but {kind.__name__} is expecting 5 features"
    for call in (maps.transform, maps.exact_kernel, lambda Y: maps.exact_kernel(X, Y)):
        with pytest.raises(ValueError, match=message):
            call(X[:, :4])
    with pytest.raises(ValueError, match=message):
        maps.transform(sparse.csr_array(X[:, :4]))


@every_map
def test_wrong_second_points_of_the_exact_kernel(kind):
    maps = kind(8).fit(X)
    for wrong, message in ((holding(np.nan), "contains NaN"), (X[0], "Expected 2D array")):
        with pytest.raises(ValueError, match=message):
            maps.exact_kernel(X, wrong)
    for wrong in ((sparse.csr_array(X),), (X, sparse.csr_array(X))):
        with pytest.raises(TypeError, match=r"Sparse data was passed .*Use '\.toarray\(\)'"):
            maps.exact_kernel(*wrong)


# ---------------------------------------------------------------------- what a failed fit leaves


REFUSED = [
    {"n_components": 0},
    {"kernel": "rbf"},
    {"gamma": -1},
    {"sigma": -1},
    {"length_scales": [1.0]},
    {"nu": 2, **MATERN},
    {"random_phase": "yes"},
    {"random_state": "a"},
]
every_refused = pytest.mark.parametrize("wrong", REFUSED, ids=str)


@every_refused
@every_map
def test_a_failed_fit_leaves_no_attributes(kind, wrong):
    maps = kind(**{"n_components": 8, **wrong})
    with pytest.raises((TypeError, ValueError)):
        maps.fit(X)
    fitted = {name for name in vars(maps) if name.endswith("_")}
    assert fitted <= {"n_features_in_", "feature_names_in_"}


@every_refused
@every_map
def test_a_failed_fit_is_none(kind, wrong):
    maps = kind(**{"n_components": 8, **wrong})
    with pytest.raises((TypeError, ValueError)):
        maps.fit(X)
    for call in (maps.transform, maps.exact_kernel):
        with pytest.raises(NotFittedError, match=f"{kind.__name__} instance is not fitted yet"):
            call(X)


@every_point
@every_map
def test_wrong_points_leave_nothing_fitted(kind, points, error, message):
    maps = kind(8)
    with pytest.raises(error):
        maps.fit(points)
    assert not [name for name in vars(maps) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        maps.transform(X)


@pytest.mark.parametrize("d", [5, 3])
@every_refused
@every_map
def test_after_a_failed_refit_features_are_the_old_or_none(kind, wrong, d):
    maps = kind(8, random_state=0).fit(X)
    before = maps.transform(X), maps.exact_kernel(X)
    maps.set_params(**wrong)
    with pytest.raises((TypeError, ValueError)):
        maps.fit(2 * X[:, :d] + 1)
    for call, expected in zip((maps.transform, maps.exact_kernel), before, strict=True):
        try:
            found = call(X)
        except ValueError:  # NotFittedError is one
            continue
        assert_array_equal(found, expected)


@every_refused
@every_map
def test_after_a_failed_refit_there_are_no_features_of_other_columns(kind, wrong):
    maps = kind(8, random_state=0).fit(X).set_params(**wrong)
    with pytest.raises((TypeError, ValueError)):
        maps.fit(X[:, :3])
    for call in (maps.transform, maps.exact_kernel):
        with pytest.raises(ValueError, match=r"not fitted|X has 3 features, but .* expecting 5"):
            call(X[:, :3])


@every_point
@every_map
def test_after_a_refit_with_wrong_points_features_are_the_old(kind, points, error, message):
    maps = kind(8, random_state=0).fit(X)
    Z, kernel = maps.transform(X), maps.exact_kernel(X)
    with pytest.raises(error):
        maps.fit(points)
    assert_array_equal(maps.transform(X), Z)
    assert_array_equal(maps.exact_kernel(X), kernel)
