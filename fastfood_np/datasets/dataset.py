"""A set of labelled images, and the checks that its four arrays belong together."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfood_np.validation import Array, DatasetError

N_CLASSES = 10


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Training and test images of one size, with labels 0..9.

    Parameters
    ----------
    name : str
    train_images, test_images : uint8 array of shape (n, channels, height, width)
        One channel, or three: red, green, blue.
    train_labels, test_labels : int64 array of shape (n,)

    Raises
    ------
    DatasetError
        Where an array has another type or shape, is empty, or does not fit the others.

    Examples
    --------
    >>> import numpy as np
    >>> images, labels = np.zeros((3, 1, 28, 28), np.uint8), np.array([7, 2, 1])
    >>> Dataset("mine", images, labels, images[:1], labels[:1])
    Dataset('mine': 3 training and 1 test images of 28 x 28)
    """

    name: str
    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        check_pair(self.train_images, self.train_labels, "train_images", "train_labels")
        check_pair(self.test_images, self.test_labels, "test_images", "test_labels")
        check_same_size(self.train_images, self.test_images, "train_images", "test_images")

    def checksum(self) -> int:
        """Return a checksum of all images and labels, by which a resume notices other data."""
        checksum = 0
        for part in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            checksum = zlib.crc32(part.tobytes(), checksum)
        return checksum

    def __repr__(self) -> str:
        train, test = len(self.train_labels), len(self.test_labels)
        size = size_text(self.train_images.shape[1:])
        return f"Dataset({self.name!r}: {train} training and {test} test images of {size})"


def check_pair(images: Any, labels: Any, images_name: str, labels_name: str) -> None:
    """Raise unless `images` and `labels` are as Dataset wants them, as many of one as the other.

    The names stand in the messages: an argument or a file.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        raise DatasetError(
            f"{images_name} must be uint8 of shape (n, channels, height, width), got "
            f"{_kind(images)}"
        )
    if images.shape[1] not in (1, 3) or 0 in images.shape:
        raise DatasetError(
            f"{images_name} must hold images of one channel or three, at least one of them and of "
            f"at least one pixel, got shape {images.shape}"
        )
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.ndim != 1:
        raise DatasetError(f"{labels_name} must be int64 of shape (n,), got {_kind(labels)}")
    if len(images) != len(labels):
        raise DatasetError(
            f"{images_name} and {labels_name} must hold as many of one as of the other, got "
            f"{len(images)} images and {len(labels)} labels"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= N_CLASSES))
    if wrong.size:
        raise DatasetError(
            f"{labels_name} must hold labels 0..{N_CLASSES - 1}, got {labels[wrong[0]]} at "
            f"position {wrong[0]}"
        )


def check_same_size(train: Array, test: Array, train_name: str, test_name: str) -> None:
    """Raise unless the images of both sets have the same channels, height and width."""
    if train.shape[1:] != test.shape[1:]:
        raise DatasetError(
            f"{train_name} and {test_name} must hold images of the same size, got "
            f"{size_text(train.shape[1:])} and {size_text(test.shape[1:])}"
        )


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return type(value).__name__


def size_text(shape: tuple[int, ...]) -> str:
    """Return the shape of an image as text.

    >>> size_text((1, 28, 28)), size_text((3, 32, 32))
    ('28 x 28', '3 x 32 x 32')
    """
    channels, height, width = shape
    return f"{height} x {width}" if channels == 1 else f"{channels} x {height} x {width}"
