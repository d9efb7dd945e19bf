"""Every bad input in device memory gets the stated error, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastfood_np import draw_fastfood, fastfood_transform, fwht, ifwht
from fastfood_np.backends.cuda import arrays
from fastfood_np.backends.cuda.numba_cuda import cuda
from fastfood_np.layers import Conv2D, Dense, Fastfood, Hadamard, ReLU

pytestmark = pytest.mark.simulated


class Elsewhere:
    """An array of another library, in the memory of the GPU of this number."""

    def __init__(self, number: int, says: str = "id") -> None:
        self.device = SimpleNamespace(**{says: number})
        self.dtype, self.shape = np.dtype(np.float32), (2, 8)
        self.__cuda_array_interface__ = {
            "shape": (2, 8), "typestr": "<f4", "data": (0, False), "version": 3,
        }  # fmt: skip


class Inputs(SimpleNamespace):
    """Arrays and layers on both sides, made anew for each call."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        host = rng.standard_normal((2, 8)).astype(np.float32)
        factors = draw_fastfood(8, 16, rng=0)
        layer = Fastfood(8, 16, dropout=0.5, rng=0)
        super().__init__(
            host=host,
            x=cuda.to_device(host),
            doubles=cuda.to_device(host.astype(np.float64)),
            halves=cuda.to_device(host.astype(np.float16)),
            long=cuda.to_device(np.ones((4, 8), np.float32)),
            out=cuda.to_device(np.ones((2, 16), np.float32)),
            phase=cuda.to_device(np.ones(16, np.float32)),
            host_factors=factors,
            factors=factors.to_device(),
            double_factors=factors.to_device(np.float64),
            host_layer=layer,
            layer=layer.to_device(),
        )

    def bytes(self) -> dict[str, bytes]:
        """Return what all arrays hold, those of factors and layers too."""
        held = dict(vars(self))
        for name in ("host_factors", "factors", "double_factors"):
            held.update({f"{name}.{key}": held[name]._asdict()[key] for key in "SGB"})
            held[f"{name}.perm"] = held.pop(name).perm
        for name in ("host_layer", "layer"):
            layer = held.pop(name)
            held.update({f"{name}.{key}": value for key, value in layer.params.items()})
        return {
            name: np.asarray(getattr(value, "copy_to_host", lambda value=value: value)()).tobytes()
            for name, value in held.items()
        }

    def transform(self, x: Any = None, factors: Any = None, **options: Any) -> Any:
        """Call `fastfood_transform` with what is given, and what is right in place of the rest."""
        x, factors = self.x if x is None else x, self.factors if factors is None else factors
        return fastfood_transform(x, factors, **options)

    def backward(self, dy: Any, layer: Any = None, x: Any = None) -> Any:
        """Take dy back through a layer that has seen x."""
        layer = self.layer if layer is None else layer
        _, cache = layer.forward(self.x if x is None else x)
        return layer.backward(dy, cache)


def holding(dtype: Any, *shape: int) -> Any:
    """Return ones in device memory."""
    return cuda.to_device(np.ones(shape or (2, 8), dtype))


Call = Callable[[Inputs], Any]
IN_DEVICE = r"must be an array in device memory .*got ndarray; copy it .*numba\.cuda\.to_device"

WRONG_CACHE = r"cache must .*, got"

# Name, call, exception, message; and what is known to be wrong with it.
CALLS: list[tuple[str, Call, type[Exception], str] | tuple[str, Call, type[Exception], str, str]]
CALLS = [
    # ------------------------------------------------------------------------------------ dtypes
    (
        "fwht of integers",
        lambda has: fwht(holding(np.int32)),
        TypeError,
        r"x must hold bfloat16 or float16 or float32 or float64 in device memory, got int32",
    ),
    (
        "fwht of complex numbers",
        lambda has: fwht(holding(np.complex64)),
        TypeError,
        r"x must hold bfloat16 or float16 or .*, got complex64",
    ),
    (
        "transform of integers",
        lambda has: has.transform(holding(np.int64)),
        TypeError,
        r"x must hold float32 or float64 in device memory, got int64",
    ),
    (
        "transform of half precision",
        lambda has: has.transform(has.halves),
        TypeError,
        r"x must hold float32 or float64 in device memory, got float16",
    ),
    (
        "layer's x of half precision",
        lambda has: has.layer(has.halves),
        TypeError,
        r"x must hold float32 in device memory, got float16",
    ),
    (
        "layer's x of another dtype",
        lambda has: has.layer(has.doubles),
        TypeError,
        r"x must hold float32 in device memory, got float64",
    ),
    (
        "dy of another dtype",
        lambda has: has.backward(holding(np.float64, 2, 16)),
        TypeError,
        r"dy must hold float32 in device memory, got float64",
    ),
    (
        "fwht's out of another dtype",
        lambda has: fwht(has.x, out=has.doubles),
        TypeError,
        r"out must hold float32 in device memory, got float64",
    ),
    (
        "transform's out of another dtype",
        lambda has: has.transform(out=holding(np.float64, 2, 16)),
        TypeError,
        r"out must hold float32 in device memory, got float64",
    ),
    (
        "factors of another dtype",
        lambda has: has.transform(factors=has.double_factors),
        TypeError,
        r"factors\.S must hold float32 in device memory, got float64",
    ),
    (
        "x of another dtype than its factors",
        lambda has: has.transform(has.doubles),
        TypeError,
        r"factors\.S must hold float64 in device memory, got float32",
    ),
    (
        "indices of 64 bits",
        lambda has: has.transform(
            factors=has.factors._replace(perm=cuda.to_device(has.host_factors.perm))
        ),
        TypeError,
        r"factors\.perm must hold int32 in device memory, got int64",
    ),
    (
        "phase of another dtype",
        lambda has: has.transform(nonlinearity="cos", phase=holding(np.float64, 16)),
        TypeError,
        r"phase must hold float32 in device memory, got float64",
    ),
    # --------------------------------------------------------------------- in the wrong memory
    (
        "fwht's out on the host",
        lambda has: fwht(has.x, out=has.host),
        TypeError,
        "out " + IN_DEVICE,
    ),
    (
        "transform's out on the host",
        lambda has: has.transform(out=np.ones((2, 16), np.float32)),
        TypeError,
        "out " + IN_DEVICE,
    ),
    (
        "phase on the host",
        lambda has: has.transform(nonlinearity="cos", phase=np.ones(16, np.float32)),
        TypeError,
        "phase " + IN_DEVICE,
    ),
    ("layer's x on the host", lambda has: has.layer(has.host), TypeError, "x " + IN_DEVICE),
    (
        "dy on the host",
        lambda has: has.backward(np.ones((2, 16), np.float32)),
        TypeError,
        "dy " + IN_DEVICE,
    ),
    (
        "a list for dy",
        lambda has: has.backward([[1.0]]),
        TypeError,
        r"dy must be an array in device memory .*got list",
    ),
    (
        "factors on the host",
        lambda has: has.transform(factors=has.host_factors),
        TypeError,
        r"factors must be in device memory as x is, got ones in host .*to_device\('float32",
    ),
    (
        "one factor on the host",
        lambda has: has.transform(factors=has.factors._replace(G=has.host_factors.G)),
        TypeError,
        r"factors must be in device memory as x is, got ones in host memory",
    ),
    (
        "factors on the device for x on the host",
        lambda has: has.transform(has.host),
        TypeError,
        r"factors must be NumPy arrays as x is, got ones in device memory",
    ),
    (
        "host layer's x on the device",
        lambda has: has.host_layer(has.x),
        TypeError,
        r"x must be a NumPy array, got \w+, which is in device memory; .*layer\.to_device\(\)",
    ),
    (
        "host layer's dy on the device",
        lambda has: has.backward(has.out, has.host_layer, has.host),
        TypeError,
        r"dy must be a NumPy array, got \w+, which is in device memory",
    ),
    (
        "host fwht's out on the device",
        lambda has: fwht(has.host, out=has.x),
        TypeError,
        r"out must be a NumPy array, got \w*CUDA\w*",
    ),
    (
        "host transform's out on the device",
        lambda has: has.transform(has.host, has.host_factors, out=has.out),
        TypeError,
        r"out must be a NumPy array, got \w*CUDA\w*",
    ),
    (
        "host transform's phase on the device",
        lambda has: has.transform(has.host, has.host_factors, nonlinearity="cos", phase=has.phase),
        TypeError,
        r"phase must .*device memory",
    ),
    *(
        (
            f"backend {name!r} for x on the device",
            call,
            ValueError,
            rf"backend must be one of None, 'cuda', got '{name}'",
        )
        for name in ("cpu", "reference")
        for call in (
            lambda has, name=name: fwht(has.x, backend=name),
            lambda has, name=name: has.transform(backend=name),
        )
    ),
    *(
        (
            "backend 'cuda' for x on the host",
            call,
            TypeError,
            r"'cuda' takes arrays in device memory, got one in host memory; .*cuda\.to_device",
        )
        for call in (
            lambda has: fwht(has.host, backend="cuda"),
            lambda has: has.transform(has.host, has.host_factors, backend="cuda"),
        )
    ),
    (
        "host layer's cache on the device",
        lambda has: has.layer.backward(has.out, has.host_layer.forward(has.host)[1]),
        ValueError,
        WRONG_CACHE,
    ),
    (
        "device layer's cache on the host",
        lambda has: has.host_layer.backward(has.out.copy_to_host(), has.layer.forward(has.x)[1]),
        ValueError,
        WRONG_CACHE,
    ),
    (
        "host layer's buffers on the device",
        lambda has: has.layer.forward(has.x, cache=has.host_layer.forward(has.host, cache={})[1]),
        ValueError,
        WRONG_CACHE,
    ),
    (
        "device layer's buffers on the host",
        lambda has: has.host_layer.forward(has.host, cache=has.layer.forward(has.x, cache={})[1]),
        ValueError,
        WRONG_CACHE,
    ),
    # ------------------------------------------------------------------------- on another GPU
    *(
        (
            f"on another GPU: {name}",
            call,
            ValueError,
            rf"{name} must be in the memory of the current GPU 0, got one on GPU 3; "
            r"make that one current with numba\.cuda\.select_device\(3\)",
        )
        for name, call in (
            ("x", lambda has: fwht(Elsewhere(3))),
            ("x", lambda has: fwht(Elsewhere(3, "index"))),
            ("out", lambda has: fwht(has.x, out=Elsewhere(3))),
            ("x", lambda has: has.transform(Elsewhere(3))),
            ("factors.S", lambda has: has.transform(factors=has.factors._replace(S=Elsewhere(3)))),
            ("phase", lambda has: has.transform(nonlinearity="cos", phase=Elsewhere(3))),
            ("x", lambda has: has.layer(Elsewhere(3))),
            ("dy", lambda has: has.backward(Elsewhere(3, "index"))),
        )
    ),
    # ------------------------------------------------------------------------------- with gaps
    (
        "every second row",
        lambda has: fwht(has.long[::2]),
        ValueError,
        r"x must be C-contiguous in device memory, got strides \(64, 4\) for shape \(2, 8\)",
    ),
    (
        "transposed",
        lambda has: fwht(has.long.T),
        ValueError,
        r"x must be C-contiguous in device memory, got strides \(4, 32\) for shape \(8, 4\)",
    ),
    (
        "out with gaps",
        lambda has: fwht(has.x, out=has.long[::2]),
        ValueError,
        r"out must be C-contiguous in device memory, got strides \(64, 4\)",
    ),
    (
        "transform's x with gaps",
        lambda has: has.transform(has.long[:, :4]),
        ValueError,
        r"x must be C-contiguous in device memory, got strides \(32, 4\) for shape \(4, 4\)",
    ),
    (
        "a factor with gaps",
        lambda has: has.transform(factors=has.factors._replace(B=holding(np.float32, 4, 8)[::2])),
        ValueError,
        r"factors\.B must be C-contiguous in device memory",
    ),
    (
        "layer's x with gaps",
        lambda has: has.layer(has.long[::2]),
        ValueError,
        r"x must be C-contiguous in device memory, got strides \(64, 4\)",
    ),
    (
        "dy with gaps",
        lambda has: has.backward(holding(np.float32, 16, 2).T),
        ValueError,
        r"dy must be C-contiguous in device memory, got strides \(4, 8\) for shape \(2, 16\)",
    ),
    # --------------------------------------------------------------------- lengths and shapes
    (
        "length of fwht",
        lambda has: fwht(holding(np.float32, 2, 6)),
        ValueError,
        r"length of x along its last axis must be a power of two, got 6",
    ),
    (
        "length 0 of fwht",
        lambda has: fwht(holding(np.float32, 2, 0)),
        ValueError,
        r"length of x along its last axis must be a power of two, got 0",
    ),
    (
        "length of a Hadamard layer",
        lambda has: Hadamard().to_device()(holding(np.float32, 2, 6)),
        ValueError,
        r"last axis of x must be a power of two, got 6",
    ),
    (
        "too long",
        lambda has: fwht(never_filled(np.float32, 1, 2**25)),
        ValueError,
        r"length of x along its last axis must be at most \d+ for float32 .*, got 33554432",
    ),
    (
        "too long in half precision",
        lambda has: fwht(never_filled(np.float16, 1, 4096)),
        ValueError,
        r"must be at most 2048 for float16 in device memory, got 4096",
    ),
    (
        "too long for a Hadamard layer",
        lambda has: Hadamard().to_device()(never_filled(np.float32, 1, 2**25)),
        ValueError,
        r"x must be at most \d+ for float32 .*, got 33554432",
    ),
    ("a number", lambda has: fwht(cuda.to_device(np.array(1.0))), ValueError, r"x .*one axis, got"),
    (
        "a number for the transform",
        lambda has: has.transform(cuda.to_device(np.array(1.0, np.float32))),
        ValueError,
        r"x must have shape \(\.\.\., d_in\) with d_in <= 8, got \(\)",
    ),
    (
        "columns of the transform",
        lambda has: has.transform(holding(np.float32, 2, 9)),
        ValueError,
        r"x must have shape \(\.\.\., d_in\) with d_in <= 8, got \(2, 9\)",
    ),
    (
        "no columns of the transform",
        lambda has: has.transform(holding(np.float32, 2, 0)),
        ValueError,
        r"x must have shape \(\.\.\., d_in\) with d_in <= 8, got \(2, 0\)",
    ),
    (
        "columns of a layer",
        lambda has: has.layer(holding(np.float32, 2, 4)),
        ValueError,
        r"x must have shape \(m, 8\), got \(2, 4\)",
    ),
    (
        "columns of dy",
        lambda has: has.backward(holding(np.float32, 2, 8)),
        ValueError,
        r"dy must have shape \(m, 16\), got \(2, 8\)",
    ),
    (
        "rows of dy",
        lambda has: has.backward(holding(np.float32, 3, 16)),
        ValueError,
        r"dy must have y's shape \(2, 16\), got \(3, 16\)",
    ),
    (
        "shape of fwht's out",
        lambda has: fwht(has.x, out=has.long),
        ValueError,
        r"out must have the result's shape \(2, 8\), got \(4, 8\)",
    ),
    (
        "shape of the transform's out",
        lambda has: has.transform(out=has.long, nonlinearity="cos_sin"),
        ValueError,
        r"out must have the result's shape \(2, 32\), got \(4, 8\)",
    ),
    (
        "shape of the phase",
        lambda has: has.transform(nonlinearity="cos", phase=has.phase, n_out=12),
        ValueError,
        r"phase must have shape \(12,\), got \(16,\)",
    ),
    (
        "shapes of the factors",
        lambda has: has.transform(factors=has.factors._replace(G=holding(np.float32, 1, 8))),
        ValueError,
        r"factors must have one shape \(blocks, d_pad\), got \[\(1, 8\), \(2, 8\)\]",
    ),
    (
        "factors without blocks",
        lambda has: has.transform(
            factors=type(has.factors)(*(factor.reshape(16) for factor in has.factors))
        ),
        ValueError,
        r"factors must have one shape \(blocks, d_pad\), got \[\(16,\)\]",
    ),
    (
        "d_pad",
        lambda has: has.transform(
            factors=type(has.factors)(
                *(holding(dtype, 1, 12) for dtype in ("f4", "f4", "f4", "i4"))
            )
        ),
        ValueError,
        r"d_pad of the factors must be a power of two, got 12",
    ),
    ("n_out", lambda has: has.transform(n_out=17), ValueError, r"n_out must be at most 16, got 17"),
    ("n_out 0", lambda has: has.transform(n_out=0), ValueError, r"n_out must be at least 1, got 0"),
    # ------------------------------------------------------------------------- other arguments
    (
        "axis",
        lambda has: fwht(has.x, axis=0),
        ValueError,
        r"axis must be the last one in device memory, got 0",
    ),
    ("axis 1.0", lambda has: fwht(has.x, axis=1.0), TypeError, r"axis must be an integer, got 1.0"),
    ("norm", lambda has: fwht(has.x, norm="no"), ValueError, r"norm must be one of .*, got 'no'"),
    (
        "ordering",
        lambda has: ifwht(has.x, ordering="sequency"),
        ValueError,
        r"ordering must be one of 'hadamard', got 'sequency'",
    ),
    (
        "workers",
        lambda has: fwht(has.x, workers=2),
        ValueError,
        r"workers must be None for an array in device memory, got 2",
    ),
    (
        "transform's workers",
        lambda has: has.transform(workers=-1),
        ValueError,
        r"workers must be None for an array in device memory, got -1",
    ),
    (
        "not factors",
        lambda has: has.transform(factors=has.x),
        TypeError,
        r"factors must be FastfoodFactors, got \w*CUDA\w*",
    ),
    (
        "nonlinearity",
        lambda has: has.transform(nonlinearity="tanh"),
        ValueError,
        r"nonlinearity must be one of .*, got 'tanh'",
    ),
    (
        "no phase",
        lambda has: has.transform(nonlinearity="cos"),
        ValueError,
        r"phase must be given for the nonlinearity 'cos' .*, got None",
    ),
    (
        "a phase too many",
        lambda has: has.transform(phase=has.phase),
        ValueError,
        r"phase must be given for the nonlinearity 'cos' and only there, got one for 'none'",
    ),
    (
        "dtype of factors",
        lambda has: has.host_factors.to_device(np.float16),
        TypeError,
        r"dtype must be float32 or float64, got .*float16",
    ),
    (
        "no rng",
        lambda has: has.layer.forward(has.x, train=True),
        ValueError,
        r"rng must be given: with train=True this layer draws a dropout mask",
    ),
    # --------------------------------------------------------------------------------- overlap
    (
        "out one row behind x",
        lambda has: fwht(has.long[:3], out=has.long[1:]),
        ValueError,
        r"out must be x itself or not overlap it, got one that overlaps it",
    ),
    (
        "out one row before x",
        lambda has: fwht(has.long[1:], out=has.long[:3]),
        ValueError,
        r"out must be x itself or not overlap it, got one that overlaps it",
    ),
    (
        "transform's out is x",
        lambda has: has.transform(out=has.x, n_out=8),
        ValueError,
        r"out must not overlap x",
    ),
    (
        "transform's out overlaps x",
        lambda has: has.transform(has.long[:3], out=has.long[1:], n_out=8),
        ValueError,
        r"out must not overlap x",
    ),
    # ---------------------------------------------------------------------------------- memory
    (
        "no memory",
        lambda has: arrays.empty((2**20, 2**25), np.float32),
        MemoryError,
        r"no room in device memory for .* shape \(1048576, 33554432\) and dtype .*float32",
    ),
    # ---------------------------------------------------------------------------------- layers
    *(
        (
            f"{type(layer).__name__} without kernels",
            lambda has, layer=layer: layer.to_device(),
            TypeError,
            rf"{type(layer).__name__} has no kernels for a GPU; Diagonal, Fastfood, Hadamard and ",
        )
        for layer in (Dense(2, 2), Conv2D(1, 1, 1), ReLU())
    ),
    (
        "astype of a layer on the device",
        lambda has: has.layer.astype(np.float64),
        TypeError,
        r"astype is for a layer on the host: call it before to_device\(\)",
    ),
]


def never_filled(dtype: Any, *shape: int) -> Any:
    """Return an array of memory that the operating system gives only when it is written to."""
    return cuda.device_array(shape, dtype)


@pytest.fixture(autouse=True)
def _number_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator does not number its GPU."""
    monkeypatch.setattr(cuda, "get_current_device", lambda: SimpleNamespace(id=0), raising=False)


def row(name: str, call: Call, error: type[Exception], message: str, *wrong: str) -> Any:
    """Return a line of the table as pytest wants it."""
    marks = [pytest.mark.xfail(strict=True, reason=reason) for reason in wrong]
    return pytest.param(call, error, message, id=name, marks=marks)


@pytest.mark.parametrize(("call", "error", "message"), [row(*case) for case in CALLS])
def test_bad_input(call: Call, error: type[Exception], message: str) -> None:
    has = Inputs()
    before = has.bytes()
    with pytest.raises(error) as caught:
        call(has)
    assert type(caught.value) is error
    assert re.search(message, str(caught.value)), str(caught.value)
    assert has.bytes() == before


@pytest.fixture
def driver_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the driver give no memory any more, for this reason."""

    def from_now_on(reason: str) -> None:
        def device_array(*arguments: Any, **options: Any) -> None:
            raise cuda.cudadrv.driver.CudaAPIError(reason)

        monkeypatch.setattr(cuda, "device_array", device_array, raising=False)

    return from_now_on


NEW_ARRAYS: list[tuple[str, Call, str]] = [
    ("fwht", lambda has: fwht(has.x), r"\(2, 8\) and dtype float32"),
    ("transform", lambda has: has.transform(n_out=9), r"\(2, 9\) and dtype float32"),
    ("layer", lambda has: has.layer(has.x), r"\(2, 16\) and dtype float32"),
    ("its copy", lambda has: has.host_layer.to_device(), r"\(2, 8\) and dtype float32"),
    ("factors", lambda has: has.host_factors.to_device("f8"), r"\(2, 8\) and dtype float64"),
]


@pytest.mark.parametrize(
    ("call", "message"), [pytest.param(*case, id=name) for name, *case in NEW_ARRAYS]
)
def test_full_memory(call: Call, message: str, driver_says: Callable[[str], None]) -> None:
    has = Inputs()
    before = has.bytes()
    driver_says("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")
    with pytest.raises(MemoryError, match=f"no room in device memory for .* shape {message}"):
        call(has)
    assert has.bytes() == before


def test_other_errors_of_the_driver_are_not_hidden(driver_says: Callable[[str], None]) -> None:
    driver_says("[700] CUDA_ERROR_ILLEGAL_ADDRESS")
    with pytest.raises(cuda.cudadrv.driver.CudaAPIError, match="ILLEGAL_ADDRESS"):
        arrays.empty((1,), np.float32)
