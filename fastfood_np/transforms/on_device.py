"""Transforms of arrays in the memory of a GPU: their checks, and what they give back."""

from __future__ import annotations

import math
from typing import Any

from fastfood_np import backends
from fastfood_np.validation import check_choice, check_int

DTYPES = ("float16", "float32", "float64")


def check_device_array(x: Any, name: str, dtypes: tuple[str, ...] = DTYPES) -> Any:
    """Return Numba's view of a C-contiguous array in device memory.

    Raises
    ------
    TypeError
        It is not in device memory, or has another dtype than one of `dtypes`.
    ValueError
        It has gaps, or lies on another GPU than the current one.
    """
    if not backends.on_device(x):
        raise TypeError(
            f"{name} must be an array in device memory as the other ones are, got "
            f"{type(x).__name__}; copy it there with numba.cuda.to_device"
        )
    view = backends.select_cuda().arrays.as_numba(x, name)
    if view.dtype.name not in dtypes:
        allowed = " or ".join(dtypes)
        raise TypeError(f"{name} must hold {allowed} in device memory, got {view.dtype}")
    if not view.is_c_contiguous():
        raise ValueError(
            f"{name} must be C-contiguous in device memory, got strides {tuple(view.strides)} "
            f"for shape {tuple(view.shape)}"
        )
    return view


def check_host_arguments(workers: Any, backend: Any) -> None:
    """Raise where an argument is given that only arrays in host memory have a use for."""
    if workers is not None:
        raise ValueError(f"workers must be None for an array in device memory, got {workers!r}")
    check_choice(backend, "backend", (None, "cuda"))


def fwht(
    x: Any, norm: str, axis: int, ordering: str, out: Any, workers: Any, backend: Any
) -> Any:
    """Transform the rows of an array in device memory; see `transforms.hadamard.fwht`."""
    check_host_arguments(workers, backend)
    check_choice(ordering, "ordering", ("hadamard",))
    source = check_device_array(x, "x")
    if source.ndim == 0:
        raise ValueError("x must have at least one axis, got a single number")
    axis = check_int(axis, "axis")
    if axis not in (-1, source.ndim - 1):
        raise ValueError(f"axis must be the last one in device memory, got {axis}")
    d = source.shape[source.ndim - 1]
    if d < 1 or d & (d - 1):
        raise ValueError(
            f"the length of x along its last axis must be a power of two, got {d}; fwht never pads"
        )
    longest = backends.select_cuda().max_length(source.dtype)
    if d > longest:
        raise ValueError(
            f"the length of x along its last axis must be at most {longest} for {source.dtype} "
            f"in device memory, got {d}"
        )
    if out is None:
        out = backends.select_cuda().arrays.empty_like(x, tuple(source.shape))
    target = check_device_array(out, "out", (source.dtype.name,))
    if tuple(target.shape) != tuple(source.shape):
        raise ValueError(
            f"out must have the result's shape {tuple(source.shape)}, got {tuple(target.shape)}"
        )
    if backends.select_cuda().arrays.overlap(source, target):
        raise ValueError("out must be x itself or not overlap it, got one that overlaps it")
    scale = {"backward": 1.0, "ortho": 1.0 / math.sqrt(d), "forward": 1.0 / d}[norm]
    rows = (source.size // d, d)
    backends.select_cuda().fwht(source.reshape(*rows), target.reshape(*rows), scale)
    return out
