"""Arrays in device memory: Numba's own, and those of CuPy, PyTorch and others, taken as they are.

Nothing here copies between host and device but `to_device` and `to_host`. Work is put on the
stream that the array's library is using at that moment, so that it comes after what fills the
array and before what reads the result.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from fastfood_np.backends.cuda.numba_cuda import SIMULATED, check_device, cuda


def library(x: Any) -> str:
    """Return the name of the package that an array's type comes from."""
    return type(x).__module__.partition(".")[0]


def device_number(x: Any) -> int | None:
    """Return the number of the GPU in whose memory an array lies, or None if it does not say."""
    place = getattr(x, "device", None)  # PyTorch's has an index, CuPy's an id
    for name in ("index", "id"):
        number = getattr(place, name, None)
        if isinstance(number, int):
            return number
    return None


def as_numba(x: Any, name: str) -> Any:
    """Return Numba's view of an array in device memory, bound to the stream that uses it.

    Raises
    ------
    TypeError
        It is of another library, in the simulator.
    ValueError
        It lies in the memory of another GPU than the current one.
    """
    if getattr(x, "__cuda_ndarray__", False):
        return x
    # (The simulator does not number its GPU.)
    number, current = device_number(x), getattr(cuda.get_current_device(), "id", 0)
    if number is not None and number != current:
        raise ValueError(
            f"{name} must be in the memory of the current GPU {current}, got one on GPU {number}; "
            f"make that one current with numba.cuda.select_device({number})"
        )
    if not hasattr(cuda, "as_cuda_array"):
        raise TypeError(f"{name} must be Numba's in the simulator, got {type(x).__name__}")
    view = cuda.as_cuda_array(x, sync=False)
    handle = _current_stream(x) or int(view.stream or 0)
    return view.bind(_stream(handle) if handle else 0)


@cache
def _stream(handle: int) -> Any:
    """Return Numba's face of a stream, one for all its uses: launches are configured by it."""
    return cuda.external_stream(handle)


def _current_stream(x: Any) -> int:
    """Return the handle of the stream that the array's library uses now; 0 is the default one."""
    module: Any = sys.modules.get(library(x))
    if library(x) == "torch":
        return int(module.cuda.current_stream(x.device).cuda_stream)
    if library(x) == "cupy":
        return int(module.cuda.get_current_stream().ptr)
    return 0


def overlap(a: Any, b: Any, or_same: bool = False) -> bool:
    """Whether two contiguous Numba arrays share memory but are not, or may also be, the same."""
    if not a.size or not b.size:  # they lie nowhere
        return False
    first, second = sorted((_address(array), array.size * array.dtype.itemsize) for array in (a, b))
    return first[0] + first[1] > second[0] and (or_same or first[0] < second[0])


def _address(x: Any) -> int:
    return int(x.ctypes.data if SIMULATED else x.device_ctypes_pointer.value or 0)


def empty(shape: tuple[int, ...], dtype: Any, stream: Any = 0) -> Any:
    """Return an uninitialised Numba array in device memory.

    Raises
    ------
    MemoryError
        There is not so much memory.
    """
    check_device()
    try:
        return cuda.device_array(shape, dtype, stream=stream)
    except MemoryError as error:
        raise _no_memory(shape, dtype) from error
    except cuda.cudadrv.driver.CudaAPIError as error:
        if "OUT_OF_MEMORY" not in str(error):
            raise
        raise _no_memory(shape, dtype) from error


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """Return an uninitialised array of x's dtype, of the library x comes from where it is known."""
    module: Any = sys.modules.get(library(x))
    try:
        if library(x) == "torch":
            return module.empty(shape, dtype=x.dtype, device=x.device)
        if library(x) == "cupy":
            return module.empty(shape, x.dtype)
    except (MemoryError, RuntimeError) as error:  # CuPy's and PyTorch's names for it
        if "memory" not in str(error).lower():
            raise
        raise _no_memory(shape, x.dtype) from error
    view = as_numba(x, "x")
    return empty(shape, view.dtype, view.stream)


def _no_memory(shape: tuple[int, ...], dtype: Any) -> MemoryError:
    return MemoryError(f"no room in device memory for an array of shape {shape} and dtype {dtype}")


def to_device(x: Any, beside: Any = None) -> Any:
    """Return a copy of a NumPy array in device memory, for the stream of `beside` or for any."""
    copy = empty(x.shape, x.dtype, 0 if beside is None else beside.stream)
    copy.copy_to_device(np.ascontiguousarray(x))
    if beside is None:
        cuda.default_stream().synchronize()  # other streams do not wait for this one
    return copy


def to_host(x: Any) -> Any:
    """Return a copy of an array in device memory as a NumPy array."""
    return as_numba(x, "x").copy_to_host()
