"""Laws of circulant projections on whatever hypothesis thinks of."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastfood_np.transforms import circulant_adjoint, circulant_matrix, circulant_transform

LAWS = settings(deadline=None, max_examples=50)
COORDINATES = st.integers(-(2**10), 2**10).map(lambda k: k / 16)


@st.composite
def projections(draw):
    """x, r, signs (or None), n_out and y: any sizes, any dtype, any leading axes."""
    d, blocks = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    leading = draw(st.sampled_from([(), (1,), (5,), (2, 3), (0,)]))
    n_out = draw(st.integers(1, blocks * d))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    x = draw(hnp.arrays(dtype, (*leading, d), elements=COORDINATES))
    y = draw(hnp.arrays(dtype, (*leading, n_out), elements=COORDINATES))
    r = draw(hnp.arrays(np.float64, (blocks, d), elements=COORDINATES))
    signs = draw(st.none() | hnp.arrays(np.int8, (blocks, d), elements=st.sampled_from([-1, 1])))
    return x, r, signs, n_out, y


def unit(dtype, *arrays):
    """The product of the lengths, in roundings: entries of a product with R are below it."""
    return np.finfo(dtype).eps * np.prod([np.linalg.norm(array, axis=-1).max() for array in arrays])


@LAWS
@given(projections())
def test_transform_and_adjoint_are_the_dense_products(projection):
    x, r, signs, n_out, y = projection
    dense = circulant_matrix(r, signs, n_out)
    found, back = circulant_transform(x, r, signs, n_out=n_out), circulant_adjoint(y, r, signs)
    assert found.shape == y.shape and back.shape == x.shape
    assert found.dtype == back.dtype == x.dtype
    if x.size:
        limit = 8 * unit(x.dtype, x, r)
        np.testing.assert_allclose(found, np.float64(x) @ dense.T, rtol=0, atol=limit)
        limit = 8 * len(r) * unit(x.dtype, y, r)
        np.testing.assert_allclose(back, np.float64(y) @ dense, rtol=0, atol=limit)


@LAWS
@given(projections(), st.integers(-50, 50))
def test_what_is_shifted_comes_out_shifted(projection, by):
    """Without signs; the law that makes a matrix circulant."""
    x, r, _, _, _ = projection
    d = r.shape[1]
    found = circulant_transform(np.roll(x, by, axis=-1), r).reshape(*x.shape[:-1], *r.shape)
    expected = circulant_transform(x, r).reshape(found.shape)
    if x.size:
        limit = 16 * unit(x.dtype, x, r)
        np.testing.assert_allclose(found, np.roll(expected, by % d, -1), rtol=0, atol=limit)
