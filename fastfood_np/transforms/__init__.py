"""Linear maps with nothing to train."""

from fastfood_np.transforms.circulant import (
    circulant_adjoint,
    circulant_matrix,
    circulant_transform,
    draw_circulant,
)
from fastfood_np.transforms.factors import FastfoodFactors, draw_fastfood, fastfood_matrix
from fastfood_np.transforms.fastfood import fastfood_transform
from fastfood_np.transforms.hadamard import fwht, ifwht

__all__ = [
    "FastfoodFactors",
    "circulant_adjoint",
    "circulant_matrix",
    "circulant_transform",
    "draw_circulant",
    "draw_fastfood",
    "fastfood_matrix",
    "fastfood_transform",
    "fwht",
    "ifwht",
]
