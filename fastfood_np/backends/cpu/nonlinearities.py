"""What may be applied to the outputs of Fastfood while they are still in a near cache.

Which one is a tuple of so many Nones, so that a kernel is compiled for it alone.
"""

from __future__ import annotations

from numba.extending import overload

from fastfood_np.backends.cpu.jit import disabled, part
from fastfood_np.backends.cpu.trigonometry import cos_row, cos_sin_row

NAMES = ("none", "relu", "cos", "cos_sin")
NUMBER = {name: (None,) * number for number, name in enumerate(NAMES)}


@part
def _relu(rows, n_out, first, last, phase):
    zero = rows.dtype.type(0)
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        for i in range(row.size):
            row[i] = zero if row[i] <= zero else row[i]  # NaN stays NaN


@part
def _cos(rows, n_out, first, last, phase):
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        cos_row(row, phase[first:last], row)


@part
def _cos_sin(rows, n_out, first, last, phase):
    for r in range(rows.shape[0]):
        row = rows[r, first:last]
        cos_sin_row(row, row, rows[r, n_out + first : n_out + last])


@part
def _none(rows, n_out, first, last, phase):
    pass


_FUNCTIONS = (_none, _relu, _cos, _cos_sin)


def apply_to_rows(nonlinearity, rows, n_out, first, last, phase):
    """Finish the columns `first` to `last` of some rows of y, in place.

    relu: max(0, y). cos: cos(y + phase). cos_sin: cos(y), and sin(y) into the rows' second half,
    which starts at n_out.
    """
    _FUNCTIONS[len(nonlinearity)](rows, n_out, first, last, phase)


@part
def n_outputs(nonlinearity, y):
    """The number of outputs of Fastfood, of which y (m, ...) holds functions."""
    return y.shape[1] // 2 if len(nonlinearity) == 3 else y.shape[1]


if not disabled():

    @overload(apply_to_rows)
    def _apply_to_rows(nonlinearity, rows, n_out, first, last, phase):
        function = _FUNCTIONS[len(nonlinearity)]
        return lambda nonlinearity, rows, n_out, first, last, phase: function(
            rows, n_out, first, last, phase
        )
