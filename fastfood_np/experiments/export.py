"""The job behind ``export``: a stored model as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastfood_np.experiments.networks import CIFAR10_QUICK, LENET
from fastfood_np.files import write_whole
from fastfood_np.layers import Layer
from fastfood_np.onnx_export import onnx_bytes
from fastfood_np.validation import ModelFileError


class Exported(NamedTuple):
    """How large the file is, what it takes, and whether numbers were rounded for it."""

    size: int
    image: tuple[int, int, int] | None
    rounded: bool


def export(model: Layer, out: Path) -> Exported:
    """Write `model`, in float32, to `out`, whose folder is made if it does not exist.

    A network takes the images of one size that it was made for: `image`, None for other models.

    Raises
    ------
    ImportError
        The package onnx is missing.
    ModelFileError
        The model cannot be exported.
    """
    rounded = model.dtype == np.float64
    model = model.astype(np.float32) if rounded else model
    image = _image(model)
    try:
        content = onnx_bytes(model, input_shape=image)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"the model cannot be exported: {error}") from error
    write_whole(out, content)
    return Exported(len(content), image, rounded)


def _image(model: Layer) -> tuple[int, int, int] | None:
    """Return the size of images that the model makes rows of, among those of our networks."""
    for network in (LENET, CIFAR10_QUICK):
        try:
            y = model(np.zeros((0, *network.image), np.float32))
        except ValueError:
            continue
        if y.ndim == 2:  # layers for images of any size are no networks
            return network.image
    return None
