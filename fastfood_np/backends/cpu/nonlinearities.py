"""What may be applied to the outputs of a linear map, while they are still in a near cache.

Which one is a tuple of so many Nones, so that a kernel is compiled for it alone.
"""

from __future__ import annotations

import numpy as np
from numba.extending import overload

from fastfood_np.backends.cpu.jit import disabled, part, teams
from fastfood_np.backends.cpu.kernel import Kernel, usual
from fastfood_np.backends.cpu.trigonometry import cos_row, cos_sin_row
from fastfood_np.validation import Array

NAMES = ("none", "relu", "relu_squared", "step", "cos", "cos_sin")
NUMBER = {name: (None,) * number for number, name in enumerate(NAMES)}


@part
def _none(rows, n_out, first, last, phase, amplitude):
    if amplitude != 1:
        for r in range(rows.shape[0]):
            row = rows[r, first:last]
            for i in range(row.size):
                row[i] *= amplitude


@part
def _relu(rows, n_out, first, last, phase, amplitude):
    zero = rows.dtype.type(0)
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        for i in range(row.size):
            row[i] = amplitude * (zero if row[i] <= zero else row[i])  # NaN stays NaN


@part
def _relu_squared(rows, n_out, first, last, phase, amplitude):
    zero = rows.dtype.type(0)
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        for i in range(row.size):
            positive = zero if row[i] <= zero else row[i]
            row[i] = amplitude * (positive * positive)


@part
def _step(rows, n_out, first, last, phase, amplitude):
    real = rows.dtype.type
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        for i in range(row.size):
            value = real(0.5) * (real(1) + real(row[i] > 0) - real(row[i] < 0))
            row[i] = amplitude * value if row[i] == row[i] else row[i]  # NaN stays NaN


@part
def _cos(rows, n_out, first, last, phase, amplitude):
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        cos_row(row, phase[first:last], amplitude, row)


@part
def _cos_sin(rows, n_out, first, last, phase, amplitude):
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        cos_sin_row(row, amplitude, row, rows[r, n_out + first : n_out + last])


_FUNCTIONS = (_none, _relu, _relu_squared, _step, _cos, _cos_sin)


def apply_to_rows(nonlinearity, rows, n_out, first, last, phase, amplitude):
    """Finish the columns `first` to `last` of some rows of y, in place.

    As `backends.reference.apply_nonlinearity`; cos_sin puts sines into the rows' second half,
    which starts at n_out.
    """
    _FUNCTIONS[len(nonlinearity)](rows, n_out, first, last, phase, amplitude)


@part
def n_outputs(nonlinearity, y):
    """The number of outputs of the linear map, of which y (m, ...) holds functions."""
    return y.shape[1] // 2 if len(nonlinearity) == 5 else y.shape[1]


if not disabled():

    @overload(apply_to_rows)
    def _apply_to_rows(nonlinearity, rows, n_out, first, last, phase, amplitude):
        function = _FUNCTIONS[len(nonlinearity)]
        return lambda nonlinearity, rows, n_out, first, last, phase, amplitude: function(
            rows, n_out, first, last, phase, amplitude
        )


# The kernels of the nonlinearities differ in this.
NONLINEARITY = NUMBER["none"]


def _rows(lanes, phase, amplitude, y, team, first, last):
    """Finish the rows of y from `first` to `last`."""
    n_out = n_outputs(NONLINEARITY, y)
    apply_to_rows(NONLINEARITY, y[first:last], n_out, 0, n_out, phase, amplitude)


_by_rows = {name: Kernel(_rows, NONLINEARITY=number) for name, number in NUMBER.items()}


def apply_nonlinearity(nonlinearity: str, phase: Array | None, amplitude: float, y: Array) -> None:
    """Replace v in y by a function of it; see `backends.reference`."""
    given = np.empty(0, y.dtype) if phase is None else usual(phase)
    kernel = _by_rows[nonlinearity]
    kernel(teams(y.size), len(y), (None,), given, y.dtype.type(amplitude), y)
