"""A training run on disk: everything a resume needs to go on with the same bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fastfood_np.files import copy_arrays, read_npz, write_npz
from fastfood_np.training.trainer import Trainer, TrainingState
from fastfood_np.validation import Array, ModelFileError

VERSION = 1


def save_checkpoint(path: Path, trainer: Trainer, extra: dict[str, Any] | None = None) -> None:
    """Write params, velocities, step, losses and time of `trainer`, and `extra` (JSON values)."""
    state = trainer.state
    header = {"version": VERSION, "step": state.step, "seconds": state.seconds, "extra": extra}
    arrays: dict[str, Array] = {"header": np.array(json.dumps(header))}
    arrays["losses"] = np.array(state.losses, np.float64)
    for name in trainer.optimizer.params:
        arrays[f"param:{name}"] = trainer.optimizer.params[name]
        arrays[f"velocity:{name}"] = trainer.optimizer.velocities[name]
    write_npz(path, arrays)


def load_checkpoint(path: Path, trainer: Trainer) -> dict[str, Any] | None:
    """Put what `save_checkpoint` wrote back into `trainer`, in place; return `extra`.

    Raises
    ------
    ModelFileError
        The file is corrupt, of another version, or of another model. Nothing is changed then.
    """
    arrays = read_npz(path)
    params, velocities = trainer.optimizer.params, trainer.optimizer.velocities
    targets = {f"param:{name}": value for name, value in params.items()}
    targets |= {f"velocity:{name}": value for name, value in velocities.items()}
    try:
        header = json.loads(str(arrays.pop("header")))
        losses = arrays.pop("losses").tolist()
        state = TrainingState(int(header["step"]), losses, float(header["seconds"]))
        version, extra = header["version"], header["extra"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: not a checkpoint ({error})") from error
    if version != VERSION:
        raise ModelFileError(f"{path}: checkpoint version {version}, this package reads {VERSION}")
    if len(losses) != state.step:
        raise ModelFileError(f"{path}: {len(losses)} losses for {state.step} steps")
    copy_arrays(path, arrays, targets)
    trainer.state = state
    return extra
