"""Random affine changes of images while training."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from fastfood_np.validation import Array

ROTATION = np.deg2rad(10.0)
SCALE = SHEAR = 0.1
SHIFT = 2.0  # pixels


def random_affine(images: Array, rng: np.random.Generator) -> Array:
    """Rotate, scale, shear and shift each image (m, c, h, w) at random; bilinear, zero outside.

    Drawn uniformly for each image: rotation in +-10 degrees, logarithm of the scale and shear in
    +-0.1, shift in +-2 pixels on either axis.
    """
    m, channels, h, w = images.shape
    angle = rng.uniform(-ROTATION, ROTATION, (m, 1, 1))
    scale = np.exp(rng.uniform(-SCALE, SCALE, (m, 1, 1)))
    shear = rng.uniform(-SHEAR, SHEAR, (m, 1, 1))
    shift = rng.uniform(-SHIFT, SHIFT, (2, m, 1, 1))
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    # The inverse map: where in the old image each pixel of the new one comes from.
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    y, x = rows - (h - 1) / 2 - shift[0], columns - (w - 1) / 2 - shift[1]
    x = x + shear * y
    from_y = cos * y - sin * x + (h - 1) / 2
    from_x = sin * y + cos * x + (w - 1) / 2
    which = np.broadcast_to(np.arange(m)[:, None, None], from_y.shape)
    return np.stack(
        [
            map_coordinates(images[:, channel], (which, from_y, from_x), order=1)
            for channel in range(channels)
        ],
        axis=1,
    )
