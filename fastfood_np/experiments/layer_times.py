"""How long structured layers take, one thread, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from fastfood_np import backends
from fastfood_np.layers import (
    SORF,
    BlockCirculant,
    Circulant,
    Dense,
    Fastfood,
    Hashed,
    Layer,
    LowRank,
)
from fastfood_np.models.heads import BLOCKS, SIGMA
from fastfood_np.validation import Array

TURNS = 9
SHORTEST_TURN = 2e-3  # seconds; a shorter call is repeated
ROWS = 64  # of the batches that the networks are trained with
# How `square_layers` sizes those that have a size of their own.
SIZES = "low-rank: d/16; hashed: d²/16 weights; block-circulant: 8 x 8 blocks"
LENGTHS = (128, 256, 512, 1024, 2048, 4096)


class LayerTimes(NamedTuple):
    """Seconds a call: `forward` alone, and the forward and backward pass of a training step."""

    forward: float
    training: float


def layer_times(layers: Mapping[Any, tuple[Layer, int]], rows: int = ROWS) -> dict[Any, LayerTimes]:
    """Time each (layer, number of inputs) on a batch of float32, medians of interleaved turns.

    Kernels run on one thread, and BLAS and FFTs too.
    """
    rng = np.random.default_rng(0)
    calls: dict[tuple[Any, str], Callable[[], Any]] = {}
    for key, (layer, d_in) in layers.items():
        x = rng.standard_normal((rows, d_in)).astype(np.float32)
        dy = rng.standard_normal(layer(x).shape).astype(np.float32)
        calls[key, "forward"] = _forward(layer, x)
        calls[key, "training"] = _training(layer, x, dy)
    with threadpool_limits(1, user_api="blas"), backends.select().serial():
        seconds = _take_turns(calls)
    return {key: LayerTimes(seconds[key, "forward"], seconds[key, "training"]) for key in layers}


def square_layers(kinds: Iterable[str], lengths: Sequence[int] = LENGTHS) -> dict[Any, Any]:
    """Return layers from d inputs to d outputs, by (kind, d), and d, as `layer_times` wants them.

    The low rank is d / 16, the hashed layer has d^2 / 16 weights, the block-circulant 8 x 8 blocks.
    """
    make: dict[str, Callable[[int], Layer]] = {
        "dense": lambda d: Dense(d, d, bias=False, rng=0),
        "low-rank": lambda d: LowRank(d, d, rank=max(1, d // 16), rng=0),
        "hashed": lambda d: Hashed(d, d, n_hashed=max(1, d * d // 16), rng=0),
        "block-circulant": lambda d: BlockCirculant(d, d, block_size=-(-d // BLOCKS), rng=0),
        "circulant": lambda d: Circulant(d, d, rng=0),
        "circulant-random": lambda d: Circulant(d, d, adaptive=False, rng=0),
        "circulant-ones": lambda d: Circulant(d, d, signs="ones", rng=0),
        "sorf": lambda d: SORF(d, d, sigma=SIGMA, rng=0),
        "fastfood": lambda d: Fastfood(d, d, sigma=SIGMA, rng=0),
    }
    return {(kind, d): (make[kind](d), d) for kind in kinds for d in lengths}


def _forward(layer: Layer, x: Array) -> Callable[[], Any]:
    cache: dict[str, Any] = {}
    return lambda: layer.forward(x, cache=cache)


def _training(layer: Layer, x: Array, dy: Array) -> Callable[[], Any]:
    cache: dict[str, Any] = {}
    return lambda: layer.backward(dy, layer.forward(x, train=True, cache=cache)[1])


def _take_turns(calls: Mapping[Any, Callable[[], Any]]) -> dict[Any, float]:
    """Return the median time of a call of each, every one having its turn in every round."""
    repeats = {}
    for key, call in calls.items():
        call()
        repeats[key] = max(1, round(SHORTEST_TURN / max(1e-9, _seconds(call, 1))))
    turns: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(TURNS):
        for key, call in calls.items():
            turns[key].append(_seconds(call, repeats[key]))
    return {key: median(times) for key, times in turns.items()}


def _seconds(call: Callable[[], Any], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - started) / times
