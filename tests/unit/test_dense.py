"""The fully connected layer."""

import numpy as np
import oracles
import pytest

from fastfood_np.layers import Dense

DTYPES = (np.float32, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("d_in", "n_out"), [(1, 1), (6, 4), (3, 9)])
def test_against_the_oracle(d_in, n_out, bias, dtype):
    layer = Dense(d_in, n_out, bias=bias, rng=1, dtype=dtype)
    rng = np.random.default_rng(0)
    if bias:
        layer.params["b"][...] = rng.standard_normal(n_out)
    x, dy = (rng.standard_normal((5, d)).astype(dtype) for d in (d_in, n_out))
    W, b = layer.params["W"], layer.params.get("b")
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    limit = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(y, oracles.dense_forward(x, W, b), rtol=0, atol=4 * limit)
    np.testing.assert_allclose(dx, oracles.dense_forward(dy, W.T), rtol=0, atol=4 * limit)
    np.testing.assert_allclose(
        grads["W"], sum(np.outer(*pair) for pair in zip(dy, x, strict=True)), rtol=0, atol=4 * limit
    )
    if bias:
        np.testing.assert_allclose(grads["b"], dy.sum(axis=0), rtol=0, atol=limit)


def test_initial_weights_are_caffes_xavier():
    """Uniform in +-sqrt(3 / d_in), drawn in float64 whatever the dtype; the bias is zero."""
    layer = Dense(300, 100, rng=4)
    bound = np.sqrt(3 / 300)
    expected = np.random.default_rng(4).uniform(-bound, bound, (100, 300))
    np.testing.assert_array_equal(layer.params["W"], expected.astype(np.float32), strict=True)
    assert not layer.params["b"].any()
    assert layer.params["W"].var() == pytest.approx(1 / 300, rel=0.03)
    wide = Dense(300, 100, rng=4, dtype=np.float64)
    np.testing.assert_array_equal(wide.params["W"], expected, strict=True)


def test_params_and_config():
    layer = Dense(6, 4)
    assert (layer.trainable, layer.biases) == (("W", "b"), ("b",))
    assert (layer.n_weights, layer.n_biases) == (24, 4)
    plain = Dense(6, 4, bias=False)
    assert (plain.trainable, plain.biases, plain.n_biases) == (("W",), (), 0)
    assert plain.config == {"d_in": 6, "n_out": 4, "bias": False}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"d_in": 0}, ValueError, "d_in must be at least 1, got 0"),
        ({"n_out": 2.0}, TypeError, "n_out must be an integer, got 2.0"),
        ({"bias": None}, TypeError, "bias must be True or False, got None"),
        ({"dtype": int}, TypeError, "dtype must be float32 or float64"),
        ({"rng": 1.5}, TypeError, "rng must be"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        Dense(**{"d_in": 2, "n_out": 2, **options})
