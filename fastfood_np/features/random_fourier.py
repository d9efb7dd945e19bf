"""Random Fourier features: a dense matrix of independent frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.features import spectra
from fastfood_np.features.dense import DenseFeatures
from fastfood_np.validation import Array


class RandomFourierFeatures(DenseFeatures):
    _kernels = spectra.NAMES

    def _draw(
        self, d: int, kernel: spectra.Spectrum, scales: Array, rng: np.random.Generator, dtype: Any
    ) -> None:
        self._dimension = d
        self.frequencies_ = kernel.frequencies(rng, self._count, d)
        self.frequencies_ = (self.frequencies_ / (scales * self.sigma_)).astype(dtype)
