"""A comparison's settings, its jobs, single trainings, and the file of finished ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import BACKEND

from fastfood_np import backends, options
from fastfood_np.datasets import Dataset
from fastfood_np.experiments import comparison
from fastfood_np.experiments.comparison import (
    BUDGETS,
    COMPETITORS,
    ComparisonSettings,
    Job,
    build,
    job_of,
    train,
)
from fastfood_np.experiments.comparison_files import Comparison, load_comparison
from fastfood_np.experiments.networks import LENET, network_for
from fastfood_np.models import HEADS
from fastfood_np.validation import DatasetError, ModelFileError

ROW_KEYS = {
    *("layer", "budget", "seed", "n_out", "head_weights", "weights", "head_bytes"),
    *("test_error", "train_seconds"),
}


def random_set(name: str = "mnist", *shape: int) -> Dataset:
    rng = np.random.default_rng(0)

    def part(count: int) -> tuple[Any, Any]:
        images = rng.integers(0, 256, (count, *(shape or (1, 28, 28))), dtype=np.uint8)
        return images, rng.integers(0, 10, count)

    return Dataset(name, *part(24), *part(20))


@pytest.fixture(scope="module")
def data() -> Dataset:
    return random_set()


@pytest.fixture(autouse=True)
def quick() -> Any:
    with backends.using(BACKEND):
        yield


def tiny(**given: Any) -> ComparisonSettings:
    known: dict[str, Any] = {"layers": ("circulant", "dense"), "budgets": (2000,), "seeds": 1}
    return ComparisonSettings("mnist", **known | {"steps": 2, "batch": 8} | given)


# --------------------------------------------------------------------------------- settings


def test_defaults() -> None:
    settings = ComparisonSettings()
    assert settings.layers == COMPETITORS and settings.budgets == BUDGETS
    assert set(HEADS) - set(COMPETITORS) == {"circulant-random", "circulant-ones"}
    assert len(settings.jobs) == 3 * (1 + 3 * len(COMPETITORS))


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"dataset": "cifar"}, ValueError, "dataset must be one of 'sample', "),
        ({"layers": ()}, ValueError, r"layers must hold at least one, got \(\)"),
        ({"layers": "dense"}, TypeError, "layers must be a tuple, got 'dense'"),
        ({"layers": ("dense", "toeplitz")}, ValueError, "layers must be one of .*'toeplitz'"),
        ({"budgets": []}, ValueError, r"budgets must hold at least one, got \[\]"),
        ({"budgets": (0,)}, ValueError, "budgets must be at least 1, got 0"),
        ({"budgets": (2000.0,)}, TypeError, r"budgets must be an integer, got 2000\.0"),
        ({"budgets": (1 << 25,)}, ValueError, "budgets must be at most 16777216, got 33554432"),
        (
            {"budgets": (3000, 809)},
            ValueError,
            "budgets must allow one output of circulant, which takes 810 weights, got 809",
        ),
        ({"seeds": 0}, ValueError, "seeds must be at least 1, got 0"),
        ({"reference": 1}, TypeError, "reference must be True or False, got 1"),
        ({"conv_relu": 1}, TypeError, "conv_relu must be True or False, got 1"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"epochs": 1}, ValueError, "epochs and steps must not both be given"),
        ({"batch": 0}, ValueError, "batch must be at least 1, got 0"),
        ({"lr": -1.0}, ValueError, "lr must be greater than 0.0, got -1.0"),
        ({"dataset": "cifar10", "conv_relu": True}, ValueError, "conv_relu must be False with ci"),
        (
            {"dataset": "cifar10", "budgets": (1000,)},
            ValueError,
            "budgets must allow one output of circulant, which takes 1034 weights, got 1000",
        ),
    ],
)
def test_checks(wrong: dict[str, Any], kind: type[Exception], message: str) -> None:
    good = {"layers": ("circulant",), "budgets": (2000,), "steps": 2}
    with pytest.raises(kind, match=f"^{message}"):
        ComparisonSettings(**good | wrong)


def test_each_once() -> None:
    settings = tiny(layers=["dense", "circulant", "dense"], budgets=[3000, 2000, 3000])
    assert settings.layers == ("dense", "circulant") and settings.budgets == (3000, 2000)


def test_options_offer_what_settings_allow() -> None:
    """The parser repeats the lists, because importing the settings takes a second."""
    parser = options.Parser()
    options.add_compare_options(parser)
    names = {action.dest for action in parser._actions}
    others = {"help", "download", "processes", "out", "resume"}
    assert names - others == asdict(ComparisonSettings()).keys()
    assert tuple(HEADS) == options.LAYERS


def test_jobs_are_a_seed_after_the_other() -> None:
    settings = tiny(budgets=(2000, 3000), seeds=2)
    first = [
        Job("reference", None, 0),
        Job("circulant", 2000, 0),
        Job("dense", 2000, 0),
        Job("circulant", 3000, 0),
        Job("dense", 3000, 0),
    ]
    assert settings.jobs == first + [job._replace(seed=1) for job in first]
    assert tiny(reference=False).jobs == [Job("circulant", 2000, 0), Job("dense", 2000, 0)]


def test_how_a_network_is_trained() -> None:
    training = tiny(conv_relu=True, augment=True, lr=0.5).training(3)
    assert (training.dataset, training.seed, training.steps, training.batch) == ("mnist", 3, 2, 8)
    assert training.conv_relu and training.augment and training.lr == 0.5


# ------------------------------------------------------------------------------------ build


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_convolutions_depend_on_the_seed_alone(dataset: str) -> None:
    images = random_set(dataset, 3, 32, 32) if dataset == "cifar10" else random_set()
    network = network_for(dataset, images.train_images)
    settings = ComparisonSettings(dataset, budgets=(6656, 13_312), seeds=2)
    nets = [build(settings, network, job) for job in settings.jobs]
    names = [name for name in nets[0].params if name.startswith("conv")]
    assert names
    for name in names:
        kinds = {
            job.seed: {
                net.params[name].tobytes()
                for net, its in zip(nets, settings.jobs, strict=True)
                if its.seed == job.seed
            }
            for job in settings.jobs
        }
        assert [len(bits) for bits in kinds.values()] == [1, 1]
        assert name.endswith(".b") or kinds[0] != kinds[1]
    for job, net in zip(settings.jobs, nets, strict=True):
        assert ("head" in net.layers) == (job.budget is not None)


def test_heads_differ_by_seed() -> None:
    settings = tiny(seeds=2, reference=False)
    one, _, other, _ = (build(settings, LENET, job) for job in settings.jobs)
    assert one.params["head.r"].tobytes() != other.params["head.r"].tobytes()


@pytest.mark.parametrize("conv_relu", [False, True])
def test_conv_relu_is_lenets(conv_relu: bool) -> None:
    settings = tiny(conv_relu=conv_relu)
    for job in settings.jobs:
        layers = build(settings, LENET, job).layers
        assert [layers[name].config["relu"] for name in ("conv1", "conv2")] == [conv_relu] * 2


# ------------------------------------------------------------------------------------ train


@pytest.mark.parametrize("job", tiny().jobs, ids=lambda job: job.layer)
def test_a_row(data: Dataset, job: Job) -> None:
    row, again = (train(tiny(), data, job) for _ in range(2))
    assert row is not None and again is not None
    assert row.keys() == ROW_KEYS and job_of(row) == job
    assert row.pop("train_seconds") > 0 and again.pop("train_seconds") > 0
    assert row == again
    assert 0 <= row["test_error"] <= 100 and 20 * row["test_error"] % 100 == pytest.approx(0)
    json.dumps(row)
    net = build(tiny(), LENET, job)
    assert row["weights"] == net.n_weights == 25_500 + row["head_weights"]


def test_the_numbers_of_a_head(data: Dataset) -> None:
    reference, circulant, dense = (train(tiny(), data, job) or {} for job in tiny().jobs)
    assert (reference["n_out"], reference["head_weights"]) == (500, 405_000)
    assert reference["head_bytes"] == 4 * (405_000 + 500 + 10)
    assert (circulant["n_out"], circulant["head_weights"]) == (120, 800 + 1200)
    assert circulant["head_bytes"] == 4 * (800 + 1200 + 10) + 800  # the signs in bytes
    assert (dense["n_out"], dense["head_weights"]) == (2, 1620)
    assert dense["head_bytes"] == 4 * (1620 + 10)


def test_same_weights_twice(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    make = comparison.build

    def kept(*arguments: Any) -> Any:
        trained.append(make(*arguments))
        return trained[-1]

    monkeypatch.setattr(comparison, "build", kept)
    job, settings = Job("circulant", 2000, 0), tiny(augment=True)
    for _ in range(2):
        train(settings, data, job)
    one, other = trained
    fresh = make(settings, LENET, job)
    for name, value in one.params.items():
        assert value.tobytes() == other.params[name].tobytes()
    assert one.params["conv1.W"].tobytes() != fresh.params["conv1.W"].tobytes()


def test_schedules(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are trained alike, the reference too."""
    colour = random_set("cifar10", 3, 32, 32)
    seen = []
    make = comparison.TrainSettings.trainer

    def kept(*arguments: Any, **given: Any) -> Any:
        seen.append(make(*arguments, **given))
        return seen[-1]

    monkeypatch.setattr(comparison.TrainSettings, "trainer", kept)
    for dataset, images in (("mnist", data), ("cifar10", colour)):
        settings = ComparisonSettings(dataset, layers=("dense",), budgets=(2000,), steps=1, batch=8)
        for job in settings.jobs[:2]:
            assert train(settings, images, job, stopped=lambda: True) is not None
    names = [type(trainer.schedule).__name__ for trainer in seen]
    assert names == ["Cosine"] * 4
    assert {trainer.threads for trainer in seen} == {1}
    assert "center" in seen[3].model.layers


def test_stopped(data: Dataset) -> None:
    asked = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) == 2

    assert train(tiny(steps=5), data, tiny().jobs[1], stopped) is None
    assert len(asked) == 2


def test_divergence(data: Dataset) -> None:
    with np.errstate(all="ignore"):
        row = train(tiny(lr=1e30, steps=9), data, Job("dense", 2000, 0))
    assert row is not None and row["test_error"] is None
    assert row.keys() == ROW_KEYS and row["head_weights"] == 1620


def test_images_of_another_kind(data: Dataset) -> None:
    settings = ComparisonSettings("cifar10", layers=("dense",), budgets=(2000,), steps=1)
    with pytest.raises(DatasetError, match="must be 3 x 32 x 32 pixels for cifar10_quick"):
        train(settings, data, settings.jobs[0])


# ------------------------------------------------------------------------------------- files


def rows(settings: ComparisonSettings) -> list[dict[str, Any]]:
    numbers = {"n_out": 2, "head_weights": 1620, "weights": 27_120, "head_bytes": 6520}
    times = {"test_error": 90.0, "train_seconds": 0.5}
    return [{**job._asdict(), **numbers, **times} for job in settings.jobs]


def test_round_trip(tmp_path: Path) -> None:
    settings = tiny(budgets=(2000, 3000), lr=0.1)
    runs = rows(settings)[:3]
    runs[1]["test_error"] = None
    Comparison(settings, 7, runs).save(tmp_path)
    assert load_comparison(tmp_path) == Comparison(settings, 7, runs)


def test_missing() -> None:
    settings = tiny()
    runs = rows(settings)
    assert list(Comparison(settings, 7, runs).missing()) == []
    assert list(Comparison(settings).missing()) == settings.jobs
    assert list(Comparison(settings, 7, [runs[2], runs[0]]).missing()) == [settings.jobs[1]]


def edited(change: Callable[[dict[str, Any]], Any]) -> str:
    stored = {"settings": asdict(tiny()), "data": 7, "runs": rows(tiny())}
    change(stored)
    return json.dumps(stored)


def run_with(**values: Any) -> str:
    return edited(lambda stored: stored["runs"][0].update(values))


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        ("", ""),
        ("{", ""),
        ("[1]", ""),
        ("null", ""),
        ("[" * 100_000, ""),
        ("{}", "'settings'"),
        ('{"settings": {}, "runs": []}', "missing or unknown augment, batch"),
        ('{"settings": 3, "runs": []}', ""),
        (edited(lambda stored: stored["settings"].update(odd=1)), "missing or unknown odd"),
        (edited(lambda stored: stored["settings"].pop("lr")), "missing or unknown lr"),
        (edited(lambda stored: stored["settings"].update(seeds=0)), "seeds must be at least 1"),
        (edited(lambda stored: stored["settings"].update(layers=["x"])), "layers must be one of"),
        (edited(lambda stored: stored["settings"].update(layers=[[]])), "unhashable"),
        (edited(lambda stored: stored["settings"].update(budgets=[9])), "budgets must allow one"),
        (edited(lambda stored: stored.pop("runs")), "'runs'"),
        (edited(lambda stored: stored.update(runs=None)), ""),
        (edited(lambda stored: stored.update(runs={})), "runs must be a list, got dict"),
        (edited(lambda stored: stored.pop("data")), "no entry 'data'"),
        (edited(lambda stored: stored.update(data=None)), "data must be an integer"),
        (run_with(seed=True), "seed must be an integer, got True"),
        (run_with(budget=2000.0), r"budget must be an integer, got 2000\.0"),
        (edited(lambda stored: stored["runs"].append(stored["runs"][0])), "two runs of one kind"),
        (edited(lambda stored: stored["runs"][1].pop("weights")), "'weights'"),
        (edited(lambda stored: stored["runs"][1].pop("test_error")), "'test_error'"),
        (run_with(layer="fastfood"), "runs of other settings"),
        (run_with(seed=3), "runs of other settings"),
        (run_with(layer=[]), "unhashable"),
        (run_with(n_out=0), "n_out must be at least 1, got 0"),
        (run_with(head_bytes="many"), "head_bytes must be an integer, got 'many'"),
        (run_with(weights=1.5), r"weights must be an integer, got 1\.5"),
        (run_with(test_error="0.7"), "test_error must be a real number, got '0.7'"),
        (run_with(test_error=-0.1), "test_error must be at least 0"),
        (run_with(test_error=100.5), "test_error must be at most 100, got 100.5"),
        (run_with(test_error=float("nan")), "test_error must be finite, got nan"),
        (run_with(train_seconds=None), "train_seconds must be a real number, got None"),
        (run_with(train_seconds=-1.0), "train_seconds must be at least 0"),
    ],
)
def test_wrong_files(tmp_path: Path, content: str, saying: str) -> None:
    (tmp_path / "runs.json").write_text(content)
    with pytest.raises(ModelFileError, match=rf"not the runs of a comparison \(.*({saying})") as at:
        load_comparison(tmp_path)
    assert str(at.value).startswith(str(tmp_path / "runs.json"))


def test_the_file_is_sound_before_it_is_edited(tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(edited(lambda stored: None))
    assert load_comparison(tmp_path) == Comparison(tiny(), 7, rows(tiny()))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file; no comparison was begun there"):
        load_comparison(tmp_path)
    (tmp_path / "runs.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelFileError, match="not the runs of a comparison"):
        load_comparison(tmp_path)
