"""Which layers, and which sizes."""

from fastfood_np.models.cifar10_quick import cifar10_quick
from fastfood_np.models.lenet import (
    decay_multipliers,
    deep_fried_lenet,
    lenet,
    rate_multipliers,
)

__all__ = ["cifar10_quick", "decay_multipliers", "deep_fried_lenet", "lenet", "rate_multipliers"]
