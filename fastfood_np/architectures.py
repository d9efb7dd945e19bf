"""A model's architecture as JSON values, and models built from what a file claims of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastfood_np import layers
from fastfood_np.layers import Layer, Sequential
from fastfood_np.layers.codes import PACKED, check_packed_codes
from fastfood_np.transforms.factors import padded_size
from fastfood_np.validation import Array, check_choice, check_int, check_permutation, check_shape


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

    Raises whatever constructors raise that are fed with anything; ask `least_entries` or
    `building_bytes` first.
    """
    ((kind, config),) = description.items()
    if kind == "Sequential":
        return Sequential((name, build(part)) for name, part in config.items())
    layer_class = getattr(layers, kind) if kind in layers.__all__ else Layer
    if layer_class is Layer or not issubclass(layer_class, Layer):
        raise ValueError(f"unknown layer {kind!r}")
    if layer_class.__init__ is Layer.__init__ and config:
        raise ValueError(f"{kind} takes no options, got {', '.join(config)}")
    if "rng" in config:
        raise ValueError("rng is no option of a layer that is stored")
    check_choice(config.get("dtype", "float32"), "dtype", ("float32", "float64"))
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


# ---------------------------------------------------------------------------- what a layer holds


def _product(config: dict[str, Any], *names: str) -> int:
    return math.prod(check_int(config[name], name, minimum=1) for name in names)


def _shape_entries(config: dict[str, Any]) -> int:
    sizes = check_shape(config["shape"], "shape")
    check_int(len(sizes), "the length of shape", maximum=64)  # NumPy has no more axes
    return math.prod(sizes)


def _biases(config: dict[str, Any], name: str = "n_out", usual: bool = True) -> int:
    return _product(config, name) if config.get("bias", usual) else 0


def _block_circulant_entries(config: dict[str, Any]) -> int:
    b, d_in, n_out = (_product(config, name) for name in ("block_size", "d_in", "n_out"))
    return b * -(-d_in // b) * -(-n_out // b)  # b alone may be larger than d_in n_out


def _circulant_entries(config: dict[str, Any]) -> int:
    return 2 * _circulant_blocks(config) * _product(config, "d_in") + _biases(config, usual=False)


def _circulant_blocks(config: dict[str, Any]) -> int:
    return -(-_product(config, "n_out") // _product(config, "d_in"))


def _convolution_entries(config: dict[str, Any]) -> int:
    kernel = check_shape(config["kernel_size"], "kernel_size")
    weights = _product(config, "in_channels", "out_channels") * math.prod((2 * kernel)[:2])
    return weights + _biases(config, "out_channels")


def _hadamard_entries(config: dict[str, Any]) -> int:
    return _hadamard_blocks(config) * padded_size(_product(config, "d_in"))


def _hadamard_blocks(config: dict[str, Any]) -> int:
    return -(-_product(config, "n_out") // padded_size(_product(config, "d_in")))


def _permutation_entries(config: dict[str, Any]) -> int:
    return _integers_in(config["perm"])


def _integers_in(value: Any) -> int:
    """Return how many integers lists in lists hold; NumPy may take any memory for other things."""
    if isinstance(value, list):
        return sum(map(_integers_in, value))
    check_int(value, "perm", minimum=0)
    return 1


def _quantized_entries(config: dict[str, Any]) -> int:
    n_out, runs, size = (_product(config, name) for name in ("n_out", "n_subspaces", "n_centroids"))
    books = size * _product(config, "d_in") // (runs if config["shared"] else 1)
    return books + runs * (n_out if size > PACKED else -(-n_out // 2)) + _biases(config)


# How many numbers a layer holds by its config; a layer not named here holds none.
ENTRIES: dict[str, Callable[[dict[str, Any]], int]] = {
    "BlockCirculant": _block_circulant_entries,
    "Center": _shape_entries,
    "Circulant": _circulant_entries,
    "Conv2D": _convolution_entries,
    "ConvPool2D": _convolution_entries,
    "Dense": lambda config: _product(config, "d_in", "n_out") + _biases(config),
    "Diagonal": _shape_entries,
    "Fastfood": lambda config: 4 * _hadamard_entries(config),
    "Hashed": lambda config: _product(config, "n_hashed") + 1,
    "LowRank": lambda config: (
        _product(config, "rank") * (_product(config, "d_in") + _product(config, "n_out"))
    ),
    "Permutation": _permutation_entries,
    "QuantizedDense": _quantized_entries,
    "SORF": lambda config: 3 * _hadamard_entries(config),
}

# Layers whose blocks are drawn one after the other, and how many they have.
BLOCKS: dict[str, Callable[[dict[str, Any]], int]] = {
    "Circulant": _circulant_blocks,
    "Fastfood": _hadamard_blocks,
}


def least_entries(description: dict[str, Any]) -> int:
    """Return how many numbers the arrays of this architecture hold, at least.

    Asked before anything is built: a file of a few bytes must not claim gigabytes.
    """
    ((kind, config),) = description.items()
    if kind == "Sequential":
        return sum(least_entries(part) for part in config.values())
    return ENTRIES[kind](config) if kind in ENTRIES else 0


# What building takes at most, at a time: the numbers are drawn in float64, scaled and rounded; the
# objects around them are few, but each layer of a chain has its names in all chains around it.
BYTES_AN_ENTRY, BYTES_A_LAYER, BYTES_A_LETTER = 24, 1 << 13, 64


def building_bytes(description: dict[str, Any], depth: int = 1, letters: int = 0) -> int:
    """Return how many bytes of memory building this architecture and filling it takes at most.

    A block that is drawn by itself counts as a layer, for the time it takes.
    """
    ((kind, config),) = description.items()
    if kind == "Sequential":
        inner = (
            building_bytes(part, depth + 1, letters + len(name)) for name, part in config.items()
        )
        return depth * BYTES_A_LAYER + sum(inner)
    objects = depth * (BYTES_A_LAYER + letters * BYTES_A_LETTER)
    if kind in BLOCKS:
        objects += BLOCKS[kind](config) * BYTES_A_LAYER
    return objects + BYTES_AN_ENTRY * least_entries(description)
