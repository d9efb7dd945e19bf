"""The command line: ``python -m fastfood_np`` and ``fastfood-np``."""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastfood_np import options
from fastfood_np.options import PATH, fail
from fastfood_np.validation import InputFileError

# The jobs themselves are imported where they run: --help and wrong options answer at once.

INTERRUPTED = 130
WIDTH_OFF_TERMINAL = 120
NEGATED = {"reference": "--no-reference"}

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
    train = commands.add_parser(
        "train", help="train LeNet, or cifar10_quick, and the deep-fried net"
    )
    options.add_train_options(train)
    evaluate = commands.add_parser("evaluate", help="test a stored model, draw its mistakes")
    evaluate.add_argument(
        "model", type=PATH, metavar="MODEL", help="a .npz that train wrote, or a .ffnp"
    )
    options.add_data_options(evaluate)
    options.add_threads(evaluate)
    evaluate.add_argument("--out", type=PATH, metavar="DIR", help="for the picture (MODEL's)")
    export = commands.add_parser("export", help="write a stored model as an ONNX file")
    export.add_argument("model", type=PATH, metavar="MODEL", help="a .npz that train wrote")
    export.add_argument("--onnx", type=PATH, metavar="FILE", required=True, help="what to write")
    compare = commands.add_parser(
        "compare", help="train structured layers at equal numbers of weights"
    )
    options.add_compare_options(compare)
    compress = commands.add_parser("compress", help="write a stored model as a small file")
    options.add_compress_options(compress)
    study = commands.add_parser("study", help="penalty, product quantisation, both, neither")
    options.add_study_options(study)
    bench = commands.add_parser(
        "bench", help="run the benchmarks of a checkout, draw their figures"
    )
    options.add_bench_options(bench)
    commands.add_parser("verify", help="check the papers' equations numerically")
    commands.add_parser("info", help="versions, processor, threads, backends")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 failed, 2 wrong input, 130 interrupted."""
    given = vars(parser().parse_args(arguments))
    command = given.pop("command")
    # Paths may hold what Rich takes for markup. Tables in a file or a pipe must not be cut.
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH_OFF_TERMINAL
    try:
        if command == "train":
            return _train(given, console)
        if command == "evaluate":
            return _evaluate(given, console)
        if command == "export":
            return _export(given, console)
        if command == "compress":
            return _compress(given, console)
        if command == "study":
            return _study(given, console)
        if command == "compare":
            return _compare(given, console)
        if command == "bench":
            return _bench(given, console)
        if command == "verify":
            return _verify(console)
        return _info(console)
    except InputFileError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except MemoryError as error:
        fail(f"not enough memory ({error})")
    except KeyboardInterrupt:
        print("fastfood-np: stopped", file=sys.stderr)
        return INTERRUPTED


def _load(given: dict[str, Any]) -> Any:
    """Take the data options out of `given` and load the set."""
    from fastfood_np.datasets import cifar10, load

    folder = given.pop("data", None)
    name = given.pop("dataset", "sample" if folder is None else "mnist")
    if name == "sample" and folder is not None:
        fail("argument --data: not allowed with --dataset sample, which comes with the package")
    download = given.pop("download", False)
    if name == cifar10.NAME and download:
        fail(
            f"argument --download: not allowed with --dataset {name}, which is not fetched; "
            f"{cifar10.HOME} has {cifar10.ARCHIVE}"
        )
    return load(name, folder, download=download)


def _options(kind: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Return the settings of this kind, or fail with the line that says which option is wrong."""
    try:
        return kind(**given)
    except ValueError as error:
        name, _, what = str(error).partition(" ")
        fail(f"argument --{name.replace('_', '-')}: {what}" if name in given else str(error))


def _train(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments.settings import SETTINGS_FILE
    from fastfood_np.experiments.training_run import TrainingInterruptedError, run
    from fastfood_np.training import TrainingDivergedError

    resume, out = given.pop("resume", None), given.pop("out", None)
    threads, download = given.pop("threads", None), given.pop("download", False)
    if "data" in given:
        given["data"] = str(given["data"].resolve())
    settings = _settings(given, resume, console)
    out = _output_folder(out, resume, "", SETTINGS_FILE, "run")
    dataset = _load({"dataset": settings.dataset, "data": settings.data, "download": download})
    try:
        results = run(settings, dataset, out, console=console, threads=threads, resume=resume)
    except TrainingInterruptedError as error:
        go_on = f"fastfood-np train --resume {shlex.quote(str(out))}"
        print(f"{error}; go on with: {go_on}", file=sys.stderr)
        return INTERRUPTED
    except TrainingDivergedError as error:
        print(f"fastfood-np train: error: {error}", file=sys.stderr)
        return 1
    _print_results(results, out, console)
    return 0


def _settings(given: dict[str, Any], resume: Path | None, console: Console) -> Any:
    """Return the settings given, or those of the run to resume, which nothing may contradict."""
    from fastfood_np.experiments.settings import TrainSettings, has_checkpoint, load_settings

    stored = None if resume is None else load_settings(resume)
    if resume is not None and (stored is None or not has_checkpoint(resume)):
        line = f"No checkpoint in {resume} yet: starting from the beginning."
        console.print(line, soft_wrap=True)
    if stored is None:
        if "data" in given:
            given.setdefault("dataset", "mnist")
        return _options(TrainSettings, given)
    _check_unchanged(given, stored, resume)
    return stored


def _check_unchanged(given: dict[str, Any], stored: Any, folder: Path | None) -> None:
    """Fail if an option contradicts the settings of the run that is to be resumed."""
    for name, value in given.items():
        kept = getattr(stored, name)
        if value != kept:
            option = NEGATED.get(name) or "--" + name.replace("_", "-")
            begun = "without it" if kept is None else f"with {kept!r}"
            fail(f"argument {option}: the run in {folder} was begun {begun}, got {value!r}")


def _output_folder(
    out: Path | None, resume: Path | None, prefix: str, file: str, what: str
) -> Path:
    """Return the folder to write into; see that it can be written and holds no other run.

    A run, or `what` there may be, has a `file` of that name.
    """
    folder = out or resume or _dated_folder(prefix)
    other_run = resume is None or folder.resolve() != resume.resolve()
    if other_run and (folder / file).exists():
        fail(f"argument --out: {folder} holds a {what} already; --resume {folder} goes on with it")
    _check_writable(folder, "--resume" if out is None and resume is not None else "--out")
    return folder


def _dated_folder(prefix: str = "") -> Path:
    return Path("runs") / f"{prefix}{datetime.datetime.now():%Y-%m-%d-%H%M%S}"


def _check_writable(folder: Path, argument: str) -> None:
    """Fail unless `folder` can be written, or made where it does not exist yet."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        fail(f"argument {argument}: {there} must be a folder, but is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        fail(f"argument {argument}: {there} cannot be written")


def _print_results(results: dict[str, Any], out: Path, console: Console) -> None:
    title = f"{results['dataset']}, {results['steps']} steps, seed {results['seed']}"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("model", no_wrap=not console.is_terminal, overflow="fold")
    for heading in ("weights", "compression", "test error", "95 % interval", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
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
    line = f"Models, results.json and learning-curves.png are in {out}."
    console.print(line, soft_wrap=True)


def _evaluate(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments.evaluation import evaluate, save_mistakes
    from fastfood_np.model_files import load_model

    path: Path = given.pop("model")
    threads, out = given.pop("threads", None), given.pop("out", path.parent)
    model, metadata = load_model(path)
    _check_writable(out, "--out")
    dataset = _load(given)
    result = evaluate(model, dataset.test_images, dataset.test_labels, threads)
    low, high = result.interval
    console.print(
        f"{metadata.get('title', path.name)}: {model.n_weights:,} weights, "
        f"{model.n_weights + model.n_biases:,} parameters\n"
        f"{100 * result.errors / result.total:.2f} % test error ({result.errors} of "
        f"{result.total}; 95 % interval {low:.2f} to {high:.2f} %)"
    )
    console.print(_confusion_table(result.confusion))
    out.mkdir(parents=True, exist_ok=True)
    picture = out / f"{path.stem}-mistakes.png"
    save_mistakes(result, dataset.test_images, dataset.test_labels, picture)
    console.print(f"The surest mistakes are drawn in {picture}.", soft_wrap=True)
    return 0


def _confusion_table(confusion: Any) -> Table:
    table = Table(title="class (row) taken for (column)", box=box.SIMPLE_HEAD)
    for heading in ["", *map(str, range(len(confusion)))]:
        table.add_column(heading, justify="right")
    for true, row in enumerate(confusion):
        table.add_row(str(true), *(str(count) if count else "." for count in row))
    return table


def _compress(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments.compression import CompressSettings, TargetMissedError
    from fastfood_np.experiments.compression_run import Outputs, run
    from fastfood_np.model_files import load_model

    path: Path = given.pop("model")
    threads, out = given.pop("threads", None), given.pop("out", None)
    source: dict[str, Any] = {
        name: given.pop(name) for name in ("data", "dataset", "download") if name in given
    }
    given["pq"] = tuple(given.pop("pq", ()))
    settings = _options(CompressSettings, given)
    model, metadata = load_model(path)
    trained_on = metadata.get("dataset")
    if trained_on in options.DATASETS and not ("data" in source and trained_on == "sample"):
        source.setdefault("dataset", trained_on)
    out = out or path.with_suffix(".ffnp")
    _check_writable(out.parent, "--out")
    if out.is_dir():
        fail(f"argument --out: {out} must be a file, but is a folder")
    if out.exists() and out.samefile(path):
        fail(f"argument --out: {out} is the model itself")
    outputs = Outputs.beside(out)
    dataset = _load(source)
    report = partial(console.print, soft_wrap=True)
    try:
        results = run(settings, model, metadata, dataset, outputs, threads=threads, report=report)
    except TargetMissedError as error:
        print(f"fastfood-np compress: error: {error}", file=sys.stderr)
        return 1
    except ImportError as error:  # scikit-learn
        fail(str(error))
    _print_compressed(results, console)
    console.print(
        f"{outputs.model}, {outputs.picture.name}, {outputs.results.name}", soft_wrap=True
    )
    return 0


def _print_compressed(results: dict[str, Any], console: Console) -> None:
    table = Table(title="what the file consists of", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("part", "stored as", "numbers", "bytes", "bits a number"):
        table.add_column(heading, justify="left" if heading in ("part", "stored as") else "right")
    for part in results["parts"]:
        name = part["name"].partition(":")[2] or part["name"]
        bits = 8 * part["nbytes"] / max(1, part["entries"])
        row = (name, part["encoding"], f"{part['entries']:,}", f"{part['nbytes']:,}", f"{bits:.2f}")
        table.add_row(*row)
    console.print(table)
    low, high = results["interval"]
    console.print(
        f"{results['bytes']:,} bytes, {results['ratio']:.1f} times smaller than "
        f"{results['original_bytes']:,}; test error {results['test_error']:.2f} % (95 % interval "
        f"{low:.2f} to {high:.2f} %), before {results['original_test_error']:.2f} %",
        soft_wrap=True,
    )


def _study(given: dict[str, Any], console: Console) -> int:
    from concurrent.futures import BrokenExecutor

    from fastfood_np.experiments import compression_study_run
    from fastfood_np.experiments.compression_study import StudySettings

    out, processes = given.pop("out", None), given.pop("processes", os.cpu_count() or 1)
    download = given.pop("download", False)
    if "data" in given:
        given["data"] = str(given["data"].resolve())
        given.setdefault("dataset", "mnist")
    settings = _options(StudySettings, given)
    out = out or _dated_folder("study-")
    if (out / "results.json").exists():
        fail(f"argument --out: {out} holds a study already")
    _check_writable(out, "--out")
    dataset = _load({"dataset": settings.dataset, "data": settings.data, "download": download})
    try:
        report = compression_study_run.run(
            settings, dataset, out, console=console, processes=processes
        )
    except BrokenExecutor:
        print("fastfood-np study: error: a training process ended unasked", file=sys.stderr)
        return 1
    except ImportError as error:  # scikit-learn
        fail(str(error))
    console.print(compression_study_run.table(report["summary"]))
    console.print(f"results.json and table.md are in {out}.", soft_wrap=True)
    return 0


def _export(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments.export import export
    from fastfood_np.model_files import load_model

    path, out = given["model"], given["onnx"]
    model, _ = load_model(path)
    _check_writable(out.parent, "--onnx")
    if out.is_dir():
        fail(f"argument --onnx: {out} must be a file, but is a folder")
    if out.exists() and out.samefile(path):
        fail(f"argument --onnx: {out} is the model itself")
    try:
        written = export(model, out)
    except ImportError as error:
        fail(str(error))
    shape = ", ".join(["m", *map(str, written.image or ["..."])])
    console.print(
        f"{out}: {written.size:,} bytes{', rounded to float32' * written.rounded}; takes x, "
        f"float32 ({shape}){', pixels / 256' * (written.image is not None)}, and gives y.",
        soft_wrap=True,
    )
    return 0


def _compare(given: dict[str, Any], console: Console) -> int:
    from concurrent.futures import BrokenExecutor

    from fastfood_np.experiments import comparison_report
    from fastfood_np.experiments.comparison import ComparisonSettings
    from fastfood_np.experiments.comparison_files import RUNS_FILE, Comparison, load_comparison
    from fastfood_np.experiments.comparison_run import run

    resume, out = given.pop("resume", None), given.pop("out", None)
    processes, download = given.pop("processes", os.cpu_count() or 1), given.pop("download", False)
    if "data" in given:
        given["data"] = str(given["data"].resolve())
    if resume is None:
        if "data" in given:
            given.setdefault("dataset", "mnist")
        comparison = Comparison(_options(ComparisonSettings, given))
    else:
        comparison = load_comparison(resume)
        _check_unchanged(given, comparison.settings, resume)
    settings = comparison.settings
    out = _output_folder(out, resume, "compare-", RUNS_FILE, "comparison")
    dataset = _load({"dataset": settings.dataset, "data": settings.data, "download": download})
    try:
        results = run(comparison, dataset, out, console=console, processes=processes)
    except (KeyboardInterrupt, BrokenExecutor) as error:
        broken = isinstance(error, BrokenExecutor)
        unasked = "a training process ended unasked, perhaps for lack of memory (--processes 1?)"
        what = unasked if broken else "stopped"
        go_on = f"fastfood-np compare --resume {shlex.quote(str(out))}"
        print(f"fastfood-np compare: {what}; go on with: {go_on}", file=sys.stderr)
        return 1 if broken else INTERRUPTED
    for table in comparison_report.tables(results):
        console.print(table)
    console.print(comparison_report.NOTE)
    line = f"results.json, table.md, error-against-weights.png and time-against-d.png are in {out}."
    console.print(line, soft_wrap=True)
    return 0


def _bench(given: dict[str, Any], console: Console) -> int:
    from fastfood_np.experiments import benchmarks

    folder = benchmarks.scripts_folder()
    if folder is None:
        fail("bench runs the scripts of a checkout of the repository, this is an installed package")
    names = given.pop("only", options.BENCHMARKS)
    out = given.pop("out", None) or _dated_folder("bench-")
    ffht = given.get("ffht")
    if ffht is not None and not ffht.is_file():
        fail(f"argument --ffht: no such file: {ffht}")
    mnist = given.get("mnist")
    if mnist is not None and not mnist.is_dir():
        fail(f"argument --mnist: no such folder: {mnist}")
    _check_writable(out, "--out")
    out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        console.rule(name)
        sys.stdout.flush()  # before the script writes to the same place
        code = benchmarks.run_script(folder, name, out, **given)
        if code:
            failed.append(f"bench_{name}.py failed (exit code {code})")
    drawn = benchmarks.draw(names, out)
    pictures = f" and pictures ({', '.join(path.name for path in drawn)})" * bool(drawn)
    console.print(f"\nFigures{pictures} are in {out}.", soft_wrap=True)
    for line in failed:
        print(f"fastfood-np bench: error: {line}", file=sys.stderr)
    return 1 if failed else 0


def _verify(console: Console) -> int:
    from fastfood_np.experiments.circulant_equations import check_circulant_equations
    from fastfood_np.experiments.equations import check_equations

    fried, circulant = check_equations(), list(check_circulant_equations())
    console.print(_checks_table("Deep Fried Convnets, arXiv 1412.7149v1", fried))
    console.print(_checks_table("Circulant projections, arXiv 1502.03436, rederived", circulant))
    checks = fried + circulant
    failed = sum(not check.passed for check in checks)
    console.print(f"{len(checks) - failed} of {len(checks)} checks hold.")
    return 1 if failed else 0


def _checks_table(title: str, checks: list[Any]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD)
    for heading in ("equation", "what is compared", "largest deviation", "tolerance", "verdict"):
        numeric = heading in ("largest deviation", "tolerance")
        table.add_column(
            heading,
            justify="right" if numeric else "left",
            no_wrap=heading != "what is compared",
        )
    for check in checks:
        verdict = Text("holds") if check.passed else Text("FAILS", style="bold red")
        table.add_row(
            check.equation,
            check.compared,
            f"{check.deviation:.2g}",
            f"{check.tolerance:g}",
            verdict,
        )
    return table


def _info(console: Console) -> int:
    from fastfood_np.experiments.environment import environment

    table = Table(show_header=False, box=box.SIMPLE)
    for what, value in environment():
        table.add_row(what, value)
    console.print(table)
    return 0
