"""The Fastfood transform and Deep Fried Convnets in NumPy and Numba.

>>> import numpy as np
>>> import fastfood_np
>>> fastfood_np.fwht(np.array([1.0, 2.0, 3.0, 4.0]))
array([10., -2., -4.,  0.])
>>> layer = fastfood_np.layers.Fastfood(800, 1024, rng=0)
>>> layer(np.zeros((64, 800), np.float32)).shape
(64, 1024)
"""

import importlib
from typing import Any

from fastfood_np import kernels, layers, models
from fastfood_np.precompile import warmup
from fastfood_np.transforms import draw_fastfood, fastfood_transform, fwht, ifwht

__all__ = [
    "draw_fastfood",
    "fastfood_transform",
    "fwht",
    "ifwht",
    "kernels",
    "layers",
    "models",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # on demand: importlib.metadata is slow to import
        from importlib.metadata import version

        return version("fastfood_np")
    if name == "features":  # needs scikit-learn
        return importlib.import_module("fastfood_np.features")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
