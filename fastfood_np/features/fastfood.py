"""Fastfood features."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.features.base import RandomFeatures
from fastfood_np.features.spectra import Spectrum
from fastfood_np.transforms.factors import FastfoodFactors, draw_fastfood, padded_size
from fastfood_np.validation import Array


class FastfoodFeatures(RandomFeatures):
    def _draw(
        self, d: int, kernel: Spectrum, scales: Array, rng: np.random.Generator, dtype: Any
    ) -> None:
        self._dimension = padded_size(d)
        factors = draw_fastfood(d, max(1, self._count), rng, radii=kernel.radii)
        factors.B[:, :d] /= scales
        S, G, B = (diagonal.astype(dtype) for diagonal in factors[:3])
        self.factors_ = FastfoodFactors(S, G, B, factors.perm)

    def _fill(self, x: Array, phase: Array | None, amplitude: float, y: Array) -> None:
        diagonals = (diagonal.astype(x.dtype, copy=False) for diagonal in self.factors_[:3])
        scale = 1 / (self.sigma_ * math.sqrt(self._dimension))
        backends.select().fastfood_forward(
            x,
            *diagonals,
            self.factors_.perm,
            scale,
            None,
            1.0,
            self._nonlinearity,
            phase,
            amplitude,
            y,
        )
