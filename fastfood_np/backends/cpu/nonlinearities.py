"""What may be applied to the outputs of a linear map, while they are still in a near cache.

Which one is a tuple of so many Nones, so that a kernel is compiled for it alone.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from fastfood_np.backends.cpu.jit import disabled, part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.simd import U, flat, start_at
from fastfood_np.backends.cpu.trigonometry import TILE, cos_row, cos_sin_row
from fastfood_np.validation import Array

NAMES = ("none", "relu", "relu_squared", "step", "cos", "cos_sin")
NUMBER = {name: (None,) * number for number, name in enumerate(NAMES)}
NONE, COS, COS_SIN = NUMBER["none"], NUMBER["cos"], NUMBER["cos_sin"]


# Each replaces v, so many outputs of one row. All of it is flat memory.


@part
def _none(count, scratch, v, sines, phase, amplitude):
    if amplitude != 1:
        for i in range(count):
            v[i] *= amplitude


@part
def _relu(count, scratch, v, sines, phase, amplitude):
    zero = type(amplitude)(0)
    for i in range(count):
        v[i] = amplitude * (zero if v[i] <= zero else v[i])  # NaN stays NaN


@part
def _relu_squared(count, scratch, v, sines, phase, amplitude):
    zero = type(amplitude)(0)
    for i in range(count):
        positive = zero if v[i] <= zero else v[i]
        v[i] = amplitude * (positive * positive)


@part
def _step(count, scratch, v, sines, phase, amplitude):
    real = type(amplitude)
    for i in range(count):
        value = real(0.5) * (real(1) + real(v[i] > 0) - real(v[i] < 0))
        v[i] = amplitude * value if v[i] == v[i] else v[i]  # NaN stays NaN


@part
def _cos(count, scratch, v, sines, phase, amplitude):
    cos_row(count, scratch, v, phase, amplitude, v)


@part
def _cos_sin(count, scratch, v, sines, phase, amplitude):
    cos_sin_row(count, scratch, v, amplitude, v, sines)


_FUNCTIONS = (_none, _relu, _relu_squared, _step, _cos, _cos_sin)


def finish_row(nonlinearity, count, scratch, v, sines, phase, amplitude):
    """Replace v, so many outputs of one row: see `backends.reference.apply_nonlinearity`.

    v is flat memory (see `simd.flat`), as are `sines`, where those of cos_sin go, `phase`, of which
    "cos" reads as many numbers, and `scratch`, of `scratch_for`.
    """
    _FUNCTIONS[len(nonlinearity)](count, scratch, v, sines, phase, amplitude)


@part
def scratch_for(nonlinearity, like):
    """The memory that `finish_row` needs, of the dtype of `like`."""
    return np.empty((2, TILE if len(nonlinearity) >= len(COS) else 0), like.dtype)


@part
def n_outputs(nonlinearity, y):
    """The number of outputs of the linear map, of which y (m, ...) holds functions."""
    return y.shape[1] // 2 if len(nonlinearity) == len(COS_SIN) else y.shape[1]


if not disabled():

    @overload(finish_row)
    def _finish_row(nonlinearity, count, scratch, v, sines, phase, amplitude):
        function = _FUNCTIONS[len(nonlinearity)]
        return lambda nonlinearity, count, scratch, v, sines, phase, amplitude: function(
            count, scratch, v, sines, phase, amplitude
        )


# The kernels of the nonlinearities differ in this.
NONLINEARITY = NONE


def _rows(lanes, phase, amplitude, y, team, first, last):
    """Finish the rows of y from `first` to `last`."""
    n_out, length = U(n_outputs(NONLINEARITY, y)), U(y.shape[1])
    work = scratch_for(NONLINEARITY, y)
    for row in range(U(first), U(last)):
        v = start_at(flat(y), row * length)
        finish_row(NONLINEARITY, n_out, flat(work), v, start_at(v, n_out), flat(phase), amplitude)


_by_rows = {name: Kernel(_rows, NONLINEARITY=number) for name, number in NUMBER.items()}


def apply_nonlinearity(nonlinearity: str, phase: Array | None, amplitude: float, y: Array) -> None:
    """Replace v in y by a function of it; see `backends.reference`."""
    given = np.empty(0, y.dtype) if phase is None else usual(phase)
    kernel = _by_rows[nonlinearity]
    kernel(teams(y.size), len(y), (None,), given, y.dtype.type(amplitude), y)
