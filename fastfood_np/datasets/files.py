"""Paths given by the user, and files written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastfood_np.files import replacing


def check_path(value: Any, name: str) -> Path:
    """Return a str or path-like `value` as a Path; anything else is a TypeError."""
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        if isinstance(text, str):
            if not text:
                raise ValueError(f"{name} must be a path, got the empty string")
            return Path(text)
    raise TypeError(f"{name} must be a str or a pathlib.Path, got {value!r}")


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`: other readers see the old file or the new one, never a part.

    The folder is made if it does not exist.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)
