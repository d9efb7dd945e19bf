"""A model's architecture as JSON values, and models built from what a file claims of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastfood_np import layers
from fastfood_np.layers import Layer, Sequential
from fastfood_np.layers.codes import PACKED, check_packed_codes
from fastfood_np.validation import Array, check_int, check_permutation, check_shape


def describe(layer: Layer) -> dict[str, Any]:
    """Return the class and the config of a layer, or of each layer of a chain."""
    if isinstance(layer, Sequential):
        return {"Sequential": {name: describe(part) for name, part in layer.layers.items()}}
    config = dict(layer.config)
    if layer.dtype is not None:
        config["dtype"] = layer.dtype.name
    return {type(layer).__name__: config}


def build(description: dict[str, Any]) -> Layer:
    """Return the layer described, its params drawn anew.

    Raises whatever constructors raise that are fed with anything; ask `least_entries` first.
    """
    ((kind, config),) = description.items()
    if kind == "Sequential":
        return Sequential((name, build(part)) for name, part in config.items())
    layer_class = getattr(layers, kind) if kind in layers.__all__ else Layer
    if layer_class is Layer or not issubclass(layer_class, Layer):
        raise ValueError(f"unknown layer {kind!r}")
    layer: Layer = layer_class(**config)
    return layer


def arrays_of(model: Layer) -> dict[str, Array]:
    """Return the model's own arrays, as "param:<name>" and "constant:<name>"."""
    arrays = {f"param:{name}": value for name, value in model.params.items()}
    return arrays | {f"constant:{name}": value for name, value in model.constants.items()}


def check_constants(arrays: dict[str, Array]) -> None:
    """Raise ValueError or TypeError where kernels that check nothing could not take a constant."""
    for name, array in arrays.items():
        if name.startswith("constant:") and name.endswith("perm"):
            check_permutation(array, name)
        codebooks = arrays.get(f"param:{name.removeprefix('constant:')[:-5]}codebooks")
        if name.endswith("codes") and codebooks is not None and codebooks.ndim == 3:
            check_packed_codes(array, name, codebooks.shape[1])


def _block_circulant_entries(config: dict[str, Any]) -> int:
    b, d_in, n_out = (_product(config, name) for name in ("block_size", "d_in", "n_out"))
    return b * -(-d_in // b) * -(-n_out // b)  # b alone may be larger than d_in n_out


def _convolution_entries(config: dict[str, Any]) -> int:
    kernel = check_shape(config["kernel_size"], "kernel_size")
    return _product(config, "in_channels", "out_channels") * math.prod((2 * kernel)[:2])


def _quantized_entries(config: dict[str, Any]) -> int:
    n_out, runs, size = (_product(config, name) for name in ("n_out", "n_subspaces", "n_centroids"))
    books = size * _product(config, "d_in") // (runs if config["shared"] else 1)
    return books + runs * (n_out if size > PACKED else -(-n_out // 2))


def _product(config: dict[str, Any], *names: str) -> int:
    return math.prod(check_int(config[name], name, minimum=1) for name in names)


# How many numbers a layer holds, at least, by its config; a layer not named here holds none.
LEAST_ENTRIES: dict[str, Callable[[dict[str, Any]], int]] = {
    "BlockCirculant": _block_circulant_entries,
    "Center": lambda config: math.prod(check_shape(config["shape"], "shape")),
    "Circulant": lambda config: 2 * max(_product(config, "d_in"), _product(config, "n_out")),
    "Conv2D": _convolution_entries,
    "ConvPool2D": _convolution_entries,
    "Dense": lambda config: _product(config, "d_in", "n_out"),
    "Diagonal": lambda config: math.prod(check_shape(config["shape"], "shape")),
    "Fastfood": lambda config: 4 * max(_product(config, "d_in"), _product(config, "n_out")),
    "Hashed": lambda config: _product(config, "n_hashed"),
    "LowRank": lambda config: (
        _product(config, "rank") * (_product(config, "d_in") + _product(config, "n_out"))
    ),
    "QuantizedDense": _quantized_entries,
    "SORF": lambda config: 3 * max(_product(config, "d_in"), _product(config, "n_out")),
}


def least_entries(description: dict[str, Any]) -> int:
    """Return how many numbers the arrays of this architecture hold, at least.

    Asked before anything is built: a file of a few bytes must not claim gigabytes.
    """
    ((kind, config),) = description.items()
    if kind == "Sequential":
        return sum(least_entries(part) for part in config.values())
    return LEAST_ENTRIES[kind](config) if kind in LEAST_ENTRIES else 0
