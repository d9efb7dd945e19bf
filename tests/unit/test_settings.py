"""The settings of a run: their defaults, checks, files, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fastfood_np import options
from fastfood_np.compression import GroupLasso, TwoValues
from fastfood_np.experiments import settings as module
from fastfood_np.experiments.settings import (
    TrainSettings,
    checkpoint_file,
    has_checkpoint,
    load_settings,
)
from fastfood_np.training import Constant, Cosine, InverseDecay, StepDecay
from fastfood_np.validation import ModelFileError


def test_round_trip(tmp_path: Path) -> None:
    for settings in (
        TrainSettings(),
        TrainSettings("mnist", "/data", "fried", 64, 3.5, False, True, steps=7, lr=0.1, seed=2**70),
        TrainSettings(channels=(16, 32), penalty="two-values", penalty_on=("ip2",)),
    ):
        settings.save(tmp_path)
        assert load_settings(tmp_path) == settings


def test_none_there(tmp_path: Path) -> None:
    assert load_settings(tmp_path) is None and not has_checkpoint(tmp_path)
    checkpoint_file(tmp_path, "fried").touch()
    assert has_checkpoint(tmp_path)
    with pytest.raises(ModelFileError, match="is missing, though checkpoints are there"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        ("", "not the settings of a run"),
        ("[1]", "not the settings of a run"),
        ("[" * 100_000, "not the settings of a run"),
        ("{}", "missing or unknown adaptive, augment"),
        (json.dumps(asdict(TrainSettings()) | {"odd": 1}), "missing or unknown odd"),
        (json.dumps(asdict(TrainSettings()) | {"sigma": 0}), "sigma must be greater than 0"),
    ],
)
def test_wrong_files(tmp_path: Path, content: str, saying: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(ModelFileError, match=saying) as caught:
        load_settings(tmp_path)
    assert str(tmp_path / "settings.json") in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"dataset": "cifar"}, ValueError),
        ({"data": 3}, TypeError),
        ({"model": "cnn"}, ValueError),
        ({"features": 0}, ValueError),
        ({"features": 1.5}, TypeError),
        ({"sigma": float("nan")}, ValueError),
        ({"adaptive": 1}, TypeError),
        ({"conv_relu": None}, TypeError),
        ({"augment": "no"}, TypeError),
        ({"dropout": 1.0}, ValueError),
        ({"dropout_inside": -0.1}, ValueError),
        ({"dropout_input": "half"}, TypeError),
        ({"epochs": 0}, ValueError),
        ({"steps": -1}, ValueError),
        ({"batch": 0}, ValueError),
        ({"lr": 0.0}, ValueError),
        ({"schedule": "linear"}, ValueError),
        ({"clip_norm": -1.0}, ValueError),
        ({"seed": -1}, ValueError),
        ({"dtype": "float16"}, TypeError),
        ({"val_fraction": 1.0}, ValueError),
        ({"channels": (20,)}, ValueError),
        ({"channels": (20, 0)}, ValueError),
        ({"channels": 20.5}, TypeError),
        ({"weight_decay": -1e-4}, ValueError),
        ({"penalty": "lasso"}, ValueError),
        ({"penalty_weight": 1e-3}, ValueError),
        ({"penalty_value": 0.1}, ValueError),
        ({"penalty_on": ("ip1",)}, ValueError),
    ],
)
def test_checks(wrong: dict[str, Any], kind: type[Exception]) -> None:
    (name,) = wrong
    with pytest.raises(kind, match=rf"^{name} must"):
        TrainSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "saying"),
    [
        ({"penalty_weight": -1.0}, "penalty_weight must be at least 0"),
        ({"penalty": "binary", "penalty_value": 0.0}, "penalty_value must be greater than 0"),
        ({"penalty": "group-lasso", "penalty_value": 1.0}, "must not be given with group-lasso"),
        ({"penalty_on": ()}, "penalty_on must name layers"),
        ({"penalty_on": ("conv1",)}, r"penalty_on must name dense layers of the net \(ip1, ip2\)"),
        ({"penalty_on": ("ip1",), "model": None}, r"of the net \(ip2\), got 'ip1'"),
        ({"dataset": "cifar10", "model": None, "channels": (1, 2)}, "channels must be"),
    ],
)
def test_checks_of_penalties(wrong: dict[str, Any], saying: str) -> None:
    given = {"model": "lenet"} | wrong
    if given["model"] is None or "penalty_on" in wrong or "penalty_weight" in wrong:
        given["penalty"] = "two-values"
    with pytest.raises(ValueError, match=saying):
        TrainSettings(**given)


def test_penalties() -> None:
    assert TrainSettings().trainer("lenet", TrainSettings().build("lenet"), 10, 1).penalties == {}
    settings = TrainSettings(penalty="group-lasso", penalty_weight=0.5, features=16)
    for model, names in (("lenet", ["ip1.W", "ip2.W"]), ("fried", ["ip2.W"])):
        penalties = settings.trainer(model, settings.build(model), 100, 1).penalties
        assert list(penalties) == names
        for penalty, coefficient in penalties.values():
            assert isinstance(penalty, GroupLasso)
            assert [coefficient(step) for step in (0, 25, 50, 99)] == [0.0, 0.25, 0.5, 0.5]
    valued = TrainSettings(penalty="two-values", penalty_value=0.01, features=16)
    ((penalty, coefficient),) = valued.penalties(valued.build("fried"), 10).values()
    assert isinstance(penalty, TwoValues) and penalty.c == 0.01 and coefficient(9) == 1e-3
    named = TrainSettings(penalty="binary", penalty_on=("ip2",), features=16)
    assert list(named.penalties(named.build("lenet"), 10)) == ["ip2.W"]


def test_sizes_of_the_net() -> None:
    small = TrainSettings(channels=(16, 32), features=512)
    assert small.build("fried").n_weights == 400 + 12_800 + 3 * 512 + 5120
    assert small.build("lenet").n_weights == 400 + 12_800 + 512 * 500 + 5000
    assert small.trainer("fried", small.build("fried"), 10, 1).optimizer.weight_decay == 5e-4


def test_either_epochs_or_steps() -> None:
    with pytest.raises(ValueError, match="epochs and steps must not both be given"):
        TrainSettings(epochs=1, steps=1)


def test_steps() -> None:
    assert TrainSettings(steps=5).total_steps(8000) == 5
    assert TrainSettings().total_steps(8000) == 16 * 125
    assert TrainSettings(epochs=2, batch=64).total_steps(100) == 4
    assert TrainSettings("mnist").total_steps(60_000) == 10_000
    assert TrainSettings("mnist", epochs=1).total_steps(60_000) == 938


@pytest.mark.parametrize(
    ("given", "model", "schedule", "clip"),
    [
        ({}, "lenet", InverseDecay(0.01), None),
        ({}, "fried", Cosine(0.03, 1000, 200), 2.0),
        ({"conv_relu": True}, "lenet", Cosine(0.03, 1000, 200), 2.0),
        ({"schedule": "inv"}, "fried", InverseDecay(0.01), None),
        ({"schedule": "step", "lr": 0.5, "clip_norm": 1.0}, "lenet", StepDecay(0.5, 0.1, 250), 1.0),
        ({"schedule": "constant"}, "fried", Constant(0.01), None),
        ({"clip_norm": 0.0}, "fried", Cosine(0.03, 1000, 200), None),
    ],
)
def test_trainer(given: dict[str, Any], model: str, schedule: Any, clip: float | None) -> None:
    settings = TrainSettings(features=16, **given)
    net = settings.build(model)
    trainer = settings.trainer(model, net, 1000, threads=1)
    assert trainer.schedule == schedule and trainer.optimizer.clip_norm == clip
    assert trainer.optimizer.rate_multipliers["ip2.b"] == 2.0
    assert ("fastfood.S" in trainer.optimizer.decay_multipliers) == (model == "fried")


def test_titles() -> None:
    assert TrainSettings().title("lenet") == "reference LeNet"
    assert TrainSettings(conv_relu=True).title("lenet") == "reference LeNet, ReLU convolutions"
    assert TrainSettings(adaptive=False).title("fried") == "Fastfood-1024"
    assert TrainSettings(features=2048, dropout=0.5).title("fried") == "Fastfood-2048-AD"
    assert TrainSettings(adaptive=False, dropout_input=0.1).title("fried") == "Fastfood-1024-D"


def test_draws_depend_on_the_seed_alone() -> None:
    first, second = (TrainSettings(features=16, seed=1).build("fried") for _ in range(2))
    other = TrainSettings(features=16, seed=2).build("fried")
    assert all((first.params[name] == w).all() for name, w in second.params.items())
    assert not (first.params["conv1.W"] == other.params["conv1.W"]).all()


def test_options_offer_what_settings_allow() -> None:
    """The parser repeats the lists, because importing the settings takes a second."""
    parser = options.Parser()
    options.add_train_options(parser)
    choices = {action.dest: action.choices for action in parser._actions if action.choices}
    assert tuple(choices["dataset"]) == module.DATASETS
    assert tuple(choices["model"]) == module.MODELS
    assert tuple(choices["schedule"]) == module.SCHEDULES
    assert tuple(choices["penalty"]) == tuple(module.PENALTIES)
    names = {action.dest for action in parser._actions}
    assert (
        names - {"help", "download", "threads", "out", "resume"} == asdict(TrainSettings()).keys()
    )
