"""The Walsh-Hadamard transforms of others: fht-cpu from the package index, and a native FFHT.

FFHT's code is no part of this repository: build it from its sources and name the library.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from optional import imported

fht_cpu = imported("fht_cpu")

HOW_TO_BUILD = (
    "github.com/FALCONN-LIB/FFHT, gcc -O3 -march=native -shared -fPIC fht.c fast_copy.c "
    "-o libffht.so"
)

# Transforms the C-contiguous array (m, d) row by row, in place, on that many threads.
Transform = Callable[[Any, int], Any]


def fht_cpu_transform(rows: Any, threads: int) -> None:
    """Transform by fht-cpu's public call."""
    fht_cpu.fht(rows, num_threads=threads)


class FFHT:
    """A native FFHT, looped over rows by compiled code."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path.resolve()))
        self._loops = {
            "float32": _loops(library.fht_float),
            "float64": _loops(library.fht_double),
        }

    def __call__(self, rows: Any, threads: int) -> None:
        """Transform every row once."""
        self._loops[rows.dtype.name][threads > 1](rows, rows.shape[1].bit_length() - 1, 1)

    def repeated(self, rows: Any, times: int) -> None:
        """Transform every row `times` times, serially."""
        self._loops[rows.dtype.name][False](rows, rows.shape[1].bit_length() - 1, times)


def _loops(function: Any) -> tuple[Any, Any]:
    """Return the serial and the parallel loop over rows round a C function."""
    function.argtypes = (ctypes.c_void_p, ctypes.c_int)
    function.restype = ctypes.c_int

    def loop(rows: Any, log_d: int, times: int) -> None:
        for i in numba.prange(rows.shape[0]):
            start = rows[i].ctypes
            for _ in range(times):
                function(start, log_d)

    return numba.njit(nogil=True)(loop), numba.njit(nogil=True, parallel=True)(loop)


def fwht_peers(ffht: Path | None) -> dict[str, Transform]:
    """Return the peers that are there; say which are not."""
    peers: dict[str, Transform] = {}
    if fht_cpu is None:
        print("fht-cpu is not installed (pip install fht-cpu): not among the contenders")
    else:
        peers["fht-cpu"] = fht_cpu_transform
    if ffht is None:
        print(f"no native FFHT given (--ffht LIB; {HOW_TO_BUILD}): not among the contenders")
    else:
        peers["FFHT"] = FFHT(ffht)
    return peers
