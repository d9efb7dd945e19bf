"""The training loop: mini-batch gradient descent whose bits depend on the seed alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fastfood_np.compression.penalties import Penalty
from fastfood_np.layers import Layer, SoftmaxCrossEntropy
from fastfood_np.layers.base import Gradients
from fastfood_np.layers.cache import Cache
from fastfood_np.training.inputs import to_inputs
from fastfood_np.training.schedules import Schedule
from fastfood_np.training.sgd import SGD
from fastfood_np.training.shards import SHARDS, ShardRunner
from fastfood_np.validation import Array, check_int, check_labels

# First words of the seeds of independent streams: (stream, seed, ...).
ORDER_STREAM, SHARD_STREAM = 1, 2

Augment = Callable[[Array, np.random.Generator], Array]


class TrainingDivergedError(ArithmeticError):
    """The loss or a gradient became NaN or infinite; the parameters are those before that step."""


@dataclass
class TrainingState:
    """How far training has come; with params and velocities it is all that a resume needs."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Trainer:
    """Trains `model` with softmax cross-entropy.

    The order of epoch e is drawn from ``default_rng((1, seed, e, 0))``, dropout masks and
    augmentation of a shard from ``default_rng((2, seed, step, shard))``: nothing random is carried
    over, so a resumed run has the bits of an undisturbed one. Each batch is cut into 4 shards
    whatever the number of threads, and the shards' gradients are added in order. The last batch
    of an epoch may be smaller.

    Parameters
    ----------
    model : Layer
        Its trainable params are written in place.
    optimizer : SGD
    schedule : callable
        Learning rate of a step.
    batch : int
        Rows in a batch.
    seed : int
    threads : int, optional
        Python threads that shards run on, at most 4; the CPU count unless given.
    augment : callable, optional
        ``augment(images, rng)`` returns changed images of the same shape and dtype.
    penalties : mapping of str to (Penalty, callable), optional
        For a trained parameter of this name, a term alpha R(w) of the cost, with alpha a function
        of the step. It enters the gradient, before the norm is clipped; `losses` do not hold it.
    """

    def __init__(
        self,
        model: Layer,
        optimizer: SGD,
        schedule: Schedule,
        *,
        batch: int = 64,
        seed: int = 0,
        threads: int | None = None,
        augment: Augment | None = None,
        penalties: Mapping[str, tuple[Penalty, Schedule]] | None = None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.batch = check_int(batch, "batch", minimum=1)
        self.seed = check_int(seed, "seed", minimum=0)
        self.threads = threads
        self.augment = augment
        self.penalties = dict(penalties or {})
        for name in self.penalties:
            if name not in optimizer.params:
                known = ", ".join(optimizer.params)
                raise ValueError(f"penalties must name trained params ({known}), got {name!r}")
        self.loss = SoftmaxCrossEntropy()
        self.state = TrainingState()
        self._caches: list[tuple[Cache, Cache]] = [({}, {}) for _ in range(SHARDS)]

    def steps_per_epoch(self, rows: int) -> int:
        """Return the number of batches that `rows` training rows make."""
        return -(-rows // self.batch)

    def fit(
        self,
        images: Array,
        labels: Array,
        steps: int,
        *,
        on_step: Callable[[TrainingState], bool] | None = None,
    ) -> bool:
        """Train until `steps` steps are done in all, going on from ``self.state``.

        Parameters
        ----------
        images : ndarray of shape (N, ...)
            uint8 (scaled by 1/256 as it is used) or of the model's dtype.
        labels : ndarray of int, shape (N,)
        steps : int
        on_step : callable, optional
            Called after each step; training stops early where it returns True.

        Returns
        -------
        bool
            Whether all steps were done.

        Raises
        ------
        TrainingDivergedError
            The loss or a gradient is no longer finite.
        """
        check_int(steps, "steps", minimum=0)
        check_labels(labels, "labels", len(images), np.iinfo(np.int64).max)
        if not len(images):
            raise ValueError("images must hold at least one row, got none")
        state, per_epoch = self.state, self.steps_per_epoch(len(images))
        order_of, order = -1, np.empty(0, np.int64)
        with ShardRunner(self.threads) as shards:
            while state.step < steps:
                started = time.perf_counter()
                epoch, within = divmod(state.step, per_epoch)
                if epoch != order_of:
                    order_of, order = epoch, epoch_order(len(images), self.seed, epoch)
                rows = order[within * self.batch : (within + 1) * self.batch]
                loss, grads = self._gradients(shards, images, labels, rows)
                self._add_penalties(grads)
                self._update(loss, grads)
                state.step += 1
                state.losses.append(loss)
                state.seconds += time.perf_counter() - started
                if on_step is not None and on_step(state):
                    break
        return state.step >= steps

    def _add_penalties(self, grads: Gradients) -> None:
        for name, (penalty, coefficient) in self.penalties.items():
            alpha = coefficient(self.state.step)
            if alpha:
                term = penalty.gradient(self.optimizer.params[name])
                term *= alpha
                grads[name] += term

    def penalty_progress(self) -> str:
        """Return how far the penalised weights have come, in a few words; "" without penalties."""
        weights = self.optimizer.params
        return ", ".join(
            f"{name} {penalty.progress(weights[name])}"
            for name, (penalty, _) in self.penalties.items()
        )

    def _update(self, loss: float, grads: Gradients) -> None:
        """Step the optimiser; where loss or gradients are not finite, stop before a change."""
        step = self.state.step
        try:
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss is {loss}")
            self.optimizer.step(grads, self.schedule(step))
        except FloatingPointError as error:
            raise TrainingDivergedError(
                f"{error} at step {step}; a lower learning rate or a clipped norm may help"
            ) from error

    def _gradients(
        self, shards: ShardRunner, images: Array, labels: Array, rows: Array
    ) -> tuple[float, Gradients]:
        """Return the batch's mean loss and its gradients: the shards' parts added in order."""

        def pass_shard(shard: int, start: int, stop: int) -> tuple[float, Gradients]:
            picked = rows[start:stop]
            rng = np.random.default_rng((SHARD_STREAM, self.seed, self.state.step, shard))
            batch = images[picked]
            if self.augment is not None:
                batch = self.augment(batch, rng)
            model_cache, loss_cache = self._caches[shard]
            x = to_inputs(batch, self.model.dtype)
            logits, _ = self.model.forward(x, train=True, rng=rng, cache=model_cache)
            loss, _ = self.loss.forward(logits, labels[picked], len(rows), loss_cache)
            _, grads = self.model.backward(
                self.loss.backward(loss_cache), model_cache, need_dx=False
            )
            return loss, grads

        (loss, total), *others = shards.run(pass_shard, len(rows))
        for other_loss, grads in others:
            loss += other_loss
            for name, grad in grads.items():
                total[name] += grad
        return loss, total


def epoch_order(rows: int, seed: int, epoch: int) -> Array:
    """Return the order in which an epoch visits the training rows."""
    return np.random.default_rng((ORDER_STREAM, seed, epoch, 0)).permutation(rows)
