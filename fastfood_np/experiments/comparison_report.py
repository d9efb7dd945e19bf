"""What is told of a comparison: numbers over seeds, a table in Markdown, two pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from fastfood_np.experiments.comparison import (
    REFERENCE,
    ComparisonSettings,
    build,
    head_of,
    job_of,
)
from fastfood_np.experiments.comparison_statistics import differences, microseconds, summaries
from fastfood_np.experiments.environment import environment
from fastfood_np.experiments.layer_times import (
    ROWS,
    SIZES,
    layer_times,
    square_layers,
)
from fastfood_np.experiments.networks import Network
from fastfood_np.files import replacing, write_json, write_whole
from fastfood_np.plotting import Errors, curves, errors_by_size

FORWARD, TRAINING = "forward", "forward and backward"


def report(
    settings: ComparisonSettings,
    network: Network,
    runs: Sequence[dict[str, Any]],
    counts: tuple[int, int],
    out: Path,
    lengths: Sequence[int],
) -> dict[str, Any]:
    """Time the layers, write results.json, table.md and two pictures into `out`.

    Parameters
    ----------
    network : what was trained
    runs : rows of `comparison.train`
    counts : how many training and test images there are
    lengths : the d at which layers of d inputs and d outputs are timed

    Returns
    -------
    dict
        The contents of results.json: no paths; errors in percent.
    """
    trained, tested = counts
    first = {job_of(run)[:2]: job_of(run) for run in reversed(runs)}
    heads = {}
    for key, job in first.items():
        heads[key] = head_of(build(settings, network, job)), network.features
    at_head = layer_times(heads)
    at_lengths = layer_times(square_layers(settings.layers, lengths))
    results = {
        **{name: value for name, value in asdict(settings).items() if name != "data"},
        "network": network.title,
        "trained_steps": settings.training(0).total_steps(trained),
        "machine": dict(environment()),
        "rows": summaries(settings, runs, at_head, tested),
        "differences": differences(runs),
        "times": [
            {"layer": kind, "d": d, **microseconds(times)}
            for (kind, d), times in at_lengths.items()
        ],
        "runs": list(runs),
    }
    write_json(out / "results.json", results)
    write_whole(out / "table.md", markdown(results).encode())
    for name, picture in pictures(results).items():
        with replacing(out / f"{name}.png") as file:
            picture.savefig(file, format="png")
    return results


HEADINGS = (
    "layer",
    "outputs",
    "head",
    "net",
    "bytes",
    "error",
    "95 % interval",
    "forward",
    "training",
    "run",
)


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of the table as text, below `HEADINGS`."""
    error, limits = row["test_error"], row["interval"]
    diverged = f" ({row['diverged']} of {row['runs']} diverged)" if row["diverged"] else ""
    return (
        row["layer"],
        f"{row['n_out']:,}",
        f"{row['head_weights']:,}",
        f"{row['weights']:,}",
        f"{row['head_bytes']:,}",
        ("diverged" if error is None else f"{error:.2f} %") + diverged * (error is not None),
        "-" if limits is None else f"{max(0.0, limits[0]):.2f} to {min(100.0, limits[1]):.2f} %",
        f"{row['forward_us']:,.0f} us",
        f"{row['training_us']:,.0f} us",
        f"{row['train_seconds']:.0f} s",
    )


def budget_title(budget: int | None) -> str:
    """Return what stands above the rows of a budget."""
    return (
        "the network's own layer" if budget is None else f"at most {budget:,} weights in the head"
    )


NOTE = (
    "Head: weights of the layer and of the softmax behind it; net: those of the whole network; "
    "bytes: what the head keeps in memory, with biases and what was drawn (permutations take 8 "
    "bytes an index). circulant-random: r is drawn and not trained; circulant-ones: D = 1, no "
    "signs. Error: mean over the seeds whose training did not diverge; the interval is Student's t "
    "over them, on the same test images (of one seed Wilson's, cut to 0 to 100 %). Differences are "
    "between runs of one budget and seed. Forward and "
    f"training: medians for the layer alone on {ROWS} rows, one thread; training is forward and "
    "backward. Run: median time of the whole training of a network on one thread, others beside "
    "it. All networks are trained alike; nothing was searched for a layer, but the diagonals of "
    "fastfood and sorf have three times the rate and no decay, found for fastfood."
)


def title(results: dict[str, Any]) -> str:
    """Return what was trained, on what, and how long."""
    convolutions = ", ReLU convolutions" if results["conv_relu"] else ""
    augmented = ", augmented" if results["augment"] else ""
    length = f"{results['trained_steps']:,} steps of {results['batch']} images"
    count = results["seeds"]
    seeds = "seed 0" if count == 1 else f"seeds 0 to {count - 1}"
    return f"{results['network']}{convolutions}, {results['dataset']}{augmented}, {length}, {seeds}"


def tables(results: dict[str, Any]) -> Iterator[Table]:
    """Yield a table for the terminal for each budget."""
    for budget, rows in _by_budget(results):
        table = Table(title=budget_title(budget), box=box.SIMPLE_HEAD, pad_edge=False)
        for i, heading in enumerate(HEADINGS):
            # How many diverged may go into a line of its own.
            justify: Any = "right" if i else "left"
            table.add_column(heading, justify=justify, no_wrap=heading != "error")
        for row in rows:
            table.add_row(*cells(row))
        yield table
    if results["differences"]:
        table = Table(title=differences_title(results), box=box.SIMPLE_HEAD, pad_edge=False)
        for i, heading in enumerate(DIFFERENCE_HEADINGS):
            table.add_column(heading, justify="right" if i else "left", no_wrap=True)
        for row in results["differences"]:
            table.add_row(*difference_cells(row))
        yield table


DIFFERENCE_HEADINGS = ("layer", "pairs", "more error", "95 % interval")


def difference_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a row of the table of differences as text, below `DIFFERENCE_HEADINGS`."""
    low, high = row["interval"]
    pairs, difference = str(row["pairs"]), f"{row['difference']:+.2f} points"
    return row["layer"], pairs, difference, f"{low:+.2f} to {high:+.2f}"


def differences_title(results: dict[str, Any]) -> str:
    """Return what stands above the table of differences."""
    return f"against {results['differences'][0]['against']}, all budgets"


def _by_budget(results: dict[str, Any]) -> list[tuple[int | None, list[dict[str, Any]]]]:
    budgets = dict.fromkeys(row["budget"] for row in results["rows"])
    return [(b, [row for row in results["rows"] if row["budget"] == b]) for b in budgets]


def markdown(results: dict[str, Any]) -> str:
    """Return the table in Markdown."""
    lines = [f"{title(results)}.", ""]
    for budget, rows in _by_budget(results):
        lines += [f"**{budget_title(budget)}**", ""]
        lines += _markdown_table(HEADINGS, map(cells, rows))
    if results["differences"]:
        lines += [f"**{differences_title(results)}**", ""]
        lines += _markdown_table(DIFFERENCE_HEADINGS, map(difference_cells, results["differences"]))
    return "\n".join([*lines, NOTE, ""])


def _markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headings, ("---", *("---:" for _ in headings[1:])), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def pictures(results: dict[str, Any]) -> dict[str, Figure]:
    """Return error against weights, and time against d."""
    points: dict[str, list[Errors]] = {}
    for row in results["rows"]:
        if row["test_error"] is not None:
            limits = row["interval"] or (row["test_error"], row["test_error"])
            point = Errors(row["head_weights"], row["test_error"], *limits)
            points.setdefault(row["layer"], []).append(point)
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {FORWARD: {}, TRAINING: {}}
    for row in results["times"]:
        for panel, key in ((FORWARD, "forward_us"), (TRAINING, "training_us")):
            panels[panel].setdefault(row["layer"], []).append((row["d"], 1e-3 * row[key]))
    return {
        "error-against-weights": errors_by_size(
            points,
            sorted({row["budget"] for row in results["rows"] if row["budget"]}),
            f"Test error by the weights of the head: {title(results)}",
            "weights of the layer and the softmax behind it",
            "test error, %",
            REFERENCE,
        ),
        "time-against-d": curves(
            panels,
            f"Time of layers from d to d, {ROWS} rows, one thread. {SIZES}",
            "length d",
            "ms",
        ),
    }
