"""Convolution and pooling."""

from __future__ import annotations

from typing import Any

from fastfood_np.layers import AveragePool2D, Conv2D, MaxPool2D
from fastfood_np.layers.pool2d import Pool2D
from fastfood_np.onnx_export.graph import Scope


def convolution(to: Scope, layer: Conv2D, x: str) -> str:
    """Write the convolution and, of `ConvPool2D`, the pooling and the ReLU behind it."""
    x = to.add(
        "Conv",
        x,
        *(to.array(name, value) for name, value in layer.params.items()),
        step="conv",
        kernel_shape=list(layer.params["W"].shape[2:]),
        pads=[layer.padding] * 4,
    )
    if layer.pool > 1:
        window = [layer.pool] * 2
        x = to.add("MaxPool", x, step="pool", kernel_shape=window, strides=window)
    return to.add("Relu", x, step="relu") if layer.relu else x


def max_pool(to: Scope, layer: MaxPool2D, x: str) -> str:
    """Write the largest of each window."""
    return to.add("MaxPool", x, **_windows(layer, to.shape))


def average_pool(to: Scope, layer: AveragePool2D, x: str) -> str:
    """Write the mean over the pixels in each window; what is over the edge does not count."""
    return to.add("AveragePool", x, count_include_pad=0, **_windows(layer, to.shape))


def _windows(layer: Pool2D, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the attributes that say where windows lie.

    Those over the lower and right edge are given by padding, which pooling leaves out: what
    rounding up means (`ceil_mode`) has not been the same in all versions of the standard.
    """
    size, stride = layer.size, layer.stride
    over = [-(length - size) % stride for length in shape[1:]]
    return {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [0, 0, *over]}
