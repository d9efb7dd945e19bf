"""The factors of Fastfood one by one, in plain NumPy; the cpu backend has no faster ones.

Batches have shape (m, blocks, d); D and perm have shape (blocks, d).
"""

from __future__ import annotations

import numpy as np

from fastfood_np.validation import Array


def spread(x: Array, scale: float, h: Array) -> None:
    """Fill each block of h (m, blocks, d) with scale * x, for x (m, d_in), and zeros behind it."""
    d_in = x.shape[1]
    h[:, :, :d_in] = (x.dtype.type(scale) * x)[:, None]
    h[:, :, d_in:] = 0


def spread_backward(dh: Array, dx: Array) -> None:
    """Fill dx (m, d_in) with the sum of the blocks of dh."""
    np.sum(dh[:, :, : dx.shape[1]], axis=1, out=dx)


def join(h: Array, scale: float, y: Array) -> None:
    """Fill y (m, n_out) with the blocks of scale * h, side by side and cut."""
    m, n_out = y.shape
    rows = h.reshape(m, h.shape[1] * h.shape[2])
    np.multiply(rows[:, :n_out], h.dtype.type(scale), out=y)


def join_backward(dy: Array, scale: float, dh: Array) -> None:
    """Fill the blocks of dh with scale * dy, and zeros behind it."""
    m, n_out = dy.shape
    rows = dh.reshape(m, dh.shape[1] * dh.shape[2])
    np.multiply(dy, dy.dtype.type(scale), out=rows[:, :n_out])
    rows[:, n_out:] = 0


def diagonal(x: Array, D: Array, y: Array) -> None:
    """Fill y with D x."""
    np.multiply(x, D, out=y)


def diagonal_backward(x: Array, dy: Array, dD: Array) -> None:
    """Fill dD with the sum over the batch of x dy: equation 6 of Deep Fried Convnets."""
    np.einsum("m...,m...->...", dy, x, out=dD)


def permute(x: Array, perm: Array, y: Array) -> None:
    """Fill y with Pi x: y[..., i] = x[..., perm[..., i]]."""
    y[...] = np.take_along_axis(x, perm[None], axis=-1)


def permute_backward(dy: Array, perm: Array, dx: Array) -> None:
    """Fill dx with Pi' dy: dx[..., perm[..., i]] = dy[..., i]."""
    np.put_along_axis(dx, perm[None], dy, axis=-1)


def drop(h: Array, keep: Array, keep_scale: float) -> None:
    """Multiply h by the mask `keep`, and what it keeps by `keep_scale`."""
    h *= keep
    h *= h.dtype.type(keep_scale)
