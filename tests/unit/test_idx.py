"""IDX files: what is written is read back, and every broken file is refused by name."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastfood_np.datasets import read_idx, write_idx
from fastfood_np.datasets.idx import idx_bytes
from fastfood_np.validation import DatasetError

DTYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")

# Two by three 16-bit integers, written out by hand.
BY_HAND = bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 ffff 0100 8000")


def refused(path: Path, saying: str) -> None:
    with pytest.raises(DatasetError, match=saying) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(
            dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
        )
    ),
    swapped=st.booleans(),
    packed=st.booleans(),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, swapped: bool, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / ("round.gz" if packed else "round")
    write_idx(path, array.astype(array.dtype.newbyteorder("S")) if swapped else array)
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == packed
    back = read_idx(path)
    assert back.dtype == array.dtype and back.dtype.isnative
    assert back.shape == array.shape
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
    assert back.flags.writeable


def test_bytes_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "hand"
    path.write_bytes(BY_HAND)
    expected = np.array([[1, 2, 3], [-1, 256, -32768]], dtype=np.int16)
    np.testing.assert_array_equal(read_idx(path), expected)
    np.testing.assert_array_equal(read_idx(str(path)), expected)
    assert idx_bytes(expected) == BY_HAND
    assert idx_bytes(np.asfortranarray(expected)) == BY_HAND


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(gzip.compress(BY_HAND))
    (tmp_path / "plain.gz").write_bytes(BY_HAND)
    for path in tmp_path.iterdir():
        assert read_idx(path).shape == (2, 3)


def test_missing_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such file")
    refused(tmp_path, "must be a file, but is a folder")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\0\x08",
        b"\1" + BY_HAND[1:],
        b"\0\1" + BY_HAND[2:],
        b"\0\0\x0a" + BY_HAND[3:],  # no such type of elements
        b"\0\0\x08\0\5",  # no dimensions
        b"P5 28 28 255",
    ],
)
def test_not_idx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    refused(path, "not an IDX file")


@pytest.mark.parametrize("packed", [False, True])
def test_cut_anywhere(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "cut"
    for length in range(4, len(BY_HAND)):
        content = BY_HAND[:length]
        path.write_bytes(gzip.compress(content) if packed else content)
        refused(path, "is truncated")


@pytest.mark.parametrize("packed", [False, True])
def test_trailing_bytes(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "long"
    content = BY_HAND + b"\0"
    path.write_bytes(gzip.compress(content) if packed else content)
    refused(path, "has bytes after its end")


def test_corrupt_gzip(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    whole = gzip.compress(idx_bytes(np.random.default_rng(0).random(500)))
    for length in range(2, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path, "corrupt or truncated gzip file")
    for position in (12, len(whole) // 2, len(whole) - 6, len(whole) - 1):
        broken = bytearray(whole)
        broken[position] ^= 0xFF
        path.write_bytes(broken)
        with pytest.raises(DatasetError) as caught:
            read_idx(path)
        assert str(path) in str(caught.value)
    path.write_bytes(whole + b"garbage")
    refused(path, "corrupt or truncated gzip file")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sizes", [(2**32 - 1,), (2**32 - 1,) * 3, (2**31, 2**31), (1,) * 255])
def test_absurd_sizes_allocate_nothing(
    tmp_path: Path, packed: bool, sizes: tuple[int, ...]
) -> None:
    path = tmp_path / "absurd"
    content = struct.pack(f">HBB{len(sizes)}I", 0, 0x0E, len(sizes), *sizes) + b"\0\0\0"
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        refused(path, "is truncated")
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_small_header_stops_a_gzip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(b"\0\0\x08\1\0\0\0\5" + bytes(2**26), compresslevel=1))
    tracemalloc.start()
    try:
        refused(path, "has bytes after its end")
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_shapes_numpy_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    for sizes in ((1,) * 255, (0, *(2**32 - 1,) * 3)):
        header = struct.pack(f">HBB{len(sizes)}I", 0, 0x08, len(sizes), *sizes)
        path.write_bytes(header + bytes(int(np.prod(sizes, dtype=object))))
        refused(path, "NumPy has no arrays of shape")


def test_writing_refuses_what_idx_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "new"
    for dtype in ("int64", "uint16", "float16", "bool", "complex64", "U3"):
        with pytest.raises(TypeError, match="array must have one of the dtypes"):
            write_idx(path, np.zeros(3, dtype))
    with pytest.raises(ValueError, match="at least one dimension"):
        write_idx(path, np.uint8(3))
    with pytest.raises(ValueError, match="sizes up to"):
        write_idx(path, np.zeros((0, 2**32), np.uint8))
    assert not path.exists()


@pytest.mark.parametrize("wrong", [3, None, b"bytes"])
def test_path_of_a_wrong_type(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"path must be a str or a pathlib\.Path"):
        read_idx(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"path must be a str or a pathlib\.Path"):
        write_idx(wrong, np.zeros(2, np.uint8))  # type: ignore[arg-type]


def test_empty_path() -> None:
    with pytest.raises(ValueError, match="path must be a path"):
        read_idx("")


def test_writing_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "labels"
    write_idx(path, np.array([1], np.uint8))

    def fail(self: Path, target: Path) -> Path:
        raise OSError("no rename today")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no rename today"):
        write_idx(path, np.array([2], np.uint8))
    assert list(path.parent.iterdir()) == [path]
    assert read_idx(path).tolist() == [1]


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    array = np.arange(300, dtype=np.int32)
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
