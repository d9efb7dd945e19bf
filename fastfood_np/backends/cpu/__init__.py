"""Numba on the CPU: the functions of `backends.reference`, compiled."""

from fastfood_np.backends.cpu.convolution import conv_pool2d
from fastfood_np.backends.cpu.convolution_gradients import (
    conv_pool2d_backward_input,
    conv_pool2d_backward_weights,
)
from fastfood_np.backends.cpu.fastfood import fastfood_backward, fastfood_forward
from fastfood_np.backends.cpu.hadamard import fwht
from fastfood_np.backends.cpu.hashing import hashed_matrix, hashed_matrix_backward
from fastfood_np.backends.cpu.host import description
from fastfood_np.backends.cpu.jit import serial, teams, workers
from fastfood_np.backends.cpu.nonlinearities import apply_nonlinearity
from fastfood_np.backends.cpu.pointwise import sgd_step
from fastfood_np.backends.cpu.pooling import (
    average_pool2d,
    average_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from fastfood_np.backends.cpu.quantized import quantized_forward
from fastfood_np.backends.cpu.quantized_gradients import quantized_backward
from fastfood_np.backends.cpu.range_coder import range_decode, range_encode
from fastfood_np.backends.cpu.widths import vectors
from fastfood_np.backends.reference_factors import (
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

__all__ = [
    "apply_nonlinearity",
    "average_pool2d",
    "average_pool2d_backward",
    "conv_pool2d",
    "conv_pool2d_backward_input",
    "conv_pool2d_backward_weights",
    "description",
    "diagonal",
    "diagonal_backward",
    "drop",
    "fastfood_backward",
    "fastfood_forward",
    "fwht",
    "hashed_matrix",
    "hashed_matrix_backward",
    "join",
    "join_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "permute",
    "permute_backward",
    "quantized_backward",
    "quantized_forward",
    "range_decode",
    "range_encode",
    "serial",
    "sgd_step",
    "spread",
    "spread_backward",
    "teams",
    "vectors",
    "workers",
]
