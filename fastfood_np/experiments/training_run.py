"""The job behind ``train``: train the models, keep checkpoints, write models, results, picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fastfood_np import plotting
from fastfood_np.datasets import Dataset
from fastfood_np.experiments.networks import network_for, network_of
from fastfood_np.experiments.settings import TrainSettings, checkpoint_file
from fastfood_np.files import replacing, write_json, write_whole
from fastfood_np.layers import Sequential
from fastfood_np.model_files import save_model
from fastfood_np.training import (
    Trainer,
    TrainingState,
    count_errors,
    error_interval,
    load_checkpoint,
    predict,
    save_checkpoint,
)
from fastfood_np.training.interrupt import deferred_interrupt
from fastfood_np.training.progress import TrainingProgress, training_progress
from fastfood_np.validation import Array, DatasetError, ModelFileError

SHOWN_EVERY = 50  # steps, of the penalised weights' progress
SPLIT_STREAM = 3  # first word of the seed of the validation split; see settings.INITIAL_STREAM


class TrainingInterruptedError(Exception):
    """Ctrl-C: what was trained is saved, and the run can be resumed."""


@dataclass
class Split:
    """What is trained on, what is held out while training, and what is reported."""

    train_images: Array
    train_labels: Array
    held_out_images: Array
    held_out_labels: Array
    held_out_kind: str


@dataclass
class ModelRun:
    """One trained model: its numbers, and the curves for the picture."""

    name: str
    title: str
    net: Sequential
    state: TrainingState = field(default_factory=TrainingState)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    errors: int = 0
    interval: tuple[float, float] = (0.0, 0.0)
    penalties: str = ""


def run(
    settings: TrainSettings,
    dataset: Dataset,
    out: Path,
    *,
    console: Console,
    threads: int | None = None,
    resume: Path | None = None,
) -> dict[str, Any]:
    """Train what `settings` asks for, going on from checkpoints in `resume`; return the results.

    Writes into `out`, which is made if it does not exist: settings.json, a checkpoint and a model
    file for each model, results.json and learning-curves.png. Whatever can be found wrong with
    the data or the checkpoints is found before anything is written.

    Raises
    ------
    TrainingInterruptedError
        Ctrl-C was pressed; checkpoint and model of the current weights are written.
    DatasetError
        The images are not of the network's size, or too few are left to train on.
    ModelFileError
        A checkpoint in `resume` is corrupt or was made from other data.
    """
    split = split_off(dataset, settings.val_fraction, settings.seed)
    network = network_for(settings.dataset, split.train_images)
    runs = [
        ModelRun(name, settings.title(name), settings.build(name, network))
        for name in settings.models
    ]
    steps, data = settings.total_steps(len(split.train_images)), dataset.checksum()
    jobs = [
        _Job(model, settings, settings.trainer(model.name, model.net, steps, threads), split, data)
        for model in runs
    ]
    if resume is not None:
        for job in jobs:
            job.resume(resume)
    out.mkdir(parents=True, exist_ok=True)
    settings.save(out)
    for job in jobs:
        job.carry_over(out)
    with deferred_interrupt() as interrupted, training_progress(console) as progress:
        for job, model in zip(jobs, runs, strict=True):
            per_epoch = job.trainer.steps_per_epoch(len(split.train_images))
            line = TrainingProgress(progress, model.name, steps, per_epoch, model.state.step)
            job.train(steps, per_epoch, out, line, interrupted)
            logits = predict(model.net, dataset.test_images, threads)
            model.errors = count_errors(logits, dataset.test_labels)
            model.interval = error_interval(model.errors, len(dataset.test_labels))
            model.penalties = job.trainer.penalty_progress()
            job.save_model(out)
    results = summary(settings, dataset, runs)
    write_json(out / "results.json", results)
    picture = plotting.learning_curves(
        [model.title for model in runs],
        [model.state.losses for model in runs],
        [model.held_out for model in runs],
        split.held_out_kind,
        [model.interval for model in runs],
    )
    with replacing(out / "learning-curves.png") as file:
        picture.savefig(file, format="png")
    return results


@dataclass
class _Job:
    """Training one model: what happens between steps."""

    model: ModelRun
    settings: TrainSettings
    trainer: Trainer
    split: Split
    data: int
    best_file: bytes | None = None  # of the run resumed

    def resume(self, folder: Path) -> None:
        """Take up the checkpoint in `folder`, if there is one; nothing is written."""
        checkpoint = checkpoint_file(folder, self.model.name)
        if not checkpoint.exists():
            return
        extra = load_checkpoint(checkpoint, self.trainer) or {}
        if extra.get("data") != self.data:
            raise ModelFileError(f"{checkpoint}: made from other data than given now")
        self.model.state = self.trainer.state
        try:
            self.model.held_out = [(int(step), float(error)) for step, error in extra["held_out"]]
            self.model.best = best = extra["best"]
            if best is not None:
                self.model.best = {
                    "step": int(best["step"]),
                    "validation_error": float(best["validation_error"]),
                }
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{checkpoint}: not a checkpoint of train ({error})") from error
        if best is not None:
            self.best_file = self._best(folder).read_bytes()

    def carry_over(self, out: Path) -> None:
        """Write what was taken up, so that a run continued in another folder is whole there."""
        if self.model.state.step:
            self._save_checkpoint(out)
        if self.best_file is not None:
            write_whole(self._best(out), self.best_file)

    def train(
        self,
        steps: int,
        per_epoch: int,
        out: Path,
        line: TrainingProgress,
        interrupted: Callable[[], bool],
    ) -> None:
        """Train to `steps` steps, with a measurement and a checkpoint after each epoch."""
        self.model.state = self.trainer.state

        def after_step(state: TrainingState) -> bool:
            if state.step % per_epoch == 0 or state.step == steps:
                self._measure(state.step, out)
                line.held_out_error(self.split.held_out_kind, self.model.held_out[-1][1])
                self._save_checkpoint(out)
            if state.step % SHOWN_EVERY == 0:
                line.penalties(self.trainer.penalty_progress())
            line.step(state)
            return interrupted()

        finished = self.trainer.fit(
            self.split.train_images, self.split.train_labels, steps, on_step=after_step
        )
        if not finished:
            self._save_checkpoint(out)
            self.save_model(out)
            raise TrainingInterruptedError(
                f"{self.model.title}: stopped after step {self.model.state.step} of {steps}"
            )

    def save_model(self, out: Path) -> None:
        """Write the model as it is now."""
        metadata = self._metadata(self.model.title)
        save_model(out / f"{self.model.name}.npz", self.model.net, metadata)

    def _metadata(self, title: str) -> dict[str, Any]:
        """Return what a model's file says of it; by the rest, its held-out images are known."""
        kept = ("seed", "dataset", "val_fraction")
        return {"title": title} | {name: getattr(self.settings, name) for name in kept}

    def _measure(self, step: int, out: Path) -> None:
        images, labels = self.split.held_out_images, self.split.held_out_labels
        errors = count_errors(predict(self.model.net, images, self.trainer.threads), labels)
        percent = 100.0 * errors / len(labels)
        self.model.held_out.append((step, percent))
        best = self.model.best
        if self.split.held_out_kind == "validation" and (
            best is None or percent < best["validation_error"]
        ):
            self.model.best = {"step": step, "validation_error": percent}
            metadata = self._metadata(f"{self.model.title}, best while training")
            save_model(self._best(out), self.model.net, metadata | self.model.best)

    def _save_checkpoint(self, out: Path) -> None:
        extra = {"data": self.data, "held_out": self.model.held_out, "best": self.model.best}
        save_checkpoint(checkpoint_file(out, self.model.name), self.trainer, extra)

    def _best(self, folder: Path) -> Path:
        return folder / f"{self.model.name}-best.npz"


def split_off(dataset: Dataset, fraction: float, seed: int) -> Split:
    """Hold out a random fraction of the training images; with 0, the test images are measured.

    Nothing is chosen by what is measured on the test images while training: they are only drawn.
    """
    images, labels = dataset.train_images, dataset.train_labels
    if fraction == 0:
        return Split(images, labels, dataset.test_images, dataset.test_labels, "test")
    held = round(fraction * len(images))
    if not 0 < held < len(images):
        raise DatasetError(
            f"a validation fraction of {fraction} leaves {len(images) - held} training and {held} "
            f"validation images of {len(images)}; both must be at least 1"
        )
    order = np.random.default_rng((SPLIT_STREAM, seed)).permutation(len(images))
    rest, out = order[held:], order[:held]
    return Split(images[rest], labels[rest], images[out], labels[out], "validation")


def summary(settings: TrainSettings, dataset: Dataset, runs: list[ModelRun]) -> dict[str, Any]:
    """Return the contents of results.json: errors in percent, no paths."""
    return {
        "seed": settings.seed,
        "dataset": settings.dataset,
        "steps": max(model.state.step for model in runs),
        "models": [_numbers(settings, model, len(dataset.test_labels)) for model in runs],
    }


def _numbers(settings: TrainSettings, model: ModelRun, tested: int) -> dict[str, Any]:
    numbers = {
        "name": model.name,
        "title": model.title,
        "weights": model.net.n_weights,
        "parameters": model.net.n_weights + model.net.n_biases,
        "compression": network_of(settings.dataset).weights / model.net.n_weights,
        "test_error": 100.0 * model.errors / tested,
        "interval": list(model.interval),
        "train_seconds": model.state.seconds,
    }
    if model.penalties:
        numbers["penalties"] = model.penalties
    return numbers if model.best is None else numbers | {"best": model.best}
