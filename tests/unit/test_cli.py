"""The commands as a user calls them: what they print, write and return."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from small_runs import (
    SHORT,
    empty_pictures,
    main,
    needs_compiled_kernels,
    start,
    write_small_set,
)

import fastfood_np.experiments.circulant_equations as circulant_equations
import fastfood_np.experiments.equations as equations
from fastfood_np.experiments import environment, training_run
from fastfood_np.training.checkpoint import load_checkpoint

RESULT_KEYS = {"seed", "dataset", "steps", "models"}
MODEL_KEYS = {
    "name",
    "title",
    "weights",
    "parameters",
    "compression",
    "test_error",
    "interval",
    "train_seconds",
}
LONG_TITLE = "Fastfood-16-AD, ReLU convolutions"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set in "data" and a finished run in "run"."""
    folder = tmp_path_factory.mktemp("cli")
    data = write_small_set(folder / "data")
    options = ("--conv-relu", "--dropout", "0.25", "--seed", "5")
    assert main("train", "--data", data, *SHORT, *options, "--out", folder / "run") == 0
    return folder


@pytest.fixture
def pictures_are_empty(run: Path) -> Iterator[None]:
    """Draw no more than that run's."""
    with empty_pictures():
        yield


undrawn = pytest.mark.usefixtures("pictures_are_empty")


def test_train_writes_these_files(run: Path) -> None:
    assert sorted(path.name for path in (run / "run").iterdir()) == [
        "fried.checkpoint.npz",
        "fried.npz",
        "learning-curves.png",
        "lenet.checkpoint.npz",
        "lenet.npz",
        "results.json",
        "settings.json",
    ]


def test_results(run: Path) -> None:
    text = (run / "run" / "results.json").read_text()
    results = json.loads(text)
    assert results.keys() == RESULT_KEYS
    assert (results["seed"], results["dataset"], results["steps"]) == (5, "mnist", 3)
    assert [model["name"] for model in results["models"]] == ["lenet", "fried"]
    for model in results["models"]:
        assert model.keys() == MODEL_KEYS
        wrong = 20 * model["test_error"] / 100
        assert wrong == pytest.approx(round(wrong)) and 0 <= wrong <= 20
        low, high = model["interval"]
        assert 0 <= low <= model["test_error"] <= high <= 100 and high - low > 5
        assert model["train_seconds"] > 0
        assert model["compression"] == pytest.approx(430_500 / model["weights"])
    lenet, fried = results["models"]
    assert (lenet["weights"], lenet["parameters"]) == (430_500, 431_080)
    assert fried["weights"] == 25_500 + 3 * 1024 + 16 * 10
    assert str(run) not in text and "/" not in text


def test_picture(run: Path) -> None:
    picture = matplotlib.image.imread(run / "run" / "learning-curves.png")
    height, width = picture.shape[:2]
    assert 1000 < width < 3000 and 400 < height < 1500
    assert np.ptp(picture[..., :3]) > 0.5


@undrawn
def test_table_is_readable_off_a_terminal(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("train", "--resume", run / "run", "--out", tmp_path / "again") == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    (line,) = [line for line in printed.splitlines() if LONG_TITLE in line]
    for part in ("28,732", "15.0 x", "%", " to "):
        assert part in line
    assert "\r" not in printed and "\x1b" not in printed and "steps/s" not in printed
    assert f"are in {tmp_path / 'again'}.\n" in printed


@undrawn
def test_paths_are_printed_as_they_are(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "[red] :smile: [/x] and a name so long that it must not be wrapped" / "a b"
    assert main("train", "--resume", run / "run", "--out", odd) == 0
    assert f"are in {odd}.\n" in capsys.readouterr().out


@undrawn
def test_printed_weights_are_explained(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "fried", "--steps", 1, "--batch", 4)
    assert main("train", "--data", run / "data", *options, "--out", tmp_path / "run") == 0
    printed = capsys.readouterr().out
    assert "38,812" in printed and "38,821" in printed and "13,321" in printed
    assert sorted(path.name for path in tmp_path.glob("run/*.npz")) == [
        "fried.checkpoint.npz",
        "fried.npz",
    ]


@undrawn
def test_default_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main("train", "--data", run / "data", "--model", "fried", *SHORT) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}", folder.name)
    assert (folder / "results.json").exists()


@undrawn
@pytest.mark.parametrize(
    "options",
    [
        ("--schedule", "step", "--lr", "0.001", "--clip-norm", "0"),
        ("--schedule", "constant", "--fixed", "--augment", "--dtype", "float64"),
        ("--schedule", "inv", "--dropout-inside", "0.5", "--dropout-input", "0.1"),
    ],
)
def test_options_reach_the_run(run: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    arguments = ("--data", run / "data", "--model", "fried", *SHORT, *options)
    assert main("train", *arguments, "--out", tmp_path / "run") == 0
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    for option, value in zip(options, (*options[1:], ""), strict=True):
        if option.startswith("--") and not value.startswith("--"):
            assert str(settings[option[2:].replace("-", "_")]) in (value, f"{value}.0")
    assert settings["adaptive"] == ("--fixed" not in options)
    assert settings["augment"] == ("--augment" in options)


@undrawn
def test_epochs(run: Path, tmp_path: Path) -> None:
    options = ("--model", "fried", "--features", 16, "--batch", 16, "--epochs", 2)
    assert main("train", "--data", run / "data", *options, "--out", tmp_path / "run") == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 6


def test_divergence_is_exit_code_1(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "fried", "--schedule", "constant", "--lr", "1e30", "--batch", "8")
    with np.errstate(all="ignore"):
        code = main("train", "--data", run / "data", *options, "--out", tmp_path / "run")
    assert code == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert re.fullmatch(r"fastfood-np train: error: the loss is \w+ at step \d+; .*\n", errors)


def test_a_checkpoint_without_its_curves_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_curves(*arguments: Any) -> dict[str, Any]:
        extra = load_checkpoint(*arguments)
        assert extra is not None
        return {name: value for name, value in extra.items() if name != "held_out"}

    monkeypatch.setattr(training_run, "load_checkpoint", without_curves)
    assert main("train", "--resume", run / "run", "--out", tmp_path / "again") == 2
    assert "lenet.checkpoint.npz: not a checkpoint of train ('held_out')" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_folder_that_may_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda place, mode: False)
    assert main("train", "--out", tmp_path / "run") == 2
    assert f"argument --out: {tmp_path} cannot be written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_evaluate(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads((run / "run" / "results.json").read_text())
    for model in results["models"]:
        file = run / "run" / f"{model['name']}.npz"
        assert main("evaluate", file, "--data", run / "data", "--out", tmp_path / "new") == 0
        printed = capsys.readouterr().out
        low, high = model["interval"]
        assert f"{model['title']}: {model['weights']:,} weights" in printed
        assert f"{model['test_error']:.2f} % test error" in printed
        assert f"95 % interval {low:.2f} to {high:.2f} %" in printed
        rows = [line.split() for line in printed.splitlines() if re.match(r"\s+\d +[.\d]", line)]
        confusion = np.array([[int(n.replace(".", "0")) for n in row[1:]] for row in rows[1:]])
        assert confusion.shape == (10, 10) and confusion.sum() == 20
        assert 100 - 5 * np.trace(confusion) == pytest.approx(model["test_error"])
        picture = matplotlib.image.imread(tmp_path / "new" / f"{model['name']}-mistakes.png")
        assert min(picture.shape[:2]) > 200


@undrawn
def test_evaluate_writes_beside_the_model(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine.npz"
    copy.write_bytes((run / "run" / "fried.npz").read_bytes())
    assert main("evaluate", copy, "--data", run / "data", "--threads", 1) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"mine.npz", "mine-mistakes.png"}


def test_verify(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        equations.Check("5", "one thing", 1e-16, 1e-12),
        equations.Check("6", "another [thing]", 0.5, 1e-12),
        equations.Check("7", "no number", float("nan"), 1e-12),
    ]
    monkeypatch.setattr(equations, "check_equations", lambda: checks[:1])
    monkeypatch.setattr(circulant_equations, "check_circulant_equations", lambda: iter(()))
    assert main("verify") == 0
    assert "1 of 1 checks hold" in capsys.readouterr().out
    monkeypatch.setattr(equations, "check_equations", lambda: checks)
    assert main("verify") == 1
    printed = capsys.readouterr().out
    assert "1 of 3 checks hold" in printed and printed.count("FAILS") == 2
    assert re.search(r"6 +another \[thing\] +0\.5 +1e-12 +FAILS", printed)
    monkeypatch.setattr(circulant_equations, "check_circulant_equations", lambda: iter(checks[1:2]))
    monkeypatch.setattr(equations, "check_equations", lambda: checks[:1])
    assert main("verify") == 1
    assert "1 of 2 checks hold" in capsys.readouterr().out


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("info") == 0
    printed = capsys.readouterr().out
    for word in ("Python", "numpy", "numba", "CPUs", "vector features", "BLAS", "reference"):
        assert word in printed


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package"))
    rows = dict(environment.environment())
    assert rows["numpy"] == np.__version__ and rows["no-such-package"] == "not installed"


@pytest.mark.parametrize(("terminal", "widest"), [("1", 50), ("", 120)])
def test_only_a_terminal_sets_the_width(
    terminal: str,
    widest: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check = equations.Check("5", "word " * 100, 0.0, 0.1)
    monkeypatch.setattr(equations, "check_equations", lambda: [check])
    monkeypatch.setenv("FORCE_COLOR", terminal)
    monkeypatch.setenv("COLUMNS", "50")
    assert main("verify") == 0
    printed = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert widest - 10 < max(len(line.rstrip()) for line in printed.splitlines()) <= widest


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), ("train", "evaluate", "compress", "study", "compare", "verify", "info")),
        (("train",), ("--resume", "--conv-relu", "--val-fraction", "--fixed", "cifar10_quick")),
        (("compare",), ("--layers", "--budgets", "--no-reference", "--processes", "cifar10_quick")),
        (("evaluate",), ("MODEL", "--data", "--out")),
        (("compress",), ("MODEL", "--target-bytes", "--max-error", "--pq", "LAYER:LENGTH:CENT")),
        (("study",), ("--penalty-weight", "--seeds", "--processes", "--out")),
        (("bench",), ("--smoke", "--turns", "--only", "--ffht", "--out")),
        (("verify",), ("usage: fastfood-np verify",)),
        (("info",), ("usage: fastfood-np info",)),
    ],
)
def test_help(
    command: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(*command, "--help") == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in words)


def test_ctrl_c_outside_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(equations, "check_equations", interrupted)
    assert main("verify") == 130
    assert capsys.readouterr() == ("", "fastfood-np: stopped\n")


def test_too_little_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def too_large() -> None:
        raise MemoryError("Unable to allocate 8 TiB")

    monkeypatch.setattr(equations, "check_equations", too_large)
    assert main("verify") == 2
    assert "error: not enough memory (Unable to allocate 8 TiB)\n" in capsys.readouterr().err


def test_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(equations, "check_equations", lambda: [equations.Check("5", "x", 1.0, 0.1)])
    monkeypatch.setattr(circulant_equations, "check_circulant_equations", lambda: iter(()))
    monkeypatch.setattr("sys.argv", ["fastfood-np", "verify"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("fastfood_np", run_name="__main__")
    assert end.value.code == 1
    assert "0 of 1 checks hold" in capsys.readouterr().out


def test_entry_point() -> None:
    process = start("info")
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "fastfood_np" in printed
    process = start("polish")
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (2, "")
    assert re.fullmatch(r"fastfood-np: error: argument COMMAND: invalid choice: .*\n", errors)


@needs_compiled_kernels
def test_training_from_the_shell_prints_no_progress(run: Path, tmp_path: Path) -> None:
    process = start("train", "--data", run / "data", "--model", "fried", *SHORT, folder=tmp_path)
    printed, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "Fastfood-16-A" in printed and "steps/s" not in printed and "\x1b" not in printed
    assert len(list((tmp_path / "runs").iterdir())) == 1
