"""Transforms of arrays in the memory of a GPU: their checks, and what they give back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastfood_np import backends
from fastfood_np.transforms.arguments import check_phase_given
from fastfood_np.transforms.factors import FastfoodFactors
from fastfood_np.validation import check_choice, check_int

DTYPES = ("bfloat16", "float16", "float32", "float64")


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
    if dtype_name(view) not in dtypes:
        allowed = " or ".join(dtypes)
        raise TypeError(f"{name} must hold {allowed} in device memory, got {dtype_name(view)}")
    if not view.is_c_contiguous():
        raise ValueError(
            f"{name} must be C-contiguous in device memory, got strides {tuple(view.strides)} "
            f"for shape {tuple(view.shape)}"
        )
    return view


def dtype_name(x: Any) -> str:
    """Return the name of an array's dtype; NumPy has none for bfloat16."""
    return "bfloat16" if x.dtype == np.dtype("V2") else str(x.dtype.name)


def check_host_arguments(workers: Any, backend: Any) -> None:
    """Raise where an argument is given that only arrays in host memory have a use for."""
    if workers is not None:
        raise ValueError(f"workers must be None for an array in device memory, got {workers!r}")
    check_choice(backend, "backend", (None, "cuda"))


def fwht(x: Any, norm: str, axis: int, ordering: str, out: Any, workers: Any, backend: Any) -> Any:
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
    check_length(d, "the length of x along its last axis", source)
    out, target = _output(out, x, source, tuple(source.shape))
    if backends.select_cuda().arrays.overlap(source, target):
        raise ValueError("out must be x itself or not overlap it, got one that overlaps it")
    scale = {"backward": 1.0, "ortho": 1.0 / math.sqrt(d), "forward": 1.0 / d}[norm]
    rows = (source.size // d, d)
    reshaped = backends.reshaped
    backends.select_cuda().fwht(reshaped(source, rows), reshaped(target, rows), scale)
    return out


def fastfood_transform(
    x: Any,
    factors: Any,
    scale: float,
    n_out: int | None,
    nonlinearity: str,
    phase: Any,
    amplitude: float,
    out: Any,
) -> Any:
    """Transform rows in device memory; see `transforms.fastfood.fastfood_transform`."""
    source = check_device_array(x, "x", ("float32", "float64"))
    if not isinstance(factors, FastfoodFactors):
        raise TypeError(f"factors must be FastfoodFactors, got {type(factors).__name__}")
    if not all(map(backends.on_device, factors)):
        raise TypeError(
            "factors must be in device memory as x is, got ones in host memory; copy them there "
            f"with factors.to_device({source.dtype.name!r})"
        )
    S, G, B = (
        check_device_array(getattr(factors, name), f"factors.{name}", (source.dtype.name,))
        for name in ("S", "G", "B")
    )
    perm = check_device_array(factors.perm, "factors.perm", ("int32",))
    shapes = {tuple(factor.shape) for factor in (S, G, B, perm)}
    if len(shapes) > 1 or S.ndim != 2:
        raise ValueError(f"factors must have one shape (blocks, d_pad), got {sorted(shapes)}")
    if not S.size:
        raise ValueError(f"factors must have at least one block, got shape {tuple(S.shape)}")
    d_pad = S.shape[1]
    check_length(d_pad, "d_pad of the factors", source)
    *batch, d_in = source.shape or (0,)
    if not 1 <= d_in <= d_pad:
        raise ValueError(
            f"x must have shape (..., d_in) with d_in <= {d_pad}, got {tuple(source.shape)}"
        )
    n_out = check_int(S.size if n_out is None else n_out, "n_out", minimum=1, maximum=S.size)
    check_phase_given(phase, nonlinearity)
    angles = None
    if phase is not None:
        angles = check_device_array(phase, "phase", (source.dtype.name,))
        if tuple(angles.shape) != (n_out,):
            raise ValueError(f"phase must have shape ({n_out},), got {tuple(angles.shape)}")
    width = n_out * (2 if nonlinearity == "cos_sin" else 1)
    out, target = _output(out, x, source, (*batch, width))
    cuda = backends.select_cuda()
    if cuda.arrays.overlap(source, target, or_same=True):
        raise ValueError("out must not overlap x")
    m = math.prod(batch)
    rows, results = (
        backends.reshaped(array, (m, columns))
        for array, columns in ((source, d_in), (target, width))
    )
    cuda.fastfood_forward(
        rows, S, G, B, perm, scale, None, 1.0, nonlinearity, angles, amplitude, results
    )
    return out


def _output(out: Any, x: Any, source: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return `out`, or a new array like x in its place, and Numba's view of it."""
    if out is None:
        out = backends.select_cuda().arrays.empty_like(x, shape)
    target = check_device_array(out, "out", (dtype_name(source),))
    if getattr(out, "__cuda_array_interface__", {}).get("data", (0, False))[1]:
        raise ValueError("out must be writable, got a read-only array")
    if tuple(target.shape) != shape:
        raise ValueError(f"out must have the result's shape {shape}, got {tuple(target.shape)}")
    return out, target


def check_length(d: int, name: str, like: Any) -> None:
    """Raise unless rows of d numbers of the dtype of `like` can be transformed in device memory."""
    if d < 1 or d & (d - 1):
        raise ValueError(f"{name} must be a power of two, got {d}; nothing is padded here")
    longest = backends.select_cuda().max_length(like.dtype)
    if d > longest:
        raise ValueError(
            f"{name} must be at most {longest} for {dtype_name(like)} in device memory, got {d}"
        )
