"""The reader of CIFAR-10: generated files in its format, good and broken."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastfood_np.datasets import Dataset, load, read_cifar10
from fastfood_np.datasets.cifar10 import ARCHIVE, FILES, RECORD, SUBFOLDER
from fastfood_np.validation import DatasetError

Contents = dict[str, bytes]
COUNTS = (3, 1, 2, 5, 1, 4)


def records(count: int, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return b"".join(
        bytes([rng.integers(10)]) + rng.integers(0, 256, 3072, dtype=np.uint8).tobytes()
        for _ in range(count)
    )


def make_contents(seed: int = 0) -> Contents:
    """Return what six small files hold."""
    return {
        name: records(count, 10 * seed + number)
        for number, (name, count) in enumerate(zip(FILES, COUNTS, strict=True))
    }


def write(folder: Path, contents: Contents) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def tar_bytes(contents: Contents, prefix: str = f"{SUBFOLDER}/") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in {"readme.html": b"about", **contents}.items():
            member = tarfile.TarInfo(f"{prefix}{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def pack(folder: Path, contents: Contents, prefix: str = f"{SUBFOLDER}/") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARCHIVE).write_bytes(gzip.compress(tar_bytes(contents, prefix), 1))
    return folder


def assert_holds(data: Dataset, contents: Contents) -> None:
    """Every label and every pixel, one byte after the other."""
    assert data.name == "cifar10"
    train = b"".join(contents[name] for name in FILES[:5])
    for content, images, labels in (
        (train, data.train_images, data.train_labels),
        (contents[FILES[5]], data.test_images, data.test_labels),
    ):
        count = len(content) // RECORD
        assert images.shape == (count, 3, 32, 32) and images.dtype == np.uint8
        assert labels.shape == (count,) and labels.dtype == np.int64
        assert images.flags.c_contiguous and images.flags.writeable
        for i in range(count):
            record = content[i * RECORD : (i + 1) * RECORD]
            assert labels[i] == record[0]
            assert images[i].tobytes() == record[1:]


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the data sets that this machine may have."""
    monkeypatch.delenv("FASTFOOD_NP_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "system"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# ------------------------------------------------------------------------------- good files


def test_planes_are_red_green_blue_by_rows(tmp_path: Path) -> None:
    planes = np.zeros((3, 32, 32), np.uint8)
    planes[0, 0, 1], planes[1, 2, 0], planes[2, 31, 31] = 10, 20, 30
    record = bytes([7]) + planes.tobytes()
    assert [record[1 + 1], record[1 + 1024 + 64], record[-1]] == [10, 20, 30]
    data = read_cifar10(write(tmp_path, dict.fromkeys(FILES, record)))
    assert data.train_labels.tolist() == [7] * 5
    np.testing.assert_array_equal(data.test_images, planes[np.newaxis])


def test_folder(tmp_path: Path) -> None:
    contents = make_contents()
    write(tmp_path / "plain", contents)
    write(tmp_path / "outer" / SUBFOLDER, contents)
    for folder in ("plain", "outer", f"outer/{SUBFOLDER}"):
        assert_holds(load("cifar10", tmp_path / folder), contents)
    assert_holds(read_cifar10(str(tmp_path / "plain")), contents)
    assert repr(load("cifar10", tmp_path / "plain")) == (
        "Dataset('cifar10': 12 training and 4 test images of 3 x 32 x 32)"
    )


@pytest.mark.parametrize("prefix", [f"{SUBFOLDER}/", f"./{SUBFOLDER}/", ""])
def test_archive(tmp_path: Path, prefix: str) -> None:
    contents = make_contents()
    backwards = dict(reversed(contents.items()))
    assert_holds(load("cifar10", pack(tmp_path, backwards, prefix)), contents)
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE]  # nothing was unpacked


def test_the_first_complete_place_is_taken(tmp_path: Path) -> None:
    first, second, third = (make_contents(seed) for seed in (1, 2, 3))
    pack(tmp_path, third)
    assert_holds(read_cifar10(tmp_path), third)
    write(tmp_path / SUBFOLDER, second)
    assert_holds(read_cifar10(tmp_path), second)
    write(tmp_path, first)
    assert_holds(read_cifar10(tmp_path), first)
    (tmp_path / FILES[0]).unlink()
    assert_holds(read_cifar10(tmp_path), second)


# ------------------------------------------------------------------------------ where it is


def test_variable_and_its_subfolders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    monkeypatch.setenv("FASTFOOD_NP_DATA", str(here))
    contents = [make_contents(seed) for seed in range(4)]
    # From the last place that is looked at to the first.
    pack(here / "cifar10", contents[0])
    assert_holds(load("cifar10"), contents[0])
    pack(here, contents[1])
    assert_holds(load("cifar10"), contents[1])
    write(here / SUBFOLDER, contents[2])
    assert_holds(load("cifar10"), contents[2])
    write(here, contents[3])
    assert_holds(load("cifar10"), contents[3])


def test_system_then_cache(tmp_path: Path) -> None:
    cached, system = make_contents(1), make_contents(2)
    write(tmp_path / "cache" / "fastfood_np" / "cifar10", cached)
    assert_holds(load("cifar10"), cached)
    pack(tmp_path / "system" / "datasets" / "cifar10", system)
    assert_holds(load("cifar10"), system)


def test_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = write(tmp_path / "here", make_contents())
    monkeypatch.setenv("FASTFOOD_NP_DATA", str(here))
    (here / "test_batch.bin").unlink()
    with pytest.raises(DatasetError) as caught:
        load("cifar10")
    message = str(caught.value)
    assert f"{here}: lacks test_batch.bin of the binary version, and no {ARCHIVE}\n" in message
    assert f"{here / 'cifar10'}: no such folder" in message
    for word in ("CIFAR-10 was not found", "FASTFOOD_NP_DATA", "cs.toronto.edu", "system", "cache"):
        assert word in message


def test_it_is_not_fetched(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        with pytest.raises(ValueError, match=r"download must be False with cifar10.*toronto"):
            load("cifar10", folder, download=True)


# ---------------------------------------------------------------------------- broken files


def test_missing_files(tmp_path: Path) -> None:
    contents = make_contents()
    del contents["data_batch_3.bin"], contents["test_batch.bin"]
    saying = "lacks data_batch_3.bin, test_batch.bin"
    with pytest.raises(DatasetError, match=f"plain: {saying} of the binary version"):
        read_cifar10(write(tmp_path / "plain", contents))
    write(tmp_path / "inside" / SUBFOLDER, contents)
    with pytest.raises(DatasetError, match=f"inside: {SUBFOLDER} {saying}"):
        read_cifar10(tmp_path / "inside")
    with pytest.raises(DatasetError, match=rf"packed.{ARCHIVE}: {saying}$"):
        read_cifar10(pack(tmp_path / "packed", contents))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        read_cifar10(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="file: must be the folder of CIFAR-10, but is a file"):
        load("cifar10", tmp_path / "file")
    with pytest.raises(TypeError, match=r"folder must be a str or a pathlib\.Path, got 3"):
        load("cifar10", 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [write, pack])
@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (lambda content: b"", "is empty"),
        (lambda content: content[:-1], "after 0 of them come 3072 bytes"),
        (lambda content: 2 * content + b"\0", "after 2 of them come 1 bytes"),
        (lambda content: content + b"\x0a" + content[1:], "labels 0..9, got 10 in record 1"),
        (lambda content: b"\xff" + content[1:], "labels 0..9, got 255 in record 0"),
    ],
)
def test_broken_contents(
    tmp_path: Path,
    name: str,
    place: Callable[[Path, Contents], Path],
    change: Callable[[bytes], bytes],
    saying: str,
) -> None:
    contents = dict.fromkeys(FILES, records(1, 0))
    contents[name] = change(contents[name])
    with pytest.raises(DatasetError, match=saying) as caught:
        load("cifar10", place(tmp_path, contents))
    assert str(caught.value).startswith(str(tmp_path)) and name in str(caught.value)


def test_folders_in_the_place_of_files(tmp_path: Path) -> None:
    write(tmp_path, make_contents())
    (tmp_path / "test_batch.bin").unlink()
    (tmp_path / "test_batch.bin").mkdir()
    with pytest.raises(DatasetError, match=r"lacks test_batch\.bin"):
        read_cifar10(tmp_path)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    write(tmp_path, make_contents())
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DatasetError, match=r"data_batch_1\.bin: cannot be read \(Permission deni"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", gzip.compress(b"no archive")],
    ids=["empty", "text", "packed text"],
)
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ARCHIVE).write_bytes(content)
    with pytest.raises(DatasetError, match=r"gz: (corrupt or truncated archive|lacks data_ba)"):
        read_cifar10(tmp_path)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / ARCHIVE, "w:gz") as archive:
        for name in FILES:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, name
            archive.addfile(link)
    with pytest.raises(DatasetError, match="lacks data_batch_1"):
        read_cifar10(tmp_path)


def test_three_hundred_broken_archives(tmp_path: Path) -> None:
    """Bytes changed or cut off, of the compressed archive or within it: one error or the data."""
    contents = {name: records(1, number) for number, name in enumerate(FILES)}
    plain, rng, refused = tar_bytes(contents), np.random.default_rng(0), 0
    headers = [position for position in range(0, len(plain), 512) if plain[position:][:1] == b"c"]
    for trial in range(300):
        broken = bytearray(plain if trial % 3 else gzip.compress(plain, 1))
        position = int(rng.integers(len(broken)))
        if trial % 3 == 2:  # in the header of a member
            position = int(rng.choice(headers)) + int(rng.integers(512))
        if trial % 2:
            del broken[position:]
        else:
            broken[position] ^= int(rng.integers(1, 256))
        (tmp_path / ARCHIVE).write_bytes(gzip.compress(broken, 1) if trial % 3 else broken)
        try:
            data = read_cifar10(tmp_path)
        except DatasetError as error:
            refused += 1
            assert ARCHIVE in str(error)
        else:
            assert data.train_images.shape == (5, 3, 32, 32)
    assert 100 < refused < 300
