"""``compress`` as a user calls it: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from small_runs import (
    contents,
    empty_pictures,
    main,
    write_small_cifar10,
    write_small_set,
)

from fastfood_np.experiments import compression_run
from fastfood_np.experiments.compression import Compressor
from fastfood_np.layers import Dense, Flatten, Hadamard, QuantizedDense, Sequential
from fastfood_np.model_files import load_model, save_model
from fastfood_np.training import Trainer

SMALL = ("--model", "fried", "--channels", "2,3", "--features", "16", "--steps", "3")
QUICK = ("--batch", "8", "--steps", "2")
NAMES = ["x-compression.json", "x-size-error.png", "x.ffnp"]
KNOWN = "The model may have been trained on the validation images, so their error flatters; "
KEYS = {
    *("title", "settings", "original_bytes", "original_test_error", "validation_images"),
    *("validation_images_seen", "tried", "bytes", "ratio", "validation_error", "test_error"),
    *("interval", "parts"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set in "data"; models trained on all of it, and on three quarters."""
    folder = tmp_path_factory.mktemp("compress")
    data = write_small_set(folder / "data")
    with empty_pictures():
        for name, options in (("all", ()), ("part", ("--val-fraction", "0.25", "--seed", "5"))):
            arguments = ("--data", data, *SMALL, "--batch", 8, *options)
            assert main("train", *arguments, "--out", folder / name) == 0
            (folder / name / "fried.npz").rename(folder / f"{name}.npz")
    return folder


@pytest.fixture
def undrawn() -> Iterator[None]:
    with empty_pictures():
        yield


quick = pytest.mark.usefixtures("undrawn")


def compress(place: Path, out: Path, *options: object, model: str = "all") -> int:
    data = ("--data", place / "data") if "--data" not in options else ()
    return main("compress", place / f"{model}.npz", *data, *QUICK, *options, "--out", out)


def results_in(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "x-compression.json").read_text())
    return results


# -------------------------------------------------------------------------------- what is written


@pytest.fixture(scope="module")
def by_size(place: Path) -> Path:
    assert compress(place, place / "size" / "x.ffnp", "--target-bytes", 800) == 0
    return place / "size"


def test_files(by_size: Path) -> None:
    assert sorted(path.name for path in by_size.iterdir()) == NAMES
    assert 0 < (by_size / "x.ffnp").stat().st_size <= 800
    picture = matplotlib.image.imread(by_size / "x-size-error.png")
    assert min(picture.shape[:2]) > 400 and np.ptp(picture[..., :3]) > 0.5


def test_results(by_size: Path, place: Path) -> None:
    results, size = results_in(by_size), (by_size / "x.ffnp").stat().st_size
    assert results.keys() == KEYS
    assert results["title"] == "Fastfood-16-A"
    assert results["settings"] == {
        **{"target_bytes": 800, "max_error": None, "pq": [], "steps": 2, "lr": 0.01, "batch": 8},
        **{"augment": False, "weight_decay": 5e-4, "val_fraction": None, "seed": 0},
    }
    model, _ = load_model(place / "all.npz")
    arrays = [*model.params.values(), *model.constants.values()]
    assert results["original_bytes"] == sum(array.nbytes for array in arrays)
    assert results["bytes"] == size and results["ratio"] == results["original_bytes"] / size
    assert (results["validation_images"], results["validation_images_seen"]) == (3, True)
    assert {"bytes", "tuned", "coarseness", "validation_error"} == results["tried"][0].keys()
    chosen = [each for each in results["tried"] if each["bytes"] == size]
    assert results["validation_error"] in [each["validation_error"] for each in chosen]
    assert sum(part["nbytes"] for part in results["parts"]) == size
    low, high = results["interval"]
    assert 0 <= low <= results["test_error"] <= high <= 100
    assert str(place) not in json.dumps(results)


@pytest.mark.compiled_only
@quick
@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("all", ("--target-bytes", 800)),
        ("all", ("--max-error", 99.9)),
        ("part", ("--max-error", 99.9, "--val-fraction", 0.2)),
        ("all", ("--target-bytes", 850, "--pq", "ip2:4:4")),
        ("all", ("--target-bytes", 900, "--augment", "--lr", 0.1, "--weight-decay", 0)),
        ("all", ("--target-bytes", 900, "--steps", 0, "--threads", 1)),
    ],
    ids=["size", "error", "part", "pq", "augment", "untuned"],
)
def test_what_is_read_back(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    options: tuple[object, ...],
) -> None:
    """evaluate finds the error that compress printed, before and after."""
    assert compress(place, tmp_path / "x.ffnp", *options, model=model) == 0
    printed, errors = capsys.readouterr()
    assert errors == "" and "\x1b" not in printed
    size = (tmp_path / "x.ffnp").stat().st_size
    last, files = printed.splitlines()[-2:]
    assert files == f"{tmp_path / 'x.ffnp'}, x-size-error.png, x-compression.json"
    form = (
        rf"{size:,} bytes, [\d.]+ times smaller than [\d,]+; test error ([\d.]+ %) "
        r"\(95 % interval ([\d.]+ to [\d.]+ %)\), before ([\d.]+ %)"
    )
    found = re.fullmatch(form, last)
    assert found is not None
    after, interval, before = found.groups()
    for file, error in ((tmp_path / "x.ffnp", after), (place / f"{model}.npz", before)):
        assert main("evaluate", file, "--data", place / "data", "--out", tmp_path) == 0
        printed = capsys.readouterr().out
        assert f"{error} test error" in printed
        assert (f"95 % interval {interval})" in printed) or file.suffix == ".npz"
    results = results_in(tmp_path)
    if "--max-error" in options:
        assert results["validation_error"] <= 99.9
    if "--pq" in options:
        loaded, metadata = load_model(tmp_path / "x.ffnp")
        assert isinstance(loaded, Sequential) and metadata["title"] == "Fastfood-16-A"
        assert isinstance(loaded.layers["ip2"], QuantizedDense)
        assert results["settings"]["pq"] == [["ip2", 4, 4]]


@quick
def test_the_table(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compress(place, tmp_path / "x.ffnp", "--target-bytes", 800) == 0
    printed = capsys.readouterr().out
    for part in results_in(tmp_path)["parts"]:
        name = part["name"].split(":")[-1]
        row = rf" *{re.escape(name)} +{part['encoding']} +{part['entries']:,} +{part['nbytes']:,} "
        assert re.search(row, printed), name


@quick
def test_the_same_bytes_again(by_size: Path, place: Path, tmp_path: Path) -> None:
    for name, threads in (("one", 1), ("three", 3)):
        arguments = ("--target-bytes", 800, "--threads", threads)
        assert compress(place, tmp_path / name / "x.ffnp", *arguments) == 0
        for file in ("x.ffnp", "x-compression.json"):
            assert (tmp_path / name / file).read_bytes() == (by_size / file).read_bytes()


@quick
def test_by_default_beside_the_model(place: Path, tmp_path: Path) -> None:
    model = tmp_path / "my.best.npz"
    model.write_bytes((place / "all.npz").read_bytes())
    arguments = ("--data", place / "data", *QUICK, "--target-bytes", 800)
    assert main("compress", model, *arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "my.best-compression.json",
        "my.best-size-error.png",
        "my.best.ffnp",
        "my.best.npz",
    ]
    assert main("compress", model, *arguments) == 0  # replaces them


@quick
def test_as_onnx(by_size: Path, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime", reason='extra "onnx" is not installed')
    pytest.importorskip("onnx", reason='extra "onnx" is not installed')
    assert main("export", by_size / "x.ffnp", "--onnx", tmp_path / "x.onnx") == 0
    x = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    session = ort.InferenceSession(tmp_path / "x.onnx", providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    model, _ = load_model(by_size / "x.ffnp")
    np.testing.assert_allclose(y, model(x), atol=1e-5)


# ----------------------------------------------------------------------- images that are chosen by


@quick
@pytest.mark.parametrize(
    ("model", "options", "count", "seen"),
    [
        ("all", (), 3, True),
        ("all", ("--val-fraction", 0.5), 20, True),
        ("part", (), 10, False),
        ("part", ("--val-fraction", 0.1), 4, False),
        ("part", ("--val-fraction", 0.25), 10, False),
        ("part", ("--val-fraction", 0.5), 20, True),
        ("part", ("--dataset", "fashion"), 3, True),
    ],
)
def test_whether_the_model_has_seen_them(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    options: tuple[object, ...],
    count: int,
    seen: bool,
) -> None:
    out = tmp_path / "x.ffnp"
    assert compress(place, out, "--target-bytes", 900, "--steps", 0, *options, model=model) == 0
    assert (KNOWN in capsys.readouterr().out) == seen
    results = results_in(tmp_path)
    assert (results["validation_images"], results["validation_images_seen"]) == (count, seen)


@quick
def test_it_is_the_part_that_training_held_out(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastfood_np.datasets import load
    from fastfood_np.experiments.training_run import split_off

    splits = []
    plain = Compressor.__init__

    def kept(self: Any, model: Any, split: Any, *others: Any) -> None:
        splits.append(split)
        plain(self, model, split, *others)

    monkeypatch.setattr(Compressor, "__init__", kept)
    small = ("--target-bytes", 900, "--steps", 0)
    assert compress(place, tmp_path / "x.ffnp", *small, model="part") == 0
    ours = split_off(load("mnist", place / "data"), 0.25, 5)
    np.testing.assert_array_equal(splits[0].held_out_images, ours.held_out_images)
    np.testing.assert_array_equal(splits[0].train_labels, ours.train_labels)
    assert compress(place, tmp_path / "y.ffnp", *small, "--val-fraction", 0.1, model="part") == 0
    trained = {image.tobytes() for image in ours.train_images}
    assert not trained & {image.tobytes() for image in splits[1].held_out_images}


@quick
def test_a_compressed_model_again(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images that the first fine-tuning has seen are not held to be unseen."""
    arguments = ("--target-bytes", 900, "--pq", "ip2:4:4", "--val-fraction", 0.1)
    assert compress(place, tmp_path / "x.ffnp", *arguments, model="part") == 0
    capsys.readouterr()
    data = ("--data", place / "data", *QUICK, "--target-bytes", 700)
    assert main("compress", tmp_path / "x.ffnp", *data) == 2
    assert "x.ffnp is the model itself" in capsys.readouterr().err
    assert main("compress", tmp_path / "x.ffnp", *data, "--out", tmp_path / "y.ffnp") == 0
    assert (tmp_path / "y.ffnp").stat().st_size <= 700
    printed = capsys.readouterr().out
    assert (
        KNOWN not in printed
        and '"validation_images": 4,' in (tmp_path / "y-compression.json").read_text()
    )
    again = ("--out", tmp_path / "y.ffnp", "--val-fraction", 0.25)
    assert main("compress", tmp_path / "x.ffnp", *data, *again) == 0
    assert KNOWN in capsys.readouterr().out


@quick
def test_the_data_set_is_that_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def load(*arguments: Any, **given: Any) -> Any:
        asked.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("fastfood_np.datasets.load", load)
    for name in ("cifar10", "sample", "unheard of", ["mnist"]):
        save_model(tmp_path / "m.npz", Hadamard(), {"dataset": name})
        assert main("compress", tmp_path / "m.npz", "--max-error", 1) == 130
        assert main("compress", tmp_path / "m.npz", "--max-error", 1, "--data", tmp_path) == 130
    given = ("--dataset", "fashion", "--data", tmp_path)
    assert main("compress", tmp_path / "m.npz", "--max-error", 1, *given) == 130
    assert asked == [
        *[("cifar10", None), ("cifar10", tmp_path), ("sample", None), ("mnist", tmp_path)],
        *[("sample", None), ("mnist", tmp_path)] * 2,
        ("fashion", tmp_path),
    ]


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ((), "one of the arguments --target-bytes --max-error is required"),
        (("--target-bytes", 9, "--max-error", 1), "argument --max-error: not allowed with"),
        (("--target-bytes", 0), "argument --target-bytes: must be at least 1, got 0"),
        (("--target-bytes", "1e3"), "argument --target-bytes: must be an integer, got '1e3'"),
        (("--max-error", -1), "argument --max-error: must be at least 0.0, got -1.0"),
        (("--max-error", 100), "argument --max-error: must be less than 100.0, got 100.0"),
        (("--max-error", "nan"), "argument --max-error: must be finite, got nan"),
        (("--max-error", 1, "--val-fraction", 0), "argument --val-fraction: must be greater"),
        (("--max-error", 1, "--val-fraction", 1), "argument --val-fraction: must be less than 1"),
        (("--max-error", 1, "--steps", -1), "argument --steps: must be at least 0, got -1"),
        (("--max-error", 1, "--lr", 0), "argument --lr: must be greater than 0.0, got 0.0"),
        (("--max-error", 1, "--batch", 0), "argument --batch: must be at least 1, got 0"),
        (("--max-error", 1, "--pq", "ip2"), "argument --pq: must be the name of a layer, the "),
        (("--max-error", 1, "--pq", "ip2:4:1"), "argument --pq: must be the name of a layer, th"),
        (("--max-error", 1, "--pq", "ip2:0:4"), "argument --pq: must be the name of a layer, th"),
        (("--max-error", 1, "--pq", "ip2:4:257"), "from 2 to 256, as ip1:4:16, got 'ip2:4:257'"),
        (
            ("--max-error", 1, "--pq", "ip2:4:4", "--pq", "ip2:2:4"),
            "argument --pq: must name a layer once",
        ),
        (
            ("--max-error", 1, "--pq", "ip9:4:16"),
            r"only dense layers can be product-quantised \(ip2\), got 'ip9'",
        ),
        (
            ("--max-error", 1, "--pq", "ip2:3:16"),
            "sub-vectors must divide the 16 inputs of ip2, got length 3",
        ),
        (("--max-error", 1, "--val-fraction", 0.001), "a validation fraction of 0.001 leaves 40"),
        (("--max-error", 1, "--dataset", "sample"), "argument --data: not allowed with --dataset"),
        (("--max-error", 1, "--data", "no-such-folder"), "no-such-folder: no such folder"),
    ],
)
def test_wrong_options(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[object, ...],
    saying: str,
) -> None:
    refused(compress(place, tmp_path / "new" / "x.ffnp", *options), saying, capsys)
    assert list(tmp_path.iterdir()) == []


def refused(code: int, saying: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line."""
    printed, errors = capsys.readouterr()
    assert code == 2 and printed in ("", f"{KNOWN}train --val-fraction keeps some for this.\n")
    assert re.fullmatch(r"fastfood-np( compress)?: error: [^\n]+\n", errors)
    assert re.search(saying, errors), errors


@pytest.mark.parametrize(
    ("file", "out", "saying"),
    [
        ("no.npz", "new/x.ffnp", "no.npz: No such file or directory"),
        (".", "new/x.ffnp", "Is a directory"),
        ("..", None, "Is a directory"),
        (".", None, "Is a directory"),
        ("broken.npz", "new/x.ffnp", "broken.npz: not a sound .npz file"),
        ("broken.ffnp", "new/x.ffnp", "broken.ffnp: not a compact model"),
        ("arrays.npz", "new/x.ffnp", "arrays.npz: not a fastfood_np model"),
        ("any.npz", "new/x.ffnp", "the model has no trained parameters to compress"),
        ("dense.npz", "new/x.ffnp", "the model does not take these images"),
        ("nan.npz", "new/x.ffnp", r"ip2\.b must be finite, but holds NaN or infinity"),
        ("nine.npz", "new/x.ffnp", r"must give 10 outputs an image, got shape \(1, 9\)"),
        ("small.npz", "new/x.ffnp", r"does not take these images: x must have shape \(m, 16\)"),
        ("model.npz", "model.npz", "argument --out: .*model.npz is the model itself"),
        ("model.npz", "folder", "argument --out: .*folder must be a file, but is a folder"),
        ("model.npz", "dense.npz/x.ffnp", "argument --out: .*dense.npz must be a folder"),
    ],
)
def test_wrong_files(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    out: str | None,
    saying: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    model, metadata = load_model(place / "all.npz")
    save_model(tmp_path / "model.npz", model, metadata)
    model.params["ip2.b"][3] = np.inf
    save_model(tmp_path / "nan.npz", model)
    save_model(tmp_path / "any.npz", Hadamard())
    save_model(tmp_path / "dense.npz", Dense(784, 10, rng=0))
    for name, sizes in (("nine", (784, 9)), ("small", (16, 10))):
        net = Sequential([("flatten", Flatten()), ("ip", Dense(*sizes, rng=0))])
        save_model(tmp_path / f"{name}.npz", net)
    np.savez(tmp_path / "arrays.npz", W=np.zeros(3))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "broken.ffnp").write_bytes(b"FFNP")
    before = contents(tmp_path)
    where = () if out is None else ("--out", out)
    data = ("--data", place / "data")
    refused(main("compress", file, *data, "--target-bytes", 900, *where), saying, capsys)
    assert contents(tmp_path) == before


def test_images_of_another_kind(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = write_small_set(tmp_path / "small", size=20)
    colour = write_small_cifar10(tmp_path / "colour")
    before = contents(tmp_path)
    for options in (("--data", small), ("--data", colour, "--dataset", "cifar10")):
        code = compress(place, tmp_path / "x.ffnp", "--target-bytes", 900, *options)
        refused(code, "the model does not take these images: ", capsys)
    assert contents(tmp_path) == before


def test_a_folder_that_may_not_be_written(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    code = compress(place, tmp_path / "x.ffnp", "--target-bytes", 900)
    refused(code, f"argument --out: {tmp_path} cannot be written", capsys)


def test_without_scikit_learn(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    out = tmp_path / "x.ffnp"
    refused(
        compress(place, out, "--target-bytes", 900, "--pq", "ip2:4:4"),
        r"needs scikit-learn: pip install 'fastfood_np\[sklearn\]'",
        capsys,
    )
    assert list(tmp_path.iterdir()) == []
    with empty_pictures():
        assert compress(place, out, "--target-bytes", 900, "--steps", 0) == 0


# ------------------------------------------------------------------------------ targets and stops


@quick
@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (("--target-bytes", 99), r"the smallest file takes \d+ bytes, the target is 99"),
        (("--max-error", 0), r"the validation error is \d+\.\d\d % at least, the target is 0 %"),
    ],
)
def test_a_target_out_of_reach(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[object, ...],
    saying: str,
) -> None:
    assert compress(place, tmp_path / "x.ffnp", *options) == 1
    printed, errors = capsys.readouterr()
    assert re.fullmatch(f"fastfood-np compress: error: {saying}\n", errors)
    assert "what the file consists of" not in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES[:2]
    results = results_in(tmp_path)
    left_out = {"bytes", "ratio", "validation_error", "test_error", "interval", "parts"}
    assert results.keys() == KEYS - left_out and results["tried"]


def test_the_picture_of_a_target_out_of_reach(place: Path, tmp_path: Path) -> None:
    assert compress(place, tmp_path / "x.ffnp", "--target-bytes", 99) == 1
    picture = matplotlib.image.imread(tmp_path / "x-size-error.png")
    assert np.ptp(picture[..., :3]) > 0.5


@quick
def test_an_older_file_outlives_a_target_out_of_reach(place: Path, tmp_path: Path) -> None:
    (tmp_path / "x.ffnp").write_bytes(b"an older one")
    assert compress(place, tmp_path / "x.ffnp", "--target-bytes", 99) == 1
    assert (tmp_path / "x.ffnp").read_bytes() == b"an older one"


@quick
def test_divergence_is_survived(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recwarn: Any
) -> None:
    options = ("--target-bytes", 800, "--lr", "1e300", "--steps", 9)
    assert compress(place, tmp_path / "x.ffnp", *options) == 0
    printed, errors = capsys.readouterr()
    assert "fine-tuning diverged: " in printed and errors == ""
    assert not any(each["tuned"] for each in results_in(tmp_path)["tried"])
    assert not recwarn.list


@pytest.mark.parametrize(
    "target", [("--target-bytes", 800), ("--max-error", 99.9)], ids=["size", "error"]
)
def test_ctrl_c_while_fine_tuning(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: tuple[object, ...],
) -> None:
    plain = Trainer._update

    def pressed(self: Any, *arguments: Any) -> None:
        plain(self, *arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_update", pressed)
    assert compress(place, tmp_path / "new" / "x.ffnp", *target) == 130
    assert capsys.readouterr().err == "fastfood-np: stopped\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_picture_is_drawn(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are whole or not there."""

    def pressed(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(compression_run.plotting, "size_error", pressed)
    assert compress(place, tmp_path / "x.ffnp", "--target-bytes", 800, "--steps", 0) == 130
    assert {path.name for path in tmp_path.iterdir()} <= {"x.ffnp"}
    assert load_model(tmp_path / "x.ffnp")
