"""``export`` as a user calls it: what it prints and writes, and how it refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import BACKEND, contents, main

from fastfood_np import backends
from fastfood_np.layers import Dense, Hadamard, Layer
from fastfood_np.model_files import save_model
from fastfood_np.models import cifar10_quick, deep_fried_lenet, lenet

needs_onnx = 'onnx and onnxruntime (extra "onnx") are not installed'
pytest.importorskip("onnx", reason=needs_onnx)
ort = pytest.importorskip("onnxruntime", reason=needs_onnx)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    save_model(tmp_path / "fried.npz", deep_fried_lenet(rng=0), {"title": "a net"})
    return tmp_path / "fried.npz"


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return y


@pytest.mark.parametrize(
    ("net", "shape", "rounded"),
    [
        (lenet(rng=0), (1, 28, 28), False),
        (deep_fried_lenet(2048, rng=0), (1, 28, 28), False),
        (cifar10_quick(rng=0), (3, 32, 32), False),
        (cifar10_quick(mean=np.full((3, 32, 32), 0.5), rng=0), (3, 32, 32), False),
        (deep_fried_lenet(rng=0, dtype=np.float64), (1, 28, 28), True),
    ],
    ids=["lenet", "fried", "cifar10", "cifar10-mean", "float64"],
)
def test_networks(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    net: Layer,
    shape: tuple[int, ...],
    rounded: bool,
) -> None:
    save_model(tmp_path / "model.npz", net)
    out = tmp_path / "[red] folder" / "new" / "model.onnx"
    assert main("export", tmp_path / "model.npz", "--onnx", out) == 0
    printed, errors = capsys.readouterr()
    sizes = ", ".join(map(str, shape))
    note = ", rounded to float32" * rounded
    assert errors == "" and printed == (
        f"{out}: {out.stat().st_size:,} bytes{note}; takes x, float32 (m, {sizes}), pixels / 256, "
        "and gives y.\n"
    )
    x = np.random.default_rng(0).random((5, *shape), np.float32)
    with backends.using(BACKEND):
        expected = net.astype(np.float32)(x)
    y = run(out, x)
    assert np.abs(y - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
    np.testing.assert_array_equal(y.argmax(axis=1), expected.argmax(axis=1))


def test_models_that_are_no_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer, out = Dense(3, 2, rng=0), tmp_path / "dense.onnx"
    save_model(tmp_path / "dense.npz", layer)
    assert main("export", tmp_path / "dense.npz", "--onnx", out) == 0
    assert "; takes x, float32 (m, ...), and gives y.\n" in capsys.readouterr().out
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(run(out, x), layer(x), rtol=1e-6)


def test_an_older_file_is_replaced(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = model.with_name("model.onnx")
    out.write_bytes(b"an older one")
    assert main("export", model, "--onnx", out) == 0
    assert out.stat().st_size > 100_000
    assert sorted(path.name for path in model.parent.iterdir()) == ["fried.npz", "model.onnx"]


@pytest.mark.parametrize(
    ("file", "out", "saying"),
    [
        ("no.npz", "new/model.onnx", "no.npz: No such file or directory"),
        ("broken.npz", "new/model.onnx", "broken.npz: not a sound .npz file"),
        ("any.npz", "new/model.onnx", "cannot be exported: input_shape must be given"),
        ("fried.npz", "fried.npz", "argument --onnx: .*fried.npz is the model itself"),
        ("fried.npz", "folder", "argument --onnx: .*folder must be a file, but is a folder"),
        ("fried.npz", "any.npz/model.onnx", "argument --onnx: .*any.npz must be a folder"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    model: Path, capsys: pytest.CaptureFixture[str], file: str, out: str, saying: str
) -> None:
    folder = model.parent
    (folder / "folder").mkdir()
    (folder / "broken.npz").write_bytes(b"PK")
    save_model(folder / "any.npz", Hadamard())
    before = contents(folder)
    assert main("export", folder / file, "--onnx", folder / out) == 2
    printed, errors = capsys.readouterr()
    assert printed == "" and errors.count("\n") == 1
    assert errors.startswith("fastfood-np: error: ")
    assert re.search(saying, errors)
    assert contents(folder) == before


def test_what_to_write_must_be_said(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main("export", model) == 2
    assert "the following arguments are required: --onnx" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda place, mode: False)
    assert main("export", model, "--onnx", model.with_name("model.onnx")) == 2
    assert f"argument --onnx: {model.parent} cannot be written" in capsys.readouterr().err


def test_without_the_package_onnx(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main("export", model, "--onnx", model.parent / "new" / "model.onnx") == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "pip install 'fastfood_np[onnx]'" in errors
    assert sorted(path.name for path in model.parent.iterdir()) == ["fried.npz"]
