"""Laws of the Walsh-Hadamard transform on whatever hypothesis thinks of.

Whole numbers are used where a law holds exactly: every sum is then exact, and so is the test.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastfood_np.transforms import fwht, ifwht

ORDERINGS = st.sampled_from(["hadamard", "sequency", "dyadic"])
NORMS = st.sampled_from(["backward", "ortho", "forward"])
BACKENDS = st.sampled_from(["cpu", "reference"])
DTYPES = st.sampled_from([np.float32, np.float64])
WHOLE = st.integers(-100, 100)
# Nothing so small that a scaled transform of it loses digits below the normal numbers.
FINITE = st.floats(-1e6, 1e6, width=32).map(lambda value: value if abs(value) > 1e-20 else 0.0)

# The first call compiles, and without a compiler every call is slow.
LAWS = settings(deadline=None, max_examples=50)


@st.composite
def batches(draw, elements=WHOLE, dtypes=DTYPES, largest=6):
    """Arrays (m, d), d = 1, 2, 4, ..., 2^largest."""
    shape = (draw(st.integers(0, 4)), 2 ** draw(st.integers(0, largest)))
    return draw(hnp.arrays(draw(dtypes), shape, elements=elements))


@LAWS
@given(batches(), ORDERINGS, BACKENDS)
def test_twice_is_d_times_the_identity(x, ordering, backend):
    twice = fwht(fwht(x, ordering=ordering, backend=backend), ordering=ordering, backend=backend)
    np.testing.assert_array_equal(twice, x.shape[1] * x)


@LAWS
@given(batches(), WHOLE, WHOLE, ORDERINGS)
def test_linear(x, a, b, ordering):
    other = x[::-1]
    together = fwht(a * x + b * other, ordering=ordering)
    apart = a * fwht(x, ordering=ordering) + b * fwht(other, ordering=ordering)
    np.testing.assert_array_equal(together, apart)


@LAWS
@given(batches(dtypes=st.just(np.float64)))
def test_parseval(x):
    y = fwht(x)
    np.testing.assert_array_equal((y * y).sum(axis=1), x.shape[1] * (x * x).sum(axis=1))


@LAWS
@given(batches(dtypes=st.just(np.float64)), ORDERINGS)
def test_symmetric(x, ordering):
    other = x[::-1]
    left = (fwht(x, ordering=ordering) * other).sum(axis=1)
    np.testing.assert_array_equal(left, (x * fwht(other, ordering=ordering)).sum(axis=1))


@LAWS
@given(batches(elements=FINITE), NORMS, ORDERINGS)
def test_inverse(x, norm, ordering):
    there_and_back = ifwht(fwht(x, norm=norm, ordering=ordering), norm=norm, ordering=ordering)
    d = x.shape[1]
    limit = 8 * np.finfo(x.dtype).eps * max(1.0, np.log2(d)) * np.abs(x).sum(axis=1, initial=0.0)
    assert (np.abs(there_and_back - x) <= limit[:, None]).all()


@LAWS
@given(batches(elements=FINITE))
def test_error_against_float64(x):
    d, exact = x.shape[1], fwht(x.astype(np.float64))
    limit = 2 * np.finfo(x.dtype).eps * max(1.0, np.log2(d)) * np.abs(x).sum(axis=1, initial=0.0)
    assert (np.abs(fwht(x) - exact) <= limit[:, None]).all()


@LAWS
@given(st.data(), ORDERINGS, NORMS)
def test_axis_is_moving_the_axis(data, ordering, norm):
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=4)))
    x = data.draw(hnp.arrays(np.float64, shape, elements=WHOLE))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    moved = fwht(np.moveaxis(x, axis, -1), ordering=ordering, norm=norm)
    along = fwht(x, axis=axis, ordering=ordering, norm=norm)
    np.testing.assert_array_equal(along, np.moveaxis(moved, -1, axis))


@LAWS
@given(batches(), ORDERINGS)
def test_rows_do_not_know_of_each_other(x, ordering):
    together = fwht(x, ordering=ordering)
    for row, transformed in zip(x, together, strict=True):
        np.testing.assert_array_equal(fwht(row, ordering=ordering), transformed)


@LAWS
@given(batches(), st.data(), ORDERINGS, NORMS)
def test_out_anywhere_in_the_same_memory(x, data, ordering, norm):
    m, d = x.shape
    memory = np.zeros(3 * x.size + 2, x.dtype)
    # x and out: two windows on one memory, each with a step and a direction of its own.
    windows = []
    for _ in range(2):
        step = data.draw(st.sampled_from([1, 2, -1, -2]))
        length = abs(step) * x.size
        start = data.draw(st.integers(0, memory.size - length))
        windows.append(memory[start : start + length][::step].reshape(m, d))
    source, out = windows
    assert np.shares_memory(source, memory) or not x.size
    source[...] = x
    expected = fwht(x, ordering=ordering, norm=norm)
    fwht(source, ordering=ordering, norm=norm, out=out)
    np.testing.assert_array_equal(out, expected)
