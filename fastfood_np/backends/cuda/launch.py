"""A kernel with the size of its grid, and the memory traffic that this size implies."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fastfood_np.backends.cuda.numba_cuda import SIMULATED

KEPT = 256  # plans and configurations of each kind


@dataclass(frozen=True)
class Launch:
    """One kernel launch, as planned.

    `read_bytes` and `written_bytes` count the large arrays (inputs, outputs, scratch), each byte
    as often as thread blocks ask for it; parameters shared by all rows stay in the caches and are
    not counted.
    """

    kernel: Any
    grid: int | tuple[int, int]
    threads: int
    read_bytes: int
    written_bytes: int


def run(launch: Launch, stream: Any, *arguments: Any) -> None:
    """Put the launch on the stream; of an empty grid there is nothing to launch."""
    if launch.grid:
        start(launch.kernel, launch.grid, launch.threads, stream, *arguments)


def start(kernel: Any, grid: Any, threads: int, stream: Any, *arguments: Any) -> None:
    """Put a kernel on the stream."""
    configured(kernel, grid, threads, stream)(*arguments)


def _configured(kernel: Any, grid: Any, threads: int, stream: Any) -> Any:
    """Return a kernel for this grid. Nobody is told that a small batch cannot fill a GPU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Grid size .* under-utilization")
        return kernel[grid, threads, stream]


# Kept, for it takes as long as a launch. (In the simulator it is the kernel itself that changes.)
configured = _configured if SIMULATED else lru_cache(KEPT)(_configured)
