"""The public Fastfood transform against its dense matrix, and its errors."""

import numpy as np
import pytest

from fastfood_np import backends, layers
from fastfood_np.transforms import (
    FastfoodFactors,
    draw_fastfood,
    fastfood_matrix,
    fastfood_transform,
)

FACTORS = draw_fastfood(13, 40, rng=0)  # 3 blocks of 16
X = np.random.default_rng(1).standard_normal((2, 5, 13))
PHASE = np.linspace(0, 3, 40)
V = X @ fastfood_matrix(FACTORS, 0.3, (40, 13)).T
EXPECTED = {
    "none": V,
    "relu": np.maximum(V, 0),
    "relu_squared": np.maximum(V, 0) ** 2,
    "step": (V > 0) * 1.0,
    "cos": np.cos(V + PHASE),
    "cos_sin": np.concatenate([np.cos(V), np.sin(V)], axis=-1),
}


@pytest.mark.parametrize("backend", backends.NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nonlinearity", EXPECTED)
def test_it_is_a_function_of_the_dense_product(nonlinearity, dtype, backend):
    phase = PHASE if nonlinearity == "cos" else None
    y = fastfood_transform(
        X.astype(dtype),
        FACTORS,
        scale=0.3,
        n_out=40,
        nonlinearity=nonlinearity,
        phase=phase,
        amplitude=1.5,
        backend=backend,
    )
    assert y.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    expected = 1.5 * EXPECTED[nonlinearity]
    np.testing.assert_allclose(y, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_all_outputs_by_default_and_any_smaller_number():
    full = fastfood_transform(X, FACTORS)
    assert full.shape == (2, 5, 48)
    for n_out in (1, 15, 16, 17, 33):  # also fewer than some blocks give
        np.testing.assert_array_equal(
            fastfood_transform(X, FACTORS, n_out=n_out), full[..., :n_out]
        )


def test_it_is_the_layer_without_its_backward_pass():
    layer = layers.Fastfood(13, 40, sigma=2.0, rng=0)
    x = X[0].astype(np.float32)
    y = fastfood_transform(x, draw_fastfood(13, 40, rng=0), scale=layer.scale, n_out=40)
    np.testing.assert_array_equal(y, layer(x))


def test_kinds_of_x():
    whole = np.arange(13)
    expected = fastfood_transform(whole.astype(float), FACTORS)
    assert expected.shape == (48,)
    for x in (whole, whole.tolist(), whole.astype(np.int8), whole.astype(">f8")):
        np.testing.assert_array_equal(fastfood_transform(x, FACTORS), expected)
    assert fastfood_transform(whole.astype(np.float16), FACTORS).dtype == np.float32
    views = X.astype(np.float32)[:, ::-2], X.T, np.asfortranarray(X), X[:0]
    for view in views:
        np.testing.assert_array_equal(
            fastfood_transform(view, FACTORS), fastfood_transform(view.copy(), FACTORS)
        )
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(
        fastfood_transform(frozen, FACTORS), fastfood_transform(X, FACTORS)
    )
    assert fastfood_transform(X[:0], FACTORS).shape == (0, 5, 48)


def test_out_is_filled_and_returned_whatever_its_layout():
    expected = fastfood_transform(X, FACTORS)
    buffer = np.empty((48, 5, 2))
    for out in (np.empty((2, 5, 48)), buffer.T, np.empty((2, 5, 96))[..., ::2]):
        assert fastfood_transform(X, FACTORS, out=out) is out
        np.testing.assert_array_equal(out, expected)


def test_out_may_be_x_itself():
    x = np.random.default_rng(2).standard_normal((40, 16))
    factors = draw_fastfood(16, 16, rng=0)
    expected = fastfood_transform(x, factors)
    fastfood_transform(x, factors, out=x)
    np.testing.assert_array_equal(x, expected)


def test_threads_do_not_change_the_bits():
    x = np.random.default_rng(3).standard_normal((500, 128), np.float32)
    factors = draw_fastfood(128, 128, rng=0)
    one = fastfood_transform(x, factors, nonlinearity="cos_sin", workers=1)
    two = fastfood_transform(x, factors, nonlinearity="cos_sin", workers=2)
    np.testing.assert_array_equal(one, two)


def with_perm(perm):
    return FACTORS._replace(perm=np.asarray(perm))


BAD = [
    ({"x": X + 1j}, TypeError, "x must hold float32 or float64"),
    ({"x": "abc"}, TypeError, "x must hold"),
    ({"x": 1.0}, ValueError, r"x must have shape \(..., d_in\) with d_in <= 16, got \(\)"),
    ({"x": np.ones(17)}, ValueError, r"d_in <= 16, got \(17,\)"),
    ({"x": np.ones((2, 0))}, ValueError, r"got \(2, 0\)"),
    ({"factors": tuple(FACTORS)}, TypeError, "factors must be FastfoodFactors, got tuple"),
    ({"factors": FACTORS._replace(S=FACTORS.S[:1])}, ValueError, r"factors.S and factors.perm"),
    ({"factors": FACTORS._replace(G=FACTORS.G * 1j)}, TypeError, "factors.G must hold real"),
    ({"factors": with_perm(FACTORS.perm + 1)}, ValueError, "factors.perm must be a permutation"),
    ({"factors": with_perm(0 * FACTORS.perm)}, ValueError, "factors.perm must be a permutation"),
    ({"factors": with_perm(1.0 * FACTORS.perm)}, TypeError, "factors.perm must hold integers"),
    (
        {"x": X[..., :3], "factors": FastfoodFactors(*np.ones((3, 1, 3)), np.arange(3)[None])},
        ValueError,
        r"power of two as d_pad, got shape \(1, 3\)",
    ),
    ({"scale": np.nan}, ValueError, "scale must be finite, got nan"),
    ({"scale": "2"}, TypeError, "scale must be a real number, got '2'"),
    ({"n_out": 0}, ValueError, "n_out must be at least 1, got 0"),
    ({"n_out": 49}, ValueError, "n_out must be at most 48, got 49"),
    (
        {"nonlinearity": "tanh"},
        ValueError,
        "nonlinearity must be one of 'none', 'relu', 'relu_squared', 'step', 'cos'",
    ),
    ({"nonlinearity": "cos"}, ValueError, "phase must be given .* got None for 'cos'"),
    ({"phase": np.ones(48)}, ValueError, "phase must be given .* got one for 'none'"),
    ({"nonlinearity": "cos", "phase": np.ones(3)}, ValueError, r"phase must have shape \(48,\)"),
    ({"nonlinearity": "cos", "phase": ["a"] * 48}, TypeError, "phase must hold real numbers"),
    ({"out": [1.0]}, TypeError, "out must be a NumPy array, got list"),
    ({"out": np.empty((2, 5, 48), np.float32)}, TypeError, "out must have the result's dtype"),
    ({"out": np.empty((2, 5, 47))}, ValueError, r"shape \(2, 5, 48\), got \(2, 5, 47\)"),
    ({"workers": 0}, ValueError, "workers must not be zero"),
    ({"backend": "gpu"}, ValueError, "backend must be one of"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), BAD)
def test_wrong_arguments(wrong, error, message):
    with pytest.raises(error, match=message):
        fastfood_transform(**{"x": X, "factors": FACTORS, **wrong})
