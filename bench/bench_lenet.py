"""One training step of LeNet (batch 64, float32) against PyTorch's CPU build, equal threads.

    python bench/bench_lenet.py [--smoke] [--turns N] [--json FILE]

First the losses of ten steps from the same weights are compared, then the steps are timed, the
contenders in rotation. A step takes the same rows from the same stored images: gather, scale,
forward, backward, update.
"""

from __future__ import annotations

import statistics
import sys
from typing import Any

import numpy as np
from harness import arguments, interleaved, machine, paired_ratio, write_json
from torch_lenet import TorchLeNet, torch

from fastfood_np.datasets import load
from fastfood_np.experiments.settings import TrainSettings
from fastfood_np.training.trainer import Trainer, epoch_order

RATE, BATCH, SEED = 0.01, 64, 0
TARGET = 1.0  # not slower than torch


def trainer(model: str, threads: int) -> Trainer:
    """Return a trainer at a constant rate (torch scales its velocities otherwise)."""
    settings = TrainSettings(lr=RATE, schedule="constant", batch=BATCH, seed=SEED)
    return settings.trainer(model, settings.build(model), steps=1, threads=threads)


def largest_difference(steps: int, images: Any, labels: Any) -> float:
    """Return the largest difference between our losses and torch's over the first steps."""
    ours = trainer("lenet", threads=1)
    theirs = TorchLeNet(ours.model, RATE)
    ours.fit(images, labels, steps)
    order = epoch_order(len(images), SEED, 0)
    losses = [
        theirs.step(images[rows], labels[rows])
        for rows in (order[k * BATCH : (k + 1) * BATCH] for k in range(steps))
    ]
    return float(np.abs(np.array(ours.state.losses) - losses).max())


def time_steps(threads: int, turns: int, steps: int, images: Any, labels: Any) -> dict[str, Any]:
    """Return medians in ms a step and the ratios torch / ours."""
    torch.set_num_threads(threads)
    ours = {model: trainer(model, threads) for model in ("lenet", "fried")}
    theirs = TorchLeNet(trainer("lenet", threads).model, RATE)
    order = epoch_order(len(images), SEED, 0)

    def train_ours(model: str) -> None:
        ours[model].fit(images, labels, ours[model].state.step + steps)

    def train_theirs() -> None:
        for k in range(steps):
            rows = order[k * BATCH : (k + 1) * BATCH]
            theirs.step(images[rows], labels[rows])

    seconds = interleaved(
        {
            "lenet": lambda: train_ours("lenet"),
            "torch": train_theirs,
            "fried": lambda: train_ours("fried"),
        },
        turns,
    )
    median = {name: 1e3 * statistics.median(times) / steps for name, times in seconds.items()}
    return {
        "threads": threads,
        "turns": turns,
        "steps_per_turn": steps,
        "lenet_ms": median["lenet"],
        "torch_ms": median["torch"],
        "fried_ms": median["fried"],
        "torch_over_lenet": paired_ratio(seconds["torch"], seconds["lenet"]),
        "torch_over_fried": paired_ratio(seconds["torch"], seconds["fried"]),
        "target": TARGET,
    }


def main() -> int:
    """Check, time, print; return 1 where the losses differ."""
    options = arguments(__doc__ or "")
    if torch is None:
        print(
            "PyTorch is not installed (pip install 'fastfood_np[torch]'): nothing to compare with."
        )
        return 0
    turns, steps = (2, 2) if options.smoke else (options.turns, 20)
    data = load("sample")
    images, labels = data.train_images, data.train_labels
    here = machine()
    print(f"{here['cpu']}, {here['cpus']} CPUs; torch {torch.__version__}")
    torch.set_num_threads(1)
    difference = largest_difference(10, images, labels)
    print(f"losses of the first ten steps: at most {difference:.1e} apart (1e-4 allowed)")
    rows = []
    print("threads  LeNet ms  torch ms  torch/LeNet (target)  fried ms  torch/fried")
    for threads in (1, 2):
        row = time_steps(threads, turns, steps, images, labels)
        rows.append(row)
        print(
            f"{threads:7d}  {row['lenet_ms']:8.2f}  {row['torch_ms']:8.2f}"
            f"  {row['torch_over_lenet']:11.2f} ({TARGET:g})"
            f"      {row['fried_ms']:8.2f}  {row['torch_over_fried']:11.2f}"
        )
    write_json(options.json, "lenet", [{"largest_loss_difference": difference}, *rows])
    return 0 if difference <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
