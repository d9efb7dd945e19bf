"""Running ``compress``: which images it chooses by, what is written, what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np import plotting
from fastfood_np.architectures import arrays_of
from fastfood_np.compact_files import decode_model
from fastfood_np.datasets import Dataset
from fastfood_np.experiments.compression import (
    Candidate,
    Compressor,
    CompressSettings,
    Report,
    TargetMissedError,
)
from fastfood_np.experiments.evaluation import evaluate
from fastfood_np.experiments.training_run import Split, split_off
from fastfood_np.files import replacing, write_json, write_whole
from fastfood_np.layers import Layer
from fastfood_np.validation import Array, ModelFileError

VAL_FRACTION = 1 / 12  # of the training images, where the model's own split is not known


@dataclass(frozen=True)
class Outputs:
    """The three files that ``compress`` writes."""

    model: Path
    picture: Path
    results: Path

    @classmethod
    def beside(cls, path: Path) -> Outputs:
        """Return them, named after the compact file."""
        stem = path.with_suffix("")
        return cls(path, Path(f"{stem}-size-error.png"), Path(f"{stem}-compression.json"))


def run(
    settings: CompressSettings,
    model: Layer,
    metadata: dict[str, Any],
    dataset: Dataset,
    outputs: Outputs,
    *,
    threads: int | None,
    report: Report,
) -> dict[str, Any]:
    """Compress `model`, write the file, the picture and the results; return the results.

    The test error, of the model given and of what is read back from the file, is measured once.

    Raises
    ------
    TargetMissedError
        No setting reaches the target. The picture and the results of what was tried are written.
    ModelFileError
        The model does not take the images, or cannot be compressed as asked.
    """
    images, labels = dataset.test_images, dataset.test_labels
    _check_takes(model, images)
    split, seen = held_out(settings, metadata, dataset)
    if seen:
        report(
            "The model may have been trained on the validation images, so their error flatters; "
            "train --val-fraction keeps some for this."
        )
    elif settings.val_fraction is not None:  # fine-tuning sees the others
        metadata = metadata | {"val_fraction": settings.val_fraction}
    compressor = Compressor(model, split, settings, metadata, threads, report)
    missed = None
    try:
        best = compressor.search()
    except TargetMissedError as error:
        best, missed = None, error
    original = evaluate(model, images, labels, threads)
    nbytes = sum(array.nbytes for array in arrays_of(model).values())
    results: dict[str, Any] = {
        "title": metadata.get("title", ""),
        "settings": asdict(settings),
        "original_bytes": nbytes,
        "original_test_error": 100.0 * original.errors / original.total,
        "validation_images": len(split.held_out_labels),
        "validation_images_seen": seen,
        "tried": [_row(candidate) for candidate in compressor.tried],
    }
    if best is not None:
        loaded, _ = decode_model(best.data)
        tested = evaluate(loaded, images, labels, threads)
        results |= {
            "bytes": len(best.data),
            "ratio": nbytes / len(best.data),
            "validation_error": best.error,
            "test_error": 100.0 * tested.errors / tested.total,
            "interval": list(tested.interval),
            "parts": [part._asdict() for part in best.parts],
        }
        write_whole(outputs.model, best.data)
    _draw(compressor.tried, best, results, outputs.picture)
    write_json(outputs.results, results)
    if missed is not None:
        raise missed
    return results


def held_out(
    settings: CompressSettings, metadata: dict[str, Any], dataset: Dataset
) -> tuple[Split, bool]:
    """Return the training images and those to choose by, and whether the model may know the latter.

    Where the model's file says which part of this set it was trained without, it is that part.
    """
    stored, seed = metadata.get("val_fraction"), metadata.get("seed")
    if metadata.get("dataset") != dataset.name:
        stored = None
    if isinstance(stored, float) and 0 < stored < 1 and isinstance(seed, int) and seed >= 0:
        fraction = settings.val_fraction or stored
        return split_off(dataset, fraction, seed), fraction > stored
    return split_off(dataset, settings.val_fraction or VAL_FRACTION, settings.seed), True


def _check_takes(model: Layer, images: Array) -> None:
    if model.dtype is None or not model.trainable:
        raise ModelFileError("the model has no trained parameters to compress")
    for name, w in model.params.items():
        if not np.isfinite(w).all():
            raise ModelFileError(f"{name} must be finite, but holds NaN or infinity")
    evaluate(model, images[:1], np.zeros(1, np.int64))


def _row(candidate: Candidate) -> dict[str, Any]:
    return {
        "bytes": len(candidate.data),
        "tuned": candidate.tuned,
        "coarseness": candidate.coarseness,
        "validation_error": candidate.error,
    }


def _draw(
    tried: Sequence[Candidate], best: Candidate | None, results: dict[str, Any], path: Path
) -> None:
    points = {
        name: sorted((len(each.data), each.error) for each in tried if each.tuned is tuned)
        for name, tuned in (("rounded", False), ("fine-tuned", True))
    }
    picture = plotting.size_error(
        {name: found for name, found in points.items() if found},
        None if best is None else (len(best.data), best.error),
        f"{results['title'] or 'Model'}: {results['original_bytes']:,} bytes before",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        picture.savefig(file, format="png")
