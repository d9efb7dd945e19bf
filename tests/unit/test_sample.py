"""The embedded sample: its sizes, its balance, and the rule that chose it."""

from __future__ import annotations

import io
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from fastfood_np.datasets import Dataset, load, write_idx
from fastfood_np.datasets import make_sample as make
from fastfood_np.validation import DatasetError

FOLDER = resources.files("fastfood_np.datasets").joinpath("digits")
CONTENT = FOLDER.joinpath("digits.npz").read_bytes()


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(CONTENT), allow_pickle=False) as file:
        return dict(file)


@pytest.fixture
def drawn() -> Dataset:
    """Random pictures in MNIST's form: 40 to train and 20 to test of every class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 1, 4, 5), dtype=np.uint8)
    labels = np.arange(600, dtype=np.int64) % 10
    return Dataset("drawn", images[:400], labels[:400], images[400:], labels[400:])


def test_file(stored: dict[str, np.ndarray]) -> None:
    assert len(CONTENT) < 2.5e6
    assert {name: (array.dtype.name, array.shape) for name, array in stored.items()} == {
        "train_images": ("uint8", (8000, 28, 28)),
        "train_labels": ("uint8", (8000,)),
        "train_index": ("int32", (8000,)),
        "test_images": ("uint8", (2000, 28, 28)),
        "test_labels": ("uint8", (2000,)),
        "test_index": ("int32", (2000,)),
    }


def test_licence_is_beside_it() -> None:
    text = FOLDER.joinpath("LICENSE.md").read_text(encoding="utf-8")
    for word in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", "What was changed"):
        assert word in text


def test_loaded(stored: dict[str, np.ndarray]) -> None:
    data = load()
    assert data.name == "sample"
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    np.testing.assert_array_equal(data.train_images[:, 0], stored["train_images"])
    np.testing.assert_array_equal(data.test_images[:, 0], stored["test_images"])
    np.testing.assert_array_equal(np.bincount(data.train_labels), [800] * 10)
    np.testing.assert_array_equal(np.bincount(data.test_labels), [200] * 10)


def test_classes_are_mixed(stored: dict[str, np.ndarray]) -> None:
    for which in ("train", "test"):
        labels = stored[f"{which}_labels"]
        repeats = np.mean(labels[1:] == labels[:-1])
        assert 0.07 < repeats < 0.13
        assert np.bincount(labels[: len(labels) // 10], minlength=10).min() > 5


def test_no_image_is_there_twice(stored: dict[str, np.ndarray]) -> None:
    images = np.concatenate([stored["train_images"], stored["test_images"]])
    assert len({image.tobytes() for image in images}) == 10_000


def test_positions(stored: dict[str, np.ndarray]) -> None:
    for which, size in (("train", 60_000), ("test", 10_000)):
        index = stored[f"{which}_index"]
        assert index.min() >= 0 and index.max() < size
        assert len(np.unique(index)) == len(index)


def test_it_is_cut_from_mnist(stored: dict[str, np.ndarray]) -> None:
    try:
        mnist = load("mnist")
    except DatasetError:
        pytest.skip("needs MNIST, for example in the folder FASTFOOD_NP_DATA names")
    make.check_is_mnist(mnist)
    for name, array in make.make_sample(mnist, 800, 200).items():
        np.testing.assert_array_equal(array, stored[name], err_msg=name)
    np.testing.assert_array_equal(
        mnist.train_images[stored["train_index"], 0][:9], stored["train_images"][:9]
    )


def test_rule(drawn: Dataset) -> None:
    chosen = make.choose(drawn.train_images, drawn.train_labels, 7)
    labels = drawn.train_labels[chosen]
    np.testing.assert_array_equal(np.bincount(labels), [7] * 10)
    np.testing.assert_array_equal(make.choose(drawn.train_images, drawn.train_labels, 7), chosen)
    fewer = make.choose(drawn.train_images, drawn.train_labels, 3)
    assert set(fewer) < set(chosen)
    other = make.choose(drawn.train_images, drawn.train_labels, 7, seed=1)
    assert set(other) != set(chosen)
    with pytest.raises(DatasetError, match="too few of: 0, 1, 2"):
        make.choose(drawn.train_images, drawn.train_labels, 41)


def test_arrays_and_bytes(drawn: Dataset) -> None:
    arrays = make.make_sample(drawn, 5, 2)
    np.testing.assert_array_equal(arrays["test_images"], drawn.test_images[arrays["test_index"], 0])
    np.testing.assert_array_equal(arrays["train_labels"], drawn.train_labels[arrays["train_index"]])
    content = make.npz_bytes(arrays)
    assert make.npz_bytes(arrays) == content
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_command_refuses_other_digits(
    drawn: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npz"
    for name, part in (("train", "train"), ("t10k", "test")):
        images, labels = getattr(drawn, f"{part}_images"), getattr(drawn, f"{part}_labels")
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", images[:, 0])
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", labels.astype(np.uint8))
    with pytest.raises(SystemExit):
        make.main([str(tmp_path), "--out", str(out)])
    assert "must be MNIST's" in capsys.readouterr().err
    assert not out.exists()


def test_command_writes(drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "load", lambda name, folder: drawn)
    monkeypatch.setattr(make, "check_is_mnist", lambda data: None)
    monkeypatch.setattr(make, "TRAIN_PER_CLASS", 4)
    monkeypatch.setattr(make, "TEST_PER_CLASS", 2)
    out = tmp_path / "out.npz"
    make.main(["unused", "--out", str(out)])
    assert out.read_bytes() == make.npz_bytes(make.make_sample(drawn, 4, 2))
