"""How much memory a layer's forward takes beyond X and Y: a part of other benchmarks.

    python bench/forward_memory.py ROWS D THREADS [LAYER]

A process of its own, because the maximal resident size only ever grows. It prints the bytes.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import threads

from fastfood_np.layers import Circulant, Dense, Fastfood
from fastfood_np.layers.base import Layer

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

WARM_UP = 1024, 32  # rows and d: large enough for threads, with little scratch memory
LAYERS: dict[str, Callable[[int], Layer]] = {
    "fastfood": lambda d: Fastfood(d, d, rng=0),
    "circulant": lambda d: Circulant(d, d, rng=0),
    "dense": lambda d: Dense(d, d, bias=False, rng=0),
}


def measured_in_child(m: int, d: int, count: int, layer: str = "fastfood") -> int | str:
    """Return the bytes that a child process measures, or why it does not."""
    command = [sys.executable, __file__, *map(str, (m, d, count)), layer]
    child = subprocess.run(command, capture_output=True, text=True)
    return child.stderr.strip() if child.returncode else int(child.stdout)


def maximal_resident_bytes() -> int:
    """Return the largest resident size of this process so far."""
    with contextlib.suppress(OSError, StopIteration):  # Linux: ru_maxrss counts the parent's, too
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def give_back_freed_memory() -> None:
    """Have glibc return what was freed, lest the warm-up's scratch hide that of the forward."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def forget_the_maximum() -> None:
    """Let the maximum be the present size again, where the system (Linux) can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def growth(m: int, d: int, make: Callable[[int], Layer]) -> int:
    """Return by how much a forward of (m, d) raises the maximum, less the size of Y."""
    make(WARM_UP[1])(np.ones(WARM_UP, np.float32))
    layer = make(d)
    x = np.ones((m, d), np.float32)
    give_back_freed_memory()
    forget_the_maximum()
    before = maximal_resident_bytes()
    y, _ = layer.forward(x, cache={})
    return maximal_resident_bytes() - before - y.nbytes


if __name__ == "__main__":
    rows, length, count = map(int, sys.argv[1:4])
    make = LAYERS[sys.argv[4] if len(sys.argv) > 4 else "fastfood"]
    if resource is None:
        sys.exit("this system does not tell the maximal resident size")
    with threads(count):
        print(max(0, growth(rows, length, make)))  # the system counts in steps of some pages
