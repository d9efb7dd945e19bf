"""Files: written so that a reader never meets a half-written one, read without trusting them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from fastfood_np.validation import Array, ModelFileError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that becomes `path` when the block ends, and vanishes if it fails."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whose folder is made if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON."""
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as an uncompressed .npz file."""
    with replacing(path) as file:
        np.savez(file, **arrays)


def read_npz(path: Path) -> dict[str, Array]:
    """Return all arrays of an .npz file; pickled objects are refused.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModelFileError
        It is not a sound .npz file.
    """
    try:
        with path.open("rb") as start:
            if start.read(2) != b"PK":
                raise ValueError("no zip archive")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"entry {name!r} is no array")
            return arrays
    except FileNotFoundError:
        raise
    except Exception as error:  # a corrupt member may raise nearly anything: zip, zlib, tokenize
        raise ModelFileError(f"{path}: not a sound .npz file ({error})") from error


def copy_arrays(path: Path, arrays: Mapping[str, Array], targets: Mapping[str, Array]) -> None:
    """Copy `arrays`, read from `path`, into the `targets` of the same names.

    Raises
    ------
    ModelFileError
        A name, shape or dtype differs. Nothing is changed then.
    """
    if arrays.keys() != targets.keys():
        odd = ", ".join(sorted(arrays.keys() ^ targets.keys()))
        raise ModelFileError(f"{path}: does not fit this model: missing or unknown {odd}")
    for name, target in targets.items():
        if arrays[name].shape != target.shape or arrays[name].dtype != target.dtype:
            raise ModelFileError(
                f"{path}: {name} must be {target.dtype} {target.shape}, "
                f"got {arrays[name].dtype} {arrays[name].shape}"
            )
    for name, target in targets.items():
        target[...] = arrays[name]
