"""A run that was stopped goes on with the bits of one that was not."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import (
    arrays,
    assert_same_models,
    contents,
    empty_pictures,
    main,
    needs_compiled_kernels,
    start,
    write_small_set,
)

from fastfood_np.experiments import training_run
from fastfood_np.training import TrainingState

# Five batches an epoch, every kind of randomness; two epochs end within the run.
OPTIONS = ("--batch", "8", "--features", "16", "--steps", "12", "--seed", "3", "--augment")
DROPOUT = ("--dropout", "0.2", "--dropout-inside", "0.1", "--dropout-input", "0.1")
LONG = ("--steps", "100")  # there is time to kill it before it ends
MODELS = ("lenet", "fried")


@pytest.fixture(scope="module", autouse=True)
def undrawn() -> Iterator[None]:
    """test_cli.py looks at pictures."""
    with empty_pictures():
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_set(tmp_path_factory.mktemp("resume") / "data")


@pytest.fixture(scope="module")
def undisturbed(data: Path) -> Path:
    return finished(data, data.parent / "undisturbed")


@pytest.fixture(scope="module")
def undisturbed_long(data: Path) -> Path:
    return finished(data, data.parent / "undisturbed-long", *LONG)


def finished(data: Path, out: Path, *options: str) -> Path:
    arguments = ("--data", data, *OPTIONS, *DROPOUT, *options)
    assert main("train", *arguments, "--out", out) == 0
    return out


def results(folder: Path) -> dict[str, Any]:
    """Return results.json without what a clock measured."""
    stored: dict[str, Any] = json.loads((folder / "results.json").read_text())
    for model in stored["models"]:
        assert model.pop("train_seconds") > 0
    return stored


def assert_same_run(folder: Path, other: Path, names: tuple[str, ...] = MODELS) -> None:
    assert_same_models(folder, other, names)
    assert results(folder) == results(other)
    for name in MODELS:
        ours, theirs = (arrays(place / f"{name}.checkpoint.npz") for place in (folder, other))
        assert ours["losses"].tobytes() == theirs["losses"].tobytes()
        header, its = (json.loads(str(stored["header"])) for stored in (ours, theirs))
        assert header["extra"] == its["extra"] and header["step"] == its["step"]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets a run in this process stop at a step, as on Ctrl-C.

    ``stop_at(step, "fried")`` presses the keys in the step of that model.
    """

    def stop(step: int, model: str) -> None:
        line_of = training_run.TrainingProgress

        class Pressing(line_of):  # type: ignore[misc, valid-type]
            def __init__(self, progress: Any, name: str, *others: Any) -> None:
                super().__init__(progress, name, *others)
                self.name = name

            def step(self, state: TrainingState) -> None:
                super().step(state)
                if (self.name, state.step) == (model, step):
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(training_run, "TrainingProgress", Pressing)

    return stop


@pytest.mark.compiled_only
@pytest.mark.parametrize(
    ("model", "step"), [("lenet", 3), ("lenet", 5), ("lenet", 12), ("fried", 1), ("fried", 7)]
)
def test_interrupted_at_any_step(
    data: Path,
    undisturbed: Path,
    tmp_path: Path,
    stop_at: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    step: int,
) -> None:
    out = tmp_path / "a run"
    stop_at(step, model)
    arguments = ("--data", data, *OPTIONS, *DROPOUT, "--threads", 1)
    assert main("train", *arguments, "--out", out) == 130
    printed, errors = capsys.readouterr()
    assert printed == "" and errors.count("\n") == 1
    # A model that is through is not stopped any more; the next one is, after its first step.
    at = 1 if step == 12 else step
    assert f"stopped after step {at} of 12" in errors
    assert errors.endswith(f"go on with: fastfood-np train --resume '{out}'\n")
    stopped = "fried" if step == 12 else model
    assert {f"{stopped}.npz", f"{stopped}.checkpoint.npz"} <= {path.name for path in out.iterdir()}
    assert not (out / "results.json").exists()
    monkeypatch.undo()
    assert main("train", "--resume", out, "--threads", 4) == 0
    assert_same_run(out, undisturbed)


def test_interrupt_in_the_last_step_changes_nothing(
    data: Path, undisturbed: Path, tmp_path: Path, stop_at: Any
) -> None:
    stop_at(12, "fried")
    assert_same_run(finished(data, tmp_path / "run"), undisturbed)


def test_finished_run_writes_its_results_again(
    data: Path, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = finished(data, tmp_path / "run")
    before = contents(out)
    for name in ("results.json", "learning-curves.png", "lenet.npz", "fried.npz"):
        (out / name).unlink()

    def no_training(*arguments: Any) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr("fastfood_np.training.trainer.Trainer._gradients", no_training)
    assert main("train", "--resume", out) == 0
    after = contents(out)
    assert after.keys() == before.keys()
    # The seconds too: they are those of the training.
    assert after["results.json"] == before["results.json"]
    assert_same_run(out, undisturbed)


@pytest.mark.parametrize("begun", [False, True])
def test_no_checkpoint_yet(
    data: Path,
    undisturbed: Path,
    tmp_path: Path,
    begun: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With settings (killed in the first epoch) or without (killed before): from the start."""
    out = tmp_path / "run"
    out.mkdir()
    given: tuple[object, ...] = ("--data", data, *OPTIONS, *DROPOUT)
    if begun:
        (out / "settings.json").write_bytes((undisturbed / "settings.json").read_bytes())
        given = ()
    assert main("train", "--resume", out, *given) == 0
    assert f"No checkpoint in {out} yet: starting from the beginning." in capsys.readouterr().out
    assert_same_run(out, undisturbed)


@pytest.mark.parametrize("same", [("--seed", "3"), ("--adaptive",), ("--augment", "--batch", "8")])
def test_repeated_options_may_agree(
    undisturbed: Path, tmp_path: Path, same: tuple[str, ...]
) -> None:
    assert main("train", "--resume", undisturbed, *same, "--out", tmp_path / "other") == 0
    assert_same_run(tmp_path / "other", undisturbed)


def test_into_another_folder(data: Path, undisturbed: Path, tmp_path: Path, stop_at: Any) -> None:
    first = tmp_path / "first"
    stop_at(6, "fried")
    arguments = ("--data", data, *OPTIONS, *DROPOUT)
    assert main("train", *arguments, "--out", first) == 130
    before = contents(first)
    # Stopped again before the next checkpoint, the second folder lacks nothing of the first.
    stop_at(7, "fried")
    assert main("train", "--resume", first, "--out", tmp_path / "second") == 130
    stop_at(99, "fried")
    assert main("train", "--resume", tmp_path / "second") == 0
    assert contents(first) == before
    assert_same_run(tmp_path / "second", undisturbed)


def test_best_model_of_a_validation_set(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: Any
) -> None:
    """The best epoch's weights are kept; what is reported is the last step's."""
    options = ("--val-fraction", "0.25")
    # Errors on ten images hardly move in twelve steps: put falling and rising ones in their place.
    errors = {4: 5, 8: 2, 12: 7}
    states: dict[int, dict[str, bytes]] = {}
    count = training_run.count_errors
    measure = training_run._Job._measure

    def counted(logits: Any, labels: Any) -> int:
        return errors[at[0]] if len(labels) == 10 else count(logits, labels)

    def measured(job: Any, step: int, *others: Any) -> None:
        at[0] = step
        states[step] = {name: w.tobytes() for name, w in job.model.net.params.items()}
        measure(job, step, *others)

    at = [0]
    monkeypatch.setattr(training_run, "count_errors", counted)
    monkeypatch.setattr(training_run._Job, "_measure", measured)
    whole = finished(data, tmp_path / "whole", *options)
    for model in results(whole)["models"]:
        assert model["best"] == {"step": 8, "validation_error": 20.0}
    last, best = arrays(whole / "fried.npz"), arrays(whole / "fried-best.npz")
    for name, bits in states[8].items():
        assert best[f"param:{name}"].tobytes() == bits
    for name, bits in states[12].items():
        assert last[f"param:{name}"].tobytes() == bits
    assert states[8] != states[12]

    stopped, elsewhere = tmp_path / "stopped", tmp_path / "elsewhere"
    stop_at(10, "fried")
    arguments = ("--data", data, *OPTIONS, *DROPOUT, *options, "--out", stopped)
    assert main("train", *arguments) == 130
    stop_at(99, "fried")
    names = (*MODELS, "lenet-best", "fried-best")
    for out in (elsewhere, stopped):
        assert main("train", "--resume", stopped, "--out", out) == 0
        assert_same_run(out, whole, names)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@needs_compiled_kernels
@pytest.mark.parametrize("model", MODELS)
def test_killed_between_epochs(
    data: Path,
    undisturbed_long: Path,
    tmp_path: Path,
    model: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """kill -9 as soon as the model's first checkpoint is there, then go on."""
    out = tmp_path / "run"
    process = start("train", "--data", data, *OPTIONS, *DROPOUT, *LONG, "--out", out)
    wait_for(out / f"{model}.checkpoint.npz", process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "results.json").exists()
    step = json.loads(str(arrays(out / f"{model}.checkpoint.npz")["header"]))["step"]
    assert 5 <= step < 100
    assert main("train", "--resume", out) == 0
    assert "No checkpoint" not in capsys.readouterr().out
    assert_same_run(out, undisturbed_long)


@needs_compiled_kernels
def test_ctrl_c_in_another_process(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    """The signal itself: the step is finished, all is saved, and the message says how to go on."""
    out = tmp_path / "run"
    slow = ("--steps", "100000")
    options = tuple(o for o in OPTIONS if o not in ("--steps", "12"))
    process = start("train", "--data", data, *options, *slow, *DROPOUT, "--out", out)
    wait_for(out / "lenet.checkpoint.npz", process)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")
    found = re.fullmatch(
        r"reference LeNet: stopped after step (\d+) of 100000; "
        rf"go on with: fastfood-np train --resume {re.escape(str(out))}\n",
        errors,
    )
    assert found, errors
    step = int(found[1])
    checkpoint, model = arrays(out / "lenet.checkpoint.npz"), arrays(out / "lenet.npz")
    assert checkpoint["losses"].shape == (step,)
    assert model["param:ip2.W"].tobytes() == checkpoint["param:ip2.W"].tobytes()
    written = {path.name for path in out.iterdir()}
    assert written == {"lenet.checkpoint.npz", "lenet.npz", "settings.json"}
