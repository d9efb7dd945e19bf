"""Numba CUDA: the functions of `backends.reference` that Fastfood needs, on arrays of a GPU."""

from fastfood_np.backends.cuda import arrays as arrays
from fastfood_np.backends.cuda.hadamard import fwht as fwht
from fastfood_np.backends.cuda.hadamard import max_length as max_length
