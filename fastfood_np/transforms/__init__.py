"""Linear maps with nothing to train."""

from fastfood_np.transforms.hadamard import fwht, ifwht

__all__ = ["fwht", "ifwht"]
