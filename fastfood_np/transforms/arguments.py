"""Checks of the arguments that all transforms share."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from fastfood_np.validation import FLOAT_DTYPES, check_int

CPUS = os.cpu_count() or 1  # to ask costs more than a short transform


def result_dtype(dtype: np.dtype[Any], name: str = "x") -> np.dtype[Any]:
    """Return float32 or float64, the dtype in which an array of `dtype` is transformed."""
    if dtype in FLOAT_DTYPES:
        return dtype
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    # By size, so that long double is refused only where it is longer than double.
    if dtype.kind == "f" and dtype.itemsize <= 8:
        return np.dtype(np.float64 if dtype.itemsize == 8 else np.float32)
    hint = "; transform its real and its imaginary part apart" if dtype.kind == "c" else ""
    raise TypeError(
        f"{name} must hold float32 or float64 (or bool, integers or float16, which are converted), "
        f"got {dtype}{hint}"
    )


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless `out` can take a result of this shape and dtype."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {type(out).__name__}")
    if out.dtype != dtype:
        raise TypeError(f"out must have the result's dtype {dtype}, got {out.dtype}")
    if out.shape != shape:
        raise ValueError(f"out must have the result's shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writable, got a read-only array")


def check_workers(workers: Any) -> int:
    """Return the number of threads that `workers` stands for, with scipy.fft's rules."""
    count = check_int(workers, "workers")
    if count == 0:
        raise ValueError("workers must not be zero: give None for all of Numba's threads")
    if count < -CPUS:
        raise ValueError(f"workers must be at least {-CPUS} on this machine, got {count}")
    return count if count > 0 else count + 1 + CPUS


def check_phase_given(phase: Any, nonlinearity: str) -> None:
    """Raise unless there is a phase for the nonlinearity "cos", and only there."""
    if (phase is not None) != (nonlinearity == "cos"):
        given = "None" if phase is None else "one"
        raise ValueError(
            f"phase must be given for the nonlinearity 'cos' and only there, got {given} for "
            f"{nonlinearity!r}"
        )
