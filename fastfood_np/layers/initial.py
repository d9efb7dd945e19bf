"""Initial weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.validation import Array, check_rng


def xavier(shape: tuple[int, ...], fan_in: int, rng: Any, dtype: Any) -> Array:
    """Draw uniformly in +-sqrt(3 / fan_in), Caffe's "xavier" filler: variance 1 / fan_in.

    Drawn in float64 and then cast, so that a seed gives the same weights in both dtypes.
    """
    bound = np.sqrt(3.0 / fan_in)
    return check_rng(rng).uniform(-bound, bound, shape).astype(dtype)
