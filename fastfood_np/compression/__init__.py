"""Smaller weights: penalties while training, quantisers after it, and how codes are stored."""

from fastfood_np.compression.penalties import Binary, GroupLasso, Penalty, TwoValues

__all__ = ["Binary", "GroupLasso", "Penalty", "TwoValues"]
