"""The job behind ``evaluate``: a stored model on test images, and what it gets wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from fastfood_np import plotting
from fastfood_np.files import replacing
from fastfood_np.layers import Layer
from fastfood_np.training import count_errors, error_interval, predict
from fastfood_np.training.inputs import to_inputs
from fastfood_np.validation import Array, ModelFileError

CLASSES = 10
SHOWN_MISTAKES = 24


@dataclass(frozen=True)
class Evaluation:
    """How a classifier does on labelled images.

    `confusion[i, j]` counts images of class i taken for j; `worst` lists the wrongly classified
    images, the surest first, and `confidences` the probability given to each prediction.
    """

    errors: int
    total: int
    interval: tuple[float, float]
    confusion: Array
    predictions: Array
    confidences: Array
    worst: Array


def evaluate(model: Layer, images: Array, labels: Array, threads: int | None = None) -> Evaluation:
    """Run `model` over uint8 images (N, 1 or 3, h, w).

    Raises
    ------
    ModelFileError
        The model does not turn such images into ten numbers each.
    """
    try:
        shape = model(to_inputs(images[:1], model.dtype)).shape
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"the model does not take these images: {error}") from error
    if shape != (1, CLASSES):
        raise ModelFileError(f"the model must give {CLASSES} outputs an image, got shape {shape}")
    logits = predict(model, images, threads)
    predictions = logits.argmax(axis=1)
    confidences = softmax(logits.astype(np.float64), axis=1).max(axis=1)
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (labels, predictions), 1)
    wrong = np.flatnonzero(predictions != labels)
    errors = count_errors(logits, labels)
    return Evaluation(
        errors=errors,
        total=len(labels),
        interval=error_interval(errors, len(labels)),
        confusion=confusion,
        predictions=predictions,
        confidences=confidences,
        worst=wrong[np.argsort(-confidences[wrong], kind="stable")],
    )


def save_mistakes(evaluation: Evaluation, images: Array, labels: Array, path: Path) -> None:
    """Draw the surest mistakes into a PNG file."""
    shown = evaluation.worst[:SHOWN_MISTAKES]
    picture = plotting.mistakes(
        images[shown].transpose(0, 2, 3, 1),
        labels[shown].tolist(),
        evaluation.predictions[shown].tolist(),
        evaluation.confidences[shown].tolist(),
        f"The surest {len(shown)} of {evaluation.errors} mistakes on {evaluation.total} images",
    )
    with replacing(path) as file:
        picture.savefig(file, format="png")
