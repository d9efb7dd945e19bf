"""The arithmetic, under the same function names in each backend.

`reference` is plain NumPy, the shortest code that is right: the oracle. `cpu` is Numba, and `cuda`
is Numba on a GPU, for arrays that lie in its memory. Backend functions take raw, checked arrays
and check nothing themselves.

>>> from fastfood_np import backends
>>> with backends.using("reference"):
...     backends.select().__name__
'fastfood_np.backends.reference'
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from fastfood_np.backends.errors import BackendUnavailableError as BackendUnavailableError
from fastfood_np.validation import check_choice

NAMES = ("cpu", "reference")

_imported: dict[str, ModuleType] = {}  # importlib takes longer to find them than a short transform
_requested: ContextVar[str] = ContextVar("fastfood_np_backend", default="cpu")


def select(backend: str | None = None) -> ModuleType:
    """Return the module of the named backend, by default the one of the enclosing `using`.

    Imported on first use, so that importing the package does not import Numba.
    """
    if isinstance(backend, str) and backend == "cuda":
        raise TypeError(
            "the backend 'cuda' takes arrays in device memory, got one in host memory; copy it "
            "there with numba.cuda.to_device"
        )
    name = _requested.get() if backend is None else check_choice(backend, "backend", NAMES)
    return _module(name)


def select_cuda() -> ModuleType:
    """Return the module of the backend for arrays in the memory of a GPU, imported on first use.

    Raises
    ------
    BackendUnavailableError
        The package numba-cuda is missing.
    """
    return _module("cuda")


def on_device(x: Any) -> bool:
    """Whether x is an array in the memory of a GPU: of Numba, CuPy, PyTorch or the simulator."""
    if isinstance(x, np.ndarray):
        return False
    return hasattr(x, "__cuda_array_interface__") or getattr(x, "__cuda_ndarray__", False) is True


def of(x: Any) -> ModuleType:
    """Return the module of the backend that works where x lies: `cuda`, or what `select` gives."""
    return select_cuda() if on_device(x) else select()


def empty(shape: tuple[int, ...], dtype: Any, beside: Any = None) -> Any:
    """Return an uninitialised array in the memory in which `beside` lies, by default the host's."""
    if beside is None or not on_device(beside):
        return np.empty(shape, dtype)
    return select_cuda().arrays.empty(shape, dtype, beside.stream)


def reshaped(x: Any, shape: tuple[int, ...]) -> Any:
    """Return a view of a C-contiguous array in another shape, on the same stream."""
    return x.reshape(shape) if isinstance(x, np.ndarray) else x.reshape(*shape).bind(x.stream)


def leading(x: Any, count: int, beside: Any) -> Any:
    """Return the first rows of an array, in device memory on the stream that `beside` is on."""
    if isinstance(x, np.ndarray):
        return x[:count]
    rows = x if count == x.shape[0] else x[:count]  # a slice takes longer than a launch
    return rows.bind(beside.stream)


def _module(name: str) -> ModuleType:
    if name not in _imported:
        _imported[name] = importlib.import_module(f"fastfood_np.backends.{name}")
    return _imported[name]


@contextmanager
def using(backend: str) -> Iterator[None]:
    """Make `backend` ("cpu" or "reference") the default within a ``with`` block."""
    token = _requested.set(check_choice(backend, "backend", NAMES))
    try:
        yield
    finally:
        _requested.reset(token)
