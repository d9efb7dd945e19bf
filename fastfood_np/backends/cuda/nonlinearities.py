"""What becomes of the outputs of a linear map, while they are still in registers."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastfood_np.backends.cuda.numba_cuda import device_function
from fastfood_np.backends.cuda.trigonometry import make_cos_sin


@cache
def make_nonlinearity(name: str, dtype: Any) -> Any:
    """Return f as a device function of v and the phase: see `reference.apply_nonlinearity`."""
    zero, half, one = dtype(0), dtype(0.5), dtype(1)
    cosine_and_sine = make_cos_sin(dtype)

    def none(v, phase):
        return v

    def relu(v, phase):
        return zero if v <= zero else v  # NaN stays NaN

    def relu_squared(v, phase):
        positive = zero if v <= zero else v
        return positive * positive

    def step(v, phase):
        if v > zero:
            return one
        if v < zero:
            return zero
        return half if v == zero else v  # NaN stays NaN

    def cos(v, phase):
        return cosine_and_sine(v + phase)[0]

    functions = (none, relu, relu_squared, step, cos)
    return device_function({function.__name__: function for function in functions}[name])


@cache
def make_finish(name: str, dtype: Any) -> Any:
    """Return a function that puts amplitude * f(v) to its place, ``row + out`` in y."""
    if name == "cos_sin":
        cosine_and_sine = make_cos_sin(dtype)

        @device_function
        def finish_both(v, y, row, out, n_out, phase, amplitude):
            cosine, sine = cosine_and_sine(v)
            y[row + out] = amplitude * cosine
            y[row + n_out + out] = amplitude * sine

        return finish_both

    nonlinearity = make_nonlinearity(name, dtype)
    phased, nothing = name == "cos", dtype(0)

    @device_function
    def finish(v, y, row, out, n_out, phase, amplitude):
        y[row + out] = amplitude * nonlinearity(v, phase[out] if phased else nothing)

    return finish
