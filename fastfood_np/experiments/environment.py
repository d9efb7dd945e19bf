"""What ``info`` tells: versions, processor, threads and backends of this machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from threadpoolctl import threadpool_info

from fastfood_np import backends

PACKAGES = [
    *("fastfood_np", "numpy", "numba", "llvmlite", "numba-cuda", "scipy"),
    *("matplotlib", "rich", "pooch", "scikit-learn"),
]


def environment() -> list[tuple[str, str]]:
    """Return (what, value) pairs."""
    rows = [("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    rows += [(name, _version(name)) for name in PACKAGES]
    rows.append(("CPUs", str(os.cpu_count())))
    rows += [(name, value) for name, value in backends.select("cpu").description().items()]
    for library in threadpool_info():
        if library["user_api"] == "blas":
            kernel = library.get("architecture", "unknown kernel")
            rows.append(
                (
                    f"BLAS ({Path(library['filepath']).parent.name})",
                    f"{library['internal_api']} {library['version']}, {kernel}, "
                    f"{library['num_threads']} threads",
                )
            )
    return rows + _gpu()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _gpu() -> list[tuple[str, str]]:
    try:
        described = list(backends.select_cuda().description().items())
    except backends.BackendUnavailableError as error:
        return [("backends", ", ".join(backends.NAMES)), ("GPU", f"none: {error}")]
    return [("backends", ", ".join([*backends.NAMES, "cuda"])), *described]
