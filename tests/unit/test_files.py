"""Files appear whole or not at all, and are not trusted when they are read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_runs import contents

from fastfood_np.files import copy_arrays, read_npz, replacing, write_json, write_npz, write_whole
from fastfood_np.validation import ModelFileError


def test_replacing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"second, longer", b""):
        with replacing(path) as file:
            file.write(content)
        assert contents(tmp_path) == {"file": content}


def test_until_the_end_the_old_file_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new" * 100_000)
        assert path.read_bytes() == b"old"
    assert path.stat().st_size == 300_000


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_failure_leaves_no_trace(
    tmp_path: Path, error: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    before = contents(tmp_path)
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half")
        raise error
    assert contents(tmp_path) == before


def test_failing_json_and_npz_leave_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    before = contents(tmp_path)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    with pytest.raises(FileNotFoundError):
        write_npz(tmp_path / "no such folder" / "a.npz", {"a": np.zeros(2)})
    assert contents(tmp_path) == before
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 1}


def test_write_whole_makes_folders(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "c", b"content")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"content"


def test_npz_round_trip(tmp_path: Path) -> None:
    arrays = {
        "a.b:c": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.empty((0, 4)),
        "text": np.array("words"),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    }
    write_npz(tmp_path / "file.npz", arrays)
    back = read_npz(tmp_path / "file.npz")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_read_npz_refuses(tmp_path: Path) -> None:
    path = tmp_path / "file.npz"
    with pytest.raises(FileNotFoundError):
        read_npz(path)
    np.savez(path, a=np.array([{"pickled": "object"}], dtype=object))
    with pytest.raises(ModelFileError, match=r"file\.npz: not a sound .*allow_pickle=False"):
        read_npz(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(path)
    with pytest.raises(ModelFileError, match="no zip archive"):
        read_npz(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no array")
    with pytest.raises(ModelFileError, match=r"entry 'notes\.txt' is no array"):
        read_npz(path)


def test_copy_arrays_copies_all_or_nothing() -> None:
    path = Path("a.npz")
    targets = {"a": np.zeros(2), "b": np.zeros(3, np.float32)}
    good = {"a": np.array([1.0, 2.0]), "b": np.array([3, 4, 5], np.float32)}
    wrong = [
        ({"a": good["a"]}, "missing or unknown b"),
        (good | {"c": np.zeros(1)}, "missing or unknown c"),
        (good | {"b": np.zeros(2, np.float32)}, r"b must be float32 \(3,\), got float32 \(2,\)"),
        (good | {"b": np.zeros(3)}, r"b must be float32 \(3,\), got float64 \(3,\)"),
    ]
    for arrays, saying in wrong:
        with pytest.raises(ModelFileError, match=saying):
            copy_arrays(path, arrays, targets)
        assert not targets["a"].any() and not targets["b"].any()
    copy_arrays(path, good, targets)
    assert targets["a"].tolist() == [1, 2] and targets["b"].tolist() == [3, 4, 5]
