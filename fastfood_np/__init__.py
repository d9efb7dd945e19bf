"""The Fastfood transform and Deep Fried Convnets in NumPy and Numba.

>>> import numpy as np
>>> import fastfood_np
>>> fastfood_np.fwht(np.array([1.0, 2.0, 3.0, 4.0]))
array([10., -2., -4.,  0.])
>>> layer = fastfood_np.layers.Fastfood(800, 1024, rng=0)
>>> layer(np.zeros((64, 800), np.float32)).shape
(64, 1024)
"""

from importlib.metadata import PackageNotFoundError, version

from fastfood_np import kernels, layers, models
from fastfood_np.transforms import fwht, ifwht

try:
    __version__ = version("fastfood_np")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "unknown"

__all__ = ["__version__", "fwht", "ifwht", "kernels", "layers", "models"]
