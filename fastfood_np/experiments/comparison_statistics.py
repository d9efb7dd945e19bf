"""Numbers of a comparison over its seeds: means, intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

from fastfood_np.experiments.comparison import COUNTS, REFERENCE, ComparisonSettings
from fastfood_np.experiments.layer_times import LayerTimes
from fastfood_np.training import error_interval


def summaries(
    settings: ComparisonSettings,
    runs: Sequence[dict[str, Any]],
    times: Mapping[Any, LayerTimes],
    tested: int,
) -> list[dict[str, Any]]:
    """Return a row for each layer and budget, over its seeds, in the order of the settings."""
    rows = []
    keys: list[tuple[str, int | None]] = [(REFERENCE, None)] * settings.reference
    keys += [(layer, budget) for budget in settings.budgets for layer in settings.layers]
    for layer, budget in keys:
        those = [run for run in runs if (run["layer"], run["budget"]) == (layer, budget)]
        if not those:
            continue
        errors = [run["test_error"] for run in those if run["test_error"] is not None]
        rows.append(
            {
                "layer": layer,
                "budget": budget,
                **{name: those[0][name] for name in COUNTS},
                "runs": len(those),
                "diverged": len(those) - len(errors),
                "test_error": mean(errors) if errors else None,
                "interval": interval(errors, tested, len(those)),
                "train_seconds": median(run["train_seconds"] for run in those),
                **microseconds(times[layer, budget]),
            }
        )
    return rows


def interval(errors: Sequence[float], tested: int, runs: int) -> list[float] | None:
    """Return the 95 % interval of the mean error over seeds, all in percent.

    Student's t over the runs, so it tells how far other seeds may lie, on these test images. Of a
    comparison of one seed it is Wilson's interval of the error rate, so it tells how far other test
    images may lie. None where only one of several runs, or none, came to an end.

    >>> [round(limit, 3) for limit in interval([0.7, 0.8, 0.75], 10_000, 3)]
    [0.626, 0.874]
    """
    if runs == len(errors) == 1:
        return list(error_interval(round(errors[0] * tested / 100), tested))
    return student_interval(errors) if len(errors) > 1 else None


def student_interval(sample: Sequence[float]) -> list[float]:
    """Return the 95 % interval of the mean of two or more numbers by Student's t."""
    from scipy.stats import t

    half = float(t.ppf(0.975, len(sample) - 1)) * stdev(sample) / len(sample) ** 0.5
    return [mean(sample) - half, mean(sample) + half]


def differences(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how much larger each layer's error is than that of the best, in points.

    The best is the layer with the lowest mean error over all budgets. Runs are paired by budget
    and seed, which share the convolutions' initial weights and the order of the images; Student's t
    is over all pairs. Layers with a diverged run are left out.
    """
    errors: dict[str, dict[Any, float | None]] = {}
    for run in runs:
        if run["budget"] is not None:
            errors.setdefault(run["layer"], {})[run["budget"], run["seed"]] = run["test_error"]
    sound = {
        layer: {pair: error for pair, error in found.items() if error is not None}
        for layer, found in errors.items()
        if None not in found.values()
    }
    if len(sound) < 2:
        return []
    best = min(sound, key=lambda layer: mean(sound[layer].values()))
    rows = []
    for layer, found in sound.items():
        gaps = [found[pair] - sound[best][pair] for pair in found if pair in sound[best]]
        if layer != best and len(gaps) > 1:
            limits = student_interval(gaps)
            rows.append({"layer": layer, "against": best, "pairs": len(gaps)})
            rows[-1] |= {"difference": mean(gaps), "interval": limits}
    return sorted(rows, key=lambda row: row["difference"])


def microseconds(times: LayerTimes) -> dict[str, float]:
    """Return the times as results.json has them."""
    return {"forward_us": 1e6 * times.forward, "training_us": 1e6 * times.training}
