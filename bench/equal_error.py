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
    """Return the seconds that each map takes in all to reach RBFSampler's error with n features.

    Each takes the smallest of the measured sizes that reaches it; None where none does.
    """
    level = found[LEVEL_OF][n]["error_percent"]
    table = Table(
        f"seconds in all to reach {level:.2f} %, the error of {TITLES[LEVEL_OF]} with {n}",
        [("map", ">12"), ("n", "d"), ("%", ".2f"), ("transform s", ".2f"), ("in all s", ".2f")],
    )
    reached: dict[str, Any] = {}
    for name, sizes in found.items():
        good = [size for size, run in sizes.items() if run["error_percent"] <= level]
        reached[name] = None
        if good:
            run = sizes[good[0]]
            seconds = run["transform_seconds"] + run["fit_seconds"]
            reached[name] = {"n": good[0], "seconds": seconds, **run}
            table.row(
                TITLES[name], good[0], run["error_percent"], run["transform_seconds"], seconds
            )
        else:
            table.row(TITLES[name], None, None, None, None)
    return {"what": "equal error", "level_percent": level, "maps": reached}
