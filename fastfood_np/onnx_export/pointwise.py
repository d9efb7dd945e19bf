"""Layers that take each number by itself, and those that move none."""

from __future__ import annotations

from fastfood_np.layers import Center, Diagonal, Dropout, Flatten, ReLU
from fastfood_np.onnx_export.graph import Scope


def center(to: Scope, layer: Center, x: str) -> str:
    """Subtract the mean, rounded to float32 as the layer does."""
    return to.add("Sub", x, to.array("mean", layer.constants["mean"]))


def diagonal(to: Scope, layer: Diagonal, x: str) -> str:
    """Multiply by D."""
    return to.add("Mul", x, to.array("D", layer.params["D"]))


def dropout(to: Scope, layer: Dropout, x: str) -> str:
    """Add nothing: at inference there is no dropout."""
    return x


def flatten(to: Scope, layer: Flatten, x: str) -> str:
    """Make a row of each input."""
    return to.add("Flatten", x, axis=1)


def relu(to: Scope, layer: ReLU, x: str) -> str:
    """Put zero for what is negative."""
    return to.add("Relu", x)
