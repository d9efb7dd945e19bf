"""Max-pooling over windows that do not overlap."""

from __future__ import annotations

from fastfood_np.backends.cpu.jit import part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.validation import Array


@part
def _pool_plane(x, size, y, position):
    for p in range(y.shape[0]):
        for q in range(y.shape[1]):
            best = x[p * size, q * size]
            where = p * size * x.shape[1] + q * size
            for i in range(p * size, (p + 1) * size):
                for j in range(q * size, (q + 1) * size):
                    value = x[i, j]
                    # False where value is NaN: the first NaN wins, and then stays.
                    stays = value <= best or best != best
                    best = best if stays else value
                    where = where if stays else i * x.shape[1] + j
            y[p, q] = best
            position[p, q] = where


def _pool(lanes, x, size, y, position, team, first, last):
    for i in range(first, last):
        for c in range(x.shape[1]):
            _pool_plane(x[i, c], size, y[i, c], position[i, c])


@part
def _spread_plane(position, dy, dx):
    for i in range(dx.size):
        dx[i] = 0
    for i in range(dy.size):
        dx[position[i]] = dy[i]


def _spread(lanes, position, dy, dx, team, first, last):
    for i in range(first, last):
        for c in range(dx.shape[1]):
            _spread_plane(position[i, c].reshape(-1), dy[i, c].reshape(-1), dx[i, c].reshape(-1))


_pool_images = Kernel(_pool)
_spread_images = Kernel(_spread)


def max_pool2d(x: Array, size: int, y: Array, position: Array) -> None:
    """Fill y (m, C, H / size, W / size) with the maxima of the size x size windows of x.

    The first maximum in scan order counts, and a NaN counts as the largest number.
    """
    _pool_images(teams(x.size), len(x), (), usual(x), size, y, position)


def max_pool2d_backward(position: Array, dy: Array, dx: Array) -> None:
    """Fill dx (m, C, H, W) with dy at the maxima and zero elsewhere."""
    _spread_images(teams(dx.size), len(dx), (), usual(position), usual(dy), dx)
