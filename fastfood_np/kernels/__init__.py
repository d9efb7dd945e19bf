"""Exact Mercer kernels: what random features approximate."""

from fastfood_np.kernels.arc_cosine import arc_cosine
from fastfood_np.kernels.ball_sum import ball_sum
from fastfood_np.kernels.gaussian import gaussian
from fastfood_np.kernels.laplacian import laplacian
from fastfood_np.kernels.matern import matern

__all__ = ["arc_cosine", "ball_sum", "gaussian", "laplacian", "matern"]
