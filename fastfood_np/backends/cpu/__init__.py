"""Numba on the CPU: serial and parallel twins of the functions in `backends.reference`."""

from fastfood_np.backends.cpu.fastfood import fastfood_backward, fastfood_forward
from fastfood_np.backends.cpu.hadamard import fwht
from fastfood_np.backends.cpu.jit import serial, workers

__all__ = ["fastfood_backward", "fastfood_forward", "fwht", "serial", "workers"]
