"""Numba CUDA: the functions of `backends.reference` that Fastfood needs, on arrays of a GPU."""

from fastfood_np.backends.cuda import arrays as arrays
from fastfood_np.backends.cuda.fastfood import fastfood_backward as fastfood_backward
from fastfood_np.backends.cuda.fastfood import fastfood_forward as fastfood_forward
from fastfood_np.backends.cuda.hadamard import fwht as fwht
from fastfood_np.backends.cuda.hadamard import max_length as max_length
