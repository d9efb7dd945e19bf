"""Exact Mercer kernels: what random features approximate."""

from fastfood_np.kernels.arc_cosine import arc_cosine
from fastfood_np.kernels.gaussian import gaussian

__all__ = ["arc_cosine", "gaussian"]
