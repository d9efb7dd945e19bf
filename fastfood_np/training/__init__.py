"""Training without autograd: optimiser, schedules, the loop, evaluation, checkpoints."""

from fastfood_np.training.checkpoint import load_checkpoint, save_checkpoint
from fastfood_np.training.evaluation import count_errors, error_interval, predict
from fastfood_np.training.schedules import (
    Constant,
    Cosine,
    InverseDecay,
    LinearRise,
    StepDecay,
)
from fastfood_np.training.sgd import SGD
from fastfood_np.training.trainer import Trainer, TrainingDivergedError, TrainingState

__all__ = [
    "SGD",
    "Constant",
    "Cosine",
    "InverseDecay",
    "LinearRise",
    "StepDecay",
    "Trainer",
    "TrainingDivergedError",
    "TrainingState",
    "count_errors",
    "error_interval",
    "load_checkpoint",
    "predict",
    "save_checkpoint",
]
