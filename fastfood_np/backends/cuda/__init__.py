"""Numba CUDA: the functions of `backends.reference` that Fastfood needs, on arrays of a GPU."""

from fastfood_np.backends.cuda import arrays as arrays
from fastfood_np.backends.cuda.factors import (
    diagonal,
    diagonal_backward,
    drop,
    join,
    join_backward,
    permute,
    permute_backward,
    spread,
    spread_backward,
)
from fastfood_np.backends.cuda.fastfood import fastfood_backward, fastfood_forward
from fastfood_np.backends.cuda.fastfood import fastfood_scratch as fastfood_scratch
from fastfood_np.backends.cuda.hadamard import fwht
from fastfood_np.backends.cuda.hadamard import max_length as max_length
from fastfood_np.backends.cuda.numba_cuda import description

__all__ = [
    "description",
    "diagonal",
    "diagonal_backward",
    "drop",
    "fastfood_backward",
    "fastfood_forward",
    "fwht",
    "join",
    "join_backward",
    "permute",
    "permute_backward",
    "spread",
    "spread_backward",
]
