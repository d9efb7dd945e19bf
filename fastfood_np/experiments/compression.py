"""The job behind ``compress``: a small file that stands for a trained model.

Every trained parameter is rounded to multiples of a step (`step_sizes`), matrices that are named
are product-quantised, the whole is fine-tuned through its rounding, and entropy coding makes the
file. Settings are chosen on a validation split; nothing here looks at test images.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastfood_np.compact_files import Part, encode_model
from fastfood_np.compression import ProductQuantizer, Uniform
from fastfood_np.experiments.step_sizes import sensitivities, uniform_quantizers
from fastfood_np.experiments.training_run import Split
from fastfood_np.layers import Dense, Layer, QuantizedDense, Sequential
from fastfood_np.models import decay_multipliers, rate_multipliers
from fastfood_np.training import Cosine, Trainer, TrainingDivergedError, count_errors, predict
from fastfood_np.training.augment import random_affine
from fastfood_np.training.straight_through import StraightThroughSGD
from fastfood_np.training.trainer import TrainingState
from fastfood_np.validation import (
    ModelFileError,
    check_bool,
    check_int,
    check_real,
)

PROBED = 1000  # images that sensitivities are measured on
FINEST, COARSEST = 1e-4, 10.0  # of the coarseness, whose unit is that of the outputs
CURVE_POINTS = 10
CURVE_SPAN = 4.0  # the sizes drawn: from so many times the target down to it
FILL = 0.99  # of the target: fine-tuning changes the size by some tenths of a percent
REFITS = 4
SHRINK = 0.85  # of a size to the next one that is tried for an error
TRIES = 12
PATIENCE = 2  # errors above the target until no smaller size is tried: they do not only grow
CLIP_NORM = 2.0
WARMUP = 200
ORDER_SEED = 1_000_000  # added to the seed: other orders and masks than in training


@dataclass(frozen=True)
class CompressSettings:
    """The options of ``compress``, one field an option.

    Exactly one of `target_bytes` and `max_error` (in percent, on the validation split) is given.
    `pq` holds (layer, length of a sub-vector, centroids) for each dense layer that is
    product-quantised.
    """

    target_bytes: int | None = None
    max_error: float | None = None
    pq: tuple[tuple[str, int, int], ...] = ()
    steps: int | None = None
    lr: float = 0.01
    batch: int = 64
    augment: bool = False
    weight_decay: float = 5e-4
    val_fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.target_bytes is None) == (self.max_error is None):
            raise ValueError("target_bytes or max_error must be given, and not both")
        if self.target_bytes is not None:
            check_int(self.target_bytes, "target_bytes", minimum=1)
        if self.max_error is not None:
            check_real(self.max_error, "max_error", minimum=0.0, below=100.0)
        self._check_pq()
        if self.steps is not None:
            check_int(self.steps, "steps", minimum=0)
        check_real(self.lr, "lr", above=0.0)
        check_int(self.batch, "batch", minimum=1)
        check_bool(self.augment, "augment")
        check_real(self.weight_decay, "weight_decay", minimum=0.0)
        if self.val_fraction is not None:
            check_real(self.val_fraction, "val_fraction", above=0.0, below=1.0)
        check_int(self.seed, "seed", minimum=0)

    def _check_pq(self) -> None:
        kind = isinstance(self.pq, tuple) and all(isinstance(each, tuple) for each in self.pq)
        if not kind or any(len(each) != 3 for each in self.pq):
            raise TypeError(f"pq must hold tuples (layer, length, centroids), got {self.pq!r}")
        for name, length, centroids in self.pq:
            if not isinstance(name, str):
                raise TypeError(f"pq must name layers, got {name!r}")
            check_int(length, "pq", minimum=1)
            check_int(centroids, "pq", minimum=2, maximum=256)
        if len({name for name, _, _ in self.pq}) < len(self.pq):
            raise ValueError(f"pq must name a layer once, got {self.pq!r}")

    def fine_tuning_steps(self, rows: int) -> int:
        """Return how many steps a candidate is fine-tuned: four epochs unless given."""
        return 4 * -(-rows // self.batch) if self.steps is None else self.steps


Report: TypeAlias = Callable[[str], None]


class Candidate(NamedTuple):
    """A compressed model: its file's bytes, how it was made, and what it gets wrong.

    `error` is that on the validation split, in percent.
    """

    data: bytes
    parts: list[Part]
    coarseness: float
    tuned: bool
    error: float


class TargetMissedError(Exception):
    """No setting reaches the target; the message says how near the best one comes."""


class Compressor:
    """Makes candidates of one model.

    Parameters
    ----------
    model : Layer
        A chain of layers; left as it is.
    split : Split
        Images to fine-tune on, and those to choose by.
    settings : CompressSettings
    metadata : dict
        What the files say of the model.
    threads : int, optional
    report : callable
        Given a line of text for every candidate.

    Attributes
    ----------
    tried : list of Candidate
        All that were measured, in order.
    """

    def __init__(
        self,
        model: Layer,
        split: Split,
        settings: CompressSettings,
        metadata: dict[str, Any],
        threads: int | None,
        report: Report,
    ) -> None:
        self.settings, self.split, self.metadata = settings, split, metadata
        self.threads, self.report = threads, report
        self.model = product_quantized(model, settings)
        probed = split.train_images[:PROBED]
        self.tried: list[Candidate] = []
        self.curvatures = sensitivities(self.model, probed, threads)
        if not all(map(math.isfinite, self.curvatures.values())):
            raise ModelFileError("the model's outputs must be finite, but are not on these images")

    def search(self) -> Candidate:
        """Return the best model within the target.

        Raises
        ------
        TargetMissedError
            There is none.
        """
        if self.settings.target_bytes is not None:
            return self._search_size(self.settings.target_bytes)
        assert self.settings.max_error is not None
        return self._search_error(self.settings.max_error)

    def _search_size(self, target: int) -> Candidate:
        for size in np.geomspace(CURVE_SPAN * target, target, CURVE_POINTS):
            self.untuned(self.coarseness_for(size))
        self.tuned(self.coarseness_for(FILL * target) or self.coarseness_for(target), target)
        # Of equal errors the fine-tuned one: it comes last.
        fits = [candidate for candidate in self.tried if len(candidate.data) <= target]
        if not fits:
            smallest = self.untuned(COARSEST)
            assert smallest is not None
            raise TargetMissedError(
                f"the smallest file takes {len(smallest.data):,} bytes, the target is {target:,}"
            )
        return min(reversed(fits), key=lambda candidate: candidate.error)

    def _search_error(self, most: float) -> Candidate:
        """Go down by sizes until the error is too large twice, first by rounding alone."""
        self.untuned(FINEST)
        size = len(self.tried[0].data)
        fits: list[Candidate] = []
        for way in (self.untuned, self.tuned):
            failures = 0
            for _ in range(TRIES):
                candidate = way(self.coarseness_for(SHRINK * size))
                failures += candidate is None or candidate.error > most
                if candidate is None or failures == PATIENCE:
                    break
                size = len(candidate.data)
            fits = [candidate for candidate in self.tried if candidate.error <= most]
            size = min((len(candidate.data) for candidate in fits), default=size)
        if not fits:
            error = min(candidate.error for candidate in self.tried)
            raise TargetMissedError(
                f"the validation error is {error:.2f} % at least, the target is {most:g} %"
            )
        return min(fits, key=lambda candidate: len(candidate.data))

    def coarseness_for(self, size: float, model: Sequential | None = None) -> float | None:
        """Return the least coarseness for which a file of rounded weights has at most this size.

        None where there is none. The weights are those given, or of `model`.
        """
        model = model or self.model
        low, high = math.log(FINEST), math.log(COARSEST)
        if len(self._encoded(model, COARSEST)[0]) > size:
            return None
        if len(self._encoded(model, FINEST)[0]) <= size:
            return FINEST
        for _ in range(14):
            middle = (low + high) / 2
            if len(self._encoded(model, math.exp(middle))[0]) <= size:
                high = middle
            else:
                low = middle
        return math.exp(high)

    def untuned(self, coarseness: float | None) -> Candidate | None:
        """Return the model rounded so coarsely, measured once; None for None."""
        if coarseness is None:
            return None
        for candidate in self.tried:
            if not candidate.tuned and candidate.coarseness == coarseness:
                return candidate
        model = copy.deepcopy(self.model)
        quantizers = uniform_quantizers(model, self.curvatures, coarseness)
        for name, quantizer in quantizers.items():
            w = model.params[name]
            w[...] = quantizer.decode(quantizer.encode(w), w.dtype)
        return self._candidate(model, quantizers, coarseness, False)

    def tuned(self, coarseness: float | None, target: int | None = None) -> Candidate | None:
        """Return the model rounded so coarsely and fine-tuned, in at most `target` bytes.

        Where it grows past the target, its steps are widened, each time by as much more as it was
        too large, and it is tuned some more. None where training diverges or the target stays out
        of reach, and for None.
        """
        steps = self.settings.fine_tuning_steps(len(self.split.train_images))
        if coarseness is None or not steps:
            return None
        model, aim = copy.deepcopy(self.model), FILL * (target or 1)
        for refit in range(1 + REFITS):
            quantizers = uniform_quantizers(model, self.curvatures, coarseness)
            optimizer = self._optimizer(model, quantizers)
            try:
                self._fit(model, optimizer, steps if refit == 0 else -(-steps // 4), refit)
            except TrainingDivergedError as error:
                self.report(f"fine-tuning diverged: {error}")
                return None
            candidate = self._candidate(model, quantizers, coarseness, True)
            if target is None or len(candidate.data) <= target:
                return candidate
            for name, w in optimizer.params.items():  # go on from what is behind the levels
                model.params[name][...] = w
            aim *= FILL * target / len(candidate.data)
            coarseness = self.coarseness_for(aim, model)
            if coarseness is None:
                break
        return None

    def _optimizer(self, model: Sequential, quantizers: dict[str, Uniform]) -> StraightThroughSGD:
        return StraightThroughSGD(
            model.params,
            model.trainable,
            quantizers,
            weight_decay=self.settings.weight_decay,
            clip_norm=CLIP_NORM,
            rate_multipliers=rate_multipliers(model),
            decay_multipliers=decay_multipliers(model),
        )

    def _fit(
        self, model: Sequential, optimizer: StraightThroughSGD, steps: int, refit: int
    ) -> None:
        trainer = Trainer(
            model,
            optimizer,
            Cosine(self.settings.lr, steps, min(WARMUP, steps // 5)),
            batch=self.settings.batch,
            seed=ORDER_SEED * (1 + refit) + self.settings.seed,
            threads=self.threads,
            augment=random_affine if self.settings.augment else None,
        )

        def lost(state: TrainingState | None = None) -> bool:
            return not all(np.isfinite(w).all() for w in optimizer.params.values())

        # Levels are cut off at the outermost, so the loss stays finite whatever is behind them.
        with np.errstate(over="ignore", invalid="ignore"):
            trainer.fit(self.split.train_images, self.split.train_labels, steps, on_step=lost)
        if lost():
            raise TrainingDivergedError("weights are not finite; a lower learning rate may help")

    def _candidate(
        self, model: Sequential, quantizers: dict[str, Uniform], coarseness: float, tuned: bool
    ) -> Candidate:
        data, parts = encode_model(model, quantizers, self.metadata)
        images, labels = self.split.held_out_images, self.split.held_out_labels
        errors = count_errors(predict(model, images, self.threads), labels)
        candidate = Candidate(data, parts, coarseness, tuned, 100.0 * errors / len(labels))
        self.tried.append(candidate)
        how = "fine-tuned" if tuned else "rounded"
        self.report(f"{len(data):>9,} bytes, {how:10}  validation error {candidate.error:.2f} %")
        return candidate

    def _encoded(self, model: Sequential, coarseness: float) -> tuple[bytes, list[Part]]:
        quantizers = uniform_quantizers(model, self.curvatures, coarseness)
        return encode_model(model, quantizers, self.metadata)


def product_quantized(model: Layer, settings: CompressSettings) -> Sequential:
    """Return a copy of the model in which the named dense layers have codes and one codebook each.

    Raises
    ------
    ModelFileError
        The model is no chain of layers, has no such dense layer, or its rows cannot be cut so.
    """
    if not isinstance(model, Sequential):
        raise ModelFileError(f"the model must be a Sequential, got {type(model).__name__}")
    layers = copy.deepcopy(model.layers)
    for name, length, centroids in settings.pq:
        layer = layers.get(name)
        if not isinstance(layer, Dense):
            dense = [key for key, value in layers.items() if isinstance(value, Dense)]
            raise ModelFileError(
                f"only dense layers can be product-quantised ({', '.join(dense)}), got {name!r}"
            )
        W = layer.params["W"]
        if W.shape[1] % length:
            raise ModelFileError(
                f"sub-vectors must divide the {W.shape[1]} inputs of {name}, got length {length}"
            )
        quantizer = ProductQuantizer(
            W.shape[1] // length, centroids, shared=True, rng=settings.seed
        ).fit(W)
        layers[name] = QuantizedDense.from_codes(
            quantizer.codebooks, quantizer.encode(W), layer.params.get("b")
        )
    return Sequential(layers.items())
