"""The GPU that `bench_gpu` measures: whether there is one, and what a reader must know of it."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from optional import imported

from fastfood_np.backends import BackendUnavailableError

try:
    from fastfood_np.backends.cuda.numba_cuda import SIMULATED, check_device, cuda
except (BackendUnavailableError, ImportError) as error:
    SIMULATED, cuda, MISSING = False, None, str(error)
else:
    MISSING = ""

PACKAGES = ("numba-cuda", "cuda-bindings", "torch", "cupy-cuda13x", "fast_hadamard_transform")
READINGS = (
    *("driver_version", "clocks.sm", "clocks.max.sm", "clocks.mem"),
    *("temperature.gpu", "power.draw", "power.limit"),
)


def absence(smoke: bool) -> str | None:
    """Return why nothing can be measured here, None if there is a GPU (or a simulator to smoke)."""
    if cuda is None:
        return MISSING
    if SIMULATED:
        return None if smoke else "the simulator runs kernels, but its times mean nothing (--smoke)"
    try:
        check_device()
    except BackendUnavailableError as error:
        return str(error)
    return None


def torch_here() -> Any:
    """Return PyTorch where it computes on this GPU (beside the simulator: on the host), or None."""
    torch = imported("torch")
    return torch if torch is not None and (SIMULATED or torch.cuda.is_available()) else None


def cupy_here() -> Any:
    """Return CuPy where it computes on this GPU, or None."""
    return None if SIMULATED else imported("cupy")


def free_bytes() -> float:
    """Return how much device memory is free."""
    return float(cuda.current_context().get_memory_info()[0])


def description() -> dict[str, Any]:
    """Return the device, its driver, its clocks at this moment, and the packages that drive it."""
    if SIMULATED:
        return {"name": "the CUDA simulator", "packages": _packages()}
    device = cuda.get_current_device()
    name = device.name
    return {
        "name": name.decode() if isinstance(name, bytes) else str(name),
        "compute_capability": ".".join(map(str, device.compute_capability)),
        "multiprocessors": device.MULTIPROCESSOR_COUNT,
        "l2_bytes": device.L2_CACHE_SIZE,
        "memory_bytes": int(cuda.current_context().get_memory_info()[1]),
        **_readings(),
        "packages": _packages(),
    }


def _readings() -> dict[str, str]:
    """Return what nvidia-smi reads off the first GPU, nothing where it is not there."""
    command = ["nvidia-smi", f"--query-gpu={','.join(READINGS)}", "--format=csv,noheader"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = printed.stdout.splitlines()
    values = [value.strip() for value in lines[0].split(",")] if lines else []
    return dict(zip(READINGS, values, strict=False))


def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
