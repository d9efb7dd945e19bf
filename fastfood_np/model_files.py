"""Models to and from disk: a versioned .npz without pickled objects.

The entry "header" is JSON: format, version, the architecture (class and config of each layer) and
metadata. Every parameter and every constant (Fastfood's permutation) is an entry of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np.architectures import arrays_of, build, check_constants, describe, least_entries
from fastfood_np.compact_files import is_compact, load_compact
from fastfood_np.files import copy_arrays, read_npz, write_npz
from fastfood_np.layers import Layer
from fastfood_np.validation import ModelFileError

FORMAT, VERSION = "fastfood_np model", 1


def save_model(path: str | Path, model: Layer, metadata: dict[str, Any] | None = None) -> None:
    """Write `model`, and `metadata` (JSON values), to `path`, replacing it in one step.

    A layer in device memory is copied to the host for it.
    """
    model = model.to_host() if model.on_device else model
    header = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": describe(model),
        "metadata": metadata or {},
    }
    write_npz(Path(path), {"header": np.array(json.dumps(header)), **arrays_of(model)})


def load_model(path: str | Path) -> tuple[Layer, dict[str, Any]]:
    """Return the model and the metadata that `save_model` wrote, or `compact_files.save_compact`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModelFileError
        The file is corrupt, no model, of an unknown version, or its arrays do not fit.
    """
    path = Path(path)
    if is_compact(path):
        return load_compact(path)
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
        if claimed > 2 * held:  # a little more is an array of another shape, which is named below
            raise ValueError(f"it asks for {claimed} numbers, the file holds {held}")
        model = build(architecture)
    except Exception as error:  # constructors fed with anything
        raise ModelFileError(f"{path}: the architecture cannot be built ({error})") from error
    try:
        check_constants(arrays)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from error
    copy_arrays(path, arrays, arrays_of(model))
    return model, metadata
