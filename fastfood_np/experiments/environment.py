"""What ``info`` tells: versions, processor, threads and backends of this machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from threadpoolctl import threadpool_info

from fastfood_np import backends

PACKAGES = [
    *("fastfood_np", "numpy", "numba", "llvmlite", "scipy"),
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
    rows.append(("backends", ", ".join([*backends.NAMES, _cuda()])))
    return rows


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _cuda() -> str:
    found = "numba-cuda is installed" if find_spec("numba_cuda") else "numba-cuda is not installed"
    return f"no cuda backend yet ({found})"
