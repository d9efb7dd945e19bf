"""Regression on Fastfood features errs as regression on independent ones does (Le et al., table 3).

`bench/regression_work.py` is the experiment; figures are printed.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the feature maps need the extra sklearn")

import regression_work as work
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge

pytestmark = pytest.mark.compiled_only

SMALL = (200, 50, 50)
WITHIN = 0.02


def close(error, other):
    return abs(error / other - 1) <= WITHIN


@pytest.mark.parametrize("name", work.PROBLEMS)
def test_problems_are_standardised(name):
    problem = work.PROBLEMS[name](SMALL)
    assert [len(part.X) for part in problem] == [len(part.y) for part in problem] == list(SMALL)
    X, y, _ = *problem.train, problem.test
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-12)
    varying = X.std(axis=0) > 0
    np.testing.assert_allclose(X.std(axis=0)[varying], 1)
    assert varying.sum() > 400 if name == "digits" else varying.all()
    assert work.rmse(0, y) == pytest.approx(1)
    assert 0.8 < work.rmse(0, problem.test.y) < 1.2  # and not fitted to the test rows
    assert work.rmse(0, problem.test.y) != pytest.approx(1, abs=1e-6)


def test_ridge_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    Z, y = rng.standard_normal((50, 8)), rng.standard_normal((50, 2))
    expected = Ridge(alpha=0.3, fit_intercept=False).fit(Z, y).coef_.T
    np.testing.assert_allclose(work.ridge(Z, y, 0.3), expected, rtol=1e-10)


def test_nystroem_is_that_of_scikit_learn():
    problem = work.friedman1(SMALL)
    train, _, test = problem
    n, sigma, penalty = 60, 4.0, 0.1
    found = work.nystroem_error(problem, work.kernels_of(problem, sigma), penalty, n, seed=0)
    # Theirs takes the first rows of a permutation as well, drawn in another way: here all of them.
    landmarks = np.random.default_rng(0).permutation(SMALL[0])[:n]
    theirs = Nystroem(gamma=1 / (2 * sigma**2), n_components=n).fit(train.X[landmarks])
    weights = work.ridge(theirs.transform(train.X), train.y, penalty)
    assert found == pytest.approx(work.rmse(theirs.transform(test.X) @ weights, test.y), rel=1e-6)


def test_with_all_rows_nystroem_is_exact():
    problem = work.friedman1(SMALL)
    kernels = work.kernels_of(problem, 4.0)
    exact = work.exact_error(problem, kernels, 0.1)
    assert work.nystroem_error(problem, kernels, 0.1, SMALL[0], seed=0) == pytest.approx(exact)
    assert exact < 0.6


def test_rows(capsys):
    rows = work.regression_rows(smoke=True)
    methods = ["exact", "Nystroem", "RFF", "Fastfood"]
    assert [(row["dataset"], row["method"]) for row in rows] == [
        (name, method) for name in work.PROBLEMS for method in methods
    ]
    for row in rows:
        assert row["what"] == "regression" and 0 < row["rmse"] < 1
        assert (row["sd"] is None) == (row["method"] == "exact")
    assert len(capsys.readouterr().out.strip().splitlines()) == 2 + len(rows)


@pytest.mark.slow
def test_fastfood_errs_as_much_as_independent_features(capsys):
    with capsys.disabled():
        rows = work.regression_rows(smoke=False)
    assert all(row["train"] >= 5000 and row["n_components"] == 2048 for row in rows)
    errors = {(row["dataset"], row["method"]): row["rmse"] for row in rows}
    assert max(errors.values()) < 0.7  # all explain half of the variance and more
    for name in work.PROBLEMS:
        assert close(errors[name, "Fastfood"], errors[name, "RFF"]), name
        assert errors[name, "exact"] <= 1.02 * errors[name, "RFF"], name


@pytest.mark.slow
def test_half_as_many_features_or_a_wrong_sigma_would_show():
    problem = work.digits((work.TRAIN, work.VALIDATION, work.TEST))
    sigma, penalty = work.choose(problem, work.FEATURES)

    def error(name, n, sigma):
        maps = work.MAPS[name](n, sigma=sigma, random_state=0)
        return work.map_error(maps, problem.train, problem.test, penalty)

    right = error("RFF", work.FEATURES, sigma)
    assert close(error("Fastfood", work.FEATURES, sigma), right)
    assert not close(error("Fastfood", work.FEATURES // 2, sigma), right)
    assert not close(error("Fastfood", work.FEATURES, sigma / 2), right)
