"""train and evaluate on colour images: cifar10_quick, and deep-fried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from rich.console import Console
from small_runs import (
    arrays,
    assert_same_models,
    empty_pictures,
    main,
    write_small_cifar10,
    write_small_set,
)

from fastfood_np.datasets import load
from fastfood_np.experiments import training_run
from fastfood_np.experiments.settings import TrainSettings
from fastfood_np.training import Cosine
from fastfood_np.validation import DatasetError

MODELS = ("cifar10_quick", "fried")
CONVOLUTIONS = 2_400 + 25_600 + 51_200
SHORT = ("--dataset", "cifar10", "--batch", "8", "--features", "16", "--steps", "2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set in "data" and a finished run in "run"."""
    folder = tmp_path_factory.mktemp("cifar10")
    data = write_small_cifar10(folder / "data")
    options = ("--augment", "--dropout-inside", "0.1", "--val-fraction", "0.25")
    with empty_pictures():
        assert main("train", "--data", data, *SHORT, *options, "--out", folder / "run") == 0
    return folder


@pytest.fixture
def undrawn() -> Iterator[None]:
    with empty_pictures():
        yield


def test_files_and_results(run: Path) -> None:
    names = {path.name for path in (run / "run").glob("*.npz")}
    assert names == {
        f"{model}{kind}.npz" for model in MODELS for kind in ("", ".checkpoint", "-best")
    }
    results = json.loads((run / "run" / "results.json").read_text())
    assert (results["dataset"], results["steps"]) == ("cifar10", 2)
    quick, fried = results["models"]
    assert (quick["name"], quick["title"]) == ("cifar10_quick", "cifar10_quick")
    assert (quick["weights"], quick["parameters"], quick["compression"]) == (145_376, 145_578, 1.0)
    assert (fried["name"], fried["title"]) == ("fried", "Fastfood-16-AD, cifar10_quick")
    assert fried["weights"] == CONVOLUTIONS + 3 * 1024 + 10 * 16
    assert fried["compression"] == pytest.approx(145_376 / fried["weights"])


def test_models_keep_the_mean_of_the_images_trained_on(run: Path) -> None:
    """Not of those held out; and it is not trained."""
    data = load("cifar10", run / "data")
    split = training_run.split_off(data, 0.25, 0)
    assert len(split.train_images) == 30
    for model in MODELS:
        mean = arrays(run / "run" / f"{model}.npz")["constant:center.mean"]
        expected = (split.train_images / 256).mean(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-14)


def test_evaluate(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fried = json.loads((run / "run" / "results.json").read_text())["models"][1]
    given = ("--dataset", "cifar10", "--data", run / "data", "--out", tmp_path)
    assert main("evaluate", run / "run" / "fried.npz", *given) == 0
    printed = capsys.readouterr().out
    assert f"{fried['title']}: {fried['weights']:,} weights" in printed
    assert f"{fried['test_error']:.2f} % test error" in printed
    picture = matplotlib.image.imread(tmp_path / "fried-mistakes.png")
    # Colours, other than grey ones, are seen.
    assert np.ptp(picture[..., :3], axis=2).max() > 0.3


@pytest.mark.usefixtures("undrawn")
def test_stopped_and_resumed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the second model, with all kinds of randomness: the same bits."""
    options = ("--augment", "--dropout-inside", "0.1", "--val-fraction", "0.25")
    out = tmp_path / "run"
    fit = training_run.Trainer.fit

    def stopping(trainer: Any, images: Any, labels: Any, steps: int, **given: Any) -> bool:
        fried = "head" in trainer.model.layers
        return fit(trainer, images, labels, 1 if fried else steps, **given) and not fried

    monkeypatch.setattr(training_run.Trainer, "fit", stopping)
    assert main("train", "--data", run / "data", *SHORT, *options, "--out", out) == 130
    assert "Fastfood-16-AD, cifar10_quick: stopped after step 1 of 2" in capsys.readouterr().err
    monkeypatch.undo()
    assert main("train", "--resume", out) == 0
    assert_same_models(out, run / "run", MODELS)


@pytest.mark.usefixtures("undrawn")
def test_one_model_alone_is_the_same(run: Path, tmp_path: Path) -> None:
    options = ("--augment", "--dropout-inside", "0.1", "--val-fraction", "0.25")
    given = ("--data", run / "data", *SHORT, *options)
    assert main("train", *given, "--model", "fried", "--out", tmp_path / "run") == 0
    assert_same_models(tmp_path / "run", run / "run", ("fried",))
    assert not (tmp_path / "run" / "cifar10_quick.npz").exists()


def test_both_begin_alike() -> None:
    """Same convolutions, drawn by the seed alone; the same schedule."""
    settings = TrainSettings("cifar10", features=16, seed=3)
    nets = [settings.build(model) for model in settings.models]
    quick, fried, again = *nets, replace(settings, features=32).build("fried")
    for name in ("conv1.W", "conv2.W", "conv3.W"):
        assert quick.params[name].tobytes() == fried.params[name].tobytes()
        assert quick.params[name].tobytes() == again.params[name].tobytes()
    for model, net in zip(settings.models, nets, strict=True):
        trainer = settings.trainer(model, net, 1000, threads=1)
        assert trainer.schedule == Cosine(0.03, 1000, 200)
        assert trainer.optimizer.clip_norm == 2.0
        assert trainer.optimizer.rate_multipliers["ip2.b"] == 2.0
    assert trainer.optimizer.decay_multipliers == {"head.S": 0.0, "head.G": 0.0, "head.B": 0.0}


def test_fixed_and_float64() -> None:
    net = TrainSettings("cifar10", features=16, adaptive=False, dtype="float64").build("fried")
    assert net.dtype == np.float64 and not any(name.startswith("head.") for name in net.trainable)
    # What is drawn is not counted less: the figure is of weights that are kept.
    assert net.n_weights == TrainSettings("cifar10", features=16).build("fried").n_weights


def test_titles() -> None:
    settings = TrainSettings("cifar10")
    assert settings.title("cifar10_quick") == "cifar10_quick"
    assert settings.title("fried") == "Fastfood-1024-A, cifar10_quick"
    fixed = TrainSettings("cifar10", adaptive=False, dropout_inside=0.5)
    assert fixed.title("fried") == "Fastfood-1024-D, cifar10_quick"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"conv_relu": True}, "conv_relu must be False with cifar10, whose network has its own"),
        ({"dropout": 0.5}, "dropout must be 0 with cifar10, whose network takes dropout_inside"),
        ({"dropout_input": 0.5}, "dropout_input must be 0 with cifar10, .* alone, got 0.5"),
        ({"model": "lenet"}, "model must be one of 'cifar10_quick', 'fried', got 'lenet'"),
    ],
)
def test_what_cifar10_quick_does_not_take(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        TrainSettings("cifar10", **wrong)
    with pytest.raises(ValueError, match="one of 'lenet', 'fried', got 'cifar10_quick'"):
        TrainSettings("mnist", model="cifar10_quick")


@pytest.mark.parametrize("name", ["sample", "mnist", "cifar10"])
def test_images_of_the_other_kind(run: Path, tmp_path: Path, name: str) -> None:
    if name == "cifar10":
        other, message = load("mnist", write_small_set(tmp_path / "grey")), "got 28 x 28"
    else:
        other, message = load("cifar10", run / "data"), "28 x 28 pixels for LeNet, got 3 x 32 x 32"
    settings = TrainSettings(name, steps=1, features=16)
    with pytest.raises(DatasetError, match=message):
        training_run.run(settings, other, tmp_path / "out", console=Console())
    assert not (tmp_path / "out").exists()
