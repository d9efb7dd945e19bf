"""`fwht`, `fastfood_transform` and `Fastfood.to_device`, as a user calls them in device memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfood_np import draw_fastfood, fastfood_transform, fwht, ifwht
from fastfood_np.backends.cuda.numba_cuda import cuda
from fastfood_np.kernels import gaussian
from fastfood_np.layers import Fastfood
from fastfood_np.model_files import load_model, save_model
from fastfood_np.transforms import FastfoodFactors

pytestmark = pytest.mark.simulated

DTYPES = ("float16", "float32", "float64")
NORMS = ("backward", "ortho", "forward")


def whole(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    """Return small whole numbers, whose sums no order of additions changes."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(dtype)


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    """Return N(0, 1) numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def assert_close(found: Any, truth: Any, factor: float = 64.0) -> None:
    """Compare with a true result, of which rounding may take so many of its dtype's epsilons."""
    assert found.dtype == truth.dtype
    limit = factor * np.finfo(truth.dtype).eps * np.abs(truth).max(initial=1.0)
    np.testing.assert_allclose(found, truth, rtol=0, atol=limit)


def to_bfloat16(x: Any) -> Any:
    """Return float32 numbers as NumPy sees those of PyTorch's bfloat16: rounded, the upper half."""
    whole = x.view(np.uint32)
    return ((whole + 0x7FFF + (whole >> 16 & 1)) >> 16).astype(np.uint16).view("V2")


def from_bfloat16(x: Any) -> Any:
    """Return numbers of bfloat16 as float32."""
    return (x.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


# ------------------------------------------------------------------------------ Walsh-Hadamard


@pytest.mark.parametrize("d", [1, 64, 1024])
def test_bfloat16_is_stored_and_float32_computed_with(d: int) -> None:
    x = to_bfloat16(normal(3, d))
    ours = fwht(cuda.to_device(x), norm="ortho")
    truth = to_bfloat16(fwht(from_bfloat16(x)) * np.float32(1 / np.sqrt(d)))
    assert ours.dtype == x.dtype
    np.testing.assert_array_equal(from_bfloat16(ours.copy_to_host()), from_bfloat16(truth))


def test_bfloat16_keeps_infinity_and_nan() -> None:
    numbers = np.array([[np.inf, 1.0], [np.nan, 1.0], [1e38, 1e38], [3e38, 3e38]], np.float32)
    ours = from_bfloat16(fwht(cuda.to_device(to_bfloat16(numbers))).copy_to_host())
    assert np.isinf(ours[0]).all() and np.isnan(ours[1]).all()
    np.testing.assert_allclose(ours[2], [2e38, 0.0], rtol=1e-2)
    assert np.isposinf(ours[3, 0])  # beyond the largest number


def check_fwht(shape: tuple[int, ...], dtype: str) -> None:
    """Compare with the CPU bit for bit: each norm, into a new array, a given one, and x itself."""
    x = whole(*shape, dtype=dtype)
    there, out = cuda.to_device(x), cuda.to_device(np.full(shape, np.nan, dtype))
    y = fwht(there)
    assert y is not there and type(y) is type(there)
    assert fwht(there, norm="ortho", out=out) is out
    assert there.copy_to_host().tobytes() == x.tobytes()
    assert fwht(there, norm="forward", out=there) is there
    for norm, result in zip(NORMS, (y, out, there), strict=True):
        assert result.dtype == dtype and result.shape == shape
        truth = fwht(x, norm=norm).astype(dtype)  # (the CPU returns float32 for float16)
        np.testing.assert_array_equal(result.copy_to_host(), truth)


@pytest.mark.parametrize("d", [1, 2, 8, 32, 64])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fwht_has_the_bits_of_the_cpu(dtype: str, d: int) -> None:
    check_fwht((3, d), dtype)


@pytest.mark.parametrize("shape", [(8,), (1, 8), (2, 3, 8), (40, 16), (0, 8), (2, 0, 8)])
def test_fwht_of_any_number_of_rows_and_axes(shape: tuple[int, ...]) -> None:
    check_fwht(shape, "float32")


@pytest.mark.parametrize(
    ("d", "dtype"),
    [
        (2048, "float16"),  # float32 numbers, twice what shared memory holds: exchanged by halves
        (2048, "float32"),
        (1024, "float64"),
        (4096, "float32"),  # two passes
        (2048, "float64"),
    ],
)
def test_fwht_of_long_rows(d: int, dtype: str) -> None:
    x = whole(1, d, dtype=dtype)
    there = cuda.to_device(x)
    assert fwht(there, norm="forward", out=there) is there
    np.testing.assert_array_equal(there.copy_to_host(), fwht(x, norm="forward").astype(dtype))


def test_fwht_in_two_passes_leaves_x_as_it_is() -> None:
    x = whole(1, 2048, dtype=np.float64)
    there = cuda.to_device(x)
    np.testing.assert_array_equal(fwht(there).copy_to_host(), fwht(x))
    assert there.copy_to_host().tobytes() == x.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_fwht_rounds_little(dtype: str) -> None:
    x = normal(5, 32, dtype=dtype)
    truth = fwht(x.astype(np.float64), norm="ortho", backend="reference").astype(dtype)
    assert_close(fwht(cuda.to_device(x), norm="ortho").copy_to_host(), truth, factor=8)


@pytest.mark.parametrize("norm", NORMS)
def test_ifwht_undoes_fwht(norm: str) -> None:
    x = whole(3, 16, dtype=np.float64)
    there = cuda.to_device(x)
    y = fwht(there, norm=norm)
    assert ifwht(y, norm=norm, out=y) is y
    np.testing.assert_array_equal(y.copy_to_host(), x)
    np.testing.assert_array_equal(ifwht(there, norm=norm).copy_to_host(), ifwht(x, norm=norm))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_fwht_keeps_nan_and_infinity_in_their_row(dtype: str, value: float) -> None:
    x = whole(4, 8, dtype=dtype)
    x[2, 3] = value
    y = fwht(cuda.to_device(x)).copy_to_host()
    np.testing.assert_array_equal(y, fwht(x).astype(dtype))
    assert not np.isfinite(y[2]).any() and np.isfinite(y[[0, 1, 3]]).all()


def test_out_may_be_another_array_for_the_memory_of_x() -> None:
    x = whole(2, 8)
    there = cuda.to_device(x)
    same = there.reshape(2, 8)
    assert fwht(there, out=same) is same
    np.testing.assert_array_equal(there.copy_to_host(), fwht(x))


def test_out_may_be_the_neighbour_of_x() -> None:
    x = whole(3, 8)
    memory = cuda.to_device(np.concatenate([x, np.zeros_like(x)]))
    fwht(memory[:3], out=memory[3:])
    np.testing.assert_array_equal(memory.copy_to_host(), np.concatenate([x, fwht(x)]))


# ------------------------------------------------------------------------------------ Fastfood


def check_transform(
    x: Any, d_in: int, n_out: int, given: bool = True, factor: float = 64.0, **options: Any
) -> None:
    """Compare with the CPU, into a given array or a new one; nothing but that is written."""
    factors = draw_fastfood(d_in, n_out, rng=1)
    options = {"scale": 0.25, "n_out": n_out, **options}
    truth = fastfood_transform(x, factors, **options)
    arrays = [cuda.to_device(x), *factors.to_device(x.dtype)]
    if "phase" in options:
        options["phase"] = cuda.to_device(options["phase"])
        arrays.append(options["phase"])
    before = [array.copy_to_host().tobytes() for array in arrays]
    out = cuda.to_device(np.full_like(truth, np.nan)) if given else None
    y = fastfood_transform(arrays[0], FastfoodFactors(*arrays[1:5]), out=out, **options)
    assert type(y) is type(arrays[0]) and (y is out) == given
    assert y.shape == truth.shape
    assert_close(y.copy_to_host(), truth, factor)
    assert [array.copy_to_host().tobytes() for array in arrays] == before


NONLINEARITIES = ("none", "relu", "relu_squared", "step", "cos", "cos_sin")


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_transform(dtype: str, nonlinearity: str) -> None:
    options: dict[str, Any] = {"nonlinearity": nonlinearity, "amplitude": 0.5}
    if nonlinearity == "cos":
        options["phase"] = normal(11, dtype=dtype, seed=2)
    check_transform(normal(3, 5, dtype=dtype), 5, 11, **options)  # two blocks, padded and cut


@pytest.mark.parametrize(
    ("shape", "n_out"), [((5,), 8), ((1, 1), 3), ((2, 2, 5), 3), ((0, 5), 8), ((2, 0, 3), 5)]
)
def test_transform_of_any_shape(shape: tuple[int, ...], n_out: int) -> None:
    check_transform(normal(*shape), shape[-1], n_out, given=False)


def test_transform_of_rows_that_no_thread_block_holds() -> None:
    x = normal(1, 600, dtype=np.float64)
    check_transform(x, 600, 1000, nonlinearity="cos_sin", factor=256)


def test_transform_keeps_nan_in_its_row() -> None:
    x = normal(4, 8)
    x[1, 2] = np.nan
    factors = draw_fastfood(8, 8, rng=0)
    for nonlinearity in ("relu", "step", "cos_sin"):
        y = fastfood_transform(
            cuda.to_device(x), factors.to_device(), nonlinearity=nonlinearity
        ).copy_to_host()
        assert np.isnan(y[1]).all() and np.isfinite(y[[0, 2, 3]]).all()


def test_factors_are_copied_with_the_dtype_asked_for() -> None:
    factors = draw_fastfood(5, 11, rng=0)
    for dtype in ("float32", "float64"):
        there = factors.to_device(dtype)
        for name in ("S", "G", "B"):
            ours, theirs = getattr(there, name), getattr(factors, name)
            np.testing.assert_array_equal(ours.copy_to_host(), theirs.astype(dtype))
        assert there.perm.dtype == np.int32
        np.testing.assert_array_equal(there.perm.copy_to_host(), factors.perm)


# --------------------------------------------------------------------------------------- layers


def run(layer: Fastfood, x: Any, dy: Any) -> dict[str, Any]:
    """Return y in training, dx and the gradients, on the host."""
    if layer.on_device:
        x, dy = cuda.to_device(x), cuda.to_device(dy)
    y, cache = layer.forward(x, train=True, rng=5)
    dx, grads = layer.backward(dy, cache)
    results = {"y": y, "dx": dx, **grads}
    return {
        name: value.copy_to_host() if layer.on_device else value for name, value in results.items()
    }


def test_layer_goes_to_the_device_and_back() -> None:
    layer = Fastfood(5, 11, dropout=0.5, rng=0, dtype=np.float64)
    there = layer.to_device()
    back = there.to_host()
    assert (layer.on_device, there.on_device, back.on_device) == (False, True, False)
    assert back.config == there.config == layer.config and back.config is not layer.config
    assert back.n_weights == there.n_weights == layer.n_weights
    for name in ("params", "constants"):
        theirs, ours = getattr(layer, name), getattr(back, name)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert ours[key].dtype == value.dtype and ours[key] is not value
            np.testing.assert_array_equal(ours[key], value)
    x, dy = normal(3, 5, dtype=np.float64), normal(3, 11, dtype=np.float64)
    results, again = run(layer, x, dy), run(back, x, dy)
    for name, value in run(there, x, dy).items():
        np.testing.assert_array_equal(again[name], results[name])
        assert_close(value, results[name])


def test_copies_of_a_layer_share_nothing() -> None:
    layer = Fastfood(4, 4, rng=0)
    there, before = layer.to_device(), layer.params["S"].copy()
    there.params["S"].copy_to_device(np.zeros_like(before))
    np.testing.assert_array_equal(layer.params["S"], before)
    back = there.to_host()
    assert not back.params["S"].any()
    back.params["S"][:] = 1
    assert not there.params["S"].copy_to_host().any()


def test_layer_of_rows_that_no_thread_block_holds() -> None:
    layer = Fastfood(600, 1000, dropout=0.5, rng=0, dtype=np.float64)
    x, dy = normal(1, 600, dtype=np.float64), normal(1, 1000, dtype=np.float64, seed=1)
    truth = run(layer, x, dy)
    for name, value in run(layer.to_device(), x, dy).items():
        assert_close(value, truth[name], factor=1024)


def test_a_layer_in_device_memory_is_copied_again() -> None:
    first = Fastfood(3, 5, rng=0).to_device()
    second = first.to_device()
    assert second.on_device and second.params["S"] is not first.params["S"]
    np.testing.assert_array_equal(*(layer.to_host().params["S"] for layer in (first, second)))


def test_a_layer_in_device_memory_is_saved_as_one_on_the_host(tmp_path: Path) -> None:
    layer = Fastfood(3, 5, rng=0)
    save_model(tmp_path / "model.npz", layer.to_device())
    loaded, _ = load_model(tmp_path / "model.npz")
    x = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(loaded(x), layer(x))


def test_exact_kernels_are_for_host_memory() -> None:
    with pytest.raises(TypeError, match="X must be in host memory, got an array in device memory"):
        gaussian(cuda.to_device(np.ones((2, 2))), sigma=1.0)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("float32", 1e6), ("float32", 1e20), ("float32", 1e35), ("float64", 1e6), ("float64", 1e300)],
)
def test_huge_angles(dtype: str, scale: float) -> None:
    """Whole numbers, so that both sides take cosine and sine of the same angles."""
    factors = draw_fastfood(4, 8, rng=0)
    S, G = (whole(2, 4, seed=seed, dtype=dtype) for seed in (1, 2))
    factors = FastfoodFactors(S, G, factors.B.astype(dtype), factors.perm)
    x, options = whole(3, 4, seed=3, dtype=dtype), {"scale": scale, "nonlinearity": "cos_sin"}
    there = cuda.to_device(x), factors.to_device(dtype)
    ours = fastfood_transform(*there, **options).copy_to_host()
    v = fastfood_transform(x, factors, scale=scale)
    assert np.abs(v).max() > 1e6
    truth = np.concatenate([np.cos(v.astype(np.float64)), np.sin(v.astype(np.float64))], axis=-1)
    np.testing.assert_allclose(ours, truth, rtol=0, atol=np.finfo(dtype).eps)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(
    ("angle", "cosine"),
    [
        (np.float32(16367173 * 2.0**72), -1.6147697982476211e-09),
        # (The C library's cosine may be six roundings off here; this is Muller's, in 34 digits.)
        (np.float64(6381956970095103 * 2.0**797), -4.6871659242546276e-19),
    ],
    ids=["float32", "float64"],
)
def test_angle_next_to_a_multiple_of_a_quarter_turn(angle: Any, cosine: float) -> None:
    """Of all numbers of their dtypes these are the nearest ones: most of their bits cancel."""
    one = np.ones((1, 1), angle.dtype)
    factors = FastfoodFactors(one, one, one, np.zeros((1, 1), np.int64)).to_device(angle.dtype)
    ours = fastfood_transform(cuda.to_device(one * angle), factors, nonlinearity="cos_sin")
    eps = np.finfo(angle.dtype).eps
    np.testing.assert_allclose(ours.copy_to_host()[0], [cosine, 1.0], rtol=2 * eps)
