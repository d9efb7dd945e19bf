"""Models to and from disk: a versioned .npz without pickled objects.

The entry "header" is JSON: format, version, the architecture (class and config of each layer) and
metadata. Every parameter and every constant (Fastfood's permutation) is an entry of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np import layers
from fastfood_np.files import copy_arrays, read_npz, write_npz
from fastfood_np.layers import Layer, Sequential
from fastfood_np.validation import (
    Array,
    ModelFileError,
    check_int,
    check_permutation,
    check_shape,
)

FORMAT, VERSION = "fastfood_np model", 1


def save_model(path: str | Path, model: Layer, metadata: dict[str, Any] | None = None) -> None:
    """Write `model`, and `metadata` (JSON values), to `path`, replacing it in one step.

    A layer in device memory is copied to the host for it.
    """
    model = model.to_host() if model.on_device else model
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": _describe(model),
        "metadata": metadata or {},
    }
    write_npz(Path(path), {"header": np.array(json.dumps(header)), **_arrays(model)})


def load_model(path: str | Path) -> tuple[Layer, dict[str, Any]]:
    """Return the model and the metadata that `save_model` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModelFileError
        The file is corrupt, no model, of an unknown version, or its arrays do not fit.
    """
    path = Path(path)
    arrays = read_npz(path)
    try:
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
        version, architecture, metadata = (
            header[key] for key in ("version", "architecture", "metadata")
        )
        if not isinstance(metadata, dict):
            raise TypeError(f"metadata must be an object, got {type(metadata).__name__}")
    except KeyError as error:
        raise ModelFileError(f"{path}: not a fastfood_np model (no entry {error})") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a fastfood_np model ({error})") from error
    if version != VERSION:
        raise ModelFileError(f"{path}: model version {version}, this package reads {VERSION}")
    try:
        claimed, held = least_entries(architecture), sum(array.size for array in arrays.values())
        if claimed > held:
            raise ValueError(f"it asks for {claimed} numbers, the file holds {held}")
        model = _build(architecture)
    except Exception as error:  # constructors fed with anything
        raise ModelFileError(f"{path}: the architecture cannot be built ({error})") from error
    _check_permutations(path, arrays)
    copy_arrays(path, arrays, _arrays(model))
    return model, metadata


def _block_circulant_entries(config: dict[str, Any]) -> int:
    b, d_in, n_out = (_product(config, name) for name in ("block_size", "d_in", "n_out"))
    return b * -(-d_in // b) * -(-n_out // b)  # b alone may be larger than d_in n_out


def _convolution_entries(config: dict[str, Any]) -> int:
    kernel = check_shape(config["kernel_size"], "kernel_size")
    return _product(config, "in_channels", "out_channels") * math.prod((2 * kernel)[:2])


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


def _check_permutations(path: Path, arrays: dict[str, Array]) -> None:
    """Kernels index by the permutation without a check, so a tampered file must not pass."""
    for name, array in arrays.items():
        if name.startswith("constant:") and name.endswith("perm"):
            try:
                check_permutation(array, name)
            except (TypeError, ValueError) as error:
                raise ModelFileError(f"{path}: {error}") from error


def _arrays(model: Layer) -> dict[str, Array]:
    arrays = {f"param:{name}": value for name, value in model.params.items()}
    return arrays | {f"constant:{name}": value for name, value in model.constants.items()}


def _describe(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, Sequential):
        return {"Sequential": {name: _describe(part) for name, part in layer.layers.items()}}
    config = dict(layer.config)
    if layer.dtype is not None:
        config["dtype"] = layer.dtype.name
    return {type(layer).__name__: config}


def _build(description: dict[str, Any]) -> Layer:
    ((kind, config),) = description.items()
    if kind == "Sequential":
        return Sequential((name, _build(part)) for name, part in config.items())
    layer_class = getattr(layers, kind) if kind in layers.__all__ else Layer
    if layer_class is Layer or not issubclass(layer_class, Layer):
        raise ValueError(f"unknown layer {kind!r}")
    layer: Layer = layer_class(**config)
    return layer
