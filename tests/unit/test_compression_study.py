"""The study of penalty and product quantisation: settings, pairs, runs, tables, the command."""

from __future__ import annotations

import json
import multiprocessing
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from small_runs import BACKEND, contents, main, needs_compiled_kernels, write_small_set

from fastfood_np import backends, options
from fastfood_np.compression import ProductQuantizer, TwoValues
from fastfood_np.datasets import Dataset, load
from fastfood_np.experiments import compression_study, compression_study_run
from fastfood_np.experiments.compression_study import (
    LAYERS,
    RATES,
    Job,
    StudySettings,
    job_of,
    quantized,
    summary,
    train,
)
from fastfood_np.experiments.compression_study_run import COLUMNS, cells, markdown, table
from fastfood_np.layers import Dense, Flatten, ReLU, Sequential
from fastfood_np.models import deep_fried_lenet, lenet

FRIED = [Job("fried", False, 0), Job("fried", True, 0), Job("fried", False, 1)]
FRIED.append(Job("fried", True, 1))
SHORT = ("--model", "fried", "--steps", "2", "--seeds", "2")
FEW = ((2, 4), (8, 4))
DIVERGES = 1e39  # as a coefficient: the gradient is not finite


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with backends.using(BACKEND):
        yield


@pytest.fixture
def few_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression_study, "RATES", FEW)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_set(tmp_path_factory.mktemp("study") / "data")


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return load("mnist", data)


def tiny(**given: Any) -> StudySettings:
    return StudySettings(**{"dataset": "mnist", "model": "fried", "steps": 2, "seeds": 2} | given)


# --------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        ({"dataset": "cifar10"}, ValueError, "dataset must be one of 'sample', 'mnist', 'fashion'"),
        ({"dataset": None}, ValueError, "dataset must be one of "),
        ({"data": 3}, TypeError, "data must be a str"),
        ({"model": "cifar10_quick"}, ValueError, "model must be one of 'lenet', 'fried', got"),
        ({"penalty": "lasso"}, ValueError, "penalty must be one of 'two-values', "),
        ({"penalty": None}, ValueError, "penalty must be one of 'two-values', "),
        ({"penalty_weight": -1.0}, ValueError, r"penalty_weight must be at least 0\.0, got -1\.0"),
        ({"penalty_weight": "1"}, TypeError, "penalty_weight must be a real number, got '1'"),
        ({"penalty_value": -1.0}, ValueError, r"penalty_value must be at least 0\.0, got -1\.0"),
        (
            {"penalty": "group-lasso", "penalty_value": 1.0},
            ValueError,
            "penalty_value must not be given with group-lasso",
        ),
        ({"seeds": 0}, ValueError, "seeds must be at least 1, got 0"),
        ({"seeds": 1001}, ValueError, "seeds must be at most 1000, got 1001"),
        ({"seeds": 2.0}, TypeError, r"seeds must be an integer, got 2\.0"),
        ({"conv_relu": 1}, TypeError, "conv_relu must be True or False, got 1"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 1, "epochs": 1}, ValueError, "epochs and steps must not both be given"),
    ],
)
def test_checks(wrong: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        StudySettings(**wrong)


def test_options_offer_what_settings_allow() -> None:
    parser = options.Parser()
    options.add_study_options(parser)
    choices = {action.dest: action.choices for action in parser._actions if action.choices}
    assert tuple(choices["penalty"]) == options.PENALTIES
    assert tuple(choices["model"]) == tuple(LAYERS)
    names = {action.dest for action in parser._actions}
    assert names - {"help", "download", "processes", "out"} == asdict(StudySettings()).keys()


def test_jobs() -> None:
    both = [Job("lenet", False, 0), Job("lenet", True, 0), *FRIED[:2]]
    assert StudySettings(seeds=2).jobs == both + [job._replace(seed=1) for job in both]
    assert tiny().jobs == FRIED
    assert len(StudySettings().jobs) == 40
    for job in both:
        assert job_of({"test_error": 1.0, **job._asdict()}) == job


def test_how_a_network_is_trained() -> None:
    settings = StudySettings(
        penalty="binary", penalty_weight=0.5, penalty_value=0.25, conv_relu=True, epochs=3
    )
    for model, layer in (("lenet", "ip1"), ("fried", "ip2")):
        plain, penalised = (settings.training(Job(model, p, 7)) for p in (False, True))
        assert asdict(penalised) == asdict(plain) | {
            **{"penalty": "binary", "penalty_weight": 0.5, "penalty_value": 0.25},
            "penalty_on": (layer,),
        }
        assert (plain.model, plain.seed, plain.epochs, plain.conv_relu) == (model, 7, 3, True)
        assert plain.penalty is None


def test_the_layer_is_the_dense_one_with_most_weights() -> None:
    nets = {"lenet": lenet(rng=0), "fried": deep_fried_lenet(rng=0)}
    for model, name in LAYERS.items():
        layers = nets[model].layers
        sizes = {key: layer.n_weights for key, layer in layers.items() if isinstance(layer, Dense)}
        assert max(sizes, key=lambda key: sizes[key]) == name
        for length, centroids in RATES:
            assert nets[model].params[f"{name}.W"].shape[1] % length == 0
            assert 2 <= centroids <= 256
    assert len(set(RATES)) == len(RATES)


# ------------------------------------------------------------------------------------------ pairs


@pytest.mark.parametrize("model", LAYERS)
def test_pairs_start_alike(model: str) -> None:
    """The same weights, order and rates; other ones for another seed."""
    settings = StudySettings(steps=9)
    jobs = [Job(model, False, 3), Job(model, True, 3), Job(model, False, 4)]
    nets = [settings.training(job).build(model) for job in jobs]
    plain, penalised, other = (
        {name: w.tobytes() for name, w in (*net.params.items(), *net.constants.items())}
        for net in nets
    )
    assert plain == penalised != other
    trainers = [
        settings.training(job).trainer(model, net, 9, threads=1)
        for job, net in zip(jobs, nets, strict=True)
    ]
    assert [trainer.seed for trainer in trainers] == [3, 3, 4]
    assert trainers[0].schedule == trainers[1].schedule
    assert trainers[0].batch == trainers[1].batch
    assert [list(trainer.penalties) for trainer in trainers] == [[], [f"{LAYERS[model]}.W"], []]


@pytest.mark.usefixtures("few_rates")
def test_without_weight_a_penalty_changes_nothing(dataset: Dataset) -> None:
    without, with_it = (train(tiny(penalty_weight=0.0), dataset, job) for job in FRIED[:2])
    assert without is not None and with_it is not None
    assert without.pop("train_seconds") > 0 and with_it.pop("train_seconds") > 0
    assert with_it == without | {"penalised": True}
    heavy = train(tiny(penalty_weight=100.0), dataset, FRIED[1])
    assert heavy is not None and heavy["distance"] != without["distance"]


# ------------------------------------------------------------------------------------ single runs


@pytest.mark.usefixtures("few_rates")
def test_a_row(dataset: Dataset) -> None:
    row = train(tiny(), dataset, FRIED[3])
    assert row is not None and job_of(row) == FRIED[3]
    assert row.keys() == {*Job._fields, "test_error", "train_seconds", "distance", "rates"}
    assert [(rate["length"], rate["centroids"]) for rate in row["rates"]] == list(FEW)
    for error in (row["test_error"], *(rate["test_error"] for rate in row["rates"])):
        assert 20 * error % 100 == pytest.approx(0) and 0 <= error <= 100
    assert 0.5 < row["distance"] < 1
    json.dumps(row, allow_nan=False)


@pytest.mark.usefixtures("few_rates")
def test_what_is_measured_is_what_was_trained(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        compression_study, "quantized", lambda net, *others: seen.append((net, *others))
    )
    row = train(tiny(), dataset, FRIED[0])
    assert row is not None
    net = seen[0][0]
    assert [others for _, *others in seen] == [["ip2", *rate, dataset] for rate in FEW]
    settings = tiny().training(FRIED[0])
    ours = settings.build("fried")
    settings.trainer("fried", ours, 2, threads=2).fit(dataset.train_images, dataset.train_labels, 2)
    for name, w in ours.params.items():
        np.testing.assert_array_equal(net.params[name], w)
    assert row["distance"] == TwoValues().distance(ours.params["ip2.W"])
    logits = ours(dataset.test_images.astype(np.float32) / 256)
    wrong = np.count_nonzero(logits.argmax(axis=1) != dataset.test_labels)
    assert row["test_error"] == 5.0 * wrong


def test_divergence(dataset: Dataset) -> None:
    with np.errstate(all="ignore"):
        row = train(tiny(penalty_weight=DIVERGES), dataset, FRIED[1])
    assert row == {
        **FRIED[1]._asdict(),
        **{"test_error": None, "train_seconds": None, "distance": None, "rates": []},
    }


def test_stopped(dataset: Dataset) -> None:
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) == 2

    assert train(tiny(steps=5), dataset, FRIED[0], stopped) is None
    assert len(asked) == 2


# ---------------------------------------------------------------------------------- quantised nets


def small_net() -> Sequential:
    rng = np.random.default_rng(0)
    net = Sequential(
        [
            ("flatten", Flatten()),
            ("ip1", Dense(784, 24, rng=rng)),
            ("relu", ReLU()),
            ("ip2", Dense(24, 10, rng=rng)),
        ]
    )
    net.params["ip2.b"][...] = rng.normal(size=10) / 10
    return net


@pytest.mark.parametrize(
    ("name", "length", "centroids", "bits"),
    [("ip1", 8, 16, 4), ("ip1", 7, 5, 3), ("ip2", 1, 2, 1), ("ip2", 24, 4, 2), ("ip2", 3, 256, 8)],
)
def test_quantized(dataset: Dataset, name: str, length: int, centroids: int, bits: int) -> None:
    net = small_net()
    before = {key: w.tobytes() for key, w in net.params.items()}
    found = quantized(net, name, length, centroids, dataset)
    assert {key: w.tobytes() for key, w in net.params.items()} == before
    n_out, d_in = net.params[f"{name}.W"].shape
    layer_bytes = -(-n_out * (d_in // length) * bits // 8) + 4 * centroids * length
    assert found.pop("layer_bytes") == layer_bytes
    assert found.pop("layer_ratio") == pytest.approx(4 * n_out * d_in / layer_bytes)
    total = 4 * (784 * 24 + 24 + 24 * 10 + 10)
    assert found.pop("net_ratio") == pytest.approx(total / (total - 4 * n_out * d_in + layer_bytes))
    params = {key: w.astype(np.float64) for key, w in net.params.items()}
    W = net.params[f"{name}.W"]
    quantizer = ProductQuantizer(d_in // length, centroids, shared=True, rng=0).fit(W)
    pieces = W.reshape(-1, 1, length).astype(np.float64)
    nearest = ((pieces - quantizer.codebooks) ** 2).sum(axis=2).argmin(axis=1)
    params[f"{name}.W"] = quantizer.codebooks[0, nearest].reshape(W.shape).astype(np.float64)
    x = dataset.test_images.reshape(20, -1) / 256
    h = np.maximum(x @ params["ip1.W"].T + params["ip1.b"], 0)
    predicted = (h @ params["ip2.W"].T + params["ip2.b"]).argmax(axis=1)
    assert found.pop("test_error") == 5.0 * np.count_nonzero(predicted != dataset.test_labels)
    assert found == {"length": length, "centroids": centroids}


def test_a_matrix_of_few_vectors_loses_nothing(dataset: Dataset) -> None:
    net = small_net()
    W = net.params["ip2.W"]
    W[...] = np.sign(W) * 0.125
    exact = quantized(net, "ip2", 1, 2, dataset)["test_error"]
    assert exact == quantized(net, "ip2", 1, 256, dataset)["test_error"]
    assert exact == compression_study._error(net, dataset)


# ----------------------------------------------------------------------------------------- summary


def row(model: str, penalised: bool, seed: int, *errors: float) -> dict[str, Any]:
    """A run: its error before and at each rate; diverged without errors."""
    rates = [
        {
            **{"length": length, "centroids": centroids, "layer_bytes": 10 * length},
            **{"layer_ratio": 16.0, "net_ratio": 4.0 + length, "test_error": error},
        }
        for (length, centroids), error in zip(FEW, errors[1:], strict=False)
    ]
    named = Job(model, penalised, seed)._asdict()
    return {**named, "test_error": errors[0] if errors else None, "rates": rates}


@pytest.mark.usefixtures("few_rates")
def test_summary() -> None:
    rows = [
        row("fried", False, 0, 1.0, 2.0, 3.0),
        row("fried", True, 0, 1.5, 1.0, 3.0),
        row("fried", True, 1, 2.5, 1.0, 4.0),  # as runs come to an end
        row("fried", False, 1, 1.0, 3.0, 3.0),
        row("lenet", False, 0, 1.0, 1.0, 1.0),
        row("lenet", True, 0, 0.5, 0.5, 2.0),
    ]
    lines = summary(rows)
    assert [(line["model"], line.get("length"), line.get("centroids")) for line in lines] == [
        *[("lenet", None, None), ("lenet", 2, 4), ("lenet", 8, 4)],
        *[("fried", None, None), ("fried", 2, 4), ("fried", 8, 4)],
    ]
    assert lines[0] == {
        **{"model": "lenet", "pairs": 1, "without": 1.0, "with": 0.5, "difference": -0.5},
        "interval": None,
    }
    before, first, second = lines[3:]
    assert (before["without"], before["with"], before["difference"]) == (1.0, 2.0, 1.0)
    # Two gaps, 0.5 and 1.5: t of 0.975 and one degree of freedom is 12.706.
    half = 12.7062 * 0.5**0.5 / 2**0.5
    assert before["interval"] == pytest.approx([1 - half, 1 + half], abs=1e-3)
    assert (first["pairs"], first["difference"]) == (2, -1.5)
    assert (first["layer_bytes"], first["layer_ratio"], first["net_ratio"]) == (20, 16.0, 6.0)
    assert "test_error" not in first and second["interval"] is not None


@pytest.mark.usefixtures("few_rates")
def test_rows_without_a_partner_are_left_out() -> None:
    rows = [
        row("fried", False, 0, 1.0, 2.0, 3.0),
        row("fried", True, 0),  # diverged
        row("fried", False, 1, 5.0, 6.0, 7.0),
        row("fried", True, 1, 4.0, 6.0, 9.0),
        row("fried", False, 2, 1.0, 2.0, 3.0),  # under way
        row("lenet", False, 0),
        row("lenet", True, 0),
    ]
    lines = summary(rows)
    assert [(line["model"], line["pairs"], line["difference"]) for line in lines] == [
        ("fried", 1, -1.0),
        ("fried", 1, 0.0),
        ("fried", 1, 2.0),
    ]
    assert summary([]) == summary(rows[:1]) == summary(rows[5:]) == []


# ------------------------------------------------------------------------------------------ tables


@pytest.mark.usefixtures("few_rates")
def test_tables() -> None:
    rows = [
        row("lenet", False, 0, 1.0, 1.0, 1.0),
        row("lenet", True, 0, 0.5, 0.75, 2.0),
        row("fried", False, 0, 1.0, 2.0, 3.0),
        row("fried", True, 0, 1.5, 1.0, 3.0),
        row("fried", False, 1, 1.0, 3.0, 3.0),
        row("fried", True, 1, 2.5, 1.0, 4.0),
    ]
    lines = summary(rows)
    assert cells(lines[0]) == ("LeNet, ip1", "none", "", "", "", "1.00 %", "0.50 %", "-0.50")
    assert cells(lines[2])[1:] == ("8", "4", "16.0 x", "12.0 x", "1.00 %", "2.00 %", "+1.00")
    assert cells(lines[3])[-1] == "+1.00 (-5.35 to +7.35)"
    written = markdown(lines).splitlines()
    assert len(written) == 2 + len(lines)
    assert written[0] == f"| {' | '.join(COLUMNS)} |" and set(written[1]) == set("| -")
    assert all(line.count("|") == len(COLUMNS) + 1 for line in written)
    assert written[5].startswith("| deep-fried, ip2 | none |  |  |  | 1.00 % | 2.00 % | +1.00 (")
    console = Console(width=120, record=True, file=sys.stderr, force_terminal=False)
    console.print(table(lines))
    printed = console.export_text()
    for line in lines:
        pattern = " +".join(re.escape(cell) for cell in cells(line) if cell)
        assert re.search(pattern, printed), line


def test_tables_of_nothing() -> None:
    assert markdown([]).count("\n") == 2
    assert table([]).row_count == 0


# ------------------------------------------------------------------------------------- the command


def one_after_the_other(
    train: Any, settings: Any, jobs: Any, data: Any, processes: int, interrupted: Any
) -> Iterator[Any]:
    """Do the jobs in this process, the last one first."""
    dataset = load(*data)
    for job in reversed(jobs):
        result = train(settings, dataset, job, interrupted)
        if result is not None:
            yield result


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression_study_run, "results", one_after_the_other)


here = pytest.mark.usefixtures("in_this_process", "few_rates")


def stored(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def without_times(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: run[key] for key in run if key != "train_seconds"} for run in runs]


@here
def test_what_is_written(
    data: Path, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a run"
    arguments = ("--data", data, *SHORT, "--penalty", "binary", "--penalty-weight", 0.5)
    assert main("study", *arguments, "--out", out) == 0
    printed, errors = capsys.readouterr()
    assert errors == "" and "\x1b" not in printed and "\r" not in printed
    assert sorted(path.name for path in out.iterdir()) == ["results.json", "table.md"]
    results = stored(out)
    assert results.keys() == {"settings", "summary", "runs"}
    assert results["settings"] == asdict(tiny(penalty="binary", penalty_weight=0.5))
    assert str(tmp_path) not in json.dumps(results) and str(data) not in json.dumps(results)
    assert [job_of(run) for run in results["runs"]] == FRIED  # in whatever order they ended
    expected = train(tiny(penalty="binary", penalty_weight=0.5), dataset, FRIED[1])
    assert expected is not None
    assert without_times(results["runs"][1:2]) == without_times([expected])
    assert results["summary"] == summary(results["runs"])
    assert (out / "table.md").read_text() == markdown(results["summary"])
    done = re.findall(r"^ +(\d) of 4  fried(, penalty)?, seed (\d): [\d.]+ %, two ", printed, re.M)
    assert done == [
        *[("1", ", penalty", "1"), ("2", "", "1"), ("3", ", penalty", "0"), ("4", "", "0")],
    ]
    assert printed.count("deep-fried, ip2") == 3
    assert printed.endswith(f"results.json and table.md are in {out}.\n")


@needs_compiled_kernels
def test_in_processes_of_their_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results are those of one process."""
    before = set(multiprocessing.active_children())
    arguments = ("--data", data, *SHORT, "--seeds", 1)
    for processes in (1, 2):
        out = tmp_path / str(processes)
        if processes == 1:
            monkeypatch.setattr(compression_study_run, "results", one_after_the_other)
        assert main("study", *arguments, "--processes", processes, "--out", out) == 0
        monkeypatch.undo()
    one, two = (stored(tmp_path / name) for name in "12")
    assert without_times(one["runs"]) == without_times(two["runs"])
    assert one["summary"] == two["summary"] and len(one["summary"]) == 1 + len(RATES)
    assert set(multiprocessing.active_children()) <= before


@here
def test_divergence_is_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--data", data, *SHORT, "--penalty-weight", DIVERGES, "--out", tmp_path)
    with np.errstate(all="ignore"):
        assert main("study", *arguments) == 0
    printed, errors = capsys.readouterr()
    assert errors == "" and printed.count("fried, penalty, seed ") == 2
    assert printed.count(": diverged") == 2
    assert stored(tmp_path)["summary"] == []
    assert (tmp_path / "table.md").read_text() == markdown([])


@here
def test_ctrl_c_keeps_what_is_finished(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of the third run."""
    out = tmp_path / "run"

    def pressed(settings: Any, dataset: Any, job: Any, stopped: Any) -> Any:
        if job == FRIED[1]:
            signal.raise_signal(signal.SIGINT)
        return train(settings, dataset, job, stopped)

    monkeypatch.setattr(compression_study_run, "train", pressed)
    assert main("study", "--data", data, *SHORT, "--out", out) == 130
    assert capsys.readouterr().err == "fastfood-np: stopped\n"
    assert [path.name for path in out.iterdir()] == ["results.json"]
    assert [job_of(run) for run in stored(out)["runs"]] == FRIED[2:]
    before = contents(out)
    assert main("study", "--data", data, *SHORT, "--out", out) == 2
    refusal = f"fastfood-np: error: argument --out: {out} holds a study already\n"
    assert capsys.readouterr().err == refusal and contents(out) == before


@here
def test_a_process_that_dies(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dies(*arguments: Any) -> Any:
        raise BrokenProcessPool("killed")

    monkeypatch.setattr(compression_study_run, "train", dies)
    assert main("study", "--data", data, *SHORT, "--out", tmp_path) == 1
    line = "fastfood-np study: error: a training process ended unasked\n"
    assert capsys.readouterr().err == line


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(compression_study_run, "results", never)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("given", "saying"),
    [
        (("--dataset", "cifar10"), "argument --dataset: must be one of 'sample', 'mnist', "),
        (("--penalty", "lasso"), "argument --penalty: invalid choice: 'lasso'"),
        (("--model", "cifar10_quick"), "argument --model: invalid choice: 'cifar10_quick'"),
        (("--penalty-weight", -1), "argument --penalty-weight: must be at least 0.0, got -1.0"),
        (
            ("--penalty", "group-lasso", "--penalty-value", 1),
            "argument --penalty-value: must not be given with group-lasso",
        ),
        (("--seeds", 0), "argument --seeds: must be at least 1, got 0"),
        (("--seeds", 1001), "argument --seeds: must be at most 1000, got 1001"),
        (("--processes", 0), "argument --processes: must be at least 1, got 0"),
        (("--epochs", 1, "--steps", 1), "argument --steps: not allowed with argument --epochs"),
        (("--dataset", "sample", "--data", "x"), "argument --data: not allowed with --dataset sam"),
        (("--data", "no-such-folder"), "no-such-folder: no such folder"),
        (("--data", "small"), r"the images must be 28 x 28 pixels for LeNet, got 20 x 20"),
        (("--out", "file"), "argument --out: file must be a folder, but is a file"),
        (("--out", "other"), "argument --out: other holds a study already"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: tuple[object, ...],
    saying: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_small_set(tmp_path / "small", size=20)
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").touch()
    before = contents(tmp_path)
    out = () if "--out" in given else ("--out", "new")
    assert main("study", *given, *out) == 2
    printed, errors = capsys.readouterr()
    assert printed == "" and re.fullmatch(r"fastfood-np( study)?: error: [^\n]+\n", errors)
    assert re.search(saying, errors), errors
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("no_training")
def test_without_scikit_learn(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any training."""
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    assert main("study", "--data", data, *SHORT, "--out", tmp_path / "new") == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "pip install 'fastfood_np[sklearn]'" in errors
    assert list(tmp_path.iterdir()) == []


@here
def test_default_folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compression_study, "RATES", FEW[:1])
    assert main("study", "--data", data, *SHORT, "--seeds", 1, "--steps", 1) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"study-\d{4}-\d\d-\d\d-\d{6}", folder.name)
