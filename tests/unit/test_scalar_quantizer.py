"""Scalar quantisers: the nearest level, levels that are the best, and the ends of float32."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastfood_np.compression import LloydMax, Uniform
from fastfood_np.compression.scalar_quantizer import HUGE, LARGEST, TINY

KINDS = (LloydMax, Uniform)
both_kinds = pytest.mark.parametrize("kind", KINDS)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LAWS = settings(deadline=None, max_examples=60)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def levels(quantizer, dtype=np.float64):
    return quantizer.decode(np.arange(quantizer.multiples.size, dtype=np.uint8), dtype)


def nearest(quantizer, w):
    """Codes of the nearest levels in exact arithmetic, the lowest of several, level by level."""
    exact = [Fraction(float(quantizer.scale)) * int(k) for k in quantizer.multiples]
    distances = [[abs(Fraction(float(x)) - level) for level in exact] for x in w.ravel()]
    return np.array([each.index(min(each)) for each in distances]).reshape(w.shape)


# Few values, so that many coincide or lie in the middle; all numbers; and as large as it goes.
FEW = st.integers(-6, 6).map(lambda k: k / 4)
ANY = st.floats(-10, 10, width=32)
EXTREME = st.floats(-HUGE, HUGE, width=32)


@st.composite
def weights(draw):
    elements = draw(st.sampled_from([FEW, ANY, EXTREME]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return draw(hnp.arrays(dtype, hnp.array_shapes(max_dims=2, max_side=12), elements=elements))


@LAWS
@given(weights(), weights(), st.integers(1, 8), st.sampled_from(KINDS))
def test_nearest_level_and_back(fitted_to, w, bits, kind):
    quantizer = kind(bits).fit(fitted_to)
    multiples = quantizer.multiples
    assert multiples.dtype == np.int16 and quantizer.scale.dtype == np.float32
    assert 1 <= multiples.size <= 2**bits and (np.diff(multiples.astype(int)) >= 0).all()
    codes = quantizer.encode(w)
    assert codes.dtype == np.uint8 and codes.shape == w.shape
    decoded = quantizer.decode(codes, w.dtype)
    assert decoded.dtype == w.dtype and decoded.shape == w.shape and np.isfinite(decoded).all()
    np.testing.assert_array_equal(quantizer.encode(decoded), codes)
    if kind is LloydMax:
        np.testing.assert_array_equal(codes, nearest(quantizer, w))
    else:  # by the last bits of w / step another
        found = np.abs(w - levels(quantizer)[codes])
        least = np.abs(np.float64(w)[..., None] - levels(quantizer)).min(axis=-1)
        last_bits = 4 * float(np.finfo(w.dtype).eps) * np.maximum(np.abs(w), quantizer.scale)
        assert (found <= least + last_bits).all()
    own = levels(quantizer, w.dtype)
    once = quantizer.encode(own)
    np.testing.assert_array_equal(own[once], own)


@both_kinds
@both_dtypes
def test_ties_go_to_the_lower_level(kind, dtype):
    """Multiples of a quarter, where all of it is exact."""
    quantizer = Uniform(3, step=0.25).fit(np.array([-0.75, 1.0]))
    if kind is LloydMax:
        quantizer = LloydMax(3).fit(np.array([-0.75, 1.0]))
        quantizer.scale, quantizer.multiples = np.float32(0.25), np.arange(-3, 5, dtype=np.int16)
    middles = np.arange(-0.625, 1.0, 0.25, dtype=dtype)
    assert quantizer.encode(middles).tolist() == [0, 1, 2, 3, 4, 5, 6]
    above = np.nextafter(middles, dtype(2))
    assert quantizer.encode(above)[[0, 6]].tolist() == [1, 7]
    assert quantizer.encode(np.array([-9.0, 9.0], dtype)).tolist() == [0, 7]


def test_bounds_that_float32_does_not_have():
    """Halves of odd multiples of the scale take a bit more than there is: rounded, but down."""
    quantizer = LloydMax(1).fit(np.array([1.0, 2.0]))
    for scale in (1 + 2.0**-23, 1 + 2.0**-21, 3 - 2.0**-21):
        for low in range(16_000, 16_040):
            quantizer.scale = np.float32(scale)
            quantizer.multiples = np.array([low, low + 1], np.int16)
            middle = np.float32(scale * (low + 0.5))
            near = np.array([np.nextafter(middle, np.float32(s)) for s in (0, middle, 1e9)])
            np.testing.assert_array_equal(quantizer.encode(near), nearest(quantizer, near))


@both_kinds
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_float32_and_float64_copies(kind, bits):
    w = np.random.default_rng(bits).standard_normal((40, 30)).astype(np.float32)
    one, other = kind(bits).fit(w), kind(bits).fit(w.astype(np.float64))
    assert one.scale == other.scale
    np.testing.assert_array_equal(one.multiples, other.multiples)
    different = one.encode(w) != other.encode(w.astype(np.float64))
    assert not different.any() if kind is LloydMax else different.mean() < 1e-3


@both_kinds
def test_any_layout(kind):
    w = np.random.default_rng(0).standard_normal((12, 10)).astype(np.float32)
    quantizer = kind(3).fit(w)
    codes = quantizer.encode(w)
    for same in (np.asfortranarray(w), np.repeat(w, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(quantizer.encode(same), codes)
        np.testing.assert_array_equal(kind(3).fit(same).multiples, quantizer.multiples)


# ------------------------------------------------------------------------------ the best levels


@pytest.mark.parametrize(
    ("bits", "expected", "error"),
    [
        (1, [0.7979], 0.3634),
        (2, [0.4528, 1.510], 0.1175),
        (3, [0.2451, 0.7560, 1.344, 2.152], 0.03454),
    ],
)
def test_levels_of_a_normal_distribution(bits, expected, error):
    """Max, "Quantizing for Minimum Distortion", 1960, table I."""
    from scipy.stats import norm

    sigma = 0.3
    w = sigma * norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    quantizer = LloydMax(bits).fit(w)
    half = levels(quantizer)[2 ** (bits - 1) :] / sigma
    np.testing.assert_allclose(half, expected, rtol=2e-3)
    np.testing.assert_allclose(levels(quantizer)[::-1], -levels(quantizer), rtol=1e-3)
    assert quantizer.error(w) / sigma**2 == pytest.approx(error, rel=2e-3)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("name", ["normal", "laplace", "heavy", "uniform", "two", "sparse"])
def test_no_worse_than_as_many_uniform_levels(name, bits):
    rng = np.random.default_rng(bits)
    w = {
        "normal": rng.standard_normal(3000),
        "laplace": rng.laplace(size=3000),
        "heavy": rng.standard_t(3, 3000),
        "uniform": rng.random(3000),
        "two": rng.standard_normal(3000) / 4 + rng.choice([-1, 1], 3000),
        "sparse": rng.standard_normal(3000) * (rng.random(3000) < 0.1),
    }[name]
    lloyd, uniform = LloydMax(bits).fit(w), Uniform(bits).fit(w)
    assert lloyd.error(w) < uniform.error(w)
    assert lloyd.error(w) == pytest.approx(
        np.mean((w - lloyd.decode(lloyd.encode(w), np.float64)) ** 2), rel=1e-12
    )


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_each_level_is_the_mean_of_its_cell(bits):
    w = np.random.default_rng(bits).standard_normal(2000)
    quantizer = LloydMax(bits).fit(w)
    before = quantizer.scale, quantizer.multiples
    quantizer.refine(w)
    assert quantizer.scale == before[0]  # fit has come to an end
    np.testing.assert_array_equal(quantizer.multiples, before[1])
    codes = quantizer.encode(w)
    for code, level in enumerate(levels(quantizer)):
        assert abs(w[codes == code].mean() - level) <= 0.51 * quantizer.scale


def test_a_step_of_least_error_is_found():
    w = np.random.default_rng(3).standard_normal(4000)
    found = Uniform(4).fit(w)
    around = [
        Uniform(4, step=float(found.scale) * f).fit(w).error(w) for f in np.linspace(0.8, 1.25, 46)
    ]
    assert found.error(w) <= 1.002 * min(around)


def test_as_many_values_as_levels_are_kept():
    values = np.array([-1.0, -0.25, 0.5, 1.0])
    w = np.random.default_rng(0).choice(values, 500)
    quantizer = LloydMax(2).fit(w)
    np.testing.assert_allclose(quantizer.decode(quantizer.encode(w), np.float64), w, atol=2e-5)


def test_refine_follows_and_empty_levels_stay():
    w = np.random.default_rng(1).standard_normal(1000)
    lloyd, uniform = LloydMax(2).fit(w), Uniform(2).fit(w)
    before, steps = levels(lloyd), (uniform.scale, uniform.multiples.copy())
    for quantizer in (lloyd, uniform):
        quantizer.refine(w + 0.01)
    np.testing.assert_allclose(levels(lloyd), before + 0.01, atol=0.01)
    assert (levels(lloyd) != before).all()
    assert uniform.scale == steps[0] and (uniform.multiples == steps[1]).all()
    lloyd = LloydMax(1).fit(np.array([-1.0, 1.0]))
    lloyd.refine(np.array([0.5, 0.7]))
    np.testing.assert_allclose(levels(lloyd), [-1.0, 0.6], rtol=1e-4)


# ---------------------------------------------------------------------------- the ends of float32


@both_kinds
@both_dtypes
@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.7, 1e-30, 1e-45, 1e-38, 3e38, -HUGE, 2e-34])
def test_constant_weights(value, bits, dtype, kind):
    w = np.full((3, 4), value, dtype)
    quantizer = kind(bits).fit(w)
    decoded = quantizer.decode(quantizer.encode(w), dtype)
    if abs(value) > TINY * (LARGEST if kind is LloydMax else 1):
        np.testing.assert_allclose(decoded, w, rtol=2e-3)
    else:
        np.testing.assert_allclose(decoded, 0, atol=abs(value))


@both_kinds
@pytest.mark.parametrize("scale", [1e-44, 1e-37, 1e-33, 1e-20, 1e20, 3e37, HUGE / 4])
def test_scaled_weights(scale, kind):
    """The error scales, down to where it is all the same."""
    w = np.random.default_rng(0).uniform(-4, 4, 300)
    usual = kind(3).fit(w).error(w)
    scaled = (w * scale).astype(np.float32)
    quantizer = kind(3).fit(scaled)
    decoded = quantizer.decode(quantizer.encode(scaled), np.float32)
    assert np.isfinite(decoded).all()
    error = np.mean((np.float64(decoded) / scale - scaled / np.float64(scale)) ** 2)
    if scale < 1e-37:
        assert not decoded.any()
    elif scale > 1e-33:
        assert error <= 1.001 * usual


def test_weights_far_outside_a_fit():
    for quantizer in (LloydMax(4), Uniform(4), Uniform(8, step=1e-30)):
        quantizer.fit(np.array([-1e-30, 0, 1e-30]))
        w = np.array([-HUGE, -1, 1, HUGE], np.float32)
        last = quantizer.multiples.size - 1
        codes = quantizer.encode(w)
        assert len({*codes[:2].tolist()}) == 1 == len({*codes[2:].tolist()})
        own = levels(quantizer)
        assert own[codes[0]] == own[0] and own[codes[3]] == own[last]


def test_levels_do_not_overflow():
    quantizer = Uniform(8, step=2.2e38).fit(np.array([-HUGE, HUGE]))
    assert quantizer.multiples.tolist() == [-2, -1, 0, 1, 2]
    own = levels(quantizer, np.float32)
    assert own[0] == -np.float32(HUGE) and own[4] == np.float32(HUGE)
    assert levels(quantizer)[4] > HUGE
    assert quantizer.encode(own).tolist() == [0, 1, 2, 3, 4]


def test_more_multiples_than_sixteen_bits_hold():
    quantizer = Uniform(2, step=1e-3).fit(np.array([1e6, 1e6 + 1]))
    assert quantizer.multiples.tolist() == [LARGEST]


# -------------------------------------------------------------------------------- what is refused


@both_kinds
@pytest.mark.parametrize(
    ("w", "saying"),
    [
        ([], r"w must hold finite numbers, at least one, got shape \(0,\)"),
        ([1.0, np.nan], r"w must hold finite numbers, at least one, got shape \(2,\)"),
        ([1.0, -np.inf], "w must hold finite numbers"),
        ([1.0, -1e39], r"w must lie in the range of float32, got -1e\+39"),
    ],
)
def test_weights_refused(w, saying, kind):
    with pytest.raises(ValueError, match=saying):
        kind(2).fit(np.array(w))


@both_kinds
def test_not_fitted(kind):
    for use in (
        lambda q: q.encode(np.ones(2)),
        lambda q: q.decode(np.zeros(2, np.uint8), np.float32),
        lambda q: q.error(np.ones(2)),
    ):
        with pytest.raises(ValueError, match=r"the quantiser must be fitted first: call fit\(w\)"):
            use(kind(2))


@both_kinds
@pytest.mark.parametrize(("bits", "error"), [(0, ValueError), (9, ValueError), (2.0, TypeError)])
def test_bits_refused(bits, error, kind):
    with pytest.raises(error, match=r"bits must be .*, got "):
        kind(bits)


@pytest.mark.parametrize("step", [0.0, -1.0, 1e-40, 1e39, np.nan, "1"])
def test_steps_refused(step):
    with pytest.raises((TypeError, ValueError), match=r"step must be .*, got "):
        Uniform(2, step=step)
