"""Which layers, and which sizes."""

from fastfood_np.models.lenet import (
    decay_multipliers,
    deep_fried_lenet,
    lenet,
    rate_multipliers,
)

__all__ = ["decay_multipliers", "deep_fried_lenet", "lenet", "rate_multipliers"]
