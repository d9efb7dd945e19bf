"""The command line: ``python -m fastfood_np`` and ``fastfood-np``."""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fastfood_np import options
from fastfood_np.options import fail
from fastfood_np.validation import InputFileError

# The jobs themselves are imported where they run: --help and wrong options answer at once.

INTERRUPTED = 130

PRINTED_WEIGHTS = (
    "The paper prints 38,821 weights for the deep-fried net: its head as 13,321 where "
    "3 * 1024 + 1024 * 10 = 13,312 (two digits swapped), plus 25,500 of the convolutions."
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = options.Parser(
        prog="fastfood-np", description="The Fastfood transform and Deep Fried Convnets."
    )
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=options.Parser
    )
    train = commands.add_parser("train", help="train the LeNet and the deep-fried LeNet")
    options.add_train_options(train)
    evaluate = commands.add_parser("evaluate", help="test a stored model, draw its mistakes")
    evaluate.add_argument("model", type=Path, metavar="MODEL", help="a .npz that train wrote")
    options.add_data_options(evaluate)
    options.add_threads(evaluate)
    evaluate.add_argument("--out", type=Path, metavar="DIR", help="for the picture (MODEL's)")
    commands.add_parser("verify", help="check the paper's equations numerically")
    commands.add_parser("info", help="versions, processor, threads, backends")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 failed, 2 wrong input, 130 interrupted."""
    given = vars(parser().parse_args(arguments))
    command = given.pop("command")
    console = Console()
    try:
        if command == "train":
            return _train(given, console)
        if command == "evaluate":
            return _evaluate(given, console)
        if command == "verify":
            return _verify(console)
        return _info(console)
    except InputFileError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("fastfood-np: stopped", file=sys.stderr)
        return INTERRUPTED


def _load(given: dict[str, Any]) -> Any:
    """Take the data options out of `given` and load the set."""
    from fastfood_np.datasets import load

    folder = given.pop("data", None)
    name = given.pop("dataset", "sample" if folder is None else "mnist")
    if name == "sample" and folder is not None:
        fail("argument --data: not allowed with --dataset sample, which comes with the package")
    return load(name, folder, download=given.pop("download", False))


def _train(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments.training_run import TrainingInterruptedError, run
    from fastfood_np.training import TrainingDivergedError

    resume, out = given.pop("resume", None), given.pop("out", None)
    threads, download = given.pop("threads", None), given.pop("download", False)
    if "data" in given:
        given.setdefault("dataset", "mnist")
        given["data"] = str(given["data"].resolve())
    settings = _settings(given, resume, console)
    dataset = _load({"dataset": settings.dataset, "data": settings.data, "download": download})
    out = _prepare_folder(out, resume)
    try:
        results = run(settings, dataset, out, console=console, threads=threads, resume=resume)
    except TrainingInterruptedError as error:
        print(f"{error}; go on with: fastfood-np train --resume {out}", file=sys.stderr)
        return INTERRUPTED
    except TrainingDivergedError as error:
        print(f"fastfood-np train: error: {error}", file=sys.stderr)
        return 1
    _print_results(results, out, console)
    return 0


def _settings(given: dict[str, Any], resume: Path | None, console: Console) -> Any:
    """Return the settings given, or those of the run to resume, which nothing may contradict."""
    from fastfood_np.experiments.settings import TrainSettings, has_checkpoint, load_settings

    if resume is None:
        return TrainSettings(**given)
    if not resume.is_dir():
        fail(f"argument --resume: no such folder: {resume}")
    stored = load_settings(resume)
    if stored is None or not has_checkpoint(resume):
        console.print(f"No checkpoint in {resume} yet: starting from the beginning.")
    if stored is None:
        return TrainSettings(**given)
    for name, value in given.items():
        kept = getattr(stored, name)
        if value != kept:
            option = "--" + name.replace("_", "-")
            fail(f"argument {option}: the run in {resume} has {kept!r}, got {value!r}")
    return stored


def _prepare_folder(out: Path | None, resume: Path | None) -> Path:
    """Make the folder to write into, and see that it can be written and holds no other run."""
    from fastfood_np.experiments.settings import SETTINGS_FILE

    folder = out or resume or Path("runs") / f"{datetime.datetime.now():%Y-%m-%d-%H%M%S}"
    other_run = resume is None or folder.resolve() != resume.resolve()
    if other_run and (folder / SETTINGS_FILE).exists():
        fail(f"argument --out: {folder} holds a run already; go on with it with --resume {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink()
    return folder


def _print_results(results: dict[str, Any], out: Path, console: Console) -> None:
    table = Table(title=f"{results['dataset']}, {results['steps']} steps, seed {results['seed']}")
    table.add_column("model")
    for heading in ("weights", "compression", "test error", "95 % interval", "seconds"):
        table.add_column(heading, justify="right")
    for model in results["models"]:
        low, high = model["interval"]
        table.add_row(
            model["title"],
            f"{model['weights']:,}",
            f"{model['compression']:.1f} x",
            f"{model['test_error']:.2f} %",
            f"{low:.2f} to {high:.2f} %",
            f"{model['train_seconds']:.1f}",
        )
    console.print(table)
    if any(model["weights"] == 38_812 for model in results["models"]):
        console.print(PRINTED_WEIGHTS)
    console.print(f"Models, results.json and learning-curves.png are in {out}.")


def _evaluate(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments.evaluation import evaluate, save_mistakes
    from fastfood_np.model_files import load_model

    path: Path = given.pop("model")
    threads, out = given.pop("threads", None), given.pop("out", path.parent)
    model, metadata = load_model(path)
    dataset = _load(given)
    result = evaluate(model, dataset.test_images, dataset.test_labels, threads)
    low, high = result.interval
    console.print(
        f"{metadata.get('title', path.name)}: {100 * result.errors / result.total:.2f} % test error "
        f"({result.errors} of {result.total}; 95 % interval {low:.2f} to {high:.2f} %), "
        f"{model.n_weights:,} weights, {model.n_weights + model.n_biases:,} parameters"
    )
    console.print(_confusion_table(result.confusion))
    out.mkdir(parents=True, exist_ok=True)
    picture = out / f"{path.stem}-mistakes.png"
    save_mistakes(result, dataset.test_images, dataset.test_labels, picture)
    console.print(f"The surest mistakes are drawn in {picture}.")
    return 0


def _confusion_table(confusion: Any) -> Table:
    table = Table(title="rows: the digit; columns: what it was taken for")
    for heading in ["", *map(str, range(len(confusion)))]:
        table.add_column(heading, justify="right")
    for digit, row in enumerate(confusion):
        table.add_row(str(digit), *(str(count) if count else "." for count in row))
    return table


def _verify(console: Console) -> int:
    from fastfood_np.experiments.equations import check_equations

    checks = check_equations()
    table = Table(title="Deep Fried Convnets, arXiv 1412.7149v1")
    for heading in ("equation", "what is compared", "largest deviation", "tolerance", "verdict"):
        numeric = heading in ("largest deviation", "tolerance")
        table.add_column(heading, justify="right" if numeric else "left")
    for check in checks:
        verdict = "holds" if check.passed else "[bold red]FAILS[/]"
        table.add_row(
            check.equation,
            check.compared,
            f"{check.deviation:.2g}",
            f"{check.tolerance:g}",
            verdict,
        )
    console.print(table)
    failed = sum(not check.passed for check in checks)
    console.print(f"{len(checks) - failed} of {len(checks)} checks hold.")
    return 1 if failed else 0


def _info(console: Console) -> int:
    from fastfood_np.experiments.environment import environment

    table = Table(show_header=False)
    for what, value in environment():
        table.add_row(what, value)
    console.print(table)
    return 0
