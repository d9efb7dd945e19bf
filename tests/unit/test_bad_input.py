"""Every kind of bad input gets the stated error, and leaves nothing half-written.

Two tables: calls of functions, with the exception they raise; command lines, with the one line
they print before they exit with 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import SHORT, contents, main, write_small_cifar10, write_small_set

import fastfood_np
from fastfood_np import backends
from fastfood_np.datasets import load, write_idx
from fastfood_np.experiments.comparison import ComparisonSettings
from fastfood_np.experiments.comparison_files import Comparison
from fastfood_np.files import read_npz, write_npz
from fastfood_np.kernels import arc_cosine, ball_sum, gaussian, laplacian, matern
from fastfood_np.layers import (
    AveragePool2D,
    Center,
    Conv2D,
    Dense,
    Dropout,
    Fastfood,
    Hadamard,
    MaxPool2D,
    Permutation,
    Sequential,
    SoftmaxCrossEntropy,
)
from fastfood_np.model_files import load_model, save_model
from fastfood_np.models import cifar10_quick
from fastfood_np.training import SGD, Cosine, Trainer
from fastfood_np.validation import DatasetError, ModelFileError

ZEROS = np.zeros((2, 8), np.float32)
READ_ONLY = np.zeros((2, 8), np.float32)
READ_ONLY.flags.writeable = False
NAN, INF = float("nan"), float("inf")
fwht = fastfood_np.fwht


def _fastfood() -> Fastfood:
    return Fastfood(5, 12, rng=0, dropout=0.5)


CALLS: list[tuple[str, Callable[[], Any], type[Exception], str]] = [
    # Wrong shapes and lengths.
    ("length", lambda: fwht(np.zeros(6)), ValueError, r"length of x .* power of two, got 6"),
    ("length 0", lambda: fwht(np.zeros((3, 0))), ValueError, r"power of two, got 0"),
    ("a number", lambda: fwht(3.0), ValueError, r"x must have at least one axis, got a single"),
    ("axis", lambda: fwht(ZEROS, axis=2), ValueError, r"axis must be from -2 to 1 .*, got 2"),
    ("layer's x", lambda: _fastfood()(ZEROS), ValueError, r"x must have shape \(m, 5\), got"),
    (
        "x without rows",
        lambda: Dense(8, 2)(ZEROS[0]),
        ValueError,
        r"x must have shape \(m, 8\), got \(8,\)",
    ),
    (
        "images too small",
        lambda: Conv2D(1, 2, 5)(np.zeros((1, 1, 4, 9), np.float32)),
        ValueError,
        r"x must hold images of at least 5 x 5, .* got shape \(1, 1, 4, 9\)",
    ),
    (
        "images that do not tile",
        lambda: MaxPool2D(2)(np.zeros((1, 1, 4, 5), np.float32)),
        ValueError,
        r"x must hold .* multiples of size = 2, got shape \(1, 1, 4, 5\)",
    ),
    (
        "images smaller than a window",
        lambda: AveragePool2D(3, stride=2)(np.zeros((1, 1, 2, 5), np.float32)),
        ValueError,
        r"x must hold images of at least 3 x 3, the windows' size, got shape \(1, 1, 2, 5\)",
    ),
    (
        "windows that leave pixels out",
        lambda: MaxPool2D(2, stride=3),
        ValueError,
        r"stride must be at most 2, got 3",
    ),
    (
        "negative padding",
        lambda: Conv2D(1, 2, 5, padding=-2),
        ValueError,
        r"padding must be at least 0, got -2",
    ),
    (
        "images of another shape than the mean",
        lambda: Center((3, 4))(np.zeros((1, 4, 3), np.float32)),
        ValueError,
        r"x must have shape \(m, 3, 4\), got \(1, 4, 3\)",
    ),
    (
        "a mean of another shape",
        lambda: cifar10_quick(mean=np.zeros((32, 32, 3))),
        ValueError,
        r"mean must have shape \(3, 32, 32\), got \(32, 32, 3\)",
    ),
    (
        "a head that takes other features",
        lambda: cifar10_quick(head=Dense(800, 64)),
        ValueError,
        r"head must take rows of 1024 features: x must have shape \(m, 800\), got \(1, 1024\)",
    ),
    (
        "Hadamard layer's length",
        lambda: Hadamard()(np.zeros((2, 12), np.float32)),
        ValueError,
        r"last axis of x must be a power of two, got 12",
    ),
    (
        "columns of a kernel",
        lambda: gaussian(np.ones((2, 3)), np.ones((2, 4)), sigma=1.0),
        ValueError,
        r"Y must have X's d = 3 columns, got shape \(2, 4\)",
    ),
    (
        "kernel of a vector",
        lambda: gaussian(np.ones(3), sigma=1.0),
        ValueError,
        r"X must have shape \(m, d\) with m, d >= 1, got \(3,\)",
    ),
    # NaN and infinity where they are rejected.
    ("NaN in X", lambda: gaussian([[NAN]], sigma=1.0), ValueError, r"X must be finite, .* NaN"),
    (
        "infinity in Y",
        lambda: arc_cosine([[1.0]], [[INF]]),
        ValueError,
        r"Y must be finite, but holds NaN or infinity",
    ),
    ("sigma NaN", lambda: Fastfood(4, 4, sigma=NAN), ValueError, r"sigma must be finite, got nan"),
    ("rate NaN", lambda: Dropout(NAN), ValueError, r"rate must be finite, got nan"),
    (
        "integer past all floats",
        lambda: Fastfood(4, 4, sigma=10**400),
        ValueError,
        r"sigma must be finite, got 1000",
    ),
    # Wrong kinds of numbers.
    ("complex", lambda: fwht(ZEROS + 0j), TypeError, r"x must hold float32 or float64 .*complex64"),
    ("text", lambda: fwht(["a", "b"]), TypeError, r"x must hold float32 or float64 .*got <U1"),
    (
        "layer's dtype",
        lambda: Dense(8, 2)(np.zeros((2, 8))),
        TypeError,
        r"x must have the layer's dtype float32, got float64; .*astype\('float64'\)",
    ),
    (
        "a list for x",
        lambda: Dense(2, 2)([[1.0, 2.0]]),  # type: ignore[arg-type]
        TypeError,
        r"x must be a NumPy array, got list",
    ),
    (
        "float16 layer",
        lambda: Fastfood(4, 4, dtype=np.float16),
        TypeError,
        r"dtype must be float32 or float64, got .*float16",
    ),
    (
        "dtypes of a kernel",
        lambda: gaussian(np.ones((1, 2)), np.ones((1, 2), np.float32), sigma=1.0),
        TypeError,
        r"Y must have X's dtype float64, got float32",
    ),
    ("float size", lambda: Dense(8.0, 2), TypeError, r"d_in must be an integer, got 8\.0"),
    ("bool size", lambda: Dense(8, True), TypeError, r"n_out must be an integer, got True"),
    ("sigma as text", lambda: Fastfood(4, 4, sigma="1"), TypeError, r"sigma must be a real number"),
    (
        "float degree",
        lambda: ball_sum([[1.0]], degree=2.0, sigma=1.0),  # type: ignore[arg-type]
        TypeError,
        r"degree must be an integer, got 2\.0",
    ),
    ("adaptive", lambda: Fastfood(4, 4, adaptive=1), TypeError, r"adaptive must be True or False"),
    (
        "rng",
        lambda: Fastfood(4, 4, rng="seed"),
        TypeError,
        r"rng must be None, an integer, .*'seed'",
    ),
    # out=
    (
        "out's shape",
        lambda: fwht(ZEROS, out=np.zeros((8, 2), np.float32)),
        ValueError,
        r"out must have the result's shape \(2, 8\), got \(8, 2\)",
    ),
    (
        "out's dtype",
        lambda: fwht(ZEROS, out=np.zeros((2, 8))),
        TypeError,
        r"out must have the result's dtype float32, got float64",
    ),
    ("out read-only", lambda: fwht(ZEROS, out=READ_ONLY), ValueError, r"out must be writable"),
    ("out a list", lambda: fwht(ZEROS, out=[]), TypeError, r"out must be a NumPy array, got list"),
    # Unknown names.
    ("norm", lambda: fwht(ZEROS, norm="unitary"), ValueError, r"norm must be one of 'backward', "),
    (
        "ordering",
        lambda: fwht(ZEROS, ordering="walsh"),
        ValueError,
        r"ordering must be one of 'hadamard', 'sequency', 'dyadic', got 'walsh'",
    ),
    (
        "backend",
        lambda: fwht(ZEROS, backend="tpu"),
        ValueError,
        r"backend must be one of 'cpu', .*, got 'tpu'",
    ),
    (
        "backend of a block",
        lambda: backends.using("tpu").__enter__(),
        ValueError,
        r"backend must be one of 'cpu', .*, got 'tpu'",
    ),
    ("form", lambda: Fastfood(4, 4, form="dense"), ValueError, r"form must be one of 'fused', "),
    (
        "convention",
        lambda: arc_cosine([[1.0]], convention="paper"),
        ValueError,
        r"convention must be one of 'cho-saul', 'deep-fried', got 'paper'",
    ),
    (
        "nu",
        lambda: matern([[1.0]], nu=2, sigma=1.0),
        ValueError,
        r"nu must be one of 0\.5, 1\.5, 2\.5, got 2",
    ),
    ("data set", lambda: load("cifar"), ValueError, r"name must be one of 'sample', 'mnist', "),
    # Impossible sizes and rates.
    ("no features", lambda: Fastfood(4, 0), ValueError, r"n_out must be at least 1, got 0"),
    ("negative size", lambda: Dense(-8, 2), ValueError, r"d_in must be at least 1, got -8"),
    ("no workers", lambda: fwht(ZEROS, workers=0), ValueError, r"workers must not be zero"),
    ("rate 1", lambda: Dropout(1.0), ValueError, r"rate must be less than 1\.0, got 1\.0"),
    (
        "sigma 0",
        lambda: gaussian([[1.0]], sigma=0),
        ValueError,
        r"sigma must be greater than 0\.0, got 0",
    ),
    (
        "a negative sigma",
        lambda: laplacian([[1.0]], sigma=-2.0),
        ValueError,
        r"sigma must be greater than 0\.0, got -2\.0",
    ),
    (
        "degree 0",
        lambda: ball_sum([[1.0]], degree=0, sigma=1.0),
        ValueError,
        r"degree must be at least 1, got 0",
    ),
    (
        "a dimension below the columns",
        lambda: ball_sum(ZEROS, degree=1, sigma=1.0, dimension=4),
        ValueError,
        r"dimension must be at least 8, got 4",
    ),
    (
        "a negative seed",
        lambda: Fastfood(4, 4, rng=-1),
        ValueError,
        r"rng must be at least 0, got -1",
    ),
    (
        "no permutation",
        lambda: Permutation([0, 2, 2]),
        ValueError,
        r"perm must be a permutation of 0\.\.2 on its last axis",
    ),
    ("rate of SGD", lambda: Cosine(-0.1, 10), ValueError, r"base must be greater than 0\.0, got"),
    (
        "momentum 1",
        lambda: SGD({}, (), momentum=1.0),
        ValueError,
        r"momentum must be less than 1\.0, got 1\.0",
    ),
    # Wrong uses.
    (
        "label out of range",
        lambda: SoftmaxCrossEntropy().forward(ZEROS, np.array([0, 8])),
        ValueError,
        r"labels must lie in 0\.\.7, got 0 to 8",
    ),
    (
        "labels of another length",
        lambda: SoftmaxCrossEntropy().forward(ZEROS, np.array([0])),
        ValueError,
        r"labels must have shape \(2,\), got \(1,\)",
    ),
    (
        "float labels",
        lambda: SoftmaxCrossEntropy().forward(ZEROS, np.zeros(2)),
        TypeError,
        r"labels must be an integer array, got float64",
    ),
    (
        "dropout without rng",
        lambda: _fastfood().forward(ZEROS[:, :5], train=True),
        ValueError,
        r"rng must be given: .* dropout",
    ),
    (
        "a cache never filled",
        lambda: _fastfood().backward(ZEROS, {}),
        ValueError,
        r"cache must come from a forward pass",
    ),
    (
        "two layers of one name",
        lambda: Sequential([("a", Dropout(0.1)), ("a", Dropout(0.2))]),
        ValueError,
        r"names of layers must differ",
    ),
    (
        "no batch",
        lambda: Trainer(Dense(8, 2), SGD({}, ()), Cosine(1.0, 1), batch=0),
        ValueError,
        r"batch must be at least 1, got 0",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "saying"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS]
)
def test_calls(
    call: Callable[[], Any],
    kind: type[Exception],
    saying: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=saying) as caught:
        call()
    assert caught.type is kind
    assert contents(tmp_path) == {}


class Place:
    """A folder with small data in "data", a run stopped after an epoch in "run", and a file."""

    def __init__(self, folder: Path, prepared: Path) -> None:
        self.folder = folder
        for name, content in contents(prepared).items():
            path = folder / name
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def change_array(self, file: str, name: str, change: Callable[[Any], Any]) -> None:
        stored = read_npz(self / file)
        write_npz(self / file, stored | {name: change(stored[name])})

    def change_header(self, file: str, **values: Any) -> None:
        def change(header: Any) -> Any:
            return np.array(json.dumps(json.loads(str(header)) | values))

        self.change_array(file, "header", change)

    def change_settings(self, **values: Any) -> None:
        path = self / "run/settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    def cut(self, file: str, to: float = 0.5) -> None:
        content = (self / file).read_bytes()
        (self / file).write_bytes(content[: int(to * len(content))])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    write_small_set(folder / "data")
    write_small_set(folder / "wide", size=30)
    write_small_cifar10(folder / "colour")
    (folder / "file").write_text("nothing of interest")
    run = folder / "run"
    arguments = ("--data", folder / "data", "--model", "fried", *SHORT, "--val-fraction", "0.25")
    assert main("train", *arguments, "--out", run) == 0
    save_model(folder / "dense.npz", Dense(4, 3, rng=0))
    settings = ComparisonSettings("mnist", str(folder / "data"), ("dense",), (2000,), 1, steps=2)
    (folder / "compared").mkdir()
    Comparison(settings, 7).save(folder / "compared")
    return folder


MODEL, CHECKPOINT = "run/fried.npz", "run/fried.checkpoint.npz"


def nothing(place: Place) -> None:
    """All is in order; only the command line is wrong."""


def _pickled(place: Place) -> None:
    header = read_npz(place / MODEL)["header"]
    np.savez(place / MODEL, header=header, objects=np.array([{}], dtype=object))


def _labels(place: Place, labels: np.ndarray) -> None:
    write_idx(place / "data/train-labels-idx1-ubyte", labels)


NAMES = ("data", "wide", "colour", "file", "run", "compared", "new", "nowhere")
TRAIN = ("train", "--data", "{data}", *SHORT, "--out", "{new}")
RESUME = ("train", "--resume", "{run}")
COMPARE = ("compare", "--data", "{data}", "--steps", "2", "--out", "{new}")
COMPARED = ("compare", "--resume", "{compared}")
CIFAR10 = ("--data", "{colour}", "--dataset", "cifar10")
EVALUATE = ("evaluate", "{run}/fried.npz", "--data", "{data}", "--out", "{new}")

COMMANDS: list[tuple[str, Callable[[Place], Any], tuple[str, ...], str]] = [
    # Options.
    ("no command", nothing, (), r"arguments are required: COMMAND"),
    ("unknown command", nothing, ("fry",), r"argument COMMAND: invalid choice: 'fry'"),
    ("unknown option", nothing, (*TRAIN, "--quick"), r"unrecognized arguments: --quick"),
    ("cut option", nothing, (*TRAIN, "--feat", "4"), r"unrecognized arguments: --feat 4"),
    ("no value", nothing, ("train", "--seed"), r"argument --seed: expected one argument"),
    ("no features", nothing, (*TRAIN, "--features", "0"), r"--features: must be at least 1, got 0"),
    ("negative batch", nothing, (*TRAIN, "--batch", "-8"), r"--batch: must be at least 1, got -8"),
    ("text for steps", nothing, (*TRAIN, "--steps", "x"), r"--steps: must be an integer, got 'x'"),
    ("no threads", nothing, (*TRAIN, "--threads", "0"), r"--threads: must be at least 1, got 0"),
    ("a negative seed", nothing, (*TRAIN, "--seed", "-1"), r"--seed: must be at least 0, got -1"),
    ("sigma 0", nothing, (*TRAIN, "--sigma", "0"), r"--sigma: must be greater than 0\.0, got 0"),
    ("lr NaN", nothing, (*TRAIN, "--lr", "nan"), r"argument --lr: must be finite, got nan"),
    ("lr infinite", nothing, (*TRAIN, "--lr", "inf"), r"argument --lr: must be finite, got inf"),
    ("lr text", nothing, (*TRAIN, "--lr", "fast"), r"--lr: must be a number, got 'fast'"),
    ("clip", nothing, (*TRAIN, "--clip-norm", "-1"), r"--clip-norm: must be at least 0\.0, got"),
    ("dropout 1", nothing, (*TRAIN, "--dropout", "1"), r"--dropout: must be less than 1\.0, got 1"),
    (
        "val-fraction 1",
        nothing,
        (*TRAIN, "--val-fraction", "1"),
        r"argument --val-fraction: must be less than 1\.0, got 1\.0",
    ),
    (
        "nothing held out",
        nothing,
        (*TRAIN, "--val-fraction", "0.01"),
        r"validation fraction of 0\.01 leaves 40 training and 0 validation images of 40",
    ),
    (
        "nothing left to train on",
        nothing,
        (*TRAIN, "--val-fraction", "0.99"),
        r"leaves 0 training and 40 validation images",
    ),
    (
        "schedule",
        nothing,
        (*TRAIN, "--schedule", "linear"),
        r"argument --schedule: invalid choice: 'linear'",
    ),
    ("dtype", nothing, (*TRAIN, "--dtype", "float16"), r"--dtype: invalid choice: 'float16'"),
    (
        "epochs and steps",
        nothing,
        ("train", "--data", "{data}", "--epochs", "2", "--steps", "3"),
        r"argument --steps: not allowed with argument --epochs",
    ),
    (
        "adaptive and fixed",
        nothing,
        (*TRAIN, "--adaptive", "--fixed"),
        r"argument --fixed: not allowed with argument --adaptive",
    ),
    (
        "sample and data",
        nothing,
        (*TRAIN, "--dataset", "sample"),
        r"argument --data: not allowed with --dataset sample",
    ),
    # The folder to write into.
    ("out is a file", nothing, (*TRAIN, "--out", "{file}"), r"--out: .*file must be a folder, but"),
    (
        "out is below a file",
        nothing,
        (*TRAIN, "--out", "{file}/deep/down"),
        r"argument --out: \S*file must be a folder, but is a file",
    ),
    ("out is empty", nothing, (*TRAIN, "--out", ""), r"--out: must be a path, got the empty str"),
    (
        "out holds a run",
        nothing,
        (*TRAIN, "--out", "{run}"),
        r"argument --out: \S+ holds a run already; --resume \S+ goes on with it",
    ),
    # Data.
    ("no data", nothing, ("train", "--data", "{nowhere}"), r"nowhere: no such folder"),
    ("data is a file", nothing, ("train", "--data", "{file}"), r"file: must be the folder of the"),
    (
        "a file is missing",
        lambda place: (place / "data/t10k-labels-idx1-ubyte").unlink(),
        TRAIN,
        r"files are missing; looked for t10k-labels-idx1-ubyte or",
    ),
    (
        "truncated IDX",
        lambda place: place.cut("data/train-images-idx3-ubyte"),
        TRAIN,
        r"train-images-idx3-ubyte: is truncated",
    ),
    (
        "corrupt IDX",
        lambda place: (place / "data/t10k-images-idx3-ubyte").write_bytes(b"garbage" * 99),
        TRAIN,
        r"t10k-images-idx3-ubyte: not an IDX file",
    ),
    (
        "corrupt gzip",
        lambda place: (place / "data/t10k-images-idx3-ubyte").write_bytes(b"\x1f\x8bgarbage"),
        TRAIN,
        r"t10k-images-idx3-ubyte: corrupt or truncated gzip file",
    ),
    (
        "mismatched IDX",
        lambda place: _labels(place, np.zeros(39, np.uint8)),
        TRAIN,
        r"must hold as many of one as of the other, got 40 images and 39 labels",
    ),
    (
        "labels out of range",
        lambda place: _labels(place, np.full(40, 11, np.uint8)),
        TRAIN,
        r"train-labels-idx1-ubyte must hold labels 0\.\.9, got 11 at position 0",
    ),
    (
        "labels of a wrong dtype",
        lambda place: _labels(place, np.zeros(40, np.float32)),
        TRAIN,
        r"train-labels-idx1-ubyte: must hold labels, integers of shape \(n,\), got float32",
    ),
    (
        "images of another size",
        nothing,
        (*TRAIN, "--data", "{wide}"),
        r"images must be 28 x 28 pixels for LeNet, got 30 x 30",
    ),
    # CIFAR-10.
    (
        "cifar10 that is not there",
        nothing,
        (*TRAIN, "--dataset", "cifar10"),
        r"data: lacks data_batch_1\.bin, .* and no cifar-10-binary\.tar\.gz",
    ),
    (
        "cifar10 for mnist",
        nothing,
        ("train", "--data", "{colour}"),
        r"colour: files are missing; looked for train-images-idx3-ubyte or",
    ),
    (
        "download of cifar10",
        nothing,
        (*TRAIN, *CIFAR10, "--download"),
        r"--download: not allowed with --dataset cifar10, .* has cifar-10-binary\.tar\.gz$",
    ),
    (
        "ReLUs of cifar10_quick",
        nothing,
        (*TRAIN, *CIFAR10, "--conv-relu"),
        r"--conv-relu: must be False with cifar10, whose network has its own ReLUs",
    ),
    (
        "dropout in cifar10_quick",
        nothing,
        (*TRAIN, *CIFAR10, "--dropout-input", "0.5"),
        r"--dropout-input: must be 0 with cifar10, .* takes dropout_inside alone, got 0\.5",
    ),
    (
        "LeNet on cifar10",
        nothing,
        (*TRAIN, *CIFAR10, "--model", "lenet"),
        r"--model: must be one of 'cifar10_quick', 'fried', got 'lenet'",
    ),
    (
        "a LeNet's model on cifar10",
        nothing,
        ("evaluate", "{run}/fried.npz", *CIFAR10),
        r"the model does not take these images: .*got \(1, 3, 32, 32\)|got shape \(1, 3, 32, 32\)",
    ),
    (
        "evaluate with a download of cifar10",
        nothing,
        ("evaluate", "{run}/fried.npz", "--dataset", "cifar10", "--download"),
        r"argument --download: not allowed with --dataset cifar10",
    ),
    # Models.
    ("no model", nothing, ("evaluate", "{nowhere}"), r"nowhere: No such file or directory"),
    (
        "a folder for a model",
        nothing,
        ("evaluate", "{run}"),
        r"run: not a sound \.npz file \(.*dir",
    ),
    ("a foreign file", nothing, ("evaluate", "{file}"), r"file: not a sound \.npz file \(no zip"),
    (
        "a checkpoint for a model",
        nothing,
        ("evaluate", "{run}/fried.checkpoint.npz"),
        r"not a fastfood_np model \(no entry 'format'\)",
    ),
    ("truncated model", lambda place: place.cut(MODEL), EVALUATE, r"fried\.npz: not a sound \.npz"),
    (
        "corrupt model",
        lambda place: (place / MODEL).write_bytes(
            (place / MODEL).read_bytes().replace(b"\x93NUMPY", b"\x93NUMPI", 3)
        ),
        EVALUATE,
        r"fried\.npz: not a sound \.npz file",
    ),
    (
        "future version",
        lambda place: place.change_header(MODEL, version=2),
        EVALUATE,
        r"fried\.npz: model version 2, this package reads 1",
    ),
    (
        "another package's model",
        lambda place: place.change_header(MODEL, format="ours"),
        EVALUATE,
        r"not a fastfood_np model \(format 'ours'\)",
    ),
    (
        "unknown layer",
        lambda place: place.change_header(MODEL, architecture={"Transformer": {}}),
        EVALUATE,
        r"the architecture cannot be built \(unknown layer 'Transformer'\)",
    ),
    (
        "absurd layer",
        lambda place: place.change_header(
            MODEL, architecture={"Dense": {"d_in": 10**12, "n_out": 10}}
        ),
        EVALUATE,
        r"cannot be built \(it asks for 10000000000010 numbers, the file holds \d+\)",
    ),
    (
        "tampered permutation",
        lambda place: place.change_array(
            MODEL, "constant:fastfood.perm", lambda perm: np.full_like(perm, 10**9)
        ),
        EVALUATE,
        r"constant:fastfood\.perm must be a permutation of 0\.\.1023",
    ),
    (
        "weights of another shape",
        lambda place: place.change_array(MODEL, "param:ip2.W", lambda W: W[:, 1:]),
        EVALUATE,
        r"param:ip2\.W must be float32 \(10, 16\), got float32 \(10, 15\)",
    ),
    ("pickled objects", _pickled, EVALUATE, r"fried\.npz: not a sound \.npz file \(Object arrays"),
    (
        "no digit classifier",
        nothing,
        ("evaluate", "{folder}/dense.npz", "--data", "{data}"),
        r"the model does not take these images: x must have shape \(m, 4\), got \(1, 1, 28, 28\)",
    ),
    (
        "not ten outputs",
        lambda place: save_model(place / "dense.npz", MaxPool2D(7)),
        ("evaluate", "{folder}/dense.npz", "--data", "{data}"),
        r"the model must give 10 outputs an image, got shape \(1, 1, 4, 4\)",
    ),
    (
        "picture below a file",
        nothing,
        (*EVALUATE, "--out", "{file}/x"),
        r"--out: \S*file must be a folder",
    ),
    # Benchmarks.
    (
        "unknown benchmark",
        nothing,
        ("bench", "--only", "fwht,toeplitz"),
        r"--only: must be some of fwht, fastfood, circulant, quantized, lenet, "
        r"kernel_approximation, gpu, separated by commas, got 'fwht,toeplitz'",
    ),
    ("no benchmark", nothing, ("bench", "--only", ""), r"argument --only: must be some of fwht"),
    ("no turns", nothing, ("bench", "--turns", "0"), r"--turns: must be at least 1, got 0"),
    (
        "no library",
        nothing,
        ("bench", "--ffht", "{nowhere}"),
        r"argument --ffht: no such file: \S*nowhere",
    ),
    (
        "figures below a file",
        nothing,
        ("bench", "--out", "{file}/x"),
        r"argument --out: \S*file must be a folder, but is a file",
    ),
    # Comparisons.
    (
        "unknown layer to compare",
        nothing,
        (*COMPARE, "--layers", "fastfood,toeplitz"),
        r"--layers: must be some of dense, low-rank, .*, separated by commas, got 'fastfood,toepl",
    ),
    ("no layer", nothing, (*COMPARE, "--layers", ""), r"argument --layers: must be some of dense"),
    *(
        (
            f"budgets {text!r}",
            nothing,
            (*COMPARE, "--budgets", text),
            rf"--budgets: must be positive integers, separated by commas, got '{text}'",
        )
        for text in ("a", "0", "", "5000,", "-6656", "1e4")
    ),
    (
        "a budget too small",
        nothing,
        (*COMPARE, "--budgets", "2000"),
        r"argument --budgets: must allow one output of sorf, which takes 3082 weights, got 2000",
    ),
    (
        "a budget too large",
        nothing,
        (*COMPARE, "--budgets", "99999999999"),
        r"argument --budgets: must be at most 16777216, got 99999999999",
    ),
    (
        "a budget too small on cifar10",
        nothing,
        (*COMPARE, *CIFAR10, "--budgets", "1033", "--layers", "dense,circulant"),
        r"argument --budgets: must allow one output of dense, which takes 1034 weights, got 1033",
    ),
    ("no seeds", nothing, (*COMPARE, "--seeds", "0"), r"--seeds: must be at least 1, got 0"),
    ("no processes", nothing, (*COMPARE, "--processes", "0"), r"--processes: must be at least 1"),
    (
        "ReLUs to compare in cifar10_quick",
        nothing,
        (*COMPARE, *CIFAR10, "--conv-relu"),
        r"--conv-relu: must be False with cifar10",
    ),
    (
        "images of another size to compare on",
        nothing,
        (*COMPARE, "--data", "{wide}"),
        r"images must be 28 x 28 pixels for LeNet, got 30 x 30",
    ),
    (
        "compare with a download of cifar10",
        nothing,
        (*COMPARE, *CIFAR10, "--download"),
        r"argument --download: not allowed with --dataset cifar10",
    ),
    (
        "out holds a comparison",
        nothing,
        (*COMPARE, "--out", "{compared}"),
        r"argument --out: \S+ holds a comparison already; --resume \S+ goes on with it",
    ),
    ("comparison below a file", nothing, (*COMPARE, "--out", "{file}/x"), r"--out: .*must be a fo"),
    (
        "no comparison there",
        nothing,
        ("compare", "--resume", "{run}"),
        r"runs\.json: no such file; no comparison was begun there",
    ),
    (
        "no folder to go on in",
        nothing,
        ("compare", "--resume", "{nowhere}"),
        r"nowhere/runs\.json: no such file; no comparison was begun there",
    ),
    (
        "a file for a comparison",
        nothing,
        ("compare", "--resume", "{file}"),
        r"file/runs\.json: not the runs of a comparison",
    ),
    (
        "broken runs",
        lambda place: place.cut("compared/runs.json"),
        COMPARED,
        r"runs\.json: not the runs of a comparison",
    ),
    (
        "another comparison",
        nothing,
        (*COMPARED, "--budgets", "2000,3000"),
        r"argument --budgets: the run in \S+ was begun with \(2000,\), got \(2000, 3000\)",
    ),
    (
        "a comparison without the reference",
        nothing,
        (*COMPARED, "--no-reference"),
        r"argument --no-reference: the run in \S+ was begun with True, got False",
    ),
    (
        "another length of a comparison",
        nothing,
        (*COMPARED, "--epochs", "3"),
        r"argument --epochs: the run in \S+ was begun without it, got 3",
    ),
    # Runs to go on with.
    (
        "a file for a run",
        nothing,
        ("train", "--resume", "{file}"),
        r"--resume: \S*file must be a f",
    ),
    ("too large", nothing, ("train", "--features", "9" * 19), r"must be at most 16777216"),
    (
        "another option",
        nothing,
        (*RESUME, "--features", "32"),
        r"argument --features: the run in \S+ was begun with 16, got 32",
    ),
    (
        "an option not given before",
        nothing,
        (*RESUME, "--epochs", "3"),
        r"argument --epochs: the run in \S+ was begun without it, got 3",
    ),
    (
        "another data folder",
        nothing,
        (*RESUME, "--data", "{wide}"),
        r"argument --data: the run in \S+ was begun with '\S+data', got '\S+wide'",
    ),
    (
        "other training data",
        lambda place: write_small_set(place / "data", seed=1),
        RESUME,
        r"fried\.checkpoint\.npz: made from other data than given now",
    ),
    (
        "other test data",
        lambda place: write_idx(place / "data/t10k-labels-idx1-ubyte", np.zeros(20, np.uint8)),
        RESUME,
        r"fried\.checkpoint\.npz: made from other data than given now",
    ),
    (
        "corrupt checkpoint",
        lambda place: place.cut(CHECKPOINT),
        (*RESUME, "--out", "{new}"),
        r"fried\.checkpoint\.npz: not a sound \.npz file",
    ),
    (
        "a model for a checkpoint",
        lambda place: (place / CHECKPOINT).write_bytes((place / MODEL).read_bytes()),
        RESUME,
        r"fried\.checkpoint\.npz: not a checkpoint \(no entry 'losses'\)",
    ),
    (
        "future checkpoint",
        lambda place: place.change_header(CHECKPOINT, version=9),
        RESUME,
        r"checkpoint version 9, this package reads 1",
    ),
    (
        "step of a checkpoint",
        lambda place: place.change_header(CHECKPOINT, step=2),
        RESUME,
        r"losses must be float64 \(2,\), got float64 \(3,\)",
    ),
    (
        "no best model",
        lambda place: (place / "run/fried-best.npz").unlink(),
        (*RESUME, "--out", "{new}"),
        r"fried-best\.npz: No such file or directory",
    ),
    (
        "no settings",
        lambda place: (place / "run/settings.json").unlink(),
        RESUME,
        r"settings\.json: is missing, though checkpoints are there",
    ),
    (
        "settings of another version",
        lambda place: place.change_settings(momentum=0.5),
        RESUME,
        r"settings\.json: not the settings of a run \(missing or unknown momentum\)",
    ),
    (
        "impossible settings",
        lambda place: place.change_settings(features="many"),
        RESUME,
        r"not the settings of a run \(features must be an integer, got 'many'\)",
    ),
    (
        "settings that are no JSON",
        lambda place: (place / "run/settings.json").write_text("{"),
        RESUME,
        r"settings\.json: not the settings of a run",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "arguments", "saying"),
    [case[1:] for case in COMMANDS],
    ids=[case[0] for case in COMMANDS],
)
def test_commands(
    spoil: Callable[[Place], Any],
    arguments: tuple[str, ...],
    saying: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = Place(tmp_path, prepared)
    # The run was made elsewhere; its data lie here now.
    place.change_settings(data=str(place / "data"))
    monkeypatch.chdir(tmp_path)
    spoil(place)
    before = contents(tmp_path)
    names = {name: place / name for name in NAMES}
    code = main(*(part.format(folder=tmp_path, **names) for part in arguments))
    errors = capsys.readouterr().err
    assert code == 2
    assert errors.startswith("fastfood-np") and ": error: " in errors
    assert errors.count("\n") == 1 and errors.endswith("\n")
    assert re.search(saying, errors), errors
    assert contents(tmp_path) == before


def test_the_run_itself_is_sound(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the table spoils works before it is spoilt."""
    place = Place(tmp_path, prepared)
    place.change_settings(data=str(place / "data"))
    assert main("train", "--resume", place / "run") == 0
    assert main("evaluate", place / MODEL, "--data", place / "data") == 0
    assert capsys.readouterr().err == ""


def test_errors_about_files_are_value_errors(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        load("mnist", tmp_path / "nowhere")
    with pytest.raises(ModelFileError, match="not a sound"):
        load_model(prepared / "file")
    assert issubclass(DatasetError, ValueError) and issubclass(ModelFileError, ValueError)
