"""Convolution with max-pooling in plain NumPy; the Numba backend is checked against it.

Both backends describe where a pooled maximum came from in the same way: `position`, an int32
array of y's shape that holds the flat index ``row * W + column`` of it in a plane of x. For a
convolution this is the top left corner of the patch of x that gave the maximum. -1 says that no
gradient passes (the ReLU's).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastfood_np.backends.reference_pooling import max_pool2d
from fastfood_np.validation import Array


def conv_pool2d(
    x: Array, W: Array, b: Array | None, pool: int, relu: bool, y: Array, position: Array
) -> None:
    """Fill y (m, out, OH / pool, OW / pool): convolution, max-pooling and, if asked, ReLU.

    x is (m, in, H, W), W is (out, in, kh, kw), b is (out,); OH = H - kh + 1, OW = W - kw + 1.
    ``pool = 1`` is the plain convolution.
    """
    patches = sliding_window_view(x, W.shape[2:], axis=(2, 3))
    full = np.einsum("mchwij,ocij->mohw", patches, W, optimize=True)
    if b is not None:
        full = full + b[:, None, None]
    max_pool2d(full, pool, pool, y, position)
    rows, columns = np.divmod(position, full.shape[3])
    position[:] = rows * x.shape[3] + columns
    if relu:
        position[~(y > 0)] = -1
        np.maximum(y, 0, out=y)


def conv_pool2d_backward_weights(
    x: Array, position: Array, dy: Array, dW: Array, db: Array | None
) -> None:
    """Fill dW (out, in, kh, kw) and db (out,), summed over the batch."""
    patches = sliding_window_view(x, dW.shape[2:], axis=(2, 3))
    spread = _spread(position, dy, (*dy.shape[:2], *x.shape[2:]))
    spread = spread[:, :, : patches.shape[2], : patches.shape[3]]
    dW[:] = np.einsum("mohw,mchwij->ocij", spread, patches, optimize=True)
    if db is not None:
        db[:] = spread.sum(axis=(0, 2, 3))


def conv_pool2d_backward_input(position: Array, dy: Array, W: Array, dx: Array) -> None:
    """Fill dx (m, in, H, W)."""
    spread = _spread(position, dy, (len(dy), len(W), *dx.shape[2:]))
    height, width = (have - size + 1 for have, size in zip(dx.shape[2:], W.shape[2:], strict=True))
    spread = spread[:, :, :height, :width]
    dx[:] = 0
    for i, j in np.ndindex(W.shape[2:]):
        dx[:, :, i : i + height, j : j + width] += np.einsum("mohw,oc->mchw", spread, W[:, :, i, j])


def _spread(position: Array, dy: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` (m, C, H, W) with dy at its positions."""
    m, C, H, W = shape
    outputs = dy.shape[2] * dy.shape[3]
    flat = np.zeros((m, C, H * W + 1), dy.dtype)  # position -1 is the last, which is cut off
    np.put_along_axis(flat, position.reshape(m, C, outputs), dy.reshape(m, C, outputs), -1)
    return flat[..., :-1].reshape(shape)
