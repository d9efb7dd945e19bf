"""The Fastfood transform and its gradients: fused where a thread block can hold a row."""

from __future__ import annotations

from typing import Any

from fastfood_np.backends.cuda.fastfood import backward, by_factors, forward
from fastfood_np.backends.cuda.fastfood.plan import fits


def fastfood_forward(
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
    if not y.size:
        return
    run = forward.fused if fits(S.shape[1], x.dtype.itemsize) else by_factors.forward
    run(x, S, G, B, perm, scale, keep, keep_scale, nonlinearity, phase, amplitude, y)


def fastfood_backward(
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
    run = backward.fused if fits(S.shape[1], x.dtype.itemsize) else by_factors.backward
    run(x, dy, S, G, B, perm, scale, keep, keep_scale, dx, dS, dG, dB)
