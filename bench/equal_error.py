"""Features and ridge regression on digits: how long each map takes to reach the same error.

Data: the embedded sample of MNIST, 8,000 digits to train on and 2,000 to test on, raw pixels from 0
to 1. The linear model is scikit-learn's RidgeClassifier for all. Times are those of fitting the
map, transforming both sets and fitting the model, in turns, so that neighbours share the noise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from feature_maps import TITLES, feature_map
from harness import in_threads, threads, wait_for_idle_threads
from report import Table
from sklearn.linear_model import RidgeClassifier

from fastfood_np.datasets import load

MAPS = ("fastfood", "rff", "rbfsampler", "nystroem")
SIGMA, ALPHA = 7.0, 0.1  # the best for RBFSampler on 2,000 of the training digits
LEVEL_OF, LEVEL_N = "rbfsampler", 2048  # the error to be reached
LARGEST = {"nystroem": 2048}  # more takes minutes: its n x n matrix is decomposed


def measure(name: str, n: int, seed: int, digits: Any) -> dict[str, float]:
    """Return error (percent) and seconds of one run."""
    X, labels, test_X, test_labels = digits
    wait_for_idle_threads()
    started = time.perf_counter()
    maps = feature_map(name, n, SIGMA, seed).fit(X)
    Z, test_Z = maps.transform(X), maps.transform(test_X)
    transformed = time.perf_counter()
    model = RidgeClassifier(alpha=ALPHA, solver="cholesky").fit(Z, labels)
    fitted = time.perf_counter()
    errors = (model.predict(test_Z) != test_labels).mean()
    return {
        "error_percent": 100 * float(errors),
        "transform_seconds": transformed - started,
        "fit_seconds": fitted - transformed,
    }


def rows(smoke: bool) -> Iterator[dict[str, Any]]:
    """Yield medians over seeds for each n and map, and then how each reaches one error."""
    data = load("sample")
    X, test_X = (
        np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)
        for images in (data.train_images, data.test_images)
    )
    digits = X, data.train_labels, test_X, data.test_labels
    if smoke:
        digits = tuple(part[:400] for part in digits)
    sizes = (64, 128) if smoke else (256, 512, 1024, 2048, 4096)
    seeds = 1 if smoke else 5
    count = 2
    table = Table(
        f"digits, features and RidgeClassifier, {in_threads(count)}, medians of {seeds} seeds",
        [
            ("n", "d"),
            *(
                (f"{TITLES[name]} {what}", ".2f")
                for name in MAPS
                for what in ("%", "transform s", "fit s")
            ),
        ],
    )
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in MAPS}
    with threads(count):
        for name in MAPS:
            measure(name, sizes[0], 0, digits)  # compiles
        for n in sizes:
            names = [name for name in MAPS if n <= LARGEST.get(name, n)]
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
            for seed in range(seeds):
                for name in names:
                    runs[name].append(measure(name, n, seed, digits))
            for name in names:
                found[name][n] = {
                    key: statistics.median(run[key] for run in runs[name]) for key in runs[name][0]
                }
            missing = dict.fromkeys(("error", "transform", "fit"))
            table.row(n, *(v for name in MAPS for v in found[name].get(n, missing).values()))
            yield {
                "what": "ridge on digits",
                "n": n,
                "threads": count,
                "seeds": seeds,
                "maps": {name: found[name][n] for name in names},
            }
    yield equal_error_row(found, LEVEL_N if LEVEL_N in sizes else sizes[-1])


def equal_error_row(found: dict[str, dict[int, dict[str, float]]], n: int) -> dict[str, Any]:
    """Return the seconds that each map takes to reach RBFSampler's error with n features.

    Between the measured sizes, logarithms of features and seconds are taken to be linear in that of
    the error. None where no size reaches it.
    """
    level = found[LEVEL_OF][n]["error_percent"]
    table = Table(
        f"to reach {level:.2f} %, the error of {TITLES[LEVEL_OF]} with {n} features",
        [("map", ">12"), ("n", ".0f"), ("transform s", ".2f"), ("with fit s", ".2f")],
    )
    reached = {name: _at_level(sizes, level) for name, sizes in found.items()}
    for name, figures in reached.items():
        table.row(TITLES[name], *(figures.values() if figures else (None, None, None)))
    return {"what": "equal error", "level_percent": level, "maps": reached}


def _at_level(sizes: dict[int, dict[str, float]], level: float) -> dict[str, float] | None:
    runs = sorted(sizes.items(), key=lambda item: item[1]["error_percent"])
    errors = [run["error_percent"] for _, run in runs]
    if not errors[0] <= level:
        return None
    columns = {
        "n": [n for n, _ in runs],
        "transform_seconds": [run["transform_seconds"] for _, run in runs],
        "seconds": [run["transform_seconds"] + run["fit_seconds"] for _, run in runs],
    }
    return {
        key: float(np.exp(np.interp(np.log(level), np.log(errors), np.log(values))))
        for key, values in columns.items()
    }
