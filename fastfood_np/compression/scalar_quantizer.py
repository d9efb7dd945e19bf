"""Scalar quantisers: each number becomes one of at most 2^bits levels.

Levels are whole numbers of 16 bits times one scale (float32), so that what a file holds gives the
same levels everywhere; they are computed in float64 and rounded once, to the weights' dtype.

While a model is fine-tuned, `refine` follows the weights behind the levels; see
`training.straight_through`.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastfood_np.validation import Array, check_int, check_real

MOST_BITS = 8
LARGEST = 32_767  # of the whole numbers that levels are multiples of the scale by
LLOYD_ITERATIONS = 100
# Of float32's normal numbers. A scale below them has too few bits: all levels are 0 then.
TINY, HUGE = (float(bound) for bound in (np.finfo(np.float32).tiny, np.finfo(np.float32).max))


class ScalarQuantizer(Protocol):
    """What fine-tuning and model files ask of a scalar quantiser.

    Attributes
    ----------
    bits : int
        A code takes so many, before entropy coding.
    scale : float32
    multiples : ndarray of int16, ascending
        Level c is ``scale * multiples[c]``.
    """

    bits: int
    scale: np.float32
    multiples: Array

    def fit(self, w: Array) -> Any:
        """Choose the levels for these weights; return the quantiser."""

    def refine(self, w: Array) -> None:
        """Follow weights that have changed a little."""

    def encode(self, w: Array) -> Array:
        """Return the codes, uint8 of w's shape: the nearest level, of two the lower.

        Of equal levels, the first.
        """

    def decode(self, codes: Array, dtype: Any) -> Array:
        """Return the levels that codes stand for."""


def levels_of(scale: np.float32, multiples: Array, dtype: Any) -> Array:
    """Return the levels in this dtype; those beyond its largest number become that."""
    levels, largest = np.float64(scale) * multiples.astype(np.float64), np.finfo(dtype).max
    return levels.clip(-largest, largest).astype(dtype)


class _Levels:
    """Levels, however they were chosen."""

    def __init__(self, bits: int) -> None:
        self.bits = check_int(bits, "bits", minimum=1, maximum=MOST_BITS)
        self.scale = np.float32(0)
        self.multiples: Array = np.empty(0, np.int16)

    def encode(self, w: Array) -> Array:
        first = np.searchsorted(self._fitted.multiples, self.multiples)
        return first.astype(np.uint8)[self._cells(w)]

    def decode(self, codes: Array, dtype: Any) -> Array:
        return levels_of(self._fitted.scale, self.multiples, dtype)[codes]

    def error(self, w: Array) -> float:
        """Return the mean squared difference of w and what its codes stand for."""
        return float(np.mean(np.square(w - self.decode(self.encode(w), np.float64))))

    def _cells(self, w: Array) -> Array:
        """Return codes; of equal levels the last takes what is larger, the first all else."""
        levels = levels_of(self.scale, self.multiples, np.float64)
        between = (levels[1:] + levels[:-1]) / 2
        with np.errstate(over="ignore"):  # beyond all weights
            bounds = between.astype(w.dtype)
        # Rounded down: then w <= bound means the same.
        bounds = np.where(bounds > between, np.nextafter(bounds, w.dtype.type(-np.inf)), bounds)
        return np.searchsorted(bounds, w.ravel()).astype(np.uint8).reshape(w.shape)

    @property
    def _fitted(self) -> _Levels:
        if not self.multiples.size:
            raise ValueError("the quantiser must be fitted first: call fit(w)")
        return self


def _checked(w: Array) -> Array:
    """Return weights as a flat float64 array."""
    flat = np.asarray(w, np.float64).ravel()
    if not flat.size or not np.isfinite(flat).all():
        raise ValueError(f"w must hold finite numbers, at least one, got shape {np.shape(w)}")
    if np.abs(flat).max() > HUGE:
        raise ValueError(f"w must lie in the range of float32, got {flat[np.abs(flat).argmax()]}")
    return flat


class LloydMax(_Levels):
    """Levels of least mean squared error (Lloyd 1957, Max 1960): each the mean of what it takes.

    Parameters
    ----------
    bits : int
        1 to 8, so 2 to 256 levels.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([-1.0, -0.9, 0.1, 1.1, 1.2])
    >>> quantizer = LloydMax(1).fit(w)
    >>> quantizer.decode(quantizer.encode(w), np.float64).round(2)
    array([-0.6 , -0.6 , -0.6 ,  1.15,  1.15])
    """

    def fit(self, w: Array) -> LloydMax:
        """Start from levels as dense as is best for many, and iterate at most 100 times.

        That is as the cube root of the weights' density (Panter and Dite, 1951), which is about
        one over the gap from a weight to the next.
        """
        flat, n = np.sort(_checked(w)), 1 << self.bits
        places = np.cumsum(np.diff(flat, prepend=flat[0]) ** (2 / 3))
        self._set(np.interp((np.arange(n) + 0.5) / n * places[-1], places, flat))
        for _ in range(LLOYD_ITERATIONS):
            before = self.scale, self.multiples
            self.refine(flat)
            if self.scale == before[0] and np.array_equal(self.multiples, before[1]):
                break
        return self

    def refine(self, w: Array) -> None:
        """Move each level to the mean of the weights that are nearest to it; empty ones stay."""
        codes, n = self._fitted._cells(w).ravel(), self.multiples.size
        counts = np.bincount(codes, minlength=n)
        sums = np.bincount(codes, w.ravel(), minlength=n)
        old = levels_of(self.scale, self.multiples, np.float64)
        self._set(np.divide(sums, counts, out=old, where=counts > 0))

    def _set(self, levels: Array) -> None:
        largest = np.abs(levels).max()
        self.scale = np.float32(largest / LARGEST)
        if self.scale < TINY:
            self.scale, self.multiples = np.float32(0), np.zeros(levels.size, np.int16)
            return
        multiples = np.rint(levels / np.float64(self.scale)).clip(-LARGEST, LARGEST)
        self.multiples = np.sort(multiples.astype(np.int16))


class Uniform(_Levels):
    """Equally spaced levels, all multiples of one step, 0 among them where it is in range.

    Codes of many levels and a coarse step are mostly those near 0: entropy coding then takes
    about log2(rms / step) + 2 bits a weight, less than `bits`, for a smaller error than as many
    Lloyd-Max levels have. (Codes are those of w / step as w's dtype has it: by the last bits, the
    level may be the other of two that are equally near but for those.)

    Parameters
    ----------
    bits : int
        1 to 8, so at most 2 to 256 levels. Weights beyond the outermost become those.
    step : float, optional
        The distance of two levels, a normal number of float32. Without it, that of least squared
        error.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.array([-1.0, -0.4, 0.1, 1.1, 1.2])
    >>> quantizer = Uniform(2, step=0.75).fit(w)
    >>> quantizer.decode(quantizer.encode(w), np.float64)
    array([-0.75, -0.75,  0.  ,  0.75,  1.5 ])
    """

    def __init__(self, bits: int, step: float | None = None) -> None:
        super().__init__(bits)
        self.step = None if step is None else check_real(step, "step", minimum=TINY, below=HUGE)

    def fit(self, w: Array) -> Uniform:
        """Choose the step, and which multiples of it are levels."""
        flat = _checked(w)
        if self.step is not None:
            self._set(flat, self.step)
            return self
        from scipy.optimize import minimize_scalar

        widest = min(HUGE, float(np.abs(flat).max() + (flat.max() - flat.min())))
        if widest >= TINY:
            finest = widest / (4 << self.bits)

            def error(log_step: float) -> float:
                self._set(flat, float(np.exp(log_step)))
                return self.error(flat)

            # The error has many small valleys: a coarse search first, then within the best cell.
            grid = np.linspace(np.log(finest), np.log(widest), 40)
            best = int(np.argmin([error(point) for point in grid]))
            bounds = grid[max(0, best - 1)], grid[min(39, best + 1)]
            found = minimize_scalar(error, bounds=bounds, method="bounded")
            widest = float(np.exp(found.x if found.fun < error(grid[best]) else grid[best]))
        self._set(flat, widest)
        return self

    def refine(self, w: Array) -> None:
        """Do nothing: the step stays, as the rate of entropy coding depends on it."""

    def encode(self, w: Array) -> Array:
        if not self._fitted.scale:
            return np.zeros(w.shape, np.uint8)
        with np.errstate(over="ignore"):  # far beyond the outermost level
            places = w * w.dtype.type(1 / np.float64(self.scale))
        places -= 0.5
        np.ceil(places, out=places)
        places -= float(self.multiples[0])
        return places.clip(0, self.multiples.size - 1).astype(np.uint8)

    def _set(self, flat: Array, step: float) -> None:
        self.scale, n = np.float32(min(step, HUGE)), 1 << self.bits
        if self.scale < TINY:
            self.scale, self.multiples = np.float32(0), np.zeros(1, np.int16)
            return
        low, high = np.rint(np.array([flat.min(), flat.max()]) / np.float64(self.scale))
        if high - low >= n:  # cut at both ends alike, around the mean
            low = np.rint(flat.mean() / np.float64(self.scale)) - n // 2
            high = low + n - 1
        low, high = (int(np.clip(end, -LARGEST, LARGEST)) for end in (low, high))
        self.multiples = np.arange(low, high + 1, dtype=np.int16)
