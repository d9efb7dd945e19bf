"""The rectified linear unit."""

import numpy as np
import pytest

from fastfood_np.layers import ReLU


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_slopes(dtype):
    """The slope at zero is zero, also at the negative one."""
    x = np.array([[-2.0, -0.0, 0.0], [1e-30, 3.0, np.inf]], dtype)
    y, cache = ReLU().forward(x)
    np.testing.assert_array_equal(y, np.array([[0, 0, 0], [1e-30, 3, np.inf]], dtype), strict=True)
    dx, grads = ReLU().backward(np.full_like(x, 5), cache)
    np.testing.assert_array_equal(dx, np.array([[0, 0, 0], [5, 5, 5]], dtype), strict=True)
    assert grads == {}


def test_nan_stays_nan():
    assert np.isnan(ReLU()(np.array([[np.nan]]))).all()
