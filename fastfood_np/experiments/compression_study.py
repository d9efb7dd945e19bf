"""The study behind ``study``: penalty, product quantisation, both or neither, at equal sizes.

Networks are trained with and without a penalty on the dense layer that holds most weights, and that
layer is product-quantised at several rates, without fine-tuning: so the penalty's own part is seen.
Runs are paired by their seed, which fixes the initial weights and the order of the images. (The
paper's own table is not at hand; rates, penalty and its coefficient are our choice.)
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import mean
from typing import Any, NamedTuple

from fastfood_np.compression import ProductQuantizer, TwoValues
from fastfood_np.datasets import Dataset
from fastfood_np.datasets.cifar10 import NAME as CIFAR10
from fastfood_np.experiments.comparison_statistics import student_interval
from fastfood_np.experiments.networks import network_for
from fastfood_np.experiments.settings import DATASETS, PENALTIES, TrainSettings
from fastfood_np.layers import Sequential
from fastfood_np.training import TrainingDivergedError, count_errors, predict
from fastfood_np.training.trainer import TrainingState
from fastfood_np.validation import check_choice, check_int

# Length of a sub-vector and centroids; (1, k) is k-means of single weights.
RATES = ((1, 4), (2, 16), (1, 2), (2, 4), (4, 16), (8, 256), (2, 2), (4, 4), (8, 16), (8, 4))
LAYERS = {"lenet": "ip1", "fried": "ip2"}  # the dense layer with most weights
PENALTY = ("penalty", "penalty_weight", "penalty_value")
MOST_SEEDS = 1000


@dataclass(frozen=True)
class StudySettings:
    """The options of ``study``, one field an option; None where `TrainSettings` decide."""

    dataset: str = "sample"
    data: str | None = None
    model: str | None = None
    penalty: str = "two-values"
    penalty_weight: float | None = None
    penalty_value: float | None = None
    seeds: int = 10
    conv_relu: bool = False
    epochs: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.dataset, "dataset", [name for name in DATASETS if name != CIFAR10])
        if self.model is not None:
            check_choice(self.model, "model", tuple(LAYERS))
        check_choice(self.penalty, "penalty", tuple(PENALTIES))
        check_int(self.seeds, "seeds", minimum=1, maximum=MOST_SEEDS)
        for job in self.jobs[: 2 * len(LAYERS)]:
            self.training(job)

    @property
    def jobs(self) -> list[Job]:
        """All runs, a seed after the other."""
        return [
            Job(model, penalised, seed)
            for seed in range(self.seeds)
            for model in (LAYERS if self.model is None else (self.model,))
            for penalised in (False, True)
        ]

    def training(self, job: Job) -> TrainSettings:
        """Return how a network is trained."""
        names = {field.name for field in fields(TrainSettings)} - {*PENALTY, "model"}
        shared = {name: value for name, value in asdict(self).items() if name in names}
        if job.penalised:
            shared |= {name: getattr(self, name) for name in PENALTY}
            shared["penalty_on"] = (LAYERS[job.model],)
        return TrainSettings(**shared, model=job.model, seed=job.seed)


class Job(NamedTuple):
    """One run: "lenet" or "fried", with the penalty or without, the seed."""

    model: str
    penalised: bool
    seed: int


def job_of(row: Mapping[str, Any]) -> Job:
    """Return which run a row is of."""
    return Job(row["model"], row["penalised"], row["seed"])


def train(
    settings: StudySettings, dataset: Dataset, job: Job, stopped: Any = None
) -> dict[str, Any] | None:
    """Train one network on one thread and quantise it at all rates; None where it was stopped.

    Errors are on the test images, in percent; ``test_error``, before quantisation, is None where
    training diverged.
    """
    training = settings.training(job)
    network = network_for(settings.dataset, dataset.train_images)
    net = training.build(job.model, network)
    steps = training.total_steps(len(dataset.train_images))
    trainer = training.trainer(job.model, net, steps, threads=1)

    def after_step(state: TrainingState) -> bool:
        return stopped is not None and stopped()

    row = {**job._asdict(), "test_error": None, "train_seconds": None, "distance": None}
    try:
        if not trainer.fit(dataset.train_images, dataset.train_labels, steps, on_step=after_step):
            return None
    except TrainingDivergedError:
        return row | {"rates": []}
    W = net.params[f"{LAYERS[job.model]}.W"]
    return row | {
        "test_error": _error(net, dataset),
        "train_seconds": trainer.state.seconds,
        "distance": TwoValues().distance(W),
        "rates": [quantized(net, LAYERS[job.model], *rate, dataset) for rate in RATES],
    }


def quantized(
    net: Sequential, name: str, length: int, centroids: int, dataset: Dataset
) -> dict[str, Any]:
    """Return size and test error of a network whose layer is product-quantised at this rate.

    ``layer_bytes`` are those of the codes and of the one codebook that all runs share.
    """
    net = copy.deepcopy(net)
    W = net.params[f"{name}.W"]
    quantizer = ProductQuantizer(W.shape[1] // length, centroids, shared=True, rng=0).fit(W)
    layer_bytes = -(-quantizer.size_bits(len(W)) // 8)
    total = sum(array.nbytes for array in net.params.values())
    smaller = total - W.nbytes + layer_bytes
    W[...] = quantizer.decode(quantizer.encode(W))
    return {
        "length": length,
        "centroids": centroids,
        "layer_bytes": layer_bytes,
        "layer_ratio": W.nbytes / layer_bytes,
        "net_ratio": total / smaller,
        "test_error": _error(net, dataset),
    }


def _error(net: Sequential, dataset: Dataset) -> float:
    wrong = count_errors(predict(net, dataset.test_images, 1), dataset.test_labels)
    return 100.0 * wrong / len(dataset.test_labels)


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean errors and paired differences, penalty less none, at each rate and at none.

    The interval of a difference is Student's over the seeds, None for fewer than two; rows whose
    training diverged are left out with their partners.
    """
    found: dict[tuple[str, int], dict[bool, dict[str, Any]]] = {}
    for row in rows:
        if row["test_error"] is not None:
            found.setdefault((row["model"], row["seed"]), {})[row["penalised"]] = row
    lines = []
    for model in LAYERS:
        pairs = [pair for (name, _), pair in found.items() if name == model and len(pair) == 2]
        for place in range(-1, len(RATES) if pairs else -1):
            both = [
                [
                    (pair[p] if place < 0 else pair[p]["rates"][place])["test_error"]
                    for pair in pairs
                ]
                for p in (False, True)
            ]
            gaps = [with_it - without for without, with_it in zip(*both, strict=True)]
            rate = {} if place < 0 else dict(pairs[0][False]["rates"][place])
            rate.pop("test_error", None)
            lines.append(
                {
                    "model": model,
                    **rate,
                    "pairs": len(pairs),
                    "without": mean(both[0]),
                    "with": mean(both[1]),
                    "difference": mean(gaps),
                    "interval": student_interval(gaps) if len(gaps) > 1 else None,
                }
            )
    return lines
