"""From stored images to a layer's input."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.validation import Array

PIXEL_SCALE = 0.00390625  # Caffe's LeNet: 1/256, no mean subtracted


def to_inputs(images: Array, dtype: Any) -> Array:
    """Return uint8 images as `dtype`, scaled by 1/256; other arrays as they are.

    >>> to_inputs(np.array([[128]], np.uint8), np.float32)
    array([[0.5]], dtype=float32)
    """
    if images.dtype != np.uint8:
        return images
    return np.multiply(images, PIXEL_SCALE, dtype=dtype)
