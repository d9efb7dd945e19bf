"""The feature maps inside scikit-learn: pipelines, searches, processes and threads."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_runs import BACKEND

pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")

from joblib import Memory, Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastfood_np import backends
from fastfood_np.features import FastfoodFeatures, OrthogonalFeatures, RandomFourierFeatures

MAPS = {
    "fastfood": FastfoodFeatures(100, gamma=0.02, random_state=0),
    "fourier": RandomFourierFeatures(100, gamma=0.02, random_state=0),
    "orf": OrthogonalFeatures(100, gamma=0.02, random_state=0),
    "sorf": OrthogonalFeatures(100, method="sorf", gamma=0.02, random_state=0),
}
every_map = pytest.mark.parametrize("name", MAPS)
elsewhere = pytest.mark.skipif(
    BACKEND == "reference",
    reason="other threads and processes take the default backend, in plain Python a minute",
)


@pytest.fixture(autouse=True)
def arithmetic():
    with backends.using(BACKEND):
        yield


@pytest.fixture(scope="module")
def rings():
    """Points of eight columns, and whether they lie outside an ellipsoid."""
    X = np.random.default_rng(0).standard_normal((400, 8))
    distances = (X**2).sum(axis=1)
    return X * np.linspace(1, 30, 8) + 5, distances > np.median(distances)


def pipeline(maps):
    return make_pipeline(StandardScaler(), clone(maps), RidgeClassifier(0.1))


# ------------------------------------------------------------------------------------ pipelines


@every_map
def test_pipeline_learns_what_a_linear_model_cannot(name, rings):
    X, y = rings
    model = pipeline(MAPS[name]).set_params(**{f"{step(name)}__n_components": 300})
    assert model.fit(X[:200], y[:200]).score(X[200:], y[200:]) > 0.8
    linear = make_pipeline(StandardScaler(), RidgeClassifier(0.1)).fit(X[:200], y[:200])
    assert linear.score(X[200:], y[200:]) < 0.65
    names = model[:-1].get_feature_names_out()
    assert len(names) == 300 and names[-1] == f"{step(name)}299"


def step(name):
    """What make_pipeline calls the map."""
    return type(MAPS[name]).__name__.lower()


@every_map
def test_ridge_on_features_is_near_kernel_ridge(name):
    rng = np.random.default_rng(1)
    X, new = rng.standard_normal((60, 4)), rng.standard_normal((20, 4))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2]
    maps = clone(MAPS[name]).set_params(n_components=8000, gamma=1 / 8)
    if name == "sorf":  # biased where there are few columns
        X, new = np.tile(X, (1, 8)) / np.sqrt(8), np.tile(new, (1, 8)) / np.sqrt(8)
    ours = make_pipeline(maps, Ridge(0.1, fit_intercept=False)).fit(X, y).predict(new)
    exact = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / 8).fit(X, y).predict(new)
    assert np.abs(ours - exact).max() < 0.1 < np.abs(exact).max()


@every_map
def test_cross_validation_is_reproducible(name, rings):
    X, y = rings
    first = cross_val_score(pipeline(MAPS[name]), X, y, cv=4)
    assert first.mean() > 0.8
    assert_array_equal(cross_val_score(pipeline(MAPS[name]), X, y, cv=4), first)
    predicted = cross_val_predict(pipeline(MAPS[name]), X, y, cv=4)
    assert (predicted == y).mean() == pytest.approx(first.mean())


@every_map
def test_a_union_puts_features_side_by_side(name, rings):
    X, _ = rings
    maps, other = MAPS[name], RandomFourierFeatures(3, kernel="laplacian", random_state=1)
    union = FeatureUnion([("one", maps), ("two", other)], transformer_weights={"two": 2.0})
    Z = union.fit_transform(X)
    expected = [clone(maps).fit_transform(X), 2 * clone(other).fit_transform(X)]
    assert_array_equal(Z, np.hstack(expected))
    names = union.get_feature_names_out()
    assert names[0] == f"one__{step(name)}0" and names[-1] == "two__randomfourierfeatures2"


@every_map
def test_columns_of_a_data_frame(name, rings):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, y = rings
    frame = pandas.DataFrame(X[:, :4], columns=list("abcd"))
    frame["colour"] = np.where(y, "red", "blue")
    columns = ColumnTransformer(
        [("map", MAPS[name], ["a", "c"]), ("dummies", OneHotEncoder(), ["colour"])],
        sparse_threshold=0,
    )
    Z = columns.fit_transform(frame)
    assert_array_equal(Z[:, :100], clone(MAPS[name]).fit_transform(frame[["a", "c"]]))
    assert Z.shape == (400, 102)
    assert list(columns.named_transformers_["map"].feature_names_in_) == ["a", "c"]
    framed = clone(columns).set_output(transform="pandas").set_params(dummies__sparse_output=False)
    Z = framed.fit_transform(frame)
    assert Z.columns[0] == f"map__{step(name)}0" and Z.columns[-1] == "dummies__colour_red"


@every_map
def test_text(name):
    texts = [f"{word} and {other}" for word in ("good", "bad") for other in "abcdefgh" * 2]
    labels = [text.startswith("good") for text in texts]
    vectors = TfidfVectorizer(token_pattern=r"\w+")
    model = make_pipeline(vectors, clone(MAPS[name]), RidgeClassifier())
    assert model.fit(texts, labels).score(texts, labels) == 1.0
    dense = clone(MAPS[name]).fit_transform(vectors.fit_transform(texts).toarray())
    assert_allclose(model[:-1].transform(texts), dense, atol=1e-12)


def test_memory_finds_what_was_computed(rings, tmp_path):
    X, y = rings
    model = make_pipeline(FastfoodFeatures(50, random_state=0), Ridge(), memory=str(tmp_path))
    expected = model.fit(X, y).predict(X)
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("output.pkl")}
    assert stored
    assert_array_equal(clone(model).fit(X, y).predict(X), expected)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("output.pkl")} == stored
    Memory(tmp_path, verbose=0).clear(warn=False)


# ------------------------------------------------------------------------ processes and threads


@pytest.fixture(scope="module")
def searched(rings):
    """The cv_results_ of a search in this process."""
    return search(rings, n_jobs=1)


def search(rings, n_jobs):
    grid = {
        "fastfoodfeatures__gamma": ["scale", "median", 0.5],
        "fastfoodfeatures__kernel": ["gaussian", "matern"],
        "fastfoodfeatures__n_components": [16, 129],
    }
    model = pipeline(FastfoodFeatures(random_state=0))
    return GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, return_train_score=True).fit(*rings)


@elsewhere
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_search_in_parallel_finds_the_same(rings, searched, backend):
    with parallel_config(backend=backend):
        found = search(rings, n_jobs=2)
    assert found.best_params_ == searched.best_params_
    scores = [name for name in found.cv_results_ if name.endswith("_score")]
    assert len(scores) == 9
    for name in scores:
        assert_array_equal(found.cv_results_[name], searched.cv_results_[name])
    assert len(set(found.cv_results_["mean_test_score"])) > 6
    X, _ = rings
    assert_array_equal(found.decision_function(X), searched.decision_function(X))


@elsewhere
@every_map
def test_other_processes_and_threads_compute_the_same(name, rings):
    X = np.tile(rings[0], (20, 1))  # enough to be shared out to Numba's threads
    maps = clone(MAPS[name]).fit(X)
    Z = maps.transform(X)
    for backend in ("loky", "threading"):
        with parallel_config(backend=backend, n_jobs=2):
            # Fitted in this process and in the other.
            found = Parallel()(delayed(f)(X) for f in (maps.transform, clone(maps).fit_transform))
        for ours in found:
            # A dense product may round otherwise with another number of threads.
            assert_allclose(ours, Z, atol=0 if name in ("fastfood", "sorf") else 1e-13)


@elsewhere
@every_map
def test_python_threads_at_once(name):
    sets = [np.random.default_rng(i).standard_normal((500 + i, 30)) for i in range(6)]
    maps = clone(MAPS[name]).fit(sets[0])
    expected = [maps.transform(X) for X in sets]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            found = list(pool.map(maps.transform, sets))
            for ours, Z in zip(found, expected, strict=True):
                assert_array_equal(ours, Z)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork() on this system"
)
@every_map
def test_a_forked_child(name, rings):
    X, _ = rings
    maps = clone(MAPS[name]).fit(X)
    Z = maps.transform(X)  # Numba's threads have started, which the child does not have
    with multiprocessing.get_context("fork").Pool(1) as pool:
        child = pool.apply_async(maps.transform, (X,)), pool.apply_async(maps.fit_transform, (X,))
        for found in child:
            assert_array_equal(found.get(timeout=60), Z)
    assert_array_equal(maps.transform(X), Z)
