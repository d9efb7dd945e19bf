"""Kernel ridge regression in the spirit of Le, Sarlos & Smola's table 3, on data sets at hand.

Their question: does regression on Fastfood features err as much as on independent features, and as
much as with the kernel itself? Their data sets are not at hand: two of Friedman's functions and
the package's digits stand for them, all with more than 5,000 rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from report import Table
from scipy.linalg import cholesky, solve, solve_triangular
from sklearn.datasets import make_friedman1, make_friedman2

from fastfood_np import datasets
from fastfood_np.features import FastfoodFeatures, RandomFourierFeatures
from fastfood_np.kernels import gaussian
from fastfood_np.validation import Array

TRAIN, VALIDATION, TEST = 5000, 1000, 2000
FEATURES, SEEDS = 2048, 5
PENALTIES = tuple(10.0**exponent for exponent in range(-6, 2))
MAPS = {"RFF": RandomFourierFeatures, "Fastfood": FastfoodFeatures}
JITTER = 1e-10  # the kernel of landmarks has eigenvalues of 0 up to rounding


class Part(NamedTuple):
    """Inputs X (m, d) and targets y (m, outputs)."""

    X: Array
    y: Array


class Problem(NamedTuple):
    """Columns of X have mean 0 and variance 1 over the training rows, or are constant there."""

    train: Part
    validation: Part
    test: Part


def friedman1(rows: Sequence[int]) -> Problem:
    """Friedman's first function: ten columns, of which five matter; noise of variance 1."""
    return _split(*make_friedman1(sum(rows), noise=1.0, random_state=0), rows)


def friedman2(rows: Sequence[int]) -> Problem:
    """Friedman's second function: four columns; a standard deviation of 375 and a noise of 10."""
    return _split(*make_friedman2(sum(rows), noise=10.0, random_state=0), rows)


def digits(rows: Sequence[int]) -> Problem:
    """The package's sample of MNIST: 784 pixels, and for each digit whether it is this one."""
    data = datasets.load("sample")
    some = slice(sum(rows[:2])), slice(rows[2])
    images = np.concatenate([data.train_images[some[0]], data.test_images[some[1]]])
    labels = np.concatenate([data.train_labels[some[0]], data.test_labels[some[1]]])
    return _split(images.reshape(len(images), -1).astype(np.float64), np.eye(10)[labels], rows)


PROBLEMS: Mapping[str, Callable[[Sequence[int]], Problem]] = {
    "friedman1": friedman1,
    "friedman2": friedman2,
    "digits": digits,
}


def _split(X: Array, y: Array, rows: Sequence[int]) -> Problem:
    """Cut into parts of so many rows; standardise X, and y to an overall variance of 1."""
    y = y.reshape(len(y), -1)
    train = slice(rows[0])
    X, y = X - X[train].mean(axis=0), y - y[train].mean(axis=0)
    deviations = X[train].std(axis=0)
    X /= np.where(deviations == 0, 1, deviations)
    y /= math.sqrt((y[train] ** 2).mean())
    ends = np.cumsum(rows)[:-1]
    return Problem(
        *(Part(*pair) for pair in zip(np.split(X, ends), np.split(y, ends), strict=True))
    )


def rmse(predicted: Array, y: Array) -> float:
    """Return the root mean squared error over rows and outputs; predicting the mean has 1."""
    return float(np.sqrt(np.mean((predicted - y) ** 2)))


def ridge(Z: Array, y: Array, penalty: float) -> Array:
    """Return the weights (n, outputs) that minimise |Z w - y|^2 + penalty |w|^2."""
    return _solved(Z.T @ Z, Z.T @ y, penalty)


def _solved(gram: Array, right: Array, penalty: float) -> Array:
    gram = gram.copy()
    gram.flat[:: len(gram) + 1] += penalty
    return solve(gram, right, assume_a="pos", overwrite_a=True)


def map_error(maps: Any, train: Part, test: Part, penalty: float) -> float:
    """Return the test error of ridge regression on features."""
    maps.fit(train.X)
    weights = ridge(maps.transform(train.X), train.y, penalty)
    return rmse(maps.transform(test.X) @ weights, test.y)


class Kernels(NamedTuple):
    """The kernel of all training rows with themselves, and of the test rows with them."""

    train: Array
    test: Array


def kernels_of(problem: Problem, sigma: float) -> Kernels:
    """Return the exact kernels, of which all seeds of Nystroem take columns."""
    train, _, test = (part.X for part in problem)
    return Kernels(gaussian(train, sigma=sigma), gaussian(test, train, sigma=sigma))


def exact_error(problem: Problem, kernels: Kernels, penalty: float) -> float:
    """Return the test error of kernel ridge regression."""
    weights = _solved(kernels.train, problem.train.y, penalty)
    return rmse(kernels.test @ weights, problem.test.y)


def nystroem_error(problem: Problem, kernels: Kernels, penalty: float, n: int, seed: int) -> float:
    """Return the test error on Nystroem features of n random training rows.

    They differ from scikit-learn's by a rotation, which ridge regression does not see. There the
    root of the landmarks' kernel is taken by an SVD, which takes half a minute for 2,048 of them.
    """
    landmarks = np.random.default_rng(seed).permutation(len(kernels.train))[:n]
    kernel = kernels.train[np.ix_(landmarks, landmarks)]
    kernel.flat[:: n + 1] += JITTER
    root = cholesky(kernel, lower=True)
    train, test = (
        solve_triangular(root, columns[:, landmarks].T, lower=True).T for columns in kernels
    )
    return rmse(test @ ridge(train, problem.train.y, penalty), problem.test.y)


def choose(problem: Problem, n: int) -> tuple[float, float]:
    """Return sigma, the median distance, and the penalty that is best on the validation rows.

    Both are chosen once, with RFF of a seed that is not used again, and hold for all methods.
    """
    train, validation, _ = problem
    maps = RandomFourierFeatures(n, gamma="median", random_state=12345).fit(train.X)
    Z, others = maps.transform(train.X), maps.transform(validation.X)
    gram, right = Z.T @ Z, Z.T @ train.y
    errors = {
        penalty: rmse(others @ _solved(gram, right, penalty), validation.y) for penalty in PENALTIES
    }
    return maps.sigma_, min(errors, key=lambda penalty: errors[penalty])


def regression_rows(smoke: bool) -> list[dict[str, Any]]:
    """Return a row for each data set and method, printing them.

    Each has "what", "dataset", "method", "rmse" (mean over seeds), "sd" (of one seed; None for the
    kernel itself, which draws nothing), "rmses", "over_rff" (what part it has of RFF's mean),
    "sigma", "penalty", "n_components" and how many rows there are in "train" and "test".
    """
    rows, n, seeds = ((TRAIN, VALIDATION, TEST), FEATURES, SEEDS)
    if smoke:
        rows, n, seeds = (400, 100, 100), 64, 2
    table = Table(
        f"Kernel ridge regression, {n} features, {rows[0]} training rows: test RMSE over {seeds} "
        "seeds (1: the mean)",
        [
            (f"{'data set':>9}", "s"),
            (f"{'method':>8}", "s"),
            ("sigma", ".2f"),
            ("penalty", "g"),
            ("RMSE", ".4f"),
            ("sd", ".4f"),
            ("x RFF", ".3f"),
        ],
    )
    found = []
    for dataset, make in PROBLEMS.items():
        problem = make(rows)
        sigma, penalty = choose(problem, n)
        errors = errors_of_methods(problem, sigma, penalty, n, seeds)
        for method, rmses in errors.items():
            row = {
                "what": "regression",
                "dataset": dataset,
                "method": method,
                "rmse": float(np.mean(rmses)),
                "sd": float(np.std(rmses, ddof=1)) if len(rmses) > 1 else None,
                "rmses": rmses,
                "over_rff": float(np.mean(rmses) / np.mean(errors["RFF"])),
                "sigma": sigma,
                "penalty": penalty,
                "n_components": n,
                "train": len(problem.train.X),
                "test": len(problem.test.X),
            }
            figures = (row[key] for key in ("sigma", "penalty", "rmse", "sd", "over_rff"))
            table.row(dataset, method, *figures)
            found.append(row)
    return found


def errors_of_methods(
    problem: Problem, sigma: float, penalty: float, n: int, seeds: int
) -> dict[str, list[float]]:
    """Return the test errors of each method, one for each seed."""
    kernels = kernels_of(problem, sigma)
    errors = {
        "exact": [exact_error(problem, kernels, penalty)],
        "Nystroem": [nystroem_error(problem, kernels, penalty, n, seed) for seed in range(seeds)],
    }
    del kernels  # 280 MB
    for name, cls in MAPS.items():
        maps = [cls(n, sigma=sigma, random_state=seed) for seed in range(seeds)]
        errors[name] = [map_error(each, problem.train, problem.test, penalty) for each in maps]
    return errors
