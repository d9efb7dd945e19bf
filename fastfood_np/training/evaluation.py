"""Predictions over a whole data set, and what an error rate measured on it is worth."""

from __future__ import annotations

import numpy as np

from fastfood_np.layers import Layer
from fastfood_np.layers.cache import Cache
from fastfood_np.training.inputs import to_inputs
from fastfood_np.training.shards import SHARDS, ShardRunner
from fastfood_np.validation import Array

# Fixed, because a product's last bits depend on its number of rows.
BATCH = 512


def predict(model: Layer, images: Array, threads: int | None = None) -> Array:
    """Return the model's logits (N, classes) for images (N, ...), uint8 or of the model's dtype."""
    if not len(images):
        return model(to_inputs(images, model.dtype))
    outputs: list[Array] = []
    caches: list[Cache] = [{} for _ in range(SHARDS)]
    with ShardRunner(threads) as shards:
        for first in range(0, len(images), BATCH):
            batch = images[first : first + BATCH]

            def logits(shard: int, start: int, stop: int, batch: Array = batch) -> Array:
                x = to_inputs(batch[start:stop], model.dtype)
                return model.forward(x, cache=caches[shard])[0].copy()

            outputs += shards.run(logits, len(batch))
    return np.concatenate(outputs)


def count_errors(logits: Array, labels: Array) -> int:
    """Return how many rows of `logits` have their largest entry at another place than the label."""
    return int(np.count_nonzero(logits.argmax(axis=1) != labels))


def error_interval(errors: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of an error rate, in percent.

    >>> low, high = error_interval(87, 10_000)
    >>> round(low, 2), round(high, 2)
    (0.71, 1.07)
    """
    from scipy.stats import binomtest

    interval = binomtest(errors, total).proportion_ci(confidence, method="wilson")
    return 100.0 * float(interval.low), 100.0 * float(interval.high)
