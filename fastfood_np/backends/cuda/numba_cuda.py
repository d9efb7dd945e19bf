"""The one place that imports `numba.cuda`; every kernel gets it from here.

There are two of it: the package numba-cuda, and its simulator, which runs kernels as Python threads
where NUMBA_ENABLE_CUDASIM=1 was set before Numba was imported. Numba's own `numba.cuda` of old is
deprecated and not used.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from fastfood_np.backends.errors import BackendUnavailableError

INSTALL = 'pip install "fastfood_np[cuda]"'


@contextmanager
def _row_stack() -> Iterator[None]:
    """Lend NumPy 2.5 and later a function that numba-cuda looks for while it is imported."""
    name = "row_stack"
    missing = not hasattr(np, name)
    if missing:
        setattr(np, name, np.vstack)
    try:
        yield
    finally:
        if missing:
            delattr(np, name)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except (AttributeError, ImportError) as error:
        raise BackendUnavailableError(
            f"numba-cuda {version('numba-cuda')} does not work with NumPy {np.__version__} and "
            f"Numba {version('numba')} ({error}): {INSTALL}"
        ) from error


if importlib.util.find_spec("numba_cuda") is None:
    raise BackendUnavailableError(
        f"the backend 'cuda' needs the package numba-cuda, which is not installed: {INSTALL}"
    )
# Puts it in the place of Numba's own; where site-packages has .pth files this has happened already.
importlib.import_module("_numba_cuda_redirector")
with _row_stack():
    cuda: Any = _import("numba.cuda")
    if "numba_cuda" not in str(cuda.__file__):
        raise BackendUnavailableError(
            "the backend 'cuda' needs the package numba-cuda, but Numba's own, deprecated "
            "numba.cuda was imported before it could be replaced: import fastfood_np.backends.cuda "
            "first"
        )
    SIMULATED = bool(importlib.import_module("numba").config.ENABLE_CUDASIM)
    if SIMULATED:
        cuda = importlib.import_module("fastfood_np.backends.cuda.simulator").SimulatedCuda(cuda)
    else:
        _import("numba.cuda.np.arrayobj")  # looks for row_stack

_device_seen = False


def check_device() -> None:
    """Raise BackendUnavailableError unless there is a GPU with a driver (or the simulator)."""
    global _device_seen
    if _device_seen:
        return
    if not cuda.is_available():
        reason = cuda.cuda_error() or "the driver works, but libnvvm (nvidia-nvvm) was not found"
        reason = " ".join(str(reason).split()).rstrip(".")
        raise BackendUnavailableError(
            f"the backend 'cuda' needs an NVIDIA GPU and its driver: {reason}. Without them, "
            "NUMBA_ENABLE_CUDASIM=1, set before Python starts, simulates one (slowly)"
        )
    _device_seen = True


def description() -> dict[str, str]:
    """Return the GPU and its compute capability.

    Raises
    ------
    BackendUnavailableError
        There is none.
    """
    check_device()
    if SIMULATED:
        return {"GPU": "simulated (NUMBA_ENABLE_CUDASIM is set)"}
    device = cuda.get_current_device()
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    return {"GPU": f"{name}, compute capability {'.'.join(map(str, device.compute_capability))}"}


def device_function(function: Any) -> Any:
    """Make a function one that kernels call: a part of each, so that its arrays are registers."""
    return function if SIMULATED else cuda.jit(device=True, forceinline=True)(function)


def kernel(threads: int, at_once: int | None = None) -> Any:
    """Return a decorator that compiles a kernel for blocks of so many threads.

    The compiler keeps to as many registers as let `at_once` threads share a multiprocessor.
    """
    if SIMULATED:
        return cuda.jit()
    fewest = () if at_once is None else (max(1, at_once // threads),)
    return cuda.jit(launch_bounds=(threads, *fewest))
