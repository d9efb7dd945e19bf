"""Where data sets are looked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fastfood_np.datasets.known import FILE_NAMES, FOLDERS
from fastfood_np.validation import DatasetError

DATA_VARIABLE = "FASTFOOD_NP_DATA"
APPLICATION = "fastfood_np"


def spellings(part: str) -> tuple[str, ...]:
    """Return the names under which a file may lie, in the order they are looked for.

    Examples
    --------
    >>> for name in spellings("test_labels"):
    ...     print(name)
    t10k-labels-idx1-ubyte
    t10k-labels-idx1-ubyte.gz
    t10k-labels.idx1-ubyte
    t10k-labels.idx1-ubyte.gz
    """
    name = FILE_NAMES[part]
    dotted = name.replace("-idx", ".idx")
    return name, f"{name}.gz", dotted, f"{dotted}.gz"


def files_in(folder: Path) -> dict[str, Path]:
    """Return those of the four files that lie in `folder`."""
    found = {}
    try:
        for part in FILE_NAMES:
            paths = (folder / name for name in spellings(part))
            path = next((path for path in paths if path.is_file()), None)
            if path is not None:
                found[part] = path
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return found


def search_path(name: str) -> Iterator[Path]:
    """Yield the folders where the known set `name` may lie, in the order they are looked at.

    The folder in the environment variable FASTFOOD_NP_DATA and its subfolder for the set, the
    system's shared data, the user's cache.
    """
    subfolders = FOLDERS[name]
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen:
        yield Path(chosen)
        yield from (Path(chosen) / subfolder for subfolder in subfolders)
    for shared in system_folders():
        yield from (shared / "datasets" / subfolder for subfolder in subfolders)
    yield download_folder(name)


def system_folders() -> list[Path]:
    """Return the folders of the system's shared data: XDG_DATA_DIRS or its default."""
    listed = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    folders = (Path(entry) for entry in listed.split(os.pathsep if os.name == "nt" else ":"))
    return [folder for folder in folders if folder.is_absolute()]


def download_folder(name: str) -> Path:
    """Return the folder of the known set `name` in the user's cache."""
    return cache_folder() / name


def cache_folder() -> Path:
    """Return the user's cache folder for this package; it need not exist.

    Pooch knows it on every system. Without Pooch nothing is downloaded, and the rule for Linux
    does: XDG_CACHE_HOME, or ``.cache`` in the home folder.
    """
    try:
        import pooch
    except ImportError:
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = given if given.is_absolute() else Path.home() / ".cache"
        return base / APPLICATION
    return Path(pooch.os_cache(APPLICATION))
