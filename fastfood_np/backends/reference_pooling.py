"""Pooling in plain NumPy; the Numba backend is checked against it.

Windows of size x size pixels start at every multiple of `stride`. Those over the lower or right
edge are cut: how many there are says the shape of y.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fastfood_np.validation import Array


def max_pool2d(x: Array, size: int, stride: int, y: Array, position: Array) -> None:
    """Fill y (m, C, rows, columns) with the maxima of the windows of x (m, C, H, W).

    `position`, int32 of y's shape, becomes the flat index ``row * W + column`` of each maximum.
    The first in scan order counts, and a NaN counts as the largest number.
    """
    H, W = x.shape[2:]
    rows, columns = y.shape[2:]
    # Minus infinity behind an edge is never the first maximum: each window starts with a pixel.
    below = max(0, (rows - 1) * stride + size - H)
    right = max(0, (columns - 1) * stride + size - W)
    padded = np.pad(x, ((0, 0), (0, 0), (0, below), (0, right)), constant_values=-np.inf)
    windows = sliding_window_view(padded, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]
    windows = windows[:, :, :rows, :columns].reshape(*y.shape, size * size)
    first = windows.argmax(axis=-1)
    y[:] = np.take_along_axis(windows, first[..., None], axis=-1)[..., 0]
    p, q = np.ogrid[:rows, :columns]
    position[:] = (p * stride + first // size) * W + q * stride + first % size


def max_pool2d_backward(position: Array, dy: Array, dx: Array) -> None:
    """Fill dx (m, C, H, W) with dy, added up at the maxima, and zero elsewhere."""
    pixels, outputs = dx.shape[2] * dx.shape[3], dy.shape[2] * dy.shape[3]
    dx[:] = 0
    planes = dx.reshape(len(dx) * dx.shape[1], pixels)
    where = position.reshape(len(planes), outputs)
    np.add.at(planes, (np.arange(len(planes))[:, None], where), dy.reshape(where.shape))


def average_pool2d(x: Array, size: int, stride: int, y: Array) -> None:
    """Fill y (m, C, rows, columns) with the means over the pixels in each window of x."""
    for p, q, window in _windows(x, size, stride, y.shape):
        y[:, :, p, q] = window.mean(axis=(2, 3))


def average_pool2d_backward(dy: Array, size: int, stride: int, dx: Array) -> None:
    """Fill dx (m, C, H, W): each window's dy, in equal parts for its pixels."""
    dx[:] = 0
    for p, q, window in _windows(dx, size, stride, dy.shape):
        window += dy[:, :, p, q, None, None] / (window.shape[2] * window.shape[3])


def _windows(
    x: Array, size: int, stride: int, shape: tuple[int, ...]
) -> Iterator[tuple[int, int, Array]]:
    """Yield row, column and view of each window; a slice ends at the edge by itself."""
    for p, q in np.ndindex(shape[2:]):
        rows, columns = (slice(i * stride, i * stride + size) for i in (p, q))
        yield p, q, x[:, :, rows, columns]
