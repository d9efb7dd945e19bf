"""What may be applied to the outputs of a linear map, while they are still in a near cache.

Which one is a tuple of so many Nones, so that a kernel is compiled for it alone.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from fastfood_np.backends.cpu.jit import disabled, part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.trigonometry import TILE, cos_row, cos_sin_row
from fastfood_np.validation import Array

NAMES = ("none", "relu", "relu_squared", "step", "cos", "cos_sin")
NUMBER = {name: (None,) * number for number, name in enumerate(NAMES)}
NONE, COS, COS_SIN = NUMBER["none"], NUMBER["cos"], NUMBER["cos_sin"]


# Each replaces v, the outputs of one row from `first` on, which stand at their places in the row y.


@part
def _none(scratch, v, y, n_out, first, phase, amplitude):
    if amplitude != 1:
        for i in range(v.size):
            v[i] *= amplitude


@part
def _relu(scratch, v, y, n_out, first, phase, amplitude):
    zero = v.dtype.type(0)
    for i in range(v.size):
        v[i] = amplitude * (zero if v[i] <= zero else v[i])  # NaN stays NaN


@part
def _relu_squared(scratch, v, y, n_out, first, phase, amplitude):
    zero = v.dtype.type(0)
    for i in range(v.size):
        positive = zero if v[i] <= zero else v[i]
        v[i] = amplitude * (positive * positive)


@part
def _step(scratch, v, y, n_out, first, phase, amplitude):
    real = v.dtype.type
    for i in range(v.size):
        value = real(0.5) * (real(1) + real(v[i] > 0) - real(v[i] < 0))
        v[i] = amplitude * value if v[i] == v[i] else v[i]  # NaN stays NaN


@part
def _cos(scratch, v, y, n_out, first, phase, amplitude):
    cos_row(scratch, v, phase[first : first + v.size], amplitude, v)


@part
def _cos_sin(scratch, v, y, n_out, first, phase, amplitude):
    sines = n_out + first
    cos_sin_row(scratch, v, amplitude, v, y[sines : sines + v.size])


_FUNCTIONS = (_none, _relu, _relu_squared, _step, _cos, _cos_sin)


def finish_row(nonlinearity, scratch, v, y, n_out, first, phase, amplitude):
    """Replace v, the outputs of one row from `first` on: they stand in y, the whole of that row.

    See `backends.reference.apply_nonlinearity`. The sines of cos_sin go into the second half of y,
    which starts at n_out. `scratch` is of `scratch_for`.
    """
    _FUNCTIONS[len(nonlinearity)](scratch, v, y, n_out, first, phase, amplitude)


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
    def _finish_row(nonlinearity, scratch, v, y, n_out, first, phase, amplitude):
        function = _FUNCTIONS[len(nonlinearity)]
        return lambda nonlinearity, scratch, v, y, n_out, first, phase, amplitude: function(
            scratch, v, y, n_out, first, phase, amplitude
        )


# The kernels of the nonlinearities differ in this.
NONLINEARITY = NONE


def _rows(lanes, phase, amplitude, y, team, first, last):
    """Finish the rows of y from `first` to `last`."""
    n_out = n_outputs(NONLINEARITY, y)
    scratch = scratch_for(NONLINEARITY, y)
    for row in range(first, last):
        v = y[row, :n_out]
        finish_row(NONLINEARITY, scratch, v, y[row], n_out, 0, phase, amplitude)


_by_rows = {name: Kernel(_rows, NONLINEARITY=number) for name, number in NUMBER.items()}


def apply_nonlinearity(nonlinearity: str, phase: Array | None, amplitude: float, y: Array) -> None:
    """Replace v in y by a function of it; see `backends.reference`."""
    given = np.empty(0, y.dtype) if phase is None else usual(phase)
    kernel = _by_rows[nonlinearity]
    kernel(teams(y.size), len(y), (None,), given, y.dtype.type(amplitude), y)
