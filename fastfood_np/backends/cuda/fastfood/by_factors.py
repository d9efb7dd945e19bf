"""Fastfood factor by factor, for rows that no thread block can hold: h_* in device memory."""

from __future__ import annotations

from typing import Any

from fastfood_np.backends import reshaped
from fastfood_np.backends.cuda import factors
from fastfood_np.backends.cuda.arrays import empty
from fastfood_np.backends.cuda.hadamard import fwht


def _transform(h: Any) -> None:
    rows = reshaped(h, (h.shape[0] * h.shape[1], h.shape[2]))
    fwht(rows, rows)


def h_G(x: Any, B: Any, perm: Any, keep: Any, keep_scale: float) -> tuple[Any, Any]:
    """Return h_G = Pi H B x (m, blocks, d_pad) after the mask, and an array of its shape."""
    shape = (x.shape[0], *tuple(B.shape))
    h, spare = (empty(shape, x.dtype, x.stream) for _ in range(2))
    factors.spread(x, 1.0, spare)
    factors.diagonal(spare, B, spare)
    _transform(spare)
    factors.permute(spare, perm, h)
    if keep is not None:
        factors.drop(h, keep, keep_scale)
    return h, spare


def forward(
    x: Any,
    S: Any,
    G: Any,
    B: Any,
    perm: Any,
    scale: float,
    keep: Any,
    keep_scale: float,
    nonlinearity: str,
    phase: Any,
    amplitude: float,
    y: Any,
) -> None:
    """Fill y with a function of v = c S H G Pi H B x; see `reference.fastfood_forward`."""
    h, _ = h_G(x, B, perm, keep, keep_scale)
    factors.diagonal(h, G, h)
    _transform(h)
    factors.diagonal(h, S, h)
    factors.join_features(h, scale, nonlinearity, phase, amplitude, y)


def backward(
    x: Any,
    dy: Any,
    S: Any,
    G: Any,
    B: Any,
    perm: Any,
    scale: float,
    keep: Any,
    keep_scale: float,
    dx: Any,
    dS: Any,
    dG: Any,
    dB: Any,
) -> None:
    """Fill dx (unless it is None), dS, dG and dB; see `reference.fastfood_backward`."""
    x = x.bind(dy.stream)
    kept, h_S = h_G(x, B, perm, keep, keep_scale)
    dh = empty(tuple(kept.shape), x.dtype, x.stream)
    factors.diagonal(kept, G, h_S)
    _transform(h_S)
    factors.join_backward(dy, scale, dh)
    factors.diagonal_backward(h_S, dh, dS)
    factors.diagonal(dh, S, dh)
    _transform(dh)
    factors.diagonal_backward(kept, dh, dG)
    factors.diagonal(dh, G, dh)
    if keep is not None:
        factors.drop(dh, keep, keep_scale)
    factors.permute_backward(dh, perm, h_S)
    _transform(h_S)
    factors.spread(x, 1.0, dh)
    factors.diagonal_backward(dh, h_S, dB)
    if dx is not None:
        factors.diagonal(h_S, B, h_S)
        factors.spread_backward(h_S, dx)
