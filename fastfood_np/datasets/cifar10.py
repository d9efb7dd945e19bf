"""CIFAR-10 in its binary version: six files of records, in a folder or in the published archive.

A record is a byte with the label and 3,072 bytes with the pixels: the red, then the green, then the
blue plane, each row by row. The published files hold 10,000 records each; any number is read.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from fastfood_np.datasets.dataset import N_CLASSES, Dataset
from fastfood_np.datasets.locations import DATA_VARIABLE, search_path
from fastfood_np.validation import DatasetError, check_path

NAME = "cifar10"
HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
ARCHIVE = "cifar-10-binary.tar.gz"
SUBFOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
FILES = (*TRAIN_FILES, *TEST_FILES)

IMAGE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def read_cifar10(folder: str | os.PathLike[str]) -> Dataset:
    """Read CIFAR-10 from a folder.

    Parameters
    ----------
    folder : str or path-like
        Holds the six files ``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``, or
        the folder ``cifar-10-batches-bin`` with them, or ``cifar-10-binary.tar.gz``, which is read
        without being unpacked on disk. The first of these that is complete is taken.

    Returns
    -------
    Dataset
        Images are uint8 of shape (n, 3, 32, 32).

    Raises
    ------
    DatasetError
        Where files are missing or broken.
    """
    folder = check_path(folder, "folder")
    data = _read_folder(folder)
    if data is None:
        raise DatasetError(f"{folder}: {_lacking(folder)}")
    return data


def find_cifar10() -> Dataset:
    """Read CIFAR-10 from the first place that has it, of those where data sets are looked for."""
    looked = []
    for folder in search_path(NAME):
        data = _read_folder(folder)
        if data is not None:
            return data
        looked.append(f"  {folder}: {_lacking(folder)}")
    raise DatasetError(
        "CIFAR-10 was not found. Looked in\n"
        + "\n".join(looked)
        + f"\nGive its folder, or name it in {DATA_VARIABLE}. It is not fetched: {HOME} has "
        f"{ARCHIVE}"
    )


def _read_folder(folder: Path) -> Dataset | None:
    """Return the set that lies in a folder, None where files are missing."""
    try:
        if folder.exists() and not folder.is_dir():
            raise DatasetError(f"{folder}: must be the folder of CIFAR-10, but is a file")
        for place in (folder, folder / SUBFOLDER):
            if not _missing(place):
                return _dataset({str(place / name): (place / name).read_bytes() for name in FILES})
        archive = folder / ARCHIVE
        return _dataset(_unpacked(archive)) if archive.is_file() else None
    except OSError as error:
        where = error.filename or folder
        raise DatasetError(f"{where}: cannot be read ({error.strerror or error})") from error


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


def _lacking(folder: Path) -> str:
    """Return why a folder has no CIFAR-10: the files that the place with most of them lacks."""
    if not folder.is_dir():
        return "no such folder"
    place = min((folder, folder / SUBFOLDER), key=lambda place: len(_missing(place)))
    inside = f"{SUBFOLDER} " if place != folder else ""
    return f"{inside}lacks {', '.join(_missing(place))} of the binary version, and no {ARCHIVE}"


def _unpacked(path: Path) -> dict[str, bytes]:
    """Return what the six files in the archive hold."""
    found = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in FILES and member.isreg() and not member.issparse():
                    found[name] = _content(archive, member)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise DatasetError(f"{path}: corrupt or truncated archive ({error})") from error
    lacking = [name for name in FILES if name not in found]
    if lacking:
        raise DatasetError(f"{path}: lacks {', '.join(lacking)}")
    return {f"{path}, {name}": found[name] for name in FILES}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return what a member holds, read in pieces: one large read would allocate what it claims."""
    source, content = archive.extractfile(member), io.BytesIO()
    if source is not None:
        shutil.copyfileobj(source, content)
    return content.getvalue()


def _dataset(contents: Mapping[str, bytes]) -> Dataset:
    """Return the set in the contents of the six files, in their order."""
    parts = [_records(content, name) for name, content in contents.items()]
    train, test = parts[: len(TRAIN_FILES)], parts[len(TRAIN_FILES) :]
    return Dataset(
        NAME,
        train_images=np.concatenate([images for images, _ in train]),
        train_labels=np.concatenate([labels for _, labels in train]),
        test_images=np.concatenate([images for images, _ in test]),
        test_labels=np.concatenate([labels for _, labels in test]),
    )


def _records(content: bytes, name: str) -> tuple[Images, Labels]:
    """Return images and labels; the message names the file that is wrong."""
    if not content:
        raise DatasetError(f"{name}: is empty")
    count, rest = divmod(len(content), RECORD)
    if rest:
        raise DatasetError(
            f"{name}: is truncated or no file of CIFAR-10: must hold records of {RECORD} bytes, "
            f"but after {count} of them come {rest} bytes"
        )
    records = np.frombuffer(content, np.uint8).reshape(count, RECORD)
    labels = records[:, 0].astype(np.int64)
    wrong = np.flatnonzero(labels >= N_CLASSES)
    if wrong.size:
        raise DatasetError(
            f"{name}: must hold labels 0..{N_CLASSES - 1}, got {labels[wrong[0]]} in record "
            f"{wrong[0]}, counted from 0"
        )
    return records[:, 1:].reshape(count, *IMAGE), labels
