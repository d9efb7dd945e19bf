"""Checkpoints: all that a resume needs, and a clear error for any other file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfood_np import backends
from fastfood_np.files import read_npz, write_npz
from fastfood_np.layers import Dense, Fastfood, Sequential
from fastfood_np.training import SGD, Constant, Trainer, load_checkpoint, save_checkpoint
from fastfood_np.validation import ModelFileError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.standard_normal((20, 6)).astype(np.float32), RNG.integers(0, 3, 20)


def make_trainer(n_out: int = 8, seed: int = 0) -> Trainer:
    net = Sequential(
        [("fastfood", Fastfood(6, n_out, dropout=0.2, rng=seed)), ("ip", Dense(n_out, 3, rng=seed))]
    )
    return Trainer(net, SGD(net.params, net.trainable), Constant(0.05), batch=6, threads=1)


def fit(trainer: Trainer, steps: int) -> None:
    with backends.using("reference"):
        trainer.fit(IMAGES, LABELS, steps)


def bits(trainer: Trainer) -> dict[str, bytes]:
    held = {"p" + name: w.tobytes() for name, w in trainer.optimizer.params.items()}
    return held | {"v" + name: v.tobytes() for name, v in trainer.optimizer.velocities.items()}


def test_resume_has_the_same_bits(tmp_path: Path) -> None:
    path, whole, first, second = tmp_path / "c.npz", make_trainer(), make_trainer(), make_trainer()
    fit(whole, 9)
    fit(first, 5)
    save_checkpoint(path, first, {"note": [1, None, "x"]})
    assert bits(first) != bits(second)
    params = second.optimizer.params["ip.W"]
    assert load_checkpoint(path, second) == {"note": [1, None, "x"]}
    assert second.optimizer.params["ip.W"] is params  # written in place: the model's own array
    assert bits(second) == bits(first) and second.state == first.state
    fit(second, 9)
    assert bits(second) == bits(whole)
    assert second.state.losses == whole.state.losses and second.state.step == 9
    assert second.state.seconds > first.state.seconds


def test_without_extra(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", make_trainer())
    trainer = make_trainer(seed=1)
    assert load_checkpoint(tmp_path / "c.npz", trainer) is None
    assert bits(trainer) == bits(make_trainer())


@pytest.mark.parametrize(
    ("header", "arrays", "saying"),
    [
        ({"version": 2}, {}, "checkpoint version 2, this package reads 1"),
        ({"step": 3}, {}, r"losses must be float64 \(3,\), got float64 \(2,\)"),
        ({"step": -1}, {}, r"losses must be float64 \(-1,\)"),
        ({"step": "two"}, {}, r"not a checkpoint \(invalid literal"),
        ({"step": float("inf")}, {}, "not a checkpoint"),
        ({"step": None}, {}, "not a checkpoint"),
        ({"seconds": "long"}, {}, "not a checkpoint"),
        ({"extra": [1]}, {}, "extra must be an object, got list"),
        ({}, {"losses": np.float64(2.0)}, r"losses must be float64 \(2,\), got float64 \(\)"),
        ({}, {"losses": np.array(["a", "b"])}, r"losses must be float64 \(2,\), got <U1"),
        ({}, {"header": np.array("{")}, "not a checkpoint"),
        ({}, {"header": np.array("[" * 100_000)}, "not a checkpoint"),
        ({}, {"header": np.array("{}")}, r"not a checkpoint \(no entry 'version'\)"),
        (
            {},
            {"param:ip.W": np.zeros((3, 8))},
            r"param:ip\.W must be float32 \(3, 8\), got float64",
        ),
        ({}, {"param:odd": np.zeros(3)}, "missing or unknown param:odd"),
    ],
)
def test_wrong_files_change_nothing(
    tmp_path: Path, header: dict[str, Any], arrays: dict[str, Any], saying: str
) -> None:
    path, trainer = tmp_path / "c.npz", make_trainer()
    fit(trainer, 2)
    save_checkpoint(path, trainer)
    stored = read_npz(path)
    stored["header"] = np.array(json.dumps(json.loads(str(stored["header"])) | header))
    write_npz(path, stored | arrays)
    other = make_trainer(seed=1)
    before, state = bits(other), other.state
    with pytest.raises(ModelFileError, match=saying) as caught:
        load_checkpoint(path, other)
    assert str(caught.value).startswith(str(path))
    assert bits(other) == before and other.state is state and state.step == 0


def test_of_another_model(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", make_trainer(n_out=16))
    with pytest.raises(ModelFileError, match=r"must be float32 \(1, 8\), got float32 \(2, 8\)"):
        load_checkpoint(tmp_path / "c.npz", make_trainer())
