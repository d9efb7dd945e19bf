"""The CUDA backend on a GPU; skipped wherever there is none, the simulator included.

Results stand between sentinels, in memory full of NaN, and are compared with float64.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gpu_fastfood_work
import gpu_fwht
import numpy as np
import pytest

from fastfood_np import backends, fastfood_transform, fwht
from fastfood_np.backends.cuda.numba_cuda import SIMULATED, check_device, cuda
from fastfood_np.layers import Fastfood
from fastfood_np.transforms import draw_fastfood


def absence() -> str | None:
    """Return why there is no GPU here."""
    if SIMULATED:
        return "needs a GPU, the simulator is none"
    try:
        check_device()
    except backends.BackendUnavailableError as error:
        return f"needs a GPU: {' '.join(str(error).split())}"
    return None


WHY_NOT = absence()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]

TOLERANCES = {"float16": 1e-3, "float32": 3e-6, "float64": 1e-14}  # of ||wrong|| / ||true||
ONE_PASS = [1 << k for k in range(16)]
SENTINEL = 7.0


def error(result: Any, truth: Any) -> float:
    """Return the relative error of an array in device memory; NaN where it holds one."""
    found = result.copy_to_host().astype(np.float64)
    assert found.shape == truth.shape
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


class Guarded:
    """An array of NaN in device memory, with a row of sentinels before and behind it."""

    def __init__(self, m: int, width: int, dtype: Any) -> None:
        host = np.full((m + 2, width), SENTINEL, dtype)
        host[1:-1] = np.nan
        self._all = cuda.to_device(host)
        self.array = self._all[1:-1]

    def unharmed(self) -> bool:
        """Whether the sentinels are what they were."""
        host = self._all.copy_to_host()
        return bool((host[0] == SENTINEL).all() and (host[-1] == SENTINEL).all())


def normal(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    """Return N(0, 1) numbers in host memory."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check_fwht(m: int, d: int, dtype: str) -> None:
    x = normal(m, d, dtype=dtype)
    truth = fwht(x.astype(np.float64), norm="ortho", backend="reference")
    on_device, guarded = cuda.to_device(x), Guarded(m, d, dtype)
    assert fwht(on_device, norm="ortho", out=guarded.array) is guarded.array
    assert error(guarded.array, truth) <= TOLERANCES[dtype]
    assert guarded.unharmed()
    assert on_device.copy_to_host().tobytes() == x.tobytes()
    fwht(on_device, norm="ortho", out=on_device)
    assert on_device.copy_to_host().tobytes() == guarded.array.copy_to_host().tobytes()


@pytest.mark.parametrize("d", ONE_PASS)
def test_fwht(d: int) -> None:
    for m in (1, 10_007 // d + 2):  # tiles are powers of two: the last one reaches beyond the rows
        check_fwht(m, d, "float32")


@pytest.mark.parametrize("d", [1, 2, 64, 1024, 8192, 1 << 14, 1 << 15])
def test_fwht_of_float64(d: int) -> None:
    check_fwht(3, d, "float64")


@pytest.mark.parametrize("d", [1, 32, 1024, 1 << 13, 1 << 14])
def test_fwht_of_float16(d: int) -> None:
    check_fwht(5, d, "float16")


@pytest.mark.parametrize(
    ("d", "dtype"),
    [(1 << 16, "float32"), (1 << 18, "float32"), (1 << 20, "float32"), (1 << 20, "float64")],
)
def test_fwht_in_two_passes(d: int, dtype: str) -> None:
    check_fwht(3, d, dtype)


def test_fwht_of_the_longest_row() -> None:
    check_fwht(1, 1 << 24, "float32")


def test_fwht_of_bfloat16() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = torch.randn(5, 1024, device="cuda").to(torch.bfloat16)
    y = fwht(x, norm="ortho")
    assert y.dtype == x.dtype
    wrong = y.double() - fwht(x.double(), norm="ortho")
    assert float(wrong.norm()) <= 4e-3 * float(y.double().norm())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_fwht_of_whole_numbers_has_the_bits_of_the_reference(dtype: str) -> None:
    for d in (1, 4, 256, 4096, 1 << 14):
        gpu_fwht.check_whole_numbers(dtype, d)


def test_fwht_beyond_2_to_the_32_numbers() -> None:
    m, d = (1 << 26) + 1, 64
    x = cuda.device_array((m, d), np.float16)
    tail = normal(3, d, dtype=np.float16)
    x[m - 3 :].copy_to_device(tail)
    fwht(x, norm="ortho", out=x)
    truth = fwht(tail.astype(np.float64), norm="ortho", backend="reference")
    assert error(x[m - 3 :], truth) <= TOLERANCES["float16"]


@pytest.fixture(params=["torch", "cupy"])
def library(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Another library with arrays on the GPU: its way in, its way out, its streams."""
    module = pytest.importorskip(request.param)
    if request.param == "cupy":
        return SimpleNamespace(
            array=module.ndarray,
            on_device=module.asarray,
            on_host=module.asnumpy,
            adopt=module.asarray,
            stream=lambda: module.cuda.Stream(non_blocking=True),
            synchronize=lambda stream: stream.synchronize(),
            within=lambda stream: stream,
        )
    if not module.cuda.is_available():
        pytest.skip("this PyTorch computes on the host only")
    return SimpleNamespace(
        array=module.Tensor,
        on_device=lambda x: module.as_tensor(x, device="cuda"),
        on_host=lambda x: x.cpu().numpy(),
        adopt=lambda x: module.as_tensor(x, device="cuda"),
        stream=module.cuda.Stream,
        synchronize=lambda stream: stream.synchronize(),
        within=module.cuda.stream,
    )


def test_arrays_of_other_libraries(library: SimpleNamespace) -> None:
    x = normal(33, 512)
    truth = fwht(x.astype(np.float64), backend="reference")
    on_device = library.on_device(x)
    y = fwht(on_device)
    assert isinstance(y, library.array)
    assert np.linalg.norm(library.on_host(y) - truth) <= 3e-6 * np.linalg.norm(truth)
    assert fwht(on_device, out=on_device) is on_device
    assert library.on_host(on_device).tobytes() == library.on_host(y).tobytes()

    layer = Fastfood(512, 700, rng=0)
    y = layer.to_device()(library.on_device(x))
    assert error(y, layer_truth(layer, x, normal(33, 700))["y"]) <= TOLERANCES["float32"]


def test_work_goes_to_the_stream_in_use(library: SimpleNamespace) -> None:
    """What is queued before on that stream is seen, and what is queued behind it sees y."""
    first, second = normal(4096, 1024), normal(4096, 1024, seed=1)
    x, other = library.on_device(first), library.on_device(second)
    truth = fwht(second.astype(np.float64), norm="ortho", backend="reference")
    y = fwht(x, norm="ortho")  # compiled, and everything so far is done
    library.on_host(y)
    for _ in range(5):
        stream = library.stream()
        with library.within(stream):
            for _ in range(50):
                x[...] = 2 * other
            x[...] = other
            y = fwht(x, norm="ortho") + 0.0
        library.synchronize(stream)
        found = library.on_host(y)
        assert np.linalg.norm(found - truth) <= 3e-6 * np.linalg.norm(truth)


def test_work_goes_to_the_stream_of_a_numba_array() -> None:
    stream, x = cuda.stream(), normal(257, 1024)
    on_device = cuda.to_device(x, stream=stream)
    y = fwht(on_device, norm="ortho")
    found = y.copy_to_host(stream=stream)
    stream.synchronize()
    truth = fwht(x.astype(np.float64), norm="ortho", backend="reference")
    assert np.linalg.norm(found - truth) <= 3e-6 * np.linalg.norm(truth)


class Huge:
    """An array of 4 TiB, by its own word: nobody reads it."""

    def __init__(self) -> None:
        self._small = cuda.device_array(1024, np.float32)
        interface = dict(self._small.__cuda_array_interface__)
        self.__cuda_array_interface__ = interface | {"shape": (1 << 30, 1024), "strides": None}


def test_out_of_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="no room in device memory"):
        fwht(cuda.as_cuda_array(Huge()))


def test_out_of_memory_of_other_libraries_is_a_memory_error(library: SimpleNamespace) -> None:
    huge = library.adopt(Huge())
    with pytest.raises(MemoryError, match="no room in device memory"):
        fwht(huge)
    check_fwht(3, 64, "float32")  # the device is as before


def layer_truth(layer: Fastfood, x: Any, dy: Any) -> dict[str, Any]:
    """Return y, dx and the gradients in float64, with the layer's factors to the bit."""
    precise = layer.astype(np.float64)
    with backends.using("reference"):
        y, cache = precise.forward(x.astype(np.float64))
        dx, grads = precise.backward(dy.astype(np.float64), cache)
    return {"y": y, "dx": dx, **grads}


def on_device(layer: Fastfood, x: Any, dy: Any) -> dict[str, Any]:
    """Return the same as computed on the GPU."""
    device_layer = layer.to_device()
    y, cache = device_layer.forward(cuda.to_device(x))
    dx, grads = device_layer.backward(cuda.to_device(dy), cache)
    return {"y": y, "dx": dx, **grads}


def check_layer(m: int, d_in: int, n_out: int, dtype: str = "float32") -> None:
    layer = Fastfood(d_in, n_out, rng=0, dtype=dtype)
    x, dy = normal(m, d_in, dtype=dtype), normal(m, n_out, dtype=dtype, seed=1)
    truths = layer_truth(layer, x, dy)
    for name, found in on_device(layer, x, dy).items():
        if np.linalg.norm(truths[name]):
            assert error(found, truths[name]) <= 2 * TOLERANCES[dtype], name
        else:
            assert not found.copy_to_host().any(), name


@pytest.mark.parametrize("d", ONE_PASS)
def test_fastfood(d: int) -> None:
    for m in (1, 33):
        check_layer(m, d, d)


@pytest.mark.parametrize(
    ("d_in", "n_out"), [(3, 2), (5, 40), (100, 129), (800, 1024), (784, 3000), (5000, 100)]
)
def test_fastfood_of_odd_sizes(d_in: int, n_out: int) -> None:
    for m in (1, 77):
        check_layer(m, d_in, n_out)


@pytest.mark.parametrize("d", [1, 64, 1024, 8192])
def test_fastfood_of_float64(d: int) -> None:
    check_layer(19, d, d + 1, "float64")


@pytest.mark.parametrize(("d", "n"), [(8, 8), (64, 256), (1024, 1024), (8192, 8192)])
def test_fastfood_of_whole_numbers_has_the_bits_of_the_reference(d: int, n: int) -> None:
    gpu_fastfood_work.check_whole_numbers(d, n)


@pytest.mark.parametrize(("m", "d_in", "n_out"), [(3001, 60, 256), (1000, 1024, 1024)])
def test_backward_gives_the_same_bits_again(m: int, d_in: int, n_out: int) -> None:
    layer = Fastfood(d_in, n_out, rng=0)
    x, dy = normal(m, d_in), normal(m, n_out, seed=1)
    first, second = on_device(layer, x, dy), on_device(layer, x, dy)
    for name, found in first.items():
        assert found.copy_to_host().tobytes() == second[name].copy_to_host().tobytes(), name


@pytest.mark.parametrize("nonlinearity", ["none", "relu", "cos_sin"])
@pytest.mark.parametrize("d", [10, 1000])
def test_fastfood_transform(d: int, nonlinearity: str) -> None:
    factors, x, m = draw_fastfood(d, 2 * d, rng=0), normal(45, d), 45
    factors = type(factors)(
        *(np.asarray(part, np.float32) for part in factors[:3]), perm=factors.perm
    )
    options = {"scale": d**-0.5, "nonlinearity": nonlinearity}
    truth = fastfood_transform(x.astype(np.float64), factors, backend="reference", **options)
    guarded = Guarded(m, truth.shape[1], np.float32)
    fastfood_transform(cuda.to_device(x), factors.to_device(), out=guarded.array, **options)
    assert error(guarded.array, truth) <= 2 * TOLERANCES["float32"]
    assert guarded.unharmed()


# ------------------------------------------------------------ what the sections above leave out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("d_in", "n_out"), [(5, 19), (1000, 1024), (4096, 8000)])
def test_dropout(d_in: int, n_out: int, dtype: str) -> None:
    """The mask is that of the host; whole numbers and a scale of a power of two: the same bits."""
    layer = Fastfood(d_in, n_out, dropout=0.5, rng=0, dtype=dtype)
    layer.scale = 0.5
    rng = np.random.default_rng(1)
    for value in layer.params.values():
        value[...] = rng.integers(-1, 2, value.shape)
    x, dy = (rng.integers(-1, 2, (7, size)).astype(dtype) for size in (d_in, n_out))
    outcomes = []
    for it, move in ((layer, lambda array: array), (layer.to_device(), cuda.to_device)):
        y, cache = it.forward(move(x), train=True, rng=5)
        dx, grads = it.backward(move(dy), cache)
        outcomes.append([y, dx, *grads.values()])
    for ours, theirs in zip(*reversed(outcomes), strict=True):
        np.testing.assert_array_equal(ours.copy_to_host(), theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 2.0**23])
@pytest.mark.parametrize("nonlinearity", ["cos", "cos_sin", "step", "relu_squared"])
def test_other_nonlinearities(nonlinearity: str, scale: float, dtype: str) -> None:
    """Also of huge angles. All angles are whole numbers, the same on both sides."""
    factors = draw_fastfood(60, 100, rng=0)
    rng = np.random.default_rng(2)
    whole = [rng.integers(-3, 4, factors.S.shape).astype(dtype) for _ in range(2)]
    factors = type(factors)(*whole, factors.B, factors.perm)
    x = rng.integers(-3, 4, (9, 60)).astype(dtype)
    phase = rng.integers(-3, 4, 100).astype(dtype) if nonlinearity == "cos" else None
    options = {"scale": scale, "n_out": 100, "nonlinearity": nonlinearity}
    theirs = fastfood_transform(x, factors, phase=phase, **options)
    there = None if phase is None else cuda.to_device(phase)
    ours = fastfood_transform(cuda.to_device(x), factors.to_device(dtype), phase=there, **options)
    np.testing.assert_allclose(ours.copy_to_host(), theirs, rtol=1e-6, atol=1e-6)


def test_no_rows() -> None:
    layer = Fastfood(5, 19, rng=0).to_device()
    y, cache = layer.forward(cuda.device_array((0, 5), np.float32))
    dx, grads = layer.backward(cuda.device_array((0, 19), np.float32), cache)
    assert y.shape == (0, 19) and dx.shape == (0, 5)
    assert all(not grad.copy_to_host().any() for grad in grads.values())
    assert fwht(cuda.device_array((0, 8), np.float32)).shape == (0, 8)
    factors = draw_fastfood(5, 19, rng=0).to_device()
    assert fastfood_transform(cuda.device_array((2, 0, 5), np.float32), factors).shape[:2] == (2, 0)


@pytest.mark.parametrize("form", ["fused", "composed"])
def test_forms_agree(form: str) -> None:
    layer = Fastfood(60, 100, rng=0, form=form)
    x = normal(5, 60)
    y, cache = layer.forward(x)
    dx, grads = layer.backward(np.ones_like(y), cache)
    there = layer.to_device()
    y_there, cache = there.forward(cuda.to_device(x))
    dx_there, grads_there = there.backward(cuda.to_device(np.ones_like(y)), cache)
    pairs = [(y_there, y), (dx_there, dx), *((grads_there[name], grads[name]) for name in grads)]
    for ours, theirs in pairs:
        assert error(ours, theirs) <= TOLERANCES["float32"]
