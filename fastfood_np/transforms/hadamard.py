"""The public Walsh-Hadamard transform: checks, normalisation and orderings round the kernels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fastfood_np import backends
from fastfood_np.transforms import on_device
from fastfood_np.transforms.arguments import check_out, check_workers, result_dtype
from fastfood_np.validation import Array, check_choice, check_int

NORMS = ("backward", "ortho", "forward")
ORDERINGS = ("hadamard", "sequency", "dyadic")

_INVERSE_NORM = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def fwht(
    x: npt.ArrayLike,
    *,
    norm: str = "backward",
    axis: int = -1,
    ordering: str = "hadamard",
    out: Array | None = None,
    workers: int | None = None,
    backend: str | None = None,
) -> Array:
    r"""Walsh-Hadamard transform y = H x, un-normalised by default: H has entries +-1.

    .. math:: y_i = \sum_{j=0}^{d-1} (-1)^{\langle i, j \rangle} x_j

    where <i, j> counts the bits that are set in both i and j. This is the H of the Fastfood
    transform (Le, Sarlos & Smola, section 4.2; equation 5 of Deep Fried Convnets).

    Parameters
    ----------
    x : array_like of shape (..., d, ...)
        What to transform along `axis`; d must be a power of two, for nothing is padded. float32
        and float64 are kept, bool and integers become float64, float16 becomes float32. NaN and
        infinity propagate. Never written, unless it is `out`. Or an array in the memory of a GPU
        (see Notes).
    norm : {"backward", "ortho", "forward"}
        As in `scipy.fft`: y is multiplied by 1, by 1 / sqrt(d) or by 1 / d.
    axis : int
        The axis to transform.
    ordering : {"hadamard", "sequency", "dyadic"}
        Order of the outputs, that is of H's rows: natural (`scipy.linalg.hadamard`), by number of
        sign changes (Walsh), or with the bits of the index reversed (Paley). All three matrices
        are symmetric.
    out : ndarray, optional
        Where to put the result: an array of x's shape and of the result's dtype, laid out in any
        way. It may be x itself or overlap it.
    workers : int, optional
        At most so many threads; a negative number counts down from the number of CPUs, -1 being
        all of them. By default all of Numba's threads. The result does not depend on it.
    backend : {"cpu", "reference"}, optional
        Who computes; by default what `fastfood_np.backends.using` says.

    Returns
    -------
    ndarray
        Of x's shape; `out` where that was given, else a new C-contiguous array.

    Raises
    ------
    TypeError
        x is complex, long double or no numbers; an argument has the wrong type.
    ValueError
        d is no power of two, x has no axes, or an argument has an impossible value.

    See Also
    --------
    ifwht : the inverse.

    Notes
    -----
    O(d log d) additions for each vector. Along the last axis, in natural order, one copy of x is
    made and transformed in place, and none where ``out is x`` is C-contiguous. Another axis, an
    `out` with gaps, or another ordering costs one more buffer of x's size.

    In the memory of a GPU, x is a C-contiguous array of Numba, CuPy or PyTorch (float64, float32,
    float16 or bfloat16, kept; the latter two are computed with in float32), `axis` the last one,
    `ordering` "hadamard", d at most 2^24, or 2^14 for 16 bits; `out` is x or does not overlap it.
    The result is of x's library. One pass over memory up to d = 2^14 in float32 (2^13 in float64),
    two above, on the stream which that library uses at the moment.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfood_np.transforms import fwht
    >>> fwht([1.0, 2.0, 3.0, 4.0])
    array([10., -2., -4.,  0.])
    >>> fwht([1.0, 2.0, 3.0, 4.0], norm="ortho")
    array([ 5., -1., -2.,  0.])
    >>> fwht(np.eye(4, dtype=np.float32), ordering="sequency")
    array([[ 1.,  1.,  1.,  1.],
           [ 1.,  1., -1., -1.],
           [ 1., -1., -1.,  1.],
           [ 1., -1.,  1., -1.]], dtype=float32)
    """
    check_choice(norm, "norm", NORMS)
    if backends.on_device(x):
        return on_device.fwht(x, norm, axis, ordering, out, workers, backend)
    return _transform(x, norm, axis, ordering, out, workers, backend)


def ifwht(
    x: npt.ArrayLike,
    *,
    norm: str = "backward",
    axis: int = -1,
    ordering: str = "hadamard",
    out: Array | None = None,
    workers: int | None = None,
    backend: str | None = None,
) -> Array:
    """Inverse Walsh-Hadamard transform y = H^-1 x = H x / d: normalised by 1 / d by default.

    It undoes `fwht` called with the same `norm`, `axis` and `ordering`. Each of the three
    matrices H is symmetric with H H = d I, so this is the same transform, scaled by 1 / d for
    ``norm="backward"``, 1 / sqrt(d) for "ortho" and 1 for "forward". Arguments, result, errors
    and cost are those of `fwht`.

    Examples
    --------
    >>> from fastfood_np.transforms import ifwht
    >>> ifwht([10.0, -2.0, -4.0, 0.0])
    array([1., 2., 3., 4.])
    """
    check_choice(norm, "norm", NORMS)
    return fwht(
        x,
        norm=_INVERSE_NORM[norm],
        axis=axis,
        ordering=ordering,
        out=out,
        workers=workers,
        backend=backend,
    )


def _transform(
    x: npt.ArrayLike,
    norm: str,
    axis: int,
    ordering: str,
    out: Array | None,
    workers: int | None,
    backend: str | None,
) -> Array:
    check_choice(ordering, "ordering", ORDERINGS)
    threads = None if workers is None else check_workers(workers)
    source = np.asarray(x)
    dtype = result_dtype(source.dtype)
    axis = _check_axis(axis, source.ndim)
    d = _check_length(source.shape[axis], axis)
    arithmetic = backends.select(backend)
    if out is None:
        out = np.empty(source.shape, dtype)
    else:
        check_out(out, source.shape, dtype)

    same = out is source
    target = out
    if axis != source.ndim - 1:  # views with the transformed axis last
        source, target = source.swapaxes(axis, -1), out.swapaxes(axis, -1)
    # The kernels want aligned, C-contiguous rows, the same for input and output or quite apart.
    work = target if target.flags.carray else np.empty(target.shape, dtype)
    usual = source.flags.c_contiguous and source.flags.aligned and source.dtype == dtype
    if not (usual and (same or _same_or_apart(source, work))):
        work[...] = source  # copes with any overlap
        source = work
    rows = source.reshape(-1, d), work.reshape(-1, d)
    if threads is None:
        arithmetic.fwht(*rows)
    else:
        with arithmetic.workers(threads):
            arithmetic.fwht(*rows)
    if norm != "backward":
        work *= 1.0 / (d if norm == "forward" else math.sqrt(d))
    if ordering != "hadamard":
        target[...] = work[..., _rows_in_order(ordering, d)]
    elif work is not target:
        target[...] = work
    return out


def _same_or_apart(source: Array, work: Array) -> bool:
    """Whether two C-contiguous arrays of one shape are the same memory or do not overlap."""
    return not np.may_share_memory(source, work) or source.ctypes.data == work.ctypes.data


def _rows_in_order(ordering: str, d: int) -> npt.NDArray[np.intp]:
    """Return, for each row of the reordered matrix, which row of the natural one it is."""
    reversed_bits: npt.NDArray[np.intp] = np.zeros(1, np.intp)
    while reversed_bits.size < d:
        reversed_bits = np.concatenate([2 * reversed_bits, 2 * reversed_bits + 1])
    if ordering == "dyadic":
        return reversed_bits
    # Row g of the dyadic matrix has i sign changes where g is the Gray code of i.
    i = np.arange(d)
    rows: npt.NDArray[np.intp] = reversed_bits[i ^ (i >> 1)]
    return rows


def _check_axis(axis: int, ndim: int) -> int:
    """Return `axis` counted from the front."""
    axis = check_int(axis, "axis")
    if ndim == 0:
        raise ValueError("x must have at least one axis, got a single number")
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis must be from {-ndim} to {ndim - 1} for this x, got {axis}")
    return axis % ndim


def _check_length(d: int, axis: int) -> int:
    """Return `d` if it is a power of two."""
    if d < 1 or d & (d - 1):
        longer = 1 << max(d - 1, 0).bit_length()
        raise ValueError(
            f"the length of x along axis {axis} must be a power of two, got {d}; fwht never pads: "
            f"append zeros up to {longer} if that is what you want"
        )
    return d
