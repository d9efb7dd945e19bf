"""The sample: digits of MNIST that come with the package. `make_sample` has made it."""

from __future__ import annotations

from importlib import resources

import numpy as np

from fastfood_np.datasets.dataset import Dataset

TRAIN_PER_CLASS = 800
TEST_PER_CLASS = 200


def load_sample() -> Dataset:
    """Return 8,000 training and 2,000 test digits, as many of each class.

    The file also holds ``train_index`` and ``test_index``: each digit's position, from zero, in
    MNIST's own training or test set.
    """
    path = resources.files("fastfood_np.datasets").joinpath("digits", "digits.npz")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return Dataset(
            "sample",
            train_images=stored["train_images"][:, np.newaxis],
            train_labels=stored["train_labels"].astype(np.int64),
            test_images=stored["test_images"][:, np.newaxis],
            test_labels=stored["test_labels"].astype(np.int64),
        )
