"""Orthogonal random features: frequencies of a block at right angles to each other."""

from __future__ import annotations

from fastfood_np.features.dense import DenseFeatures


class OrthogonalFeatures(DenseFeatures):
    pass
