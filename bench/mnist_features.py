"""MNIST's raw pixels, random features and one softmax layer: error, time and memory.

    python bench/mnist_features.py MAP [--data DIR] [--validate] [--components N] [--passes N] ...

MAP is fastfood, or rbfsampler (scikit-learn's). The features of a batch are computed when the batch
is trained on, and again in the next pass: the whole matrix, 3.7 GiB for 16,384 of them, never
exists. The linear classifier is the package's own: Dense, SoftmaxCrossEntropy, SGD with momentum
and a cosine schedule. --validate holds out the last 10,000 training digits and tests on them: so
the default bandwidth and rate were chosen. The last line printed is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from feature_maps import feature_map
from forward_memory import maximal_resident_bytes

from fastfood_np.datasets import load
from fastfood_np.layers import Dense, SoftmaxCrossEntropy
from fastfood_np.training import SGD, Cosine
from fastfood_np.validation import DatasetError

HELD_OUT = 10_000
CLASSES = 10


class Clock:
    """Adds up the seconds spent in each part."""

    def __init__(self) -> None:
        self.seconds = {"transform": 0.0, "fit": 0.0}

    def measure(self, part: str, function: Any, *arguments: Any) -> Any:
        """Call the function; return its result."""
        started = time.perf_counter()
        result = function(*arguments)
        self.seconds[part] += time.perf_counter() - started
        return result


def scaled(images: Any) -> Any:
    """Return images of bytes as rows of float32 from 0 to 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def train(maps: Any, images: Any, labels: Any, options: Any, clock: Clock) -> Dense:
    """Return a linear layer trained on features that are computed batch by batch."""
    layer = Dense(options.components, CLASSES, bias=False, rng=0)
    layer.params["W"][...] = 0
    optimiser = SGD(layer.params, layer.trainable, momentum=0.9, weight_decay=0)
    loss, cache, batch = SoftmaxCrossEntropy(), {}, options.batch
    steps = options.passes * (len(images) // batch)
    schedule = Cosine(options.rate, steps)

    def learn(x: Any, y: Any, rate: float) -> None:
        logits, used = layer.forward(x, cache=cache)
        _, loss_cache = loss.forward(logits, y)
        _, grads = layer.backward(loss.backward(loss_cache), used, need_dx=False)
        optimiser.step(grads, rate)

    order = np.empty(0, int)
    for step in range(steps):
        if len(order) < batch:
            order = np.random.default_rng((1, step)).permutation(len(images))
        rows, order = order[:batch], order[batch:]
        features = clock.measure("transform", maps.transform, scaled(images[rows]))
        clock.measure("fit", learn, features, labels[rows], schedule(step))
    return layer


def count_errors(maps: Any, layer: Dense, images: Any, labels: Any) -> int:
    """Return how many images are taken for something else."""
    errors = 0
    for start in range(0, len(images), 1000):
        part = slice(start, start + 1000)
        features = maps.transform(scaled(images[part]))
        errors += int((layer(features).argmax(axis=1) != labels[part]).sum())
    return errors


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train and test once."""
    data = load("mnist", options.data)
    images, labels = data.train_images, data.train_labels
    test_images, test_labels = data.test_images, data.test_labels
    if options.validate:
        test_images, test_labels = images[-HELD_OUT:], labels[-HELD_OUT:]
        images, labels = images[:-HELD_OUT], labels[:-HELD_OUT]
    maps = feature_map(options.map, options.components, options.sigma, options.seed)
    maps.fit(scaled(images[:1000]))
    maps.transform(scaled(images[: options.batch]))  # compiles
    clock, started = Clock(), time.perf_counter()
    layer = train(maps, images, labels, options, clock)
    seconds = time.perf_counter() - started
    errors = count_errors(maps, layer, test_images, test_labels)
    return {
        "map": options.map,
        "components": options.components,
        "passes": options.passes,
        "on": "validation" if options.validate else "test",
        "error_percent": 100 * errors / len(test_labels),
        "seconds": seconds,
        "transform_seconds": clock.seconds["transform"],
        "fit_seconds": clock.seconds["fit"],
        "peak_bytes": maximal_resident_bytes(),
    }


def main() -> int:
    """Train, test, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("map", choices=("fastfood", "rbfsampler"))
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the four IDX files")
    parser.add_argument("--validate", action="store_true")
    parser.add_argument("--components", type=int, default=16384)
    parser.add_argument("--sigma", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        print(json.dumps(run(options)))
    except DatasetError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
