"""Smaller weights: penalties while training, quantisers after it, and how codes are stored."""

from fastfood_np.compression import range_coder
from fastfood_np.compression.packing import bits_for, pack, unpack
from fastfood_np.compression.penalties import Binary, GroupLasso, Penalty, TwoValues
from fastfood_np.compression.product_quantized import (
    product_quantized_gradient,
    product_quantized_matrix,
)
from fastfood_np.compression.product_quantizer import ProductQuantizer
from fastfood_np.compression.scalar_quantizer import LloydMax, ScalarQuantizer, Uniform

__all__ = [
    "Binary",
    "GroupLasso",
    "LloydMax",
    "Penalty",
    "ProductQuantizer",
    "ScalarQuantizer",
    "TwoValues",
    "Uniform",
    "bits_for",
    "pack",
    "product_quantized_gradient",
    "product_quantized_matrix",
    "range_coder",
    "unpack",
]
