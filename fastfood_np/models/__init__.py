"""Which layers, and which sizes."""

from fastfood_np.models.cifar10_quick import cifar10_quick
from fastfood_np.models.heads import HEADS, outputs_of, structured_layer
from fastfood_np.models.lenet import (
    decay_multipliers,
    deep_fried_lenet,
    lenet,
    rate_multipliers,
)

__all__ = [
    "HEADS",
    "cifar10_quick",
    "decay_multipliers",
    "deep_fried_lenet",
    "lenet",
    "outputs_of",
    "rate_multipliers",
    "structured_layer",
]
