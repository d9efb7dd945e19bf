"""What a call costs where there is next to nothing to compute: a part of `bench_gpu`.

"host us" is how long the host takes for a call that it does not wait for, "GPU us" how long the
GPU is busy with it, by events.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from gpu_arrays import TORCH, empty, random, view
from gpu_device import SIMULATED, cuda, cupy_here
from gpu_run import Row, Run
from gpu_timing import host_seconds
from report import Table, verdict

from fastfood_np import fwht
from fastfood_np.layers import Fastfood

LENGTH, SMOKE_LENGTH = 64, 8
CALLS = 200  # far fewer than the GPU's queue holds, so that the host never waits
BATCHES = 5
GPU_CALLS = 50


def launch_rows(run: Run) -> None:
    """Measure calls on one short row."""
    d = SMOKE_LENGTH if run.smoke else LENGTH
    table = Table(
        f"what a call costs, one row of {d}",
        [("host us", ".1f"), ("GPU us", ".1f"), ("call", "s")],
    )
    for title, prepare in CALLED.items():
        row = run.attempt("launch cost", title, partial(_row, run, title, prepare, d))
        if row is not None:
            table.row(row["host_microseconds"], row["gpu_microseconds"], title)


def _row(run: Run, title: str, prepare: Callable[[int], Callable[[], Any]], d: int) -> Row:
    call = prepare(d)
    warm_up, calls, batches, times = (0, 1, 1, 1) if run.smoke else (10, CALLS, BATCHES, GPU_CALLS)
    for _ in range(warm_up):
        call()
    host = statistics.median(host_seconds(call, calls) for _ in range(batches))
    gpu = statistics.median(run.clock.seconds(call, times, times * host) for _ in range(batches))
    return {
        "what": "launch cost",
        "dtype": "float32",
        "m": 1,
        "d": d,
        "host_microseconds": 1e6 * host,
        "gpu_microseconds": 1e6 * gpu,
        **verdict(title, None, None),
    }


def empty_kernel(d: int) -> Callable[[], Any]:
    """Numba's own cost of a launch: a kernel that does nothing with one array."""
    kernel = cuda.jit(_do_nothing)[4 if SIMULATED else 128, 32]  # of fewer blocks Numba warns
    return partial(kernel, random(1, d))


def _do_nothing(x: Any) -> None:
    pass


def fwht_of_numba(d: int) -> Callable[[], Any]:
    """The public call on Numba's arrays."""
    return partial(fwht, random(1, d), norm="ortho", out=empty(1, d))


def fwht_of_cupy(d: int) -> Callable[[], Any]:
    """The public call on CuPy's arrays."""
    cupy = _there("CuPy", cupy_here())
    x = cupy.asarray(random(1, d))
    return partial(fwht, x, norm="ortho", out=cupy.empty_like(x))


def fwht_of_torch(d: int) -> Callable[[], Any]:
    """The public call on PyTorch's tensors."""
    torch = _there("PyTorch", TORCH)
    x = view(random(1, d))
    return partial(fwht, x, norm="ortho", out=torch.empty_like(x))


def negation_by_torch(d: int) -> Callable[[], Any]:
    """What PyTorch's own calls cost, to compare with."""
    torch = _there("PyTorch", TORCH)
    x = view(random(1, d))
    return partial(torch.neg, x, out=torch.empty_like(x))


def layer_forward(d: int) -> Callable[[], Any]:
    """The layer's forward with a cache."""
    layer, x = Fastfood(d, d, rng=0).to_device(), random(1, d)
    _, cache = layer.forward(x, cache={})
    return partial(layer.forward, x, cache=cache)


def layer_backward(d: int) -> Callable[[], Any]:
    """The layer's backward with a cache."""
    layer, x, dy = Fastfood(d, d, rng=0).to_device(), random(1, d), random(1, d, seed=1)
    _, cache = layer.forward(x, cache={})
    return partial(layer.backward, dy, cache)


def _there(name: str, library: Any) -> Any:
    if library is None or SIMULATED:
        raise RuntimeError(f"{name} does not compute on this device")
    return library


CALLED = {
    "an empty kernel of Numba": empty_kernel,
    "torch.neg": negation_by_torch,
    "fwht, Numba's array": fwht_of_numba,
    "fwht, CuPy's array": fwht_of_cupy,
    "fwht, PyTorch's tensor": fwht_of_torch,
    "Fastfood, forward": layer_forward,
    "Fastfood, backward": layer_backward,
}
