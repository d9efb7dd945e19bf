"""The ceiling on a GPU: device-to-device copies of as many bytes as the work at least moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from gpu_arrays import TORCH, empty, random, same_bits, sets_for, view
from gpu_device import SIMULATED, cupy_here
from gpu_entries import Entry

DRIVER, CUPY, PYTORCH = "copy by the driver", "copy by CuPy", "copy by PyTorch"
COPIES = (DRIVER, CUPY, PYTORCH)


def copies(sources: Sequence[Any], targets: Sequence[Any]) -> dict[str, Entry]:
    """Return everybody's copy of each source to its target, Numba arrays of the same size."""
    ways: dict[str, Callable[[Any, Any], Callable[[], Any]]] = {
        DRIVER: lambda x, y: partial(y.copy_to_device, x)
    }
    cupy = cupy_here()
    if cupy is not None:
        ways[CUPY] = lambda x, y: partial(cupy.copyto, cupy.asarray(y), cupy.asarray(x))
    if TORCH is not None and not SIMULATED:
        ways[PYTORCH] = lambda x, y: partial(view(y).copy_, view(x))
    x, y = sources[0], targets[0]
    return {
        name: Entry(
            [way(source, target) for source, target in zip(sources, targets, strict=True)],
            [y],
            lambda: 0.0 if same_bits(view(x), view(y)) else math.inf,
            0.0,
            moved=2.0 * x.size * x.dtype.itemsize,
            flop=0.0,
        )
        for name, way in ways.items()
    }


def copies_of(moved: int) -> dict[str, Entry]:
    """Return everybody's copy of float32 buffers of their own that moves so many bytes."""
    sets = sets_for(moved)
    sources = [random(moved // 8, seed=i) for i in range(sets)]
    return copies(sources, [empty(moved // 8) for _ in range(sets)])
