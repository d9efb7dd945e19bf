"""Every tail of rows and columns, and every kind of view, as `reference` computes them."""

import functools

import numpy as np
import pytest

import fastfood_np
from fastfood_np import backends
from fastfood_np.backends import cpu
from fastfood_np.backends.cpu import jit
from fastfood_np.layers import Fastfood

FORMS = ("avx512", "avx2", "portable")
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
LIMIT = {DTYPES[0]: 1e-5, DTYPES[1]: 1e-13}  # of the largest entry

# The longest vector has 16 elements, a panel 256 columns. Plain Python is too slow for those.
SMALL = jit.disabled()
ROWS = (1, 3, 4, 17) if SMALL else range(1, 34)
COLUMNS = (1, 7, 17) if SMALL else (*range(1, 34), 255, 256, 257, 300, 511, 513)
LENGTHS = (1, 4, 16, 32) if SMALL else (1, 2, 4, 8, 16, 32, 64, 128, 512)

every_form = pytest.mark.parametrize("form", FORMS)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def numbers(shape, dtype, seed=50):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(ours, theirs, what):
    for name, expected in theirs.items():
        assert ours[name].dtype == expected.dtype
        limit = LIMIT[expected.dtype] * np.abs(expected).max()
        np.testing.assert_allclose(
            ours[name], expected, rtol=0, atol=limit, err_msg=f"{name} of {what}"
        )


def passes(layer, x, dy):
    """y, dx and the gradients of S, G and B, with a mask where the layer has dropout."""
    y, cache = layer.forward(x, train=True, rng=51)
    dx, grads = layer.backward(dy, cache)
    none, same = layer.backward(dy, cache, need_dx=False)
    assert none is None
    return {"y": y, "dx": dx, **grads, **{f"{name} alone": same[name] for name in same}}


@functools.cache
def fastfood_case(m, d_in, n_out, dropout, dtype):
    """A layer, a batch for it and what `reference` makes of them."""
    layer = Fastfood(d_in, n_out, dropout=dropout, rng=52, dtype=dtype)
    x, dy = numbers((m, d_in), dtype), numbers((m, n_out), dtype, seed=53)
    with backends.using("reference"):
        return layer, x, dy, passes(layer, x, dy)


def check_fastfood(m, d_in, n_out, dropout, dtype):
    layer, x, dy, theirs = fastfood_case(m, d_in, n_out, dropout, dtype)
    # Threads run the same machine code, but call it from a loop that each form would compile.
    with cpu.serial():
        assert_close(passes(layer, x, dy), theirs, (m, d_in, n_out, dropout))


# Tails


@both_dtypes
@every_form
@pytest.mark.parametrize("d", LENGTHS)
def test_fwht_of_any_number_of_rows(d, form, dtype):
    for m in ROWS:
        x = numbers((m, d), dtype)
        theirs = fastfood_np.fwht(x, backend="reference")
        with cpu.vectors(form):
            assert_close({"fwht": fastfood_np.fwht(x)}, {"fwht": theirs}, (m, d))


@both_dtypes
@every_form
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_fastfood_of_any_number_of_rows(dropout, form, dtype):
    with cpu.vectors(form):
        for m in ROWS:
            check_fastfood(m, 7, 21, dropout, dtype)
            check_fastfood(m, 16, 32, dropout, dtype)
            if not SMALL:
                check_fastfood(m, 300, 513, dropout, dtype)


@both_dtypes
@every_form
@pytest.mark.parametrize("m", [2, 5, 16])
def test_fastfood_of_any_number_of_inputs_and_outputs(m, form, dtype):
    with cpu.vectors(form):
        for columns in COLUMNS:
            check_fastfood(m, columns, 9, 0.0, dtype)
            check_fastfood(m, 9, columns, 0.0, dtype)
            check_fastfood(m, columns, columns, 0.5, dtype)
            check_fastfood(m, columns, 2 * columns + 1, 0.0, dtype)


# Views


def read_only(x):
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def with_gaps(x):
    wide = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    wide[::2, 1::3] = x
    return wide[::2, 1::3]


VIEWS = {
    "rows from the last": lambda x: x[::-1].copy()[::-1],
    "columns from the last": lambda x: x[:, ::-1].copy()[:, ::-1],
    "both from the last": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "Fortran order": np.asfortranarray,
    "transposed with gaps": lambda x: with_gaps(x.T).T,
    "with gaps": with_gaps,
    "read-only": read_only,
}


def in_a_buffer(x, skipped):
    """A copy of x that begins so many bytes behind a multiple of 64."""
    memory = np.empty(x.nbytes + 64 + skipped, np.uint8)
    first = -memory.ctypes.data % 64 + skipped
    copy = memory[first : first + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def check_view(view, m, dtype):
    """fwht, to new memory and in place, and both passes of Fastfood."""
    layer, x, dy, theirs = fastfood_case(m, 16, 40, 0.5, dtype)
    x_view, dy_view = view(x), view(dy)
    ours = passes(layer, x_view, dy_view)
    ours["fwht"] = fastfood_np.fwht(x_view)
    theirs = {**theirs, "fwht": fastfood_np.fwht(x, backend="reference")}
    np.testing.assert_array_equal(x_view, x)
    np.testing.assert_array_equal(dy_view, dy)
    if x_view.flags.writeable:
        assert fastfood_np.fwht(x_view, out=x_view) is x_view
        ours["fwht in place"], theirs["fwht in place"] = x_view, theirs["fwht"]
    assert_close(ours, theirs, x_view.flags)


@both_dtypes
@every_form
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_views(view, form, dtype):
    with cpu.vectors(form):
        check_view(view, 2, dtype)
        check_view(view, 19, dtype)


@pytest.mark.compiled_only
@both_dtypes
@every_form
@pytest.mark.parametrize("elements", range(1, 16))
def test_arrays_that_start_at_any_element(elements, form, dtype):
    with cpu.vectors(form):
        check_view(functools.partial(in_a_buffer, skipped=elements * dtype.itemsize), 2, dtype)
        check_view(functools.partial(in_a_buffer, skipped=elements * dtype.itemsize), 19, dtype)


@pytest.mark.compiled_only
@both_dtypes
@every_form
@pytest.mark.parametrize("skipped", [1, 2, 3, 5, 7, 33])
def test_arrays_that_start_between_elements(skipped, form, dtype):
    assert not in_a_buffer(np.zeros(3, dtype), skipped).flags.aligned
    with cpu.vectors(form):
        check_view(functools.partial(in_a_buffer, skipped=skipped), 2, dtype)
        check_view(functools.partial(in_a_buffer, skipped=skipped), 19, dtype)
