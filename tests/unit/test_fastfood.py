"""The Fastfood layer: both forms against the definition, the cache, dropout, the draws it keeps."""

import math

import numpy as np
import oracles
import pytest

from fastfood_np import backends
from fastfood_np.layers import Fastfood
from fastfood_np.layers.dropout import mask_scale
from fastfood_np.transforms.factors import draw_fastfood

DTYPES = (np.float32, np.float64)
FORMS = ("fused", "composed")
# d_in, n_out: one block, padded, stacked, stacked and cut, cut within the first block, smallest.
SIZES = [(8, 8), (5, 8), (8, 24), (13, 40), (9, 3), (1, 1), (1, 5), (2, 7)]

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)
both_forms = pytest.mark.parametrize("form", FORMS)
all_sizes = pytest.mark.parametrize(("d_in", "n_out"), SIZES)


def normal(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def twins(d_in, n_out, dtype, **options):
    """The fused and the composed form of one layer."""
    return [Fastfood(d_in, n_out, form=form, rng=4, dtype=dtype, **options) for form in FORMS]


def make_whole(layer, seed=1):
    """Set S, G and B to small whole numbers and c to 1: all arithmetic is then exact."""
    rng = np.random.default_rng(seed)
    for value in layer.params.values():
        value[...] = rng.integers(-3, 4, value.shape)
    layer.scale = 1.0


def run(layer, x, dy, train=False):
    y, cache = layer.forward(x, train=train, rng=3)
    dx, grads = layer.backward(dy, cache)
    return {"y": y, "dx": dx, **grads}


def dense(layer):
    """The layer's matrix from the definition, c included, without the layer's own scale."""
    d_pad = layer.perm.shape[1]
    scale = 1.0 / (layer.config["sigma"] * math.sqrt(d_pad))
    matrix = oracles.fastfood_matrix(*(layer.params[name] for name in "SGB"), layer.perm, scale)
    return matrix[: layer.n_out, : layer.input_shape[0]]


# ------------------------------------------------------------------ against the definition


@both_dtypes
@both_forms
@all_sizes
def test_against_the_dense_matrix(d_in, n_out, form, dtype):
    layer = Fastfood(d_in, n_out, sigma=1.7, form=form, rng=2, dtype=dtype)
    x, dy = normal((6, d_in), dtype), normal((6, n_out), dtype, 1)
    W = dense(layer)
    found = run(layer, x, dy)
    limit = 32 * np.finfo(dtype).eps
    y, dx = x @ W.T, dy @ W
    assert np.abs(found["y"] - y).max() <= limit * np.abs(y).max()
    assert np.abs(found["dx"] - dx).max() <= limit * np.abs(dx).max()


@both_dtypes
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@all_sizes
def test_forms_agree_bit_for_bit_on_whole_numbers(d_in, n_out, dropout, dtype):
    fused, composed = twins(d_in, n_out, dtype, dropout=dropout)
    make_whole(fused)
    make_whole(composed)
    rng = np.random.default_rng(5)
    x, dy = (rng.integers(-3, 4, (20, size)).astype(dtype) for size in (d_in, n_out))
    ours, theirs = (run(layer, x, dy, train=True) for layer in (fused, composed))
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True, err_msg=name)
    matrix = oracles.fastfood_matrix(*(fused.params[name] for name in "SGB"), fused.perm, 1.0)
    exact = x.astype(np.float64) @ matrix[:n_out, :d_in].T
    np.testing.assert_array_equal(fused(x), exact)
    np.testing.assert_array_equal(composed(x), exact)


@both_dtypes
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("d_in", "n_out"), [*SIZES, (100, 300)])
def test_forms_agree(d_in, n_out, dropout, dtype):
    fused, composed = twins(d_in, n_out, dtype, dropout=dropout, sigma=0.7)
    x, dy = normal((7, d_in), dtype), normal((7, n_out), dtype, 1)
    ours, theirs = (run(layer, x, dy, train=True) for layer in (fused, composed))
    limit = 8 * np.finfo(dtype).eps * max(1, math.log2(fused.perm.shape[1]))
    for name in ours:
        gap = np.abs(ours[name] - theirs[name]).max()
        assert gap <= limit * np.abs(theirs[name]).max(), name


@both_forms
def test_backends_agree(form):
    layer = Fastfood(13, 40, dropout=0.4, form=form, rng=1, dtype=np.float64)
    x, dy = normal((40, 13)), normal((40, 40), seed=1)
    ours = run(layer, x, dy, train=True)
    with backends.using("reference"):
        theirs = run(layer, x, dy, train=True)
    for name in ours:
        np.testing.assert_allclose(
            ours[name], theirs[name], rtol=0, atol=1e-14 * 40 * np.abs(theirs[name]).max()
        )


# ------------------------------------------------------------ the cache, the paper's names


@pytest.mark.parametrize("train", [False, True])
def test_composed_cache_holds_the_input_of_every_factor(train):
    layer = Fastfood(13, 40, sigma=2.0, dropout=0.5, form="composed", rng=1, dtype=np.float64)
    x = normal((4, 13))
    y, cache = layer.forward(x, train=train, rng=3)
    H, (blocks, d_pad) = oracles.hadamard_matrix(16), layer.perm.shape
    assert (blocks, d_pad) == (3, 16)
    for name in ("h_l", "h_H2", "h_Pi", "h_G", "h_H1", "h_S"):
        assert cache[name].shape == (4, blocks, d_pad)
    for row in range(4):
        for block in range(blocks):
            S, G, B = (layer.params[name][block] for name in "SGB")
            h = {name: cache[name][row, block] for name in cache if name.startswith("h_")}
            keep = 2.0 * cache["mask"][row, block] if train else 1.0
            Pi = oracles.permutation_matrix(layer.perm[block])
            np.testing.assert_array_equal(h["h_l"], np.append(x[row], np.zeros(3)))
            np.testing.assert_array_equal(h["h_H2"], B * h["h_l"])
            np.testing.assert_allclose(h["h_Pi"], H @ h["h_H2"], rtol=0, atol=1e-13)
            np.testing.assert_array_equal(h["h_G"], keep * (Pi @ h["h_Pi"]))
            np.testing.assert_array_equal(h["h_H1"], G * h["h_G"])
            np.testing.assert_allclose(h["h_S"], H @ h["h_H1"], rtol=0, atol=1e-12)
            out = (layer.scale * (S * h["h_S"]))[: 40 - 16 * block]
            np.testing.assert_allclose(
                y[row, 16 * block : 16 * (block + 1)], out, rtol=1e-15, atol=0
            )
    assert cache["x"] is x


def test_fused_cache_holds_only_x_and_the_mask():
    layer = Fastfood(13, 40, dropout=0.5, rng=1)
    x = normal((4, 13), np.float32)
    _, cache = layer.forward(x, train=True, rng=3)
    assert set(cache) == {"x", "mask", "y_shape", "y_dtype"}
    assert cache["x"] is x
    assert layer.forward(x)[1]["mask"] is None


@both_forms
def test_what_perm_means(form):
    """h_G[..., i] = h_Pi[..., perm[..., i]]: with G, S, B one and H undone only Pi is left."""
    layer = Fastfood(8, 16, form=form, rng=3, dtype=np.float64)
    for value in layer.params.values():
        value[...] = 1.0
    layer.scale = 1.0
    assert layer.perm.shape == (2, 8) and layer.perm.dtype == np.int64
    assert layer.perm is layer.constants["perm"]
    h_Pi = np.arange(8.0)
    x = oracles.fwht(h_Pi)[None] / 8  # so that H x is h_Pi
    h_G = oracles.fwht(layer(x).reshape(2, 8)) / 8  # so that H h_G is y
    for block in range(2):
        np.testing.assert_array_equal(h_G[block], layer.perm[block])


# ------------------------------------------------------------------------- params and scale


@pytest.mark.parametrize("sigma", [0.5, 1, 20.0])
@all_sizes
def test_scale(d_in, n_out, sigma):
    layer = Fastfood(d_in, n_out, sigma=sigma, rng=0)
    d_pad = 2 ** math.ceil(math.log2(d_in))
    blocks = math.ceil(n_out / d_pad)
    assert layer.scale == pytest.approx(1 / (sigma * math.sqrt(d_pad)), rel=1e-15)
    assert set(layer.params) == {"S", "G", "B"}
    assert all(value.shape == (blocks, d_pad) for value in layer.params.values())
    assert layer.n_weights == 3 * blocks * d_pad and layer.n_biases == 0
    # sigma is in the scale alone.
    other = Fastfood(d_in, n_out, sigma=3 * sigma, rng=0)
    for name in "SGB":
        np.testing.assert_array_equal(layer.params[name], other.params[name])


@both_dtypes
@both_forms
def test_params_are_the_draws(form, dtype):
    factors = draw_fastfood(13, 40, 6)
    layer = Fastfood(13, 40, form=form, rng=6, dtype=dtype)
    for name in "SGB":
        expected = getattr(factors, name).astype(dtype)
        np.testing.assert_array_equal(layer.params[name], expected, strict=True)
    np.testing.assert_array_equal(layer.perm, factors.perm)


@both_forms
def test_1024_features_are_the_first_of_2048(form):
    small, large = (Fastfood(800, n_out, form=form, rng=9) for n_out in (1024, 2048))
    x = normal((2, 800), np.float32)
    np.testing.assert_array_equal(small(x), large(x)[:, :1024])
    for name in "SGB":
        np.testing.assert_array_equal(small.params[name], large.params[name][:1])
    np.testing.assert_array_equal(small.perm, large.perm[:1])
    assert (small.n_weights, large.n_weights) == (3072, 6144)


@both_forms
def test_past_the_cut_and_the_padding_gradients_are_zero(form):
    """S past n_out and B past d_in are counted as parameters but cannot change y."""
    layer = Fastfood(5, 11, form=form, rng=1, dtype=np.float64)
    found = run(layer, normal((6, 5)), normal((6, 11), seed=1))
    assert layer.n_weights == 3 * 2 * 8
    assert found["S"].reshape(-1)[:11].all() and not found["S"].reshape(-1)[11:].any()
    assert found["B"][:, :5].all() and not found["B"][:, 5:].any()
    assert found["G"].all()


@both_forms
def test_fixed_layer_has_the_same_outputs_and_no_gradients(form):
    adaptive, fixed = (
        Fastfood(5, 11, form=form, adaptive=adaptive, rng=1) for adaptive in (True, False)
    )
    x, dy = normal((3, 5), np.float32), normal((3, 11), np.float32, 1)
    ours, theirs = run(fixed, x, dy), run(adaptive, x, dy)
    assert set(ours) == {"y", "dx"} and fixed.trainable == ()
    assert adaptive.trainable == ("S", "G", "B")
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert fixed.n_weights == adaptive.n_weights


@pytest.mark.parametrize("rng", [3, np.random.SeedSequence(3), np.random.default_rng(3)])
def test_sources_of_randomness(rng):
    np.testing.assert_array_equal(
        Fastfood(4, 4, rng=rng).params["G"], Fastfood(4, 4, rng=3).params["G"]
    )


@both_forms
def test_trained_params_are_used_at_once(form):
    """Nothing derived from params outlives a call."""
    layer = Fastfood(5, 11, form=form, rng=1, dtype=np.float64)
    x, cache = normal((3, 5)), {}
    layer.forward(x, cache=cache)
    for name in "SGB":
        layer.params[name] *= 1.5
        y, _ = layer.forward(x, cache=cache)
        np.testing.assert_allclose(y, x @ dense(layer).T, rtol=0, atol=1e-13 * np.abs(y).max())


# --------------------------------------------------------------------------------- dropout


@both_forms
def test_mask_is_drawn_before_all_else_in_c_order(form):
    layer = Fastfood(5, 11, dropout=0.3, form=form, rng=1)
    _, cache = layer.forward(normal((6, 5), np.float32), train=True, rng=12)
    t = round(65536 * 0.3)
    expected = np.random.default_rng(12).integers(0, 65536, (6, 2, 8), dtype=np.uint16) >= t
    np.testing.assert_array_equal(cache["mask"], expected, strict=True)
    assert mask_scale(0.3) == 65536 / (65536 - t)


def test_dropout_sits_on_h_G():
    layer = Fastfood(8, 8, dropout=0.3, rng=1, dtype=np.float64)
    x = normal((5, 8))
    y, cache = layer.forward(x, train=True, rng=2)
    H, (S, G, B) = oracles.hadamard_matrix(8), (layer.params[name][0] for name in "SGB")
    h_G = (x * B) @ H
    h_G = h_G[:, layer.perm[0]] * cache["mask"][:, 0] * (65536 / (65536 - 19661))
    np.testing.assert_allclose(y, layer.scale * S * ((G * h_G) @ H), rtol=0, atol=1e-13)


@both_forms
def test_everything_dropped(form):
    """A row whose mask is all zero gives zeros and receives none."""
    layer = Fastfood(2, 2, dropout=0.999, form=form, rng=1, dtype=np.float64)
    found = run(layer, normal((50, 2)), np.ones((50, 2)), train=True)
    _, cache = layer.forward(normal((50, 2)), train=True, rng=3)
    none = ~cache["mask"].any(axis=(1, 2))
    assert none.sum() > 40
    assert not found["y"][none].any() and not found["dx"][none].any()


# ----------------------------------------------------------------------------- wrong arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"d_in": 0}, ValueError, "d_in must be at least 1, got 0"),
        ({"d_in": 8.0}, TypeError, "d_in must be an integer, got 8.0"),
        ({"n_out": 0}, ValueError, "n_out must be at least 1, got 0"),
        ({"n_out": True}, TypeError, "n_out must be an integer, got True"),
        ({"sigma": 0}, ValueError, "sigma must be greater than 0.0, got 0"),
        ({"sigma": -1.0}, ValueError, "sigma must be greater than 0.0, got -1.0"),
        ({"sigma": math.inf}, ValueError, "sigma must be finite, got inf"),
        ({"sigma": "1"}, TypeError, "sigma must be a real number, got '1'"),
        ({"dropout": 1.0}, ValueError, "dropout must be less than 1.0, got 1.0"),
        ({"dropout": -0.1}, ValueError, "dropout must be at least 0.0, got -0.1"),
        ({"dropout": math.nan}, ValueError, "dropout must be finite, got nan"),
        ({"adaptive": 1}, TypeError, "adaptive must be True or False, got 1"),
        ({"form": "fast"}, ValueError, "form must be one of 'fused', 'composed', got 'fast'"),
        ({"rng": -1}, ValueError, "rng must be at least 0, got -1"),
        ({"rng": "0"}, TypeError, "rng must be None, an integer"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
        ({"dtype": "complex64"}, TypeError, "dtype must be float32 or float64"),
    ],
)
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        Fastfood(**{"d_in": 8, "n_out": 8, **options})
