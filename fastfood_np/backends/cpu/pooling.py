"""Pooling over windows that may overlap; those over the lower or right edge are cut."""

from __future__ import annotations

from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.validation import Array


@part
def _pool_plane(x, size, stride, y, position):
    height, width = x.shape
    for p in range(y.shape[0]):
        top, bottom = p * stride, min(p * stride + size, height)
        for q in range(y.shape[1]):
            left, right = q * stride, min(q * stride + size, width)
            best = x[top, left]
            where = top * width + left
            for i in range(top, bottom):
                for j in range(left, right):
                    value = x[i, j]
                    # False where value is NaN: the first NaN wins, and then stays.
                    stays = value <= best or best != best
                    best = best if stays else value
                    where = where if stays else i * width + j
            y[p, q] = best
            position[p, q] = where


def _pool(lanes, x, size, stride, y, position, team, first, last):
    for i in range(first, last):
        for c in range(x.shape[1]):
            _pool_plane(x[i, c], size, stride, y[i, c], position[i, c])


@part
def _spread_plane(position, dy, dx):
    for i in range(dx.size):
        dx[i] = 0
    for i in range(dy.size):
        dx[position[i]] += dy[i]


def _spread(lanes, position, dy, dx, team, first, last):
    for i in range(first, last):
        for c in range(dx.shape[1]):
            _spread_plane(position[i, c].reshape(-1), dy[i, c].reshape(-1), dx[i, c].reshape(-1))


@part
def _average_plane(x, size, stride, y):
    height, width = x.shape
    for p in range(y.shape[0]):
        top, bottom = p * stride, min(p * stride + size, height)
        for q in range(y.shape[1]):
            left, right = q * stride, min(q * stride + size, width)
            total = x.dtype.type(0)
            for i in range(top, bottom):
                for j in range(left, right):
                    total += x[i, j]
            y[p, q] = total / x.dtype.type((bottom - top) * (right - left))


def _average(lanes, x, size, stride, y, team, first, last):
    for i in range(first, last):
        for c in range(x.shape[1]):
            _average_plane(x[i, c], size, stride, y[i, c])


@part
def _share_plane(dy, size, stride, dx):
    height, width = dx.shape
    for i in range(height):
        for j in range(width):
            dx[i, j] = 0
    for p in range(dy.shape[0]):
        top, bottom = p * stride, min(p * stride + size, height)
        for q in range(dy.shape[1]):
            left, right = q * stride, min(q * stride + size, width)
            share = dy[p, q] / dy.dtype.type((bottom - top) * (right - left))
            for i in range(top, bottom):
                for j in range(left, right):
                    dx[i, j] += share


def _share(lanes, dy, size, stride, dx, team, first, last):
    for i in range(first, last):
        for c in range(dx.shape[1]):
            _share_plane(dy[i, c], size, stride, dx[i, c])


_pool_images = Kernel(_pool)
_spread_images = Kernel(_spread)
_average_images = Kernel(_average)
_share_images = Kernel(_share)


def max_pool2d(x: Array, size: int, stride: int, y: Array, position: Array) -> None:
    """Fill y (m, C, rows, columns) with the maxima of the windows of x (m, C, H, W).

    `position`, int32 of y's shape, becomes the flat index ``row * W + column`` of each maximum.
    The first in scan order counts, and a NaN counts as the largest number.
    """
    _pool_images(teams(x.size), len(x), (), usual(x), size, stride, y, position)


def max_pool2d_backward(position: Array, dy: Array, dx: Array) -> None:
    """Fill dx (m, C, H, W) with dy, added up at the maxima, and zero elsewhere."""
    _spread_images(teams(dx.size), len(dx), (), usual(position), usual(dy), dx)


def average_pool2d(x: Array, size: int, stride: int, y: Array) -> None:
    """Fill y (m, C, rows, columns) with the means over the pixels in each window of x."""
    _average_images(teams(x.size), len(x), (), usual(x), size, stride, y)


def average_pool2d_backward(dy: Array, size: int, stride: int, dx: Array) -> None:
    """Fill dx (m, C, H, W): each window's dy, in equal parts for its pixels."""
    _share_images(teams(dx.size), len(dx), (), usual(dy), size, stride, dx)
