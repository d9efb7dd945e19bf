"""One training step of LeNet (batch 64, float32) against PyTorch's CPU build, equal threads.

    python bench/bench_lenet.py [--smoke] [--turns N] [--json FILE]

First the losses of ten steps from the same weights are compared, then the steps are timed, the
contenders in rotation. A step takes the same rows from the same stored images: gather, scale,
forward, backward, update.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from harness import Contender, in_threads, option_parser, take_turns
from report import OTHERS, Table, print_machine, print_verdict, save_report, verdict
from torch_lenet import TorchLeNet, torch

from fastfood_np.datasets import load
from fastfood_np.experiments.settings import TrainSettings
from fastfood_np.training.trainer import Trainer, epoch_order

RATE, BATCH, SEED = 0.01, 64, 0
ALLOWED = 1e-4  # difference of the losses
TARGETS = {"lenet": 1.0, "fried": 1.3}  # torch's time with the dense layer over ours


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

    timings = take_turns(
        {
            "lenet": Contender(lambda: train_ours("lenet")),
            "torch": Contender(train_theirs),
            "fried": Contender(lambda: train_ours("fried")),
        },
        turns,
        shortest_turn=0.0,
    )
    return {
        "what": "training step",
        "threads": threads,
        "turns": turns,
        "steps_per_turn": steps,
        "cpus_of_others": timings.others,
        "milliseconds": {name: 1e3 * timings.median(name) / steps for name in timings.seconds},
        "speedups": {name: timings.ratio("torch", name) for name in TARGETS},
        "targets": TARGETS,
    }


def print_row(table: Table, row: dict[str, Any]) -> None:
    """Print the times, and each ratio beside its target."""
    ratios = (x for name in TARGETS for x in (row["speedups"][name], TARGETS[name]))
    milliseconds = (row["milliseconds"][name] for name in ("lenet", "torch", "fried"))
    table.row(row["threads"], *milliseconds, *ratios, row["cpus_of_others"])


def main() -> int:
    """Check, time, print; return 1 where the losses differ."""
    options = option_parser(__doc__ or "").parse_args()
    if torch is None:
        print(
            "PyTorch is not installed (pip install 'fastfood_np[torch]'): nothing to compare with."
        )
        return 0
    turns, steps = (2, 2) if options.smoke else (options.turns, 20)
    data = load("sample")
    images, labels = data.train_images, data.train_labels
    print_machine()
    torch.set_num_threads(1)
    difference = largest_difference(10, images, labels)
    print(f"losses of the first ten steps: at most {difference:.1e} apart ({ALLOWED:g} allowed)")
    table = Table(
        f"one training step, batch {BATCH}, milliseconds; torch {torch.__version__}",
        [
            ("threads", "d"),
            ("LeNet", ".2f"),
            ("torch", ".2f"),
            ("deep-fried LeNet", ".2f"),
            ("torch/LeNet", ".2f"),
            ("target", "g"),
            ("torch/deep-fried", ".2f"),
            ("target", "g"),
            OTHERS,
        ],
    )
    rows = []
    for threads in (1, 2):
        rows.append(time_steps(threads, turns, steps, images, labels))
        print_row(table, rows[-1])
    print_verdict(
        [
            row | verdict(f"{name}, {in_threads(row['threads'])}", row["speedups"][name], aim)
            for row in rows
            for name, aim in TARGETS.items()
        ]
    )
    save_report(options.json, "lenet", [{"largest_loss_difference": difference}, *rows])
    return 0 if difference <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
