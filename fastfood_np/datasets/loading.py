"""Loading a data set: find its files, read them, check that they belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fastfood_np.datasets import cifar10
from fastfood_np.datasets.dataset import Dataset, check_pair, check_same_size
from fastfood_np.datasets.download import download as fetch
from fastfood_np.datasets.idx import read_idx
from fastfood_np.datasets.known import FILE_NAMES, FOLDERS, KNOWN, recognise
from fastfood_np.datasets.locations import DATA_VARIABLE, files_in, search_path, spellings
from fastfood_np.datasets.sample import load_sample
from fastfood_np.validation import Array, DatasetError, check_bool, check_choice, check_path

SAMPLE = "sample"


def load(
    name: str = SAMPLE, folder: str | os.PathLike[str] | None = None, *, download: bool = False
) -> Dataset:
    """Load a data set of labelled images.

    Parameters
    ----------
    name : "sample", "mnist", "fashion" or "cifar10"
        The sample is 8,000 + 2,000 digits of MNIST that come with the package. The other ones are
        MNIST, Fashion-MNIST and CIFAR-10 themselves, or files of the same names and form in
        `folder`.
    folder : str, path-like or None
        Where the four IDX files lie, plain or gzip; for CIFAR-10 see `read_cifar10`. None looks
        in the folder that the environment variable FASTFOOD_NP_DATA names, in its subfolder
        ``mnist``, ``fashion`` or ``fashion-mnist``, ``cifar10`` or ``cifar-10-batches-bin``, in
        ``datasets`` under the system's shared data, and in the user's cache. The sample takes no
        folder.
    download : bool
        Fetch files that are not found: into `folder`, or the user's cache. Needs Pooch. Not for
        CIFAR-10.

    Returns
    -------
    Dataset

    Raises
    ------
    DatasetError
        Where files are not found, are broken, or do not belong together.

    Examples
    --------
    >>> data = load("sample")
    >>> data
    Dataset('sample': 8000 training and 2000 test images of 28 x 28)
    >>> data.train_images.shape, data.train_images.dtype
    ((8000, 1, 28, 28), dtype('uint8'))
    """
    check_choice(name, "name", (SAMPLE, *FOLDERS))
    check_bool(download, "download")
    if name == SAMPLE:
        if folder is not None:
            raise ValueError(
                f"folder must be None with the sample, which comes with the package, got "
                f"{str(folder)!r}; choose another name for data in a folder"
            )
        return load_sample()
    if name == cifar10.NAME:
        if download:
            raise ValueError(
                f"download must be False with {name}, which is not fetched; {cifar10.HOME} has "
                f"{cifar10.ARCHIVE}"
            )
        return cifar10.find_cifar10() if folder is None else cifar10.read_cifar10(folder)
    if folder is None:
        files = _search(name, download)
    else:
        files = _look_in(name, check_path(folder, "folder"), download)
    return read_files(name, files)


def read_files(name: str, files: Mapping[str, Path]) -> Dataset:
    """Return the set in four IDX files; messages name the file that is wrong."""
    arrays = {part: _read_part(part, path) for part, path in files.items()}
    for which in ("train", "test"):
        images, labels = f"{which}_images", f"{which}_labels"
        check_pair(arrays[images], arrays[labels], str(files[images]), str(files[labels]))
    check_same_size(
        arrays["train_images"],
        arrays["test_images"],
        str(files["train_images"]),
        str(files["test_images"]),
    )
    return Dataset(name, **arrays)


def _read_part(part: str, path: Path) -> Array:
    """Return images as (n, 1, height, width), labels as int64."""
    array = read_idx(path)
    if part.endswith("images"):
        if array.ndim != 3 or array.dtype != np.uint8:
            raise DatasetError(
                f"{path}: must hold images, uint8 of shape (n, height, width), got {array.dtype} "
                f"of shape {array.shape}"
            )
        return array[:, np.newaxis]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DatasetError(
            f"{path}: must hold labels, integers of shape (n,), got {array.dtype} of shape "
            f"{array.shape}"
        )
    return array.astype(np.int64)


def _look_in(name: str, folder: Path, download: bool) -> dict[str, Path]:
    """Return the four files in the folder that the user gave."""
    files = files_in(folder)
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder}: must be the folder of the four IDX files, but is a file")
    if len(files) < len(FILE_NAMES) and download:
        files = files_in(fetch(name, folder))
    if len(files) < len(FILE_NAMES):
        if not folder.exists():
            raise DatasetError(f"{folder}: no such folder")
        lacking = [part for part in FILE_NAMES if part not in files]
        wanted = "\n".join(f"  {' or '.join(spellings(part))}" for part in lacking)
        raise DatasetError(f"{folder}: files are missing; looked for\n{wanted}")
    other = _other_set(name, files)
    if other is not None:
        raise DatasetError(f"{folder}: holds {other}, not {KNOWN[name].title}")
    return files


def _search(name: str, download: bool) -> dict[str, Path]:
    """Return the four files in the first place that has them all."""
    looked = []
    for folder in search_path(name):
        files = files_in(folder)
        if len(files) < len(FILE_NAMES):
            lacking = [spellings(part)[0] for part in FILE_NAMES if part not in files]
            note = f"lacks {', '.join(lacking)}" if folder.is_dir() else "no such folder"
            looked.append(f"  {folder}: {note}")
            continue
        other = _other_set(name, files)
        if other is None:
            return files
        looked.append(f"  {folder}: holds {other}")
    if download:
        return files_in(fetch(name))
    raise DatasetError(
        f"{KNOWN[name].title} was not found. Looked in\n"
        + "\n".join(looked)
        + f"\nGive its folder (--data), name it in {DATA_VARIABLE}, or fetch the files with "
        "--download, which needs the extra data: pip install 'fastfood_np[data]'"
    )


def _other_set(name: str, files: Mapping[str, Path]) -> str | None:
    """Return the title of the published set that these files are, unless it is `name`."""
    found = recognise(read_idx(files["test_labels"]))
    return None if found is None or found == name else KNOWN[found].title
