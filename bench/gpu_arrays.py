"""Filling and reading arrays in device memory: PyTorch does it in place, NumPy by copies.

All arrays are Numba's. `view` shows one to PyTorch without a copy; beside the simulator, whose
memory is the host's, the same PyTorch code runs on the host.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from gpu_device import SIMULATED, absence, cuda, torch_here

TORCH = torch_here() if absence(smoke=True) is None else None  # its import takes seconds
MODULE: Any = np if TORCH is None else TORCH  # where the arithmetic of the truth is done
PLACE = "cpu" if SIMULATED else "cuda"
CHUNK = 1 << 23  # elements that are compared with the truth at a time
ROTATION = 1 << 28  # bytes: several times what the second cache of any GPU holds
MOST_SETS = 16


def empty(*shape: int, dtype: Any = np.float32) -> Any:
    """Return an uninitialised array in device memory."""
    return cuda.device_array(shape, dtype)


def random(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    """Return a new array of N(0, 1) numbers."""
    array = empty(*shape, dtype=dtype)
    if TORCH is None:
        numbers = np.random.default_rng(seed).standard_normal(shape, np.float32)
        array.copy_to_device(numbers.astype(dtype))
    else:
        view(array).normal_(generator=TORCH.Generator(PLACE).manual_seed(seed))
    return array


def view(array: Any) -> Any:
    """Return the array as `MODULE` sees it: PyTorch the same memory, NumPy a copy."""
    if TORCH is None:
        return array.copy_to_host()
    if isinstance(array, TORCH.Tensor):
        return array
    if SIMULATED:
        return TORCH.from_numpy(np.asarray(array))
    return TORCH.as_tensor(array, device=PLACE)


def put(host: Any) -> Any:
    """Return a NumPy array where `view` shows arrays."""
    return host if TORCH is None else TORCH.as_tensor(host, device=PLACE)


def double(part: Any) -> Any:
    """Return a part of a view in float64."""
    return part.astype(np.float64) if TORCH is None else part.double()


def poison(array: Any) -> None:
    """Fill with NaN, so that what nobody writes is found."""
    if TORCH is None:
        array.copy_to_device(np.full(array.shape, np.nan, array.dtype))
    else:
        view(array).fill_(math.nan)


def snapshot(array: Any) -> Any:
    """Return a copy of what the array holds now."""
    return view(array) if TORCH is None else view(array).clone()


def same_bits(a: Any, b: Any) -> bool:
    """Whether two views hold the same bytes."""
    byte = MODULE.uint8
    return bool((a.view(byte) == b.view(byte)).all())


def chunks(m: int, d: int) -> Iterator[slice]:
    """Yield slices of at most `CHUNK` elements (or one row) that cover m rows of d."""
    step = max(1, CHUNK // d)
    for start in range(0, m, step):
        yield slice(start, min(start + step, m))


def sets_for(set_bytes: int) -> int:
    """Return how many sets of buffers take turns, so that none is in a cache when used again."""
    if SIMULATED:
        return 1
    return max(1, min(MOST_SETS, -(-ROTATION // set_bytes)))


def free_memory() -> None:
    """Give back what nobody refers to any more, so that whoever allocates next finds it."""
    gc.collect()
    if not SIMULATED:
        cuda.current_context().memory_manager.deallocations.clear()
        if TORCH is not None:
            TORCH.cuda.empty_cache()
