"""Data sets: the checks on their arrays, where they are looked for, and how they are fetched."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfood_np.datasets import Dataset, download, load, write_idx
from fastfood_np.datasets import known as known_sets
from fastfood_np.datasets.idx import idx_bytes
from fastfood_np.datasets.locations import (
    cache_folder,
    files_in,
    search_path,
    spellings,
    system_folders,
)
from fastfood_np.validation import DatasetError

DOWNLOAD_MODULE = sys.modules["fastfood_np.datasets.download"]
PARTS = tuple(known_sets.FILE_NAMES)
Arrays = dict[str, np.ndarray]

needs_pooch = pytest.mark.skipif(
    importlib.util.find_spec("pooch") is None, reason="needs Pooch: the extra data"
)


def make_arrays(seed: int = 0, train: int = 60, test: int = 30) -> Arrays:
    """Return what four small IDX files hold."""
    rng = np.random.default_rng(seed)
    return {
        "train_images": rng.integers(0, 256, (train, 6, 5), dtype=np.uint8),
        "train_labels": rng.integers(0, 10, train, dtype=np.uint8),
        "test_images": rng.integers(0, 256, (test, 6, 5), dtype=np.uint8),
        "test_labels": rng.integers(0, 10, test, dtype=np.uint8),
    }


def write_set(folder: Path, arrays: Arrays, ending: str = "") -> Path:
    for part, array in arrays.items():
        write_idx(folder / f"{known_sets.FILE_NAMES[part]}{ending}", array)
    return folder


def fields(arrays: Arrays) -> dict[str, Any]:
    """Return the same as Dataset takes it."""
    return {
        part: array[:, np.newaxis] if part.endswith("images") else array.astype(np.int64)
        for part, array in arrays.items()
    }


def assert_holds(data: Dataset, arrays: Arrays) -> None:
    for part, array in fields(arrays).items():
        np.testing.assert_array_equal(getattr(data, part), array, err_msg=part)
        assert getattr(data, part).dtype == array.dtype


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the data sets that this machine may have."""
    monkeypatch.delenv("FASTFOOD_NP_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path / "system"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")


class TestDataset:
    def test_good(self) -> None:
        data = Dataset("mine", **fields(make_arrays()))
        assert repr(data) == "Dataset('mine': 60 training and 30 test images of 6 x 5)"
        with pytest.raises(FrozenInstanceError):
            data.name = "other"  # type: ignore[misc]

    def test_three_channels(self) -> None:
        arrays = fields(make_arrays())
        for part in ("train_images", "test_images"):
            arrays[part] = arrays[part].repeat(3, axis=1)
        data = Dataset("colours", **arrays)
        assert repr(data) == "Dataset('colours': 60 training and 30 test images of 3 x 6 x 5)"

    @pytest.mark.parametrize(
        ("part", "change", "saying"),
        [
            ("train_images", lambda a: a[:, 0], "train_images must be uint8 of shape"),
            ("train_images", lambda a: a.astype(np.float32), "got float32 of shape"),
            ("train_images", lambda a: a.tolist(), "got list"),
            ("test_images", lambda a: a.repeat(2, axis=1), "images of one channel or three"),
            ("test_images", lambda a: a.repeat(3, axis=1), "same size, got 6 x 5 and 3 x 6 x 5"),
            ("test_images", lambda a: a[:0], "at least one of them"),
            ("test_images", lambda a: a[..., :0], "at least one pixel"),
            ("train_labels", lambda a: a.astype(np.uint8), "must be int64 of shape"),
            ("train_labels", lambda a: a[:, np.newaxis], "train_labels must be int64 of shape"),
            ("train_labels", lambda a: a[:-1], "60 images and 59 labels"),
            ("test_labels", lambda a: a - 20, "test_labels must hold labels 0..9"),
            ("test_labels", lambda a: np.full_like(a, 10), "got 10 at position 0"),
            ("test_images", lambda a: a[:, :, :-1], "same size, got 6 x 5 and 5 x 5"),
        ],
    )
    def test_bad(self, part: str, change: Callable[[Any], Any], saying: str) -> None:
        arrays = fields(make_arrays())
        arrays[part] = change(arrays[part])
        with pytest.raises(DatasetError, match=saying):
            Dataset("mine", **arrays)


class TestFolder:
    @pytest.mark.parametrize("ending", ["", ".gz"])
    def test_load(self, tmp_path: Path, ending: str) -> None:
        arrays = make_arrays()
        write_set(tmp_path, arrays, ending)
        for name in ("mnist", "fashion"):
            data = load(name, tmp_path)
            assert data.name == name
            assert_holds(data, arrays)
        assert_holds(load("mnist", str(tmp_path)), arrays)

    def test_every_spelling_mixed(self, tmp_path: Path) -> None:
        arrays = make_arrays()
        for shift in range(4):
            folder = tmp_path / str(shift)
            for number, part in enumerate(PARTS):
                write_idx(folder / spellings(part)[(number + shift) % 4], arrays[part])
            assert_holds(load("mnist", folder), arrays)

    def test_plain_file_is_preferred(self, tmp_path: Path) -> None:
        arrays = make_arrays()
        write_set(tmp_path, make_arrays(seed=1), ".gz")
        write_set(tmp_path, arrays)
        assert_holds(load("mnist", tmp_path), arrays)

    def test_missing_files(self, tmp_path: Path) -> None:
        write_set(tmp_path, make_arrays())
        (tmp_path / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(DatasetError) as caught:
            load("mnist", tmp_path)
        message = str(caught.value)
        assert str(tmp_path) in message
        assert all(name in message for name in spellings("test_labels"))
        assert "train-images" not in message

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="no such folder"):
            load("mnist", tmp_path / "nowhere")
        (tmp_path / "file").touch()
        with pytest.raises(DatasetError, match="but is a file"):
            load("mnist", tmp_path / "file")

    @pytest.mark.parametrize(
        ("part", "change", "saying"),
        [
            ("train_labels", lambda a: a[:59], "60 images and 59 labels"),
            ("test_images", lambda a: a[:29], "29 images and 30 labels"),
            ("train_labels", lambda a: a + 5, "must hold labels 0..9, got 1"),
            ("test_labels", lambda a: a.astype(np.int8) - 9, "must hold labels 0..9, got -"),
            ("train_labels", lambda a: a.astype(np.float32), "must hold labels, integers"),
            ("train_labels", lambda a: a[:, np.newaxis], "must hold labels, integers of shape"),
            ("train_images", lambda a: a[0], "must hold images, uint8 of shape"),
            ("train_images", lambda a: a.astype(np.int16), "must hold images, uint8"),
            ("test_images", lambda a: a[:, :, :4], "same size, got 6 x 5 and 6 x 4"),
            ("test_images", lambda a: a[:0], "at least one of them"),
        ],
    )
    def test_wrong_contents(
        self, tmp_path: Path, part: str, change: Callable[[Any], Any], saying: str
    ) -> None:
        arrays = make_arrays()
        arrays[part] = change(arrays[part])
        write_set(tmp_path, arrays)
        with pytest.raises(DatasetError, match=saying) as caught:
            load("mnist", tmp_path)
        assert str(tmp_path / known_sets.FILE_NAMES[part]) in str(caught.value)

    @pytest.mark.parametrize("part", PARTS)
    def test_truncated(self, tmp_path: Path, part: str) -> None:
        write_set(tmp_path, make_arrays())
        path = tmp_path / known_sets.FILE_NAMES[part]
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DatasetError, match="is truncated") as caught:
            load("mnist", tmp_path)
        assert str(path) in str(caught.value)

    def test_corrupt_gzip(self, tmp_path: Path) -> None:
        write_set(tmp_path, make_arrays(), ".gz")
        path = tmp_path / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(DatasetError, match="corrupt or truncated gzip file") as caught:
            load("mnist", tmp_path)
        assert str(path) in str(caught.value)

    def test_images_and_labels_swapped(self, tmp_path: Path) -> None:
        arrays = make_arrays()
        arrays["train_images"], arrays["train_labels"] = (
            arrays["train_labels"],
            arrays["train_images"],
        )
        write_set(tmp_path, arrays)
        with pytest.raises(DatasetError, match="must hold images"):
            load("mnist", tmp_path)


class TestArguments:
    def test_name(self) -> None:
        with pytest.raises(ValueError, match="name must be one of 'sample', 'mnist', 'fashion'"):
            load("cifar")
        with pytest.raises(ValueError, match="name must be one of 'mnist', 'fashion'"):
            download("sample")

    def test_sample_takes_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="folder must be None with the sample"):
            load("sample", tmp_path)

    def test_types(self, tmp_path: Path) -> None:
        with pytest.raises(TypeError, match=r"folder must be a str or a pathlib\.Path, got 3"):
            load("mnist", 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="download must be True or False"):
            load("mnist", tmp_path, download="yes")  # type: ignore[arg-type]


class TestSearch:
    def test_variable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        arrays = make_arrays()
        monkeypatch.setenv("FASTFOOD_NP_DATA", str(write_set(tmp_path / "here", arrays)))
        assert_holds(load("mnist"), arrays)
        assert_holds(load("fashion"), arrays)

    def test_subfolders_of_the_variable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digits, clothes, other = make_arrays(1), make_arrays(2), make_arrays(3)
        monkeypatch.setenv("FASTFOOD_NP_DATA", str(tmp_path / "here"))
        write_set(tmp_path / "here" / "mnist", digits)
        write_set(tmp_path / "here" / "fashion-mnist", clothes, ".gz")
        assert_holds(load("mnist"), digits)
        assert_holds(load("fashion"), clothes)
        write_set(tmp_path / "here" / "fashion", other)
        assert_holds(load("fashion"), other)

    def test_system_then_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cached, system, chosen = make_arrays(1), make_arrays(2), make_arrays(3)
        write_set(cache_folder() / "fashion", cached)
        assert_holds(load("fashion"), cached)
        write_set(tmp_path / "system" / "datasets" / "fashion-mnist", system, ".gz")
        assert_holds(load("fashion"), system)
        monkeypatch.setenv("FASTFOOD_NP_DATA", str(write_set(tmp_path / "here", chosen)))
        assert_holds(load("fashion"), chosen)

    def test_incomplete_folder_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arrays = make_arrays()
        monkeypatch.setenv("FASTFOOD_NP_DATA", str(write_set(tmp_path / "here", arrays)))
        (tmp_path / "here" / "train-images-idx3-ubyte").unlink()
        with pytest.raises(DatasetError) as caught:
            load("mnist")
        message = str(caught.value)
        assert f"{tmp_path / 'here'}: lacks train-images-idx3-ubyte\n" in message
        assert f"{tmp_path / 'here' / 'mnist'}: no such folder" in message
        assert str(tmp_path / "system") in message and str(tmp_path / "cache") in message
        for word in ("MNIST was not found", "--data", "--download", "FASTFOOD_NP_DATA", "[data]"):
            assert word in message
        write_set(tmp_path / "system" / "datasets" / "mnist", arrays)
        assert_holds(load("mnist"), arrays)

    def test_broken_file_is_not_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FASTFOOD_NP_DATA", str(write_set(tmp_path / "here", make_arrays())))
        (tmp_path / "here" / "t10k-labels-idx1-ubyte").write_bytes(b"")
        with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte: not an IDX file"):
            load("mnist")

    def test_one_set_is_not_taken_for_the_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digits, clothes = make_arrays(1), make_arrays(2)
        publish(monkeypatch, "mnist", digits)
        folder = write_set(tmp_path / "here", digits)
        with pytest.raises(DatasetError, match="holds MNIST, not Fashion-MNIST"):
            load("fashion", folder)
        assert_holds(load("mnist", folder), digits)
        monkeypatch.setenv("FASTFOOD_NP_DATA", str(folder))
        with pytest.raises(DatasetError, match="here: holds MNIST\n"):
            load("fashion")
        write_set(tmp_path / "system" / "datasets" / "fashion-mnist", clothes)
        assert_holds(load("fashion"), clothes)

    def test_default_folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("XDG_DATA_DIRS")
        assert system_folders() == [Path("/usr/local/share"), Path("/usr/share")]
        assert Path("/usr/share/datasets/fashion-mnist") in search_path("fashion")
        monkeypatch.setenv("XDG_DATA_DIRS", f"relative:{tmp_path}::")
        assert system_folders() == [tmp_path]

    def test_cache_without_pooch(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pooch", None)
        assert cache_folder() == tmp_path / "cache" / "fastfood_np"
        for unset in ("", "relative"):
            monkeypatch.setenv("XDG_CACHE_HOME", unset)
            assert cache_folder() == Path.home() / ".cache" / "fastfood_np"

    def test_unreadable_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path) -> bool:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "is_file", refuse)
        with pytest.raises(DatasetError, match=r"cannot be read \(Permission denied\)"):
            load("mnist", tmp_path)


def publish(monkeypatch: pytest.MonkeyPatch, name: str, arrays: Arrays, *mirrors: str) -> None:
    """Let `arrays` stand for the published set `name`."""
    checksums = {
        part: hashlib.sha256(idx_bytes(array)).hexdigest() for part, array in arrays.items()
    }
    small = replace(known_sets.KNOWN[name], sha256=checksums, mirrors=mirrors)
    monkeypatch.setitem(known_sets.KNOWN, name, small)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *values: Any) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A mirror for every folder in tmp_path / "mirrors"."""
    (tmp_path / "mirrors").mkdir()
    handler = partial(QuietHandler, directory=str(tmp_path / "mirrors"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def mirrors(server: ThreadingHTTPServer) -> Callable[..., list[str]]:
    def addresses(*names: str) -> list[str]:
        return [f"http://127.0.0.1:{server.server_address[1]}/{name}/" for name in names]

    return addresses


@needs_pooch
class TestDownload:
    def test_good(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        server: Any,
        mirrors: Callable[..., list[str]],
    ) -> None:
        arrays = make_arrays()
        write_set(tmp_path / "mirrors" / "a", arrays, ".gz")
        publish(monkeypatch, "mnist", arrays, *mirrors("a"))
        folder = tmp_path / "new" / "folder"
        assert download("mnist", folder) == folder
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            f"{name}.gz" for name in known_sets.FILE_NAMES.values()
        )
        assert_holds(load("mnist", folder), arrays)
        assert len(server.asked) == 4
        download("mnist", folder)
        assert len(server.asked) == 4  # nothing is fetched twice

    def test_through_load(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., list[str]]
    ) -> None:
        arrays = make_arrays()
        write_set(tmp_path / "mirrors" / "a", arrays, ".gz")
        publish(monkeypatch, "fashion", arrays, *mirrors("a"))
        assert_holds(load("fashion", tmp_path / "given", download=True), arrays)
        assert_holds(load("fashion", download=True), arrays)
        assert len(files_in(cache_folder() / "fashion")) == 4
        assert_holds(load("fashion"), arrays)

    def test_unpacked_by_the_server(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., list[str]]
    ) -> None:
        arrays = make_arrays()
        for part, array in arrays.items():
            path = tmp_path / "mirrors" / "a" / f"{known_sets.FILE_NAMES[part]}.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(idx_bytes(array))
        publish(monkeypatch, "mnist", arrays, *mirrors("a"))
        assert_holds(load("mnist", download("mnist", tmp_path / "to")), arrays)
        assert not list((tmp_path / "to").glob("*.gz"))

    def test_second_mirror(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., list[str]]
    ) -> None:
        arrays = make_arrays()
        write_set(tmp_path / "mirrors" / "good", arrays, ".gz")
        write_set(tmp_path / "mirrors" / "wrong", make_arrays(seed=1), ".gz")
        for first in ("missing", "wrong"):
            publish(monkeypatch, "mnist", arrays, *mirrors(first, "good"))
            assert_holds(load("mnist", tmp_path / first, download=True), arrays)

    @pytest.mark.parametrize(
        ("content", "saying"),
        [
            (gzip.compress(b"something else", mtime=0), "wrong contents"),
            (b"<html>please log in</html>", "wrong contents"),
            (gzip.compress(b"cut short" * 99, mtime=0)[:-9], "end-of-stream"),
            (b"\x1f\x8b\x08\x00 broken", "header|Unknown|Error|invalid|ended|block"),
            (gzip.compress(bytes(5000), mtime=0), "more than 4096 bytes"),
            (bytes(5000), "longer than 4096 bytes"),
        ],
    )
    def test_wrong_bytes(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        mirrors: Callable[..., list[str]],
        content: bytes,
        saying: str,
    ) -> None:
        arrays = make_arrays()
        write_set(tmp_path / "mirrors" / "a", arrays, ".gz")
        (tmp_path / "mirrors" / "a" / "train-labels-idx1-ubyte.gz").write_bytes(content)
        publish(monkeypatch, "mnist", arrays, *mirrors("a"))
        monkeypatch.setattr(DOWNLOAD_MODULE, "LARGEST_FILE", 4096)
        with pytest.raises(DatasetError, match=saying) as caught:
            download("mnist", tmp_path / "to")
        assert "no mirror has train-labels-idx1-ubyte" in str(caught.value)
        assert [path.name for path in (tmp_path / "to").iterdir()] == ["train-images-idx3-ubyte.gz"]

    def test_all_mirrors_down(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., list[str]]
    ) -> None:
        arrays = make_arrays()
        publish(monkeypatch, "mnist", arrays, *mirrors("a"), "http://127.0.0.1:9/")
        with pytest.raises(DatasetError, match="MNIST could not be fetched") as caught:
            download("mnist", tmp_path / "to")
        assert "404" in str(caught.value) and "127.0.0.1:9" in str(caught.value)
        assert not (tmp_path / "to").exists()

    def test_only_what_is_missing(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        server: Any,
        mirrors: Callable[..., list[str]],
    ) -> None:
        arrays = make_arrays()
        write_set(tmp_path / "mirrors" / "a", arrays, ".gz")
        publish(monkeypatch, "mnist", arrays, *mirrors("a"))
        (write_set(tmp_path / "to", arrays) / "t10k-images-idx3-ubyte").unlink()
        assert_holds(load("mnist", tmp_path / "to", download=True), arrays)
        assert server.asked == ["/a/t10k-images-idx3-ubyte.gz"]

    def test_other_files_are_not_overwritten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., list[str]]
    ) -> None:
        publish(monkeypatch, "mnist", make_arrays(), *mirrors("a"))
        mine = tmp_path / "to" / "train-labels-idx1-ubyte"
        write_idx(mine, np.array([1, 2], np.uint8))
        before = mine.read_bytes()
        with pytest.raises(DatasetError, match="is not MNIST's file of that name"):
            download("mnist", tmp_path / "to")
        assert mine.read_bytes() == before

    def test_folder_that_cannot_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirrors: Callable[..., list[str]]
    ) -> None:
        arrays = make_arrays()
        write_set(tmp_path / "mirrors" / "a", arrays, ".gz")
        publish(monkeypatch, "mnist", arrays, *mirrors("a"))
        (tmp_path / "file").touch()
        with pytest.raises(DatasetError, match="cannot be written"):
            download("mnist", tmp_path / "file" / "to")


def test_download_without_pooch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DatasetError, match=r"pip install 'fastfood_np\[data\]'"):
        download("mnist", tmp_path)
    with pytest.raises(DatasetError, match=r"pip install 'fastfood_np\[data\]'"):
        load("fashion", download=True)


def test_known_sets_are_complete() -> None:
    for known in known_sets.KNOWN.values():
        assert set(known.sha256) == set(PARTS)
        assert all(len(bytes.fromhex(checksum)) == 32 for checksum in known.sha256.values())
        assert all(mirror.endswith("/") for mirror in known.mirrors)
