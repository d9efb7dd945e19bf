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
    partial: Any = None,
) -> None:
    """Fill dx (unless it is None), dS, dG and dB; see `reference.fastfood_backward`.

    `partial` is scratch memory of `fastfood_scratch` numbers; without it some is allocated, for
    which the GPU has to wait now and then.
    """
    arguments = (x, dy, S, G, B, perm, scale, keep, keep_scale, dx, dS, dG, dB)
    if fits(S.shape[1], x.dtype.itemsize):
        backward.fused(*arguments, partial)
    else:
        by_factors.backward(*arguments)


def fastfood_scratch(m: int, shape: tuple[int, int], dtype: Any) -> int:
    """Return the size of `partial` for m rows and S of this shape."""
    return backward.scratch_size(m, shape, dtype) if fits(shape[1], dtype.itemsize) else 0
