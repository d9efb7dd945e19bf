"""What a training run is asked to do, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np.compression import Binary, GroupLasso, Penalty, TwoValues
from fastfood_np.datasets.known import FOLDERS
from fastfood_np.experiments.networks import CIFAR10_QUICK, Network, network_of
from fastfood_np.files import write_json
from fastfood_np.layers import Dense, Fastfood, Sequential
from fastfood_np.models import decay_multipliers, deep_fried_lenet, rate_multipliers
from fastfood_np.models.lenet import CHANNELS
from fastfood_np.training import SGD, Constant, Cosine, InverseDecay, LinearRise, StepDecay, Trainer
from fastfood_np.training.augment import random_affine
from fastfood_np.training.schedules import Schedule
from fastfood_np.validation import (
    ModelFileError,
    check_bool,
    check_choice,
    check_float_dtype,
    check_int,
    check_path,
    check_rate,
    check_real,
    check_shape,
)

DATASETS = ("sample", *FOLDERS)
MODELS = ("lenet", "cifar10_quick", "fried")
SCHEDULES = ("inv", "cosine", "step", "constant")
# What pulls weights where, and by which coefficient unless one is given (our choices).
PENALTIES: dict[str, tuple[Callable[..., Penalty], float]] = {
    "two-values": (TwoValues, 1e-3),
    "binary": (Binary, 1e-6),
    "group-lasso": (GroupLasso, 1e-4),
}
SETTINGS_FILE = "settings.json"

# First word of the seed of a model's initial draws; the trainer uses 1 and 2, the split 3.
INITIAL_STREAM = 0
HEAD_STREAM = 1  # third word, of a head that is drawn apart from the rest of its network

SAMPLE_EPOCHS = 16
CAFFE_STEPS = 10_000  # max_iter of Caffe's LeNet
WARMUP_STEPS = 200


@dataclass(frozen=True)
class TrainSettings:
    """The options of ``train``, one field an option; None where the run decides."""

    dataset: str = "sample"
    data: str | None = None
    model: str | None = None
    features: int = 1024
    sigma: float = 20.0
    adaptive: bool = True
    conv_relu: bool = False
    dropout: float = 0.0
    dropout_inside: float = 0.0
    dropout_input: float = 0.0
    augment: bool = False
    epochs: int | None = None
    steps: int | None = None
    batch: int = 64
    lr: float | None = None
    schedule: str | None = None
    clip_norm: float | None = None
    channels: tuple[int, int] = CHANNELS
    weight_decay: float = 5e-4
    penalty: str | None = None
    penalty_weight: float | None = None
    penalty_value: float | None = None
    penalty_on: tuple[str, ...] | None = None
    seed: int = 0
    dtype: str = "float32"
    val_fraction: float = 0.0

    def __post_init__(self) -> None:
        check_choice(self.dataset, "dataset", DATASETS)
        for name in ("adaptive", "conv_relu", "augment"):
            check_bool(getattr(self, name), name)
        for name, minimum in (("features", 1), ("batch", 1), ("seed", 0)):
            check_int(getattr(self, name), name, minimum=minimum)
        for name in ("dropout", "dropout_inside", "dropout_input", "val_fraction"):
            check_rate(getattr(self, name), name)
        check_real(self.sigma, "sigma", above=0.0)
        check_real(self.weight_decay, "weight_decay", minimum=0.0)
        channels = check_shape(self.channels, "channels")
        if len(channels) != 2:
            raise ValueError(f"channels must be two integers, got {self.channels!r}")
        object.__setattr__(self, "channels", channels)
        check_float_dtype(self.dtype)
        if self.data is not None:
            check_path(self.data, "data")
        if self.model is not None:
            check_choice(self.model, "model", (self.reference, "fried"))
        if self.reference == "cifar10_quick":
            self._check_cifar10_quick()
        if self.schedule is not None:
            check_choice(self.schedule, "schedule", SCHEDULES)
        for name in ("epochs", "steps"):
            if getattr(self, name) is not None:
                check_int(getattr(self, name), name, minimum=1)
        if self.epochs is not None and self.steps is not None:
            raise ValueError("epochs and steps must not both be given")
        if self.lr is not None:
            check_real(self.lr, "lr", above=0.0)
        if self.clip_norm is not None:
            check_real(self.clip_norm, "clip_norm", minimum=0.0)
        self._check_penalty()

    def _check_penalty(self) -> None:
        for name in ("penalty_weight", "penalty_value", "penalty_on"):
            if self.penalty is None and getattr(self, name) is not None:
                raise ValueError(f"{name} must not be given without a penalty")
        if self.penalty is not None:
            check_choice(self.penalty, "penalty", tuple(PENALTIES))
        if self.penalty_weight is not None:
            check_real(self.penalty_weight, "penalty_weight", minimum=0.0)
        if self.penalty_value is not None:
            check_real(self.penalty_value, "penalty_value", minimum=0.0)
            if self.penalty == "binary":
                check_real(self.penalty_value, "penalty_value", above=0.0)
            if self.penalty == "group-lasso":
                raise ValueError("penalty_value must not be given with group-lasso, which has none")
        if self.penalty_on is not None:
            if not isinstance(self.penalty_on, (tuple, list)) or not self.penalty_on:
                raise ValueError(f"penalty_on must name layers, got {self.penalty_on!r}")
            object.__setattr__(self, "penalty_on", tuple(self.penalty_on))
            for model in self.models:
                self.penalised(self.build(model))

    def _check_cifar10_quick(self) -> None:
        if self.conv_relu:
            raise ValueError(
                f"conv_relu must be False with {self.dataset}, whose network has its own ReLUs"
            )
        if self.channels != CHANNELS:
            raise ValueError(
                f"channels must be {CHANNELS} with {self.dataset}, whose network has its own, got "
                f"{self.channels!r}"
            )
        for name in ("dropout", "dropout_input"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} must be 0 with {self.dataset}, whose network takes dropout_inside "
                    f"alone, got {getattr(self, name)!r}"
                )

    @property
    def reference(self) -> str:
        """The model that the deep-fried one is made of."""
        return "cifar10_quick" if network_of(self.dataset) is CIFAR10_QUICK else "lenet"

    @property
    def models(self) -> tuple[str, ...]:
        """The models to train, the reference first."""
        return (self.reference, "fried") if self.model is None else (self.model,)

    def total_steps(self, rows: int) -> int:
        """Return the number of steps on `rows` training images."""
        if self.steps is not None:
            return self.steps
        if self.epochs is None and self.dataset != "sample":
            return CAFFE_STEPS
        return (self.epochs or SAMPLE_EPOCHS) * -(-rows // self.batch)

    def title(self, model: str) -> str:
        """Return the model's name as the paper's Table 1 would print it."""
        if model == "cifar10_quick":
            return model
        convolutions = ", ReLU convolutions" if self.conv_relu else ""
        if model == "lenet":
            return f"reference LeNet{convolutions}"
        if self.reference == "cifar10_quick":
            convolutions = ", cifar10_quick"
        dropped = self.dropout or self.dropout_inside or self.dropout_input
        suffix = ("A" if self.adaptive else "") + ("D" if dropped else "")
        return f"Fastfood-{self.features}{'-' * bool(suffix)}{suffix}{convolutions}"

    def build(self, model: str, network: Network | None = None) -> Sequential:
        """Return the untrained model; its draws depend on the seed alone.

        `network` is as `network_for` makes it for the training images; without it no mean is
        subtracted from them.
        """
        network = network or network_of(self.dataset)
        rng = np.random.default_rng((INITIAL_STREAM, self.seed))
        if model == "lenet":
            return network.build(
                channels=self.channels, conv_relu=self.conv_relu, rng=rng, dtype=self.dtype
            )
        if model == "cifar10_quick":
            return network.build(rng=rng, dtype=self.dtype)
        if self.reference == "cifar10_quick":
            fastfood = Fastfood(
                network.features,
                self.features,
                sigma=self.sigma,
                adaptive=self.adaptive,
                dropout=self.dropout_inside,
                rng=np.random.default_rng((INITIAL_STREAM, self.seed, HEAD_STREAM)),
                dtype=self.dtype,
            )
            return network.build(head=fastfood, rng=rng, dtype=self.dtype)
        return deep_fried_lenet(
            self.features,
            channels=self.channels,
            sigma=self.sigma,
            adaptive=self.adaptive,
            conv_relu=self.conv_relu,
            dropout=self.dropout,
            dropout_inside=self.dropout_inside,
            dropout_input=self.dropout_input,
            rng=rng,
            dtype=self.dtype,
        )

    def schedule_of(self, model: str) -> str:
        """Return the schedule's name: Caffe's for Caffe's own LeNet, else cosine.

        The cosine with warm-up, a higher rate and a clipped gradient norm is our choice (the paper
        names no solver). With ReLU convolutions, and on CIFAR-10, both models take it, so that they
        compare.
        """
        caffe = model == "lenet" and not self.conv_relu
        return self.schedule or ("inv" if caffe else "cosine")

    def penalised(self, net: Sequential) -> tuple[str, ...]:
        """Return the layers of `net` whose W is penalised: those named, or all dense ones.

        "Fully connected layers" is all that the abstract says of them.
        """
        dense = tuple(name for name, layer in net.layers.items() if isinstance(layer, Dense))
        for name in self.penalty_on or ():
            if name not in dense:
                raise ValueError(
                    f"penalty_on must name dense layers of the net ({', '.join(dense)}), got "
                    f"{name!r}"
                )
        return self.penalty_on or dense

    def penalties(self, net: Sequential, steps: int) -> dict[str, tuple[Penalty, Schedule]]:
        """Return what the trainer adds to the cost of a run of `steps` steps.

        The coefficient rises linearly from 0 over the first half (our choice).
        """
        if self.penalty is None:
            return {}
        kind, usual = PENALTIES[self.penalty]
        weight = usual if self.penalty_weight is None else self.penalty_weight
        rise = LinearRise(weight, begin=0, end=max(1, steps // 2))
        value = () if self.penalty_value is None else (self.penalty_value,)
        return {f"{name}.W": (kind(*value), rise) for name in self.penalised(net)}

    def trainer(self, model: str, net: Sequential, steps: int, threads: int | None) -> Trainer:
        """Return the trainer of `net` for a run of `steps` steps."""
        name = self.schedule_of(model)
        base = self.lr or (0.03 if name == "cosine" else 0.01)
        warmup = min(WARMUP_STEPS, steps // 5)
        schedules: dict[str, Schedule] = {
            "inv": InverseDecay(base),
            "cosine": Cosine(base, max(1, steps), warmup),
            "step": StepDecay(base, every=max(1, steps // 4)),
            "constant": Constant(base),
        }
        clip_norm = self.clip_norm
        if clip_norm is None and name == "cosine":
            clip_norm = 2.0
        optimizer = SGD(
            net.params,
            net.trainable,
            weight_decay=self.weight_decay,
            clip_norm=clip_norm or None,
            rate_multipliers=rate_multipliers(net),
            decay_multipliers=decay_multipliers(net),
        )
        return Trainer(
            net,
            optimizer,
            schedules[name],
            batch=self.batch,
            seed=self.seed,
            threads=threads,
            augment=random_affine if self.augment else None,
            penalties=self.penalties(net, steps),
        )

    def save(self, folder: Path) -> None:
        """Write the settings into a run's folder."""
        write_json(folder / SETTINGS_FILE, asdict(self))


def checkpoint_file(folder: Path, model: str) -> Path:
    """Return where a run in `folder` keeps the checkpoint of `model`."""
    return folder / f"{model}.checkpoint.npz"


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run in `folder` got as far as its first checkpoint."""
    return any(checkpoint_file(folder, model).exists() for model in MODELS)


def load_settings(folder: Path) -> TrainSettings | None:
    """Return the settings of the run in `folder`, None where none was begun there.

    Raises
    ------
    ModelFileError
        The file there is no settings file of this version, or checkpoints lie there without it.
    """
    path = folder / SETTINGS_FILE
    if not path.exists():
        if has_checkpoint(folder):
            raise ModelFileError(f"{path}: is missing, though checkpoints are there")
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        names = {field.name for field in fields(TrainSettings)}
        if stored.keys() != names:
            raise ValueError(f"missing or unknown {', '.join(sorted(stored.keys() ^ names))}")
        return TrainSettings(**stored)
    except (ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ModelFileError(f"{path}: not the settings of a run ({error})") from error
