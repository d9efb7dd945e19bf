"""Element by element."""

from __future__ import annotations

from fastfood_np.backends.cpu.jit import jit
from fastfood_np.validation import Array


@jit
def _sgd_step(w, v, g, rate, momentum, decay):  # type: ignore[no-untyped-def]
    for i in range(w.size):
        v[i] = momentum * v[i] + rate * (g[i] + decay * w[i])
        w[i] -= v[i]


def sgd_step(w: Array, v: Array, g: Array, rate: float, momentum: float, decay: float) -> None:
    """Set v = momentum v + rate (g + decay w) and w = w - v, for C-contiguous arrays."""
    dtype = w.dtype.type
    _sgd_step(w.ravel(), v.ravel(), g.ravel(), dtype(rate), dtype(momentum), dtype(decay))
