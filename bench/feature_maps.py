"""The feature maps that are compared: ours, and scikit-learn's."""

from __future__ import annotations

from typing import Any

from sklearn.kernel_approximation import Nystroem, RBFSampler

from fastfood_np.features import FastfoodFeatures, OrthogonalFeatures, RandomFourierFeatures

TITLES = {
    "fastfood": "Fastfood",
    "rff": "dense RFF",
    "orf": "ORF",
    "sorf": "SORF",
    "rbfsampler": "RBFSampler",
    "nystroem": "Nystroem",
}


def feature_map(name: str, n: int, sigma: float, seed: int, **parameters: Any) -> Any:
    """Return the estimator of that name in `TITLES`, not fitted; parameters are for ours only."""
    ours = {"n_components": n, "sigma": sigma, "random_state": seed, **parameters}
    theirs = {"n_components": n, "gamma": 1 / (2 * sigma**2), "random_state": seed}
    if name == "fastfood":
        return FastfoodFeatures(**ours)
    if name == "rff":
        return RandomFourierFeatures(**ours)
    if name in ("orf", "sorf"):
        return OrthogonalFeatures(method=name, **ours)
    return {"rbfsampler": RBFSampler, "nystroem": Nystroem}[name](**theirs)


def stored_bytes(maps: Any) -> int:
    """Return how much a fitted map keeps: its arrays, and those in its tuples."""
    values = [*vars(maps).values()]
    values += [part for value in values if isinstance(value, tuple) for part in value]
    return sum(getattr(value, "nbytes", 0) for value in values)
