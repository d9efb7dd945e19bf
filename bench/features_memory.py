"""How much memory fit and transform of a feature map take beyond X and the features.

    python bench/features_memory.py MAP ROWS D COMPONENTS

A part of `bench_kernel_approximation`, and a process of its own, because the maximal resident size
only ever grows. It prints the bytes.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from feature_maps import feature_map
from forward_memory import forget_the_maximum, give_back_freed_memory, maximal_resident_bytes
from harness import threads


def growth(name: str, m: int, d: int, n: int) -> int:
    """Return by how much the maximum rises, less the size of the features."""

    def work(m: int, d: int, n: int) -> Any:
        X = np.ones((m, d), np.float32)
        give_back_freed_memory()
        forget_the_maximum()
        before = maximal_resident_bytes()
        Z = feature_map(name, n, math.sqrt(d), 0).fit_transform(X)
        return maximal_resident_bytes() - before - Z.nbytes

    work(64, 32, 64)  # compiles
    return int(work(m, d, n))


if __name__ == "__main__":
    with threads(1):
        print(max(0, growth(sys.argv[1], *map(int, sys.argv[2:]))))
