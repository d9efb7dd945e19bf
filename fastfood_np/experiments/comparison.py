"""The job behind ``compare``: structured layers in one network, at equal numbers of weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from fastfood_np.datasets import Dataset
from fastfood_np.experiments.networks import Network, network_for, network_of
from fastfood_np.experiments.settings import HEAD_STREAM, INITIAL_STREAM, TrainSettings
from fastfood_np.layers import Layer, Sequential
from fastfood_np.models import HEADS, structured_layer
from fastfood_np.training import TrainingDivergedError, count_errors, predict
from fastfood_np.training.trainer import TrainingState
from fastfood_np.validation import check_bool, check_choice, check_int

# Those that compete; the other two show what training r and what D are for.
COMPETITORS = tuple(kind for kind in HEADS if kind not in ("circulant-random", "circulant-ones"))
BUDGETS = (6_656, 13_312, 53_248)
MOST_WEIGHTS = 1 << 24  # of a budget; LeNet has 430,500
MOST_SEEDS = 1000
REFERENCE = "reference"
COUNTS = ("n_out", "head_weights", "weights", "head_bytes")


@dataclass(frozen=True)
class ComparisonSettings:
    """The options of ``compare``, one field an option; None where the run decides.

    `layers` are names in `models.HEADS`. Each is trained at each of the `budgets`; they, and with
    `reference` the network with its own dense layer, with each of the seeds 0 to `seeds` - 1.
    """

    dataset: str = "sample"
    data: str | None = None
    layers: tuple[str, ...] = COMPETITORS
    budgets: tuple[int, ...] = BUDGETS
    seeds: int = 3
    reference: bool = True
    conv_relu: bool = False
    augment: bool = False
    epochs: int | None = None
    steps: int | None = None
    batch: int = 64
    lr: float | None = None

    def __post_init__(self) -> None:
        for name in ("layers", "budgets"):
            values = getattr(self, name)
            if not isinstance(values, (tuple, list)):
                raise TypeError(f"{name} must be a tuple, got {values!r}")
            if not values:
                raise ValueError(f"{name} must hold at least one, got {values!r}")
            object.__setattr__(self, name, tuple(dict.fromkeys(values)))
        for layer in self.layers:
            check_choice(layer, "layers", tuple(HEADS))
        for budget in self.budgets:
            check_int(budget, "budgets", minimum=1, maximum=MOST_WEIGHTS)
        check_int(self.seeds, "seeds", minimum=1, maximum=MOST_SEEDS)
        check_bool(self.reference, "reference")
        self.training(0)
        self._check_budgets()

    def _check_budgets(self) -> None:
        """Draw each layer once: a budget may not even allow one output."""
        network = network_of(self.dataset)
        for budget in self.budgets:
            for layer in self.layers:
                try:
                    structured_layer(layer, network.features, network.classes, budget, rng=0)
                except ValueError as error:
                    raise ValueError(str(error).replace("budget", "budgets", 1)) from None

    def training(self, seed: int) -> TrainSettings:
        """Return how every network is trained, the reference too; they check themselves."""
        names = {field.name for field in fields(TrainSettings)}
        shared = {name: value for name, value in asdict(self).items() if name in names}
        return TrainSettings(**shared, schedule="cosine", seed=seed)

    @property
    def jobs(self) -> list[Job]:
        """All runs, a seed after the other, so that one interrupted still compares."""
        return [
            job
            for seed in range(self.seeds)
            for job in [
                *([Job(REFERENCE, None, seed)] if self.reference else []),
                *(Job(layer, budget, seed) for budget in self.budgets for layer in self.layers),
            ]
        ]


class Job(NamedTuple):
    """One run: the layer, the most weights of its head (None for the reference), the seed."""

    layer: str
    budget: int | None
    seed: int


def build(settings: ComparisonSettings, network: Network, job: Job) -> Sequential:
    """Return the untrained network; its convolutions depend on the seed alone."""
    options: dict[str, Any] = {"rng": np.random.default_rng((INITIAL_STREAM, job.seed))}
    if settings.conv_relu:
        options["conv_relu"] = True
    if job.budget is not None:
        rng = np.random.default_rng((INITIAL_STREAM, job.seed, HEAD_STREAM))
        options["head"] = structured_layer(
            job.layer, network.features, network.classes, job.budget, rng=rng
        )
    return network.build(**options)


def train(
    settings: ComparisonSettings, dataset: Dataset, job: Job, stopped: Any = None
) -> dict[str, Any] | None:
    """Train and test one network on one thread; return its row, None where it was stopped.

    The row's ``test_error``, in percent, is None where training diverged.

    Parameters
    ----------
    stopped : callable, optional
        Asked after each step of training whether to give up.
    """
    net = build(settings, network_for(settings.dataset, dataset.train_images), job)
    training = settings.training(job.seed)
    steps = training.total_steps(len(dataset.train_images))
    trainer = training.trainer("fried", net, steps, threads=1)

    def after_step(state: TrainingState) -> bool:
        return stopped is not None and stopped()

    error = None
    try:
        images, labels = dataset.train_images, dataset.train_labels
        if not trainer.fit(images, labels, steps, on_step=after_step):
            return None
        wrong = count_errors(predict(net, dataset.test_images, 1), dataset.test_labels)
        error = 100.0 * wrong / len(dataset.test_labels)
    except TrainingDivergedError:
        pass
    head, softmax = head_of(net), net.layers["ip2"]
    arrays = [*head.params.values(), *head.constants.values(), *softmax.params.values()]
    return {
        **job._asdict(),
        "n_out": softmax.params["W"].shape[1],
        "head_weights": head.n_weights + softmax.n_weights,
        "weights": net.n_weights,
        "head_bytes": sum(array.nbytes for array in arrays),
        "test_error": error,
        "train_seconds": trainer.state.seconds,
    }


def head_of(net: Sequential) -> Layer:
    """Return the layer that is compared, or the network's own in its place."""
    return net.layers["head" if "head" in net.layers else "ip1"]


def job_of(run: dict[str, Any]) -> Job:
    """Return the job whose result this is."""
    return Job(run["layer"], run["budget"], run["seed"])
