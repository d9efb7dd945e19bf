"""Feature maps whose linear map is a stored matrix."""

from __future__ import annotations

import numpy as np

from fastfood_np import backends
from fastfood_np.features.base import RandomFeatures
from fastfood_np.validation import Array


class DenseFeatures(RandomFeatures):
    """Base of maps with `frequencies_` (count, d)."""

    frequencies_: Array

    def _fill(self, x: Array, phase: Array | None, amplitude: float, y: Array) -> None:
        W = self.frequencies_.astype(x.dtype, copy=False)
        np.matmul(x, W.T, out=y[:, : len(W)])
        backends.select().apply_nonlinearity(self._nonlinearity, phase, amplitude, y)
