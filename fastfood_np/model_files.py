"""Models to and from disk: a versioned .npz without pickled objects.

The entry "header" is JSON: format, version, the architecture (class and config of each layer) and
metadata. Every parameter and every constant (Fastfood's permutation) is an entry of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np import layers
from fastfood_np.files import copy_arrays, read_npz, write_npz
from fastfood_np.layers import Layer, Sequential
from fastfood_np.validation import Array, ModelFileError, check_permutation

FORMAT, VERSION = "fastfood_np model", 1


def save_model(path: str | Path, model: Layer, metadata: dict[str, Any] | None = None) -> None:
    """Write `model`, and `metadata` (JSON values), to `path`, replacing it in one step."""
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
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a fastfood_np model ({error})") from error
    if version != VERSION:
        raise ModelFileError(f"{path}: model version {version}, this package reads {VERSION}")
    try:
        model = _build(architecture)
    except (KeyError, TypeError, ValueError, AttributeError, MemoryError) as error:
        raise ModelFileError(f"{path}: the architecture cannot be built ({error})") from error
    _check_permutations(path, arrays)
    copy_arrays(path, arrays, _arrays(model))
    return model, metadata


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
    if kind not in layers.__all__:
        raise ValueError(f"unknown layer {kind!r}")
    layer = getattr(layers, kind)(**config)
    if not isinstance(layer, Layer):
        raise TypeError(f"{kind!r} is no layer")
    return layer
