"""Which tests are left out where they lack a package, or compiled kernels.

Doctests are not looked for where they lack a package: in features without scikit-learn, for one.
Tests marked `compiled_only` are skipped where kernels are plain Python, in which statistics,
searches and whole trainings take minutes: the usual run shows what they are about, and other tests
run the same lines.
"""

from importlib.util import find_spec

import numba
import pytest

NEEDS = {
    "fastfood_np/backends/cuda": "numba_cuda",
    "fastfood_np/features": "sklearn",
    "fastfood_np/onnx_export": "onnx",
    "tests/on_device.py": "numba_cuda",
}
collect_ignore = [path for path, package in NEEDS.items() if not find_spec(package)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is for compiled kernels only."""
    if numba.config.DISABLE_JIT:
        for item in items:
            if item.get_closest_marker("compiled_only"):
                item.add_marker(pytest.mark.skip(reason="compiled_only: long as plain Python"))
