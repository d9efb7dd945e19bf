"""Compiling kernels before they are needed: in a Docker image, a test's set-up, a timed run."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.layers import Fastfood
from fastfood_np.transforms import fwht
from fastfood_np.validation import check_float_dtype

# A batch that the kernels share out among threads, and one for a single thread.
BATCHES = (64, 1)
LENGTH = 1024


def warmup(dtypes: Any = ("float32", "float64")) -> None:
    """Compile the Walsh-Hadamard transform and the Fastfood layer, or load them from the cache.

    Kernels are compiled when they are first called, some seconds for the first forward and backward
    pass, and kept on disk: in `__pycache__` or, where that cannot be written, in the user's cache
    (Numba's variable NUMBA_CACHE_DIR says where). After this call neither happens in the midst of
    work. It covers `fwht` and `layers.Fastfood`, forward and backward, for one and for many rows,
    on one thread and on many. Convolutions, hashed and quantised layers and other nonlinearities
    than "none" are left out.

    Parameters
    ----------
    dtypes : dtype, or list or tuple of dtypes
        float32, float64 or both.

    Raises
    ------
    TypeError
        It is, or holds, anything else.

    Notes
    -----
    About 10 s for each dtype at the first time, less than a second in later processes.

    Examples
    --------
    >>> import fastfood_np
    >>> fastfood_np.warmup("float32")
    """
    several = isinstance(dtypes, (tuple, list))
    checked = [check_float_dtype(dtype, "dtypes") for dtype in (dtypes if several else [dtypes])]
    for dtype in checked:
        layer = Fastfood(LENGTH, LENGTH, rng=0, dtype=dtype)
        for m in BATCHES:
            x = np.zeros((m, LENGTH), dtype)
            fwht(x)
            y, cache = layer.forward(x)
            layer.backward(y, cache)
