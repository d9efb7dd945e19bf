"""The Fastfood transform c S H G Pi H B x of a batch, with drawn or given factors."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfood_np import backends
from fastfood_np.transforms import on_device
from fastfood_np.transforms.arguments import (
    check_out,
    check_phase_given,
    check_workers,
    result_dtype,
)
from fastfood_np.transforms.factors import FastfoodFactors
from fastfood_np.validation import Array, check_choice, check_int, check_permutation, check_real

NONLINEARITIES = ("none", "relu", "relu_squared", "step", "cos", "cos_sin")


def fastfood_transform(
    x: npt.ArrayLike,
    factors: FastfoodFactors,
    *,
    scale: float = 1.0,
    n_out: int | None = None,
    nonlinearity: str = "none",
    phase: npt.ArrayLike | None = None,
    amplitude: float = 1.0,
    out: Array | None = None,
    workers: int | None = None,
    backend: str | None = None,
) -> Array:
    """Fastfood transform v = c S H G Pi H B x, and what random features make of it.

    Le, Sarlos & Smola, equation 33; equation 5 of Deep Fried Convnets. With factors from
    `draw_fastfood` and c = 1 / (sigma sqrt(d_pad)), the features [cos v, sin v] / sqrt(n_out)
    stand for the Gaussian kernel (there equations 1 and 2), and max(0, v) / sqrt(n_out) for half
    the arc-cosine kernel of order 1 (equations 3 and 4). `fastfood_np.features` has them ready.

    Parameters
    ----------
    x : array_like of shape (..., d_in)
        Inputs of d_in <= d_pad numbers, taken as if zeros followed up to d_pad. float32 and
        float64 are kept, bool and integers become float64, float16 becomes float32. NaN and
        infinity propagate. Never written.
    factors : FastfoodFactors
        S, G, B and perm, each of shape (blocks, d_pad), d_pad a power of two. They are rounded to
        the dtype of the result.
    scale : float
        The scalar c.
    n_out : int, optional
        How many entries of v are wanted, at most blocks * d_pad, which is the default.
    nonlinearity : {"none", "relu", "relu_squared", "step", "cos", "cos_sin"}
        The result: v; max(0, v); its square; 0, 1/2 or 1 by the sign of v; cos(v + phase); or
        cos v, and behind it sin v.
    phase : array_like of shape (n_out,), optional
        For "cos", and only for it.
    amplitude : float
        A factor of the result.
    out : ndarray, optional
        Where to put the result: an array of the result's shape and dtype, laid out in any way.
    workers : int, optional
        At most so many threads; a negative number counts down from the number of CPUs, -1 being
        all of them. By default all of Numba's threads. The result does not depend on it.
    backend : {"cpu", "reference"}, optional
        Who computes; by default what `fastfood_np.backends.using` says.

    Returns
    -------
    ndarray of shape (..., n_out), or (..., 2 n_out) for "cos_sin"
        `out` where that was given, else a new C-contiguous array.

    Raises
    ------
    TypeError
        x is complex, long double or no numbers; an argument has the wrong type.
    ValueError
        Shapes do not fit, perm holds no permutations, or an argument has an impossible value.

    See Also
    --------
    draw_fastfood : factors for the Gaussian kernel.
    fastfood_matrix : the dense matrix c S H G Pi H B.
    fastfood_np.layers.Fastfood : the same with a backward pass.

    Notes
    -----
    O(m blocks d_pad log d_pad) time for m inputs; the checks of the factors take as long as one
    input. Beyond x and the result each thread takes 50 KiB + 128 d_pad bytes, with a
    nonlinearity 192 d_pad.

    In the memory of a GPU, x is a C-contiguous array of Numba, CuPy or PyTorch, and the result is
    one of the same library; factors are those of ``factors.to_device(dtype)``, of x's dtype, as is
    a phase; `out` does not overlap x. Where d_pad is at most 8192 (of float64 4096), x is read once
    and the result is written once.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfood_np.transforms import draw_fastfood, fastfood_transform
    >>> x = np.array([[0.1, 0.2, 0.3], [0.3, 0.1, -0.4]])
    >>> factors = draw_fastfood(3, 4096, rng=0)
    >>> v = fastfood_transform(x, factors, scale=1 / np.sqrt(4), nonlinearity="cos_sin")
    >>> kernel = v @ v.T / 4096
    >>> bool(abs(kernel[0, 1] - np.exp(-((x[0] - x[1]) ** 2).sum() / 2)) < 0.03)
    True
    """
    check_choice(nonlinearity, "nonlinearity", NONLINEARITIES)
    scale = check_real(scale, "scale")
    amplitude = check_real(amplitude, "amplitude")
    if backends.on_device(x):
        on_device.check_host_arguments(workers, backend)
        return on_device.fastfood_transform(
            x, factors, scale, n_out, nonlinearity, phase, amplitude, out
        )
    threads = None if workers is None else check_workers(workers)
    source = np.asarray(x)
    dtype = result_dtype(source.dtype)
    S, G, B, perm = _check_factors(factors, dtype)
    d_pad = S.shape[1]
    if source.ndim == 0 or not 1 <= source.shape[-1] <= d_pad:
        raise ValueError(f"x must have shape (..., d_in) with d_in <= {d_pad}, got {source.shape}")
    n_out = check_int(S.size if n_out is None else n_out, "n_out", minimum=1, maximum=S.size)
    check_phase_given(phase, nonlinearity)
    angles = _check_phase(phase, n_out, dtype)
    arithmetic = backends.select(backend)
    shape = (*source.shape[:-1], n_out * (2 if nonlinearity == "cos_sin" else 1))
    if out is None:
        out = np.empty(shape, dtype)
    else:
        check_out(out, shape, dtype)

    rows = np.require(source, dtype, ("C", "A")).reshape(-1, source.shape[-1])
    ready = out.flags.carray and not np.may_share_memory(out, source)
    y = out if ready else np.empty(shape, dtype)
    with nullcontext() if threads is None else arithmetic.workers(threads):
        arithmetic.fastfood_forward(
            rows,
            S,
            G,
            B,
            perm,
            scale,
            None,
            1.0,
            nonlinearity,
            angles,
            amplitude,
            y.reshape(-1, shape[-1]),
        )
    if y is not out:
        out[...] = y
    return out


def _check_factors(factors: Any, dtype: np.dtype[Any]) -> FastfoodFactors:
    """Return the factors as C-contiguous arrays of `dtype`, and perm of int64."""
    if not isinstance(factors, FastfoodFactors):
        raise TypeError(f"factors must be FastfoodFactors, got {type(factors).__name__}")
    if any(map(backends.on_device, factors)):
        raise TypeError("factors must be NumPy arrays as x is, got ones in device memory")
    perm = check_permutation(factors.perm, "factors.perm")
    diagonals = {}
    for name in ("S", "G", "B"):
        diagonal = np.asarray(getattr(factors, name))
        if diagonal.dtype.kind not in "biuf":
            raise TypeError(f"factors.{name} must hold real numbers, got {diagonal.dtype}")
        if diagonal.ndim != 2 or diagonal.shape != perm.shape:
            raise ValueError(
                f"factors.{name} and factors.perm must have one shape (blocks, d_pad), "
                f"got {diagonal.shape} and {perm.shape}"
            )
        diagonals[name] = np.ascontiguousarray(diagonal, dtype)
    d_pad = perm.shape[1]
    if d_pad & (d_pad - 1):
        raise ValueError(f"factors must have a power of two as d_pad, got shape {perm.shape}")
    return FastfoodFactors(**diagonals, perm=np.ascontiguousarray(perm))


def _check_phase(phase: Any, n_out: int, dtype: np.dtype[Any]) -> npt.NDArray[Any] | None:
    """Return the phase, if there is one, as an array of `dtype`."""
    if phase is None:
        return None
    if backends.on_device(phase):
        raise TypeError("phase must be a NumPy array as x is, got one in device memory")
    angles = np.asarray(phase)
    if angles.dtype.kind not in "biuf":
        raise TypeError(f"phase must hold real numbers, got {angles.dtype}")
    if angles.shape != (n_out,):
        raise ValueError(f"phase must have shape ({n_out},), got {angles.shape}")
    return np.ascontiguousarray(angles, dtype)
