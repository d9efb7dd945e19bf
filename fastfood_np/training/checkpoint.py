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
        losses, version = arrays.pop("losses"), header["version"]
        step, seconds, extra = int(header["step"]), float(header["seconds"]), header["extra"]
        if extra is not None and not isinstance(extra, dict):
            raise TypeError(f"extra must be an object, got {type(extra).__name__}")
    except KeyError as error:
        raise ModelFileError(f"{path}: not a checkpoint (no entry {error})") from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelFileError(f"{path}: not a checkpoint ({error})") from error
    if version != VERSION:
        raise ModelFileError(f"{path}: checkpoint version {version}, this package reads {VERSION}")
    if losses.dtype != np.float64 or losses.shape != (step,):
        raise ModelFileError(
            f"{path}: losses must be float64 ({step},), got {losses.dtype} {losses.shape}"
        )
    copy_arrays(path, arrays, targets)
    trainer.state = TrainingState(step, losses.tolist(), seconds)
    return extra
