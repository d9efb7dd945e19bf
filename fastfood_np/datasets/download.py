"""Fetching MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from pathlib import Path
from typing import Any

from fastfood_np.datasets.idx import GZIP_MAGIC, read_idx
from fastfood_np.datasets.known import FILE_NAMES, KNOWN, KnownSet, sha256_of
from fastfood_np.datasets.locations import download_folder, files_in
from fastfood_np.files import write_whole
from fastfood_np.validation import DatasetError, check_choice, check_path

TIMEOUT_SECONDS = 30
LARGEST_FILE = 64 * 2**20  # the largest of the files has 45 MiB


def download(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Fetch the four files of MNIST or Fashion-MNIST, and check them.

    Every file is asked of each mirror in turn until one gives the right bytes, and appears in
    the folder only after its checksum has proved right. Files that are already there are not
    fetched again, and never overwritten.

    Parameters
    ----------
    name : "mnist" or "fashion"
    folder : str, path-like or None
        Where the files go; made if it does not exist. None is the user's cache, where `load`
        looks for them.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DatasetError
        Where Pooch is not installed, no mirror gives a file, or a file of that name is already
        there and is not this set's.
    """
    known = KNOWN[check_choice(name, "name", tuple(KNOWN))]
    target = download_folder(name) if folder is None else check_path(folder, "folder")
    present = files_in(target)
    for part, path in present.items():
        if sha256_of(read_idx(path)) != known.sha256[part]:
            raise DatasetError(
                f"{path}: is not {known.title}'s file of that name; nothing was fetched. Move it "
                "away or choose another folder"
            )
    missing = [part for part in FILE_NAMES if part not in present]
    if missing:
        downloader = _http_downloader(known)
        for part in missing:
            content = _fetch_checked(downloader, known, part)
            ending = ".gz" if content.startswith(GZIP_MAGIC) else ""
            _save(target / f"{FILE_NAMES[part]}{ending}", content)
    return target


def _http_downloader(known: KnownSet) -> Any:
    try:
        import pooch
    except ImportError as error:
        raise DatasetError(
            f"{known.title} cannot be fetched: Pooch is not installed; "
            "pip install 'fastfood_np[data]' installs it"
        ) from error
    return pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)


def _fetch_checked(downloader: Any, known: KnownSet, part: str) -> bytes:
    """Return a file's bytes, mostly gzip, from the first mirror that has the right ones."""
    troubles = []
    for mirror in known.mirrors:
        url = f"{mirror}{FILE_NAMES[part]}.gz"
        try:
            content = _fetch(downloader, url)
            found = hashlib.sha256(_unpack(content)).hexdigest()
        except (OSError, EOFError, zlib.error) as error:
            troubles.append(f"  {url}: {error}")
            continue
        if found == known.sha256[part]:
            return content
        troubles.append(f"  {url}: wrong contents: SHA-256 {found}, not {known.sha256[part]}")
    raise DatasetError(
        f"{known.title} could not be fetched: no mirror has {FILE_NAMES[part]}:\n"
        + "\n".join(troubles)
    )


class _LimitedBuffer(io.BytesIO):
    """Bytes in memory; an endless answer ends in an OSError."""

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(piece) > LARGEST_FILE:
            raise OSError(f"longer than {LARGEST_FILE} bytes")
        return super().write(piece)


def _fetch(downloader: Any, url: str) -> bytes:
    buffer = _LimitedBuffer()
    downloader(url, buffer, None)
    return buffer.getvalue()


def _unpack(content: bytes) -> bytes:
    """Return what a gzip file holds; other bytes as they are: some servers unpack on their own."""
    if not content.startswith(GZIP_MAGIC):
        return content
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        unpacked = file.read(LARGEST_FILE + 1)
    if len(unpacked) > LARGEST_FILE:
        raise OSError(f"unpacks to more than {LARGEST_FILE} bytes")
    return unpacked


def _save(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror or error})") from error
