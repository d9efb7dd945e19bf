"""How far inner products of random features are from the kernel, against the number of features.

`random_rows` takes pairs of points in random directions, near and far; `uniform_rows` is the
experiment of Le, Sarlos & Smola, section 6.1. The theory's curve is that of independent
frequencies, whose estimate of k has the variance

    ((1 + k(2 delta)) / 2 - k(delta)^2) / (n / 2)    of n / 2 pairs of cosine and sine,
    (2 k_2 - k_1^2) / n                              of n ReLU features (arc-cosine, order 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from feature_maps import TITLES, feature_map
from report import Table

from fastfood_np import kernels

MAPS = ("fastfood", "rff", "orf", "sorf")
KERNELS: dict[str, dict[str, Any]] = {
    "Gaussian": {"kernel": "gaussian"},
    "Matern 3/2": {"kernel": "matern", "nu": 1.5},
    "arc-cosine 1": {"kernel": "arc-cosine", "order": 1},
}
D, PAIRS = 64, 40
POINTS_SEED = 20_000  # none of the maps': points and frequencies would be the same numbers
UNIFORM_POINTS, UNIFORM_D, UNIFORM_SIGMA = 4000, 10, 1.0


def pairs() -> tuple[Any, Any]:
    """Return x and y (PAIRS, D): directions are random, distances rise from 0.3 to 3."""
    rng = np.random.default_rng(POINTS_SEED)
    x, steps = rng.standard_normal((2, PAIRS, D))
    x /= np.linalg.norm(x, axis=1)[:, None]
    steps /= np.linalg.norm(steps, axis=1)[:, None]
    return x, x + np.linspace(0.3, 3, PAIRS)[:, None] * steps


def exact(parameters: Mapping[str, Any], x: Any, y: Any) -> Any:
    """Return the kernel of each pair (x_i, y_i), sigma = 1."""
    if parameters["kernel"] == "gaussian":
        return np.diag(kernels.gaussian(x, y, sigma=1.0))
    if parameters["kernel"] == "matern":
        return np.diag(kernels.matern(x, y, nu=parameters["nu"], sigma=1.0))
    return np.diag(kernels.arc_cosine(x, y, order=parameters["order"]))


def theory(parameters: Mapping[str, Any], x: Any, y: Any, n: int) -> float:
    """Return the root of the mean variance of the estimate, for independent frequencies."""
    k = exact(parameters, x, y)
    if parameters["kernel"] == "arc-cosine":
        variance = (2 * np.diag(kernels.arc_cosine(x, y, order=2)) - k**2) / n
    else:
        doubled = exact(parameters, x, x + 2 * (y - x))
        variance = ((1 + doubled) / 2 - k**2) / (n / 2)
    return float(np.sqrt(variance.mean()))


def random_rows(smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield the root mean squared error over pairs and seeds, for each kernel, n and map."""
    seeds = 2 if smoke else 20
    sizes = (64, 256) if smoke else tuple(2**k for k in range(5, 14))
    x, y = pairs()
    for title, parameters in KERNELS.items():
        truth = exact(parameters, x, y)
        table = Table(
            f"root mean squared error of {title} features, d = {D}, {seeds} seeds",
            [("n", "d"), *((TITLES[name], ".5f") for name in MAPS), ("theory, dense", ".5f")],
        )
        for n in sizes:
            errors = {
                name: float(
                    np.sqrt(
                        np.mean(
                            [_squared(name, parameters, x, y, truth, n, s) for s in range(seeds)]
                        )
                    )
                )
                for name in MAPS
            }
            expected = theory(parameters, x, y, n)
            table.row(n, *errors.values(), expected)
            yield {
                "what": "error",
                "kernel": title,
                "d": D,
                "n": n,
                "seeds": seeds,
                "errors": errors,
                "theory": expected,
            }


def _squared(name: str, parameters: Any, x: Any, y: Any, truth: Any, n: int, seed: int) -> float:
    maps = feature_map(name, n, 1.0, seed, **parameters).fit(x)
    estimate = np.einsum("ij,ij->i", maps.transform(x), maps.transform(y))
    return float(np.mean((estimate - truth) ** 2))


def uniform_rows(smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield the mean absolute error over all pairs of 4,000 vectors uniform in [0, 1]^10.

    The paper gives neither sigma nor figures, only a picture: sigma = 1 is our choice.
    """
    points, seeds = (200, 1) if smoke else (UNIFORM_POINTS, 3)
    sizes = (32, 128) if smoke else tuple(2**k for k in range(4, 13))
    X = np.random.default_rng(POINTS_SEED).random((points, UNIFORM_D), np.float32)
    truth = kernels.gaussian(X, sigma=UNIFORM_SIGMA)
    names = ("fastfood", "rff", "rbfsampler", "orf", "sorf")
    table = Table(
        f"mean absolute error, {points:,} vectors uniform in [0, 1]^{UNIFORM_D}, sigma = "
        f"{UNIFORM_SIGMA:g}, {seeds} seeds",
        [("n", "d"), *((TITLES[name], ".5f") for name in names)],
    )
    for n in sizes:
        errors = {}
        for name in names:
            found = []
            for seed in range(seeds):
                Z = feature_map(name, n, UNIFORM_SIGMA, seed).fit_transform(X)
                found.append(np.abs(Z @ Z.T - truth).mean(dtype=np.float64))
            errors[name] = float(np.mean(found))
        table.row(n, *errors.values())
        yield {
            "what": "uniform",
            "points": points,
            "d": UNIFORM_D,
            "sigma": UNIFORM_SIGMA,
            "n": n,
            "seeds": seeds,
            "errors": errors,
        }
