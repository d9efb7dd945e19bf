"""Checks of user input, and the messages about it.

Every check raises before any work is done, names the argument, shows its value and says what is
allowed: ``TypeError`` where the kind of thing is wrong, ``ValueError`` where only its value is.
This module imports nothing of the package.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class InputFileError(ValueError):
    """A file given by the user is missing, broken, or does not fit the others."""


class DatasetError(InputFileError):
    """A data set's files are missing, truncated, corrupt or do not belong together."""


class ModelFileError(InputFileError):
    """A model or checkpoint file is corrupt, of an unknown version, or does not fit the model."""


def check_int(
    value: Any, name: str, *, minimum: int | None = None, maximum: int | None = None
) -> int:
    """Return `value` as an int within [minimum, maximum]; bool and float are refused."""
    if type(value) is not int and (  # by far the most frequent, and the quickest to ask
        isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer))
    ):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum}, got {value!r}")
    return int(value)


def check_real(
    value: Any,
    name: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return `value` as a finite float with ``minimum <= value``, ``above < value < below``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer past the largest float
        finite = False
    if not finite:
        raise ValueError(f"{name} must be finite, got {value!r}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    if above is not None and value <= above:
        raise ValueError(f"{name} must be greater than {above}, got {value!r}")
    if below is not None and value >= below:
        raise ValueError(f"{name} must be less than {below}, got {value!r}")
    return float(value)


def check_rate(value: Any, name: str) -> float:
    """Return a dropout rate: ``0 <= value < 1``."""
    return check_real(value, name, minimum=0.0, below=1.0)


def check_choice(value: Any, name: str, choices: Collection[Any]) -> Any:
    """Return `value` if it is one of `choices`."""
    if isinstance(value, np.ndarray) or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
    return value


def check_rng(rng: Any, name: str = "rng") -> np.random.Generator:
    """Return a Generator from None (fresh entropy), a seed, a SeedSequence or a Generator."""
    if rng is None or isinstance(rng, (np.random.Generator, np.random.SeedSequence)):
        return np.random.default_rng(rng)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return np.random.default_rng(check_int(rng, name, minimum=0))
    raise TypeError(
        f"{name} must be None, an integer, a numpy SeedSequence or a numpy Generator, got {rng!r}"
    )


def check_float_dtype(dtype: Any, name: str = "dtype") -> np.dtype[Any]:
    """Return float32 or float64 as a dtype; anything else is a TypeError."""
    try:
        checked = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # NumPy parses text such as "(2,3)f4"
        checked = np.dtype(object)
    if checked not in FLOAT_DTYPES:
        raise TypeError(f"{name} must be float32 or float64, got {dtype!r}")
    return checked


def check_bool(value: Any, name: str) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_path(value: Any, name: str) -> Path:
    """Return a str or path-like `value` as a Path; anything else is a TypeError."""
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str):
            if not text:
                raise ValueError(f"{name} must be a path, got the empty string")
            return Path(text)
    raise TypeError(f"{name} must be a str or a pathlib.Path, got {value!r}")


def check_power_of_two(size: int, name: str) -> int:
    """Return `size` if it is 1, 2, 4, 8, ..."""
    if size < 1 or size & (size - 1):
        raise ValueError(f"{name} must be a power of two, got {size}")
    return size


def check_shape(shape: Any, name: str) -> tuple[int, ...]:
    """Return a shape of sizes >= 1 as a tuple; an int n stands for (n,)."""
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes:
        raise ValueError(f"{name} must hold at least one size, got {shape!r}")
    return tuple(check_int(size, name, minimum=1) for size in sizes)


def check_permutation(perm: Any, name: str) -> npt.NDArray[np.int64]:
    """Return an int64 array (..., d) whose last axis holds permutations of 0..d-1."""
    array = np.asarray(perm)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {array.dtype}")
    if array.ndim == 0 or not array.size:
        raise ValueError(f"{name} must have shape (..., d) with d >= 1, got {array.shape}")
    if (np.sort(array, axis=-1) != np.arange(array.shape[-1])).any():
        raise ValueError(
            f"{name} must be a permutation of 0..{array.shape[-1] - 1} on its last axis"
        )
    return array.astype(np.int64)


def check_batch(
    x: Any, name: str, dtype: np.dtype[Any] | None, shape: tuple[int | None, ...] | None
) -> None:
    """Raise unless `x` is an array (m, *shape) of exactly `dtype`.

    None in `shape` is any size, None for `shape` any shape (m, ...), None for `dtype` float32 or
    float64. Layers convert nothing silently: the message for a wrong dtype says how to convert.
    NaN and inf pass. (An array of Numba's in device memory is an array too.)
    """
    if not isinstance(x, np.ndarray) and not getattr(x, "__cuda_ndarray__", False):
        raise TypeError(f"{name} must be a NumPy array, got {type(x).__name__}")
    if dtype is None:
        check_float_dtype(x.dtype, f"the dtype of {name}")
    elif x.dtype != dtype:
        hint = "convert it with astype"
        if x.dtype in FLOAT_DTYPES and x.dtype.isnative:
            hint = f"convert it, or the layer with layer.astype({x.dtype.name!r})"
        raise TypeError(f"{name} must have the layer's dtype {dtype}, got {x.dtype}; {hint}")
    if shape is None:
        fits = x.ndim >= 1
    else:
        fits = x.ndim == 1 + len(shape) and (
            x.shape[1:] == shape
            or all(
                want is None or want == have for want, have in zip(shape, x.shape[1:], strict=True)
            )
        )
    if not fits:
        sizes = ["..."] if shape is None else ["any" if n is None else str(n) for n in shape]
        raise ValueError(f"{name} must have shape ({', '.join(['m', *sizes])}), got {x.shape}")


def check_labels(labels: Any, name: str, m: int, classes: int) -> None:
    """Raise unless `labels` is an integer array (m,) with values in 0..classes-1."""
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        kind = labels.dtype if isinstance(labels, np.ndarray) else type(labels).__name__
        raise TypeError(f"{name} must be an integer array, got {kind}")
    if labels.shape != (m,):
        raise ValueError(f"{name} must have shape ({m},), got {labels.shape}")
    if m and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"{name} must lie in 0..{classes - 1}, got {labels.min()} to {labels.max()}"
        )


def check_cache(cache: Any) -> None:
    """Raise unless `cache` is a dict that a forward pass has filled."""
    if not isinstance(cache, dict):
        raise TypeError(f"cache must be the dict forward returned, got {type(cache).__name__}")
    if "y_shape" not in cache:
        raise ValueError("cache must come from a forward pass of this layer, got one never filled")


def check_finite(value: Any, name: str, shape: tuple[int, ...]) -> Array:
    """Return a finite array of real numbers, as given, of exactly this shape."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # nested lists of different lengths
        raise ValueError(f"{name} must have shape {shape}: {error}") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    return array


def check_points(points: Any, name: str) -> Array:
    """Return a finite 2-D float array (m, d) with m, d >= 1; integers and bool become float64."""
    if getattr(points, "__cuda_ndarray__", False):
        raise TypeError(f"{name} must be in host memory, got an array in device memory")
    array = np.asarray(points)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype not in FLOAT_DTYPES:
        raise TypeError(f"{name} must hold real numbers (float32 or float64), got {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} must have shape (m, d) with m, d >= 1, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    return array
