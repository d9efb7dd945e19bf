"""IDX, the file format of MNIST: a short header, then one array of numbers.

The header is two zero bytes, a byte for the type of the elements, a byte for the number of
dimensions, and four bytes for the size of each. All numbers are big-endian, the last index runs
fastest.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fastfood_np.files import write_whole
from fastfood_np.validation import Array, DatasetError, check_path

GZIP_MAGIC = b"\x1f\x8b"

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
ELEMENT_CODES = {dtype.newbyteorder("="): code for code, dtype in ELEMENT_TYPES.items()}

LARGEST_SIZE = 2**32 - 1
CHUNK = 2**20


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Read the array in an IDX file, plain or gzip.

    Gzip is recognised by the first bytes of the file; its name does not matter. No more memory
    is asked for than the file's contents need, whatever its header claims.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64, in this machine's byte order; its own
        memory, free to be written.

    Raises
    ------
    DatasetError
        Where the file is missing, is no IDX file, or is longer or shorter than its header says.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.gz"
    ...     write_idx(path, np.array([5, 0, 4], dtype=np.uint8))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    path = check_path(path, "path")
    try:
        if not path.exists():
            raise DatasetError(f"{path}: no such file")
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "neither a file nor a folder"
            raise DatasetError(f"{path}: must be a file, but is {kind}")
        with path.open("rb") as file:
            packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            file.seek(0)
            if not packed:
                return _read_array(file, path)
            with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                return _read_array(unpacked, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{path}: corrupt or truncated gzip file ({error})") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error


def write_idx(path: str | os.PathLike[str], array: Any) -> None:
    """Write an array as an IDX file; one whose name ends in ``.gz`` is compressed.

    The file appears whole or not at all, and the same array always gives the same bytes.

    Parameters
    ----------
    path : str or path-like
        Its folder is made if it does not exist.
    array : array_like
        One dimension or more, of uint8, int8, int16, int32, float32 or float64, in either
        byte order.
    """
    path = check_path(path, "path")
    content = idx_bytes(array)
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    write_whole(path, content)


def idx_bytes(array: Any) -> bytes:
    """Return the bytes of the plain IDX file that holds `array`."""
    array = np.asarray(array)
    code = ELEMENT_CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        allowed = ", ".join(dtype.name for dtype in ELEMENT_CODES)
        raise TypeError(f"array must have one of the dtypes {allowed}, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"array must have at least one dimension, got {array!r}")
    if max(array.shape) > LARGEST_SIZE:
        raise ValueError(f"array must have sizes up to {LARGEST_SIZE}, got shape {array.shape}")
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    elements: bytes = array.astype(ELEMENT_TYPES[code], copy=False).tobytes()
    return header + elements


def _read_array(stream: BinaryIO | gzip.GzipFile, path: Path) -> Array:
    dtype, shape = _read_header(stream, path)
    wanted = math.prod(shape) * dtype.itemsize
    content = _read_at_most(stream, wanted + 1)
    if len(content) != wanted:
        have = f"only {len(content)}" if len(content) < wanted else "more"
        trouble = "is truncated" if len(content) < wanted else "has bytes after its end"
        raise DatasetError(
            f"{path}: {trouble}: the header says {_times(shape)} elements of {dtype.name}, "
            f"{wanted} bytes, but the file holds {have}"
        )
    native = np.frombuffer(content, dtype).astype(dtype.newbyteorder("="), copy=False)
    try:
        return native.reshape(shape)
    except ValueError as error:
        raise DatasetError(f"{path}: NumPy has no arrays of shape {shape} ({error})") from error


def _read_header(
    stream: BinaryIO | gzip.GzipFile, path: Path
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type of the elements and the shape."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in ELEMENT_TYPES or not start[3]:
        codes = ", ".join(f"{code:02x}" for code in ELEMENT_TYPES)
        got = f"starts with {start.hex(' ')}" if start else "is empty"
        raise DatasetError(
            f"{path}: not an IDX file: must start with the bytes 00 00, one of {codes}, and the "
            f"number of dimensions, but {got}"
        )
    dims = start[3]
    sizes = stream.read(4 * dims)
    if len(sizes) < 4 * dims:
        raise DatasetError(f"{path}: is truncated: ends within the sizes of its {dims} dimensions")
    return ELEMENT_TYPES[start[2]], struct.unpack(f">{dims}I", sizes)


def _read_at_most(stream: BinaryIO | gzip.GzipFile, limit: int) -> bytearray:
    """Read up to `limit` bytes, a piece at a time: one large read would allocate `limit`."""
    content = bytearray()
    while len(content) < limit:
        piece = stream.read(min(CHUNK, limit - len(content)))
        if not piece:
            break
        content += piece
    return content


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
