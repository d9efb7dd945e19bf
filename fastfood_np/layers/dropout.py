"""Dropout, and the masks it shares with the Fastfood layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers.base import Gradients, Layer
from fastfood_np.layers.cache import Cache, buffer
from fastfood_np.validation import Array, check_rate

LEVELS = 1 << 16


def _threshold(rate: float) -> int:
    return min(round(LEVELS * rate), LEVELS - 1)


def draw_mask(rng: np.random.Generator, shape: tuple[int, ...], rate: float) -> Array:
    """Return a bool mask, True where kept: 16 random bits an element, C order.

    Sixteen bits cost a quarter of a float draw; the rate is rounded to a multiple of 2^-16.
    """
    return rng.integers(0, LEVELS, shape, dtype=np.uint16) >= _threshold(rate)


def mask_scale(rate: float) -> float:
    """Return what kept values are multiplied by: 1 / (1 - rate), for the rounded rate.

    >>> mask_scale(0.5)
    2.0
    """
    return LEVELS / (LEVELS - _threshold(rate))


class Dropout(Layer):
    """While training, zero each input with probability `rate` and scale up the others.

    Inference is the identity (it returns x itself); so is ``rate=0``, which draws nothing.

    Parameters
    ----------
    rate : float
        In [0, 1).
    """

    def __init__(self, rate: float) -> None:
        self.rate = check_rate(rate, "rate")
        self.draws = self.rate > 0
        super().__init__(rate=self.rate)

    def _forward(self, x: Array, cache: Cache, rng: np.random.Generator | None) -> Array:
        cache["mask"] = None
        if rng is None:
            return x
        cache["mask"] = draw_mask(rng, x.shape, self.rate)
        return self._apply(x, cache, "y")

    def _backward(self, dy: Array, cache: Cache, need_dx: bool) -> tuple[Any, Gradients]:
        if not need_dx:
            return None, {}
        return dy if cache["mask"] is None else self._apply(dy, cache, "dx"), {}

    def _apply(self, x: Array, cache: Cache, name: str) -> Array:
        out = np.multiply(x, cache["mask"], out=buffer(cache, name, x.shape, x.dtype))
        out *= x.dtype.type(mask_scale(self.rate))
        return out
