"""Arrays of other libraries: results are arrays of theirs, and work goes on the stream they use.

Stand-ins for CuPy and PyTorch: their arrays are known by the name of the package they come from.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastfood_np import draw_fastfood, fastfood_transform, fwht
from fastfood_np.backends.cuda import arrays
from fastfood_np.backends.cuda.fastfood import backward, forward
from fastfood_np.backends.cuda.numba_cuda import cuda
from fastfood_np.layers import Fastfood

pytestmark = pytest.mark.simulated

STREAMS = {"cupy": 11, "torch": 22}


class Foreign:
    """An array of another library."""

    def __init__(self, memory: Any) -> None:
        self.memory, self.dtype, self.shape = memory, memory.dtype, memory.shape
        self.device = SimpleNamespace(index=0, id=0)
        self.__cuda_array_interface__ = memory.__array_interface__


def foreign(name: str, memory: Any) -> Any:
    """Return an array of the library of this name."""
    return type("ndarray", (Foreign,), {"__module__": f"{name}.core"})(memory)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a list of the streams that kernels are put on.

    The libraries are there, and the simulator takes their arrays.
    """
    used: list[Any] = []
    for name, stream in STREAMS.items():

        def empty(shape: Any, dtype: Any, device: Any = None, name: str = name) -> Any:
            return foreign(name, np.full(shape, np.nan, dtype))

        current = SimpleNamespace(ptr=stream, cuda_stream=stream)
        of_cuda = SimpleNamespace(
            get_current_stream=lambda current=current: current,
            current_stream=lambda device, current=current: current,
        )
        module = SimpleNamespace(empty=empty, cuda=of_cuda)
        monkeypatch.setitem(arrays.sys.modules, name, module)
    simulated = type(cuda.to_device(np.zeros(1)))
    for name, replacement in {
        "get_current_device": lambda: SimpleNamespace(id=0),
        "as_cuda_array": lambda x, sync: simulated(x.memory),
        "external_stream": lambda handle: handle,
    }.items():
        monkeypatch.setattr(cuda, name, replacement, raising=False)

    compiled = type(cuda.jit()(lambda: None))
    configure = compiled.__getitem__

    def noting(kernel: Any, configuration: Any) -> Any:
        used.append(configuration[2])
        return configure(kernel, configuration)

    monkeypatch.setattr(compiled, "__getitem__", noting)
    return used


@pytest.mark.parametrize("name", STREAMS)
def test_the_result_is_an_array_of_the_library_of_x(name: str, streams: list[Any]) -> None:
    values = np.arange(16, dtype=np.float32).reshape(2, 8)
    x = foreign(name, values.copy())
    y = fwht(x)
    assert type(y).__module__ == f"{name}.core"
    assert fwht(x, out=x) is x
    for result in (x, y):
        np.testing.assert_array_equal(result.memory, fwht(values))


@pytest.mark.parametrize("name", STREAMS)
def test_fwht_is_put_on_the_stream_of_x(name: str, streams: list[Any]) -> None:
    fwht(foreign(name, np.ones((2, 2, 8))))
    assert streams == [STREAMS[name]]


@pytest.mark.parametrize("name", STREAMS)
def test_fastfood_is_put_on_the_stream_of_x(name: str, streams: list[Any]) -> None:
    y = fastfood_transform(foreign(name, np.ones((2, 8))), draw_fastfood(8, 8).to_device("f8"))
    assert type(y).__module__ == f"{name}.core"
    assert streams == [STREAMS[name]]


def test_other_arrays_use_the_default_stream(streams: list[Any]) -> None:
    values = np.arange(8.0)
    y = fwht(foreign("somebody", values))
    assert isinstance(y, type(cuda.to_device(values)))
    np.testing.assert_array_equal(y.copy_to_host(), fwht(values))
    assert streams == [0]


def test_out_may_be_of_another_library(streams: list[Any]) -> None:
    values = np.arange(8.0)
    out = foreign("torch", np.empty(8))
    assert fwht(foreign("cupy", values), out=out) is out
    np.testing.assert_array_equal(out.memory, fwht(values))


@pytest.mark.parametrize(
    "form",
    ["fused", "composed", "by factors"],
)
@pytest.mark.parametrize("name", STREAMS)
def test_layers_stay_on_the_stream_of_x(
    name: str, form: str, streams: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "by factors":
        for module in (forward, backward):
            monkeypatch.setattr(module, "fits", lambda *_: False)
    layer = Fastfood(8, 8, rng=0, form="composed" if form == "composed" else "fused")
    x = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    there = layer.to_device()
    y, cache = there.forward(foreign(name, x))
    dx, grads = there.backward(foreign(name, x), cache)
    for result in (y, dx, *grads.values()):
        assert result.stream == STREAMS[name]
    assert set(streams) == {STREAMS[name]}
    np.testing.assert_allclose(y.copy_to_host(), layer(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("form", ["fused", "composed", "by factors"])
def test_backward_works_on_the_stream_of_dy(
    form: str, streams: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "by factors":
        for module in (forward, backward):
            monkeypatch.setattr(module, "fits", lambda *_: False)
    layer = Fastfood(8, 8, rng=0, form="composed" if form == "composed" else "fused").to_device()
    x = np.ones((2, 8), np.float32)
    _, cache = layer.forward(foreign("cupy", x))
    streams.clear()
    dx, grads = layer.backward(foreign("torch", x), cache)
    assert {result.stream for result in (dx, *grads.values())} == {STREAMS["torch"]}
    assert set(streams) == {STREAMS["torch"]}


def test_buffers_follow_the_stream_of_x(streams: list[Any]) -> None:
    layer = Fastfood(8, 8, rng=0).to_device()
    x, cache = np.ones((2, 8), np.float32), {}
    for name, stream in STREAMS.items():
        y, cache = layer.forward(foreign(name, x), cache=cache)
        assert y.stream == stream


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("reason", ["CUDA out of memory", "an illegal access was encountered"])
def test_their_errors(
    name: str, reason: str, streams: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That no memory is left is a MemoryError; anything else stays what it is."""

    def empty(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError(reason)

    monkeypatch.setattr(arrays.sys.modules[name], "empty", empty)
    full = "memory" in reason
    message = (
        r"no room in device memory for .* shape \(2, 8\) and dtype float32" if full else reason
    )
    with pytest.raises(MemoryError if full else RuntimeError, match=message):
        fwht(foreign(name, np.zeros((2, 8), np.float32)))
    assert streams == []
