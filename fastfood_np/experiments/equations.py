"""The equations of Deep Fried Convnets (arXiv 1412.7149v1), checked numerically.

What the package computes is held against something computed another way: quadrature for the two
kernels, explicit dense matrices for the layer and every line of its backward pass, and one
z-score over seeds for each kernel that the random features approximate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from fastfood_np.kernels import arc_cosine, gaussian
from fastfood_np.layers import Fastfood, ReLU
from fastfood_np.transforms.factors import FastfoodFactors, fastfood_matrix
from fastfood_np.validation import Array

D_IN, N_OUT, ROWS, SIGMA = 13, 40, 7, 1.7  # three blocks of 16, padded and cut
SEEDS = 300


@dataclass(frozen=True)
class Check:
    """One line of the table: a deviation, and what it may be at most."""

    equation: str
    compared: str
    deviation: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance; NaN is not."""
        return self.deviation <= self.tolerance


def check_equations() -> list[Check]:
    """Run every check and return the lines in the paper's order. Takes a few seconds."""
    return [
        *_feature_identity(),
        _gaussian_kernel(),
        _sampled_gaussian(),
        *_arc_cosine_kernel(),
        _sampled_arc_cosine(),
        *(check for form in ("composed", "fused") for check in _layer(form)),
    ]


def _layer_and_input(
    form: str = "fused", dropout: float = 0.0, seed: int = 0
) -> tuple[Fastfood, Array]:
    layer = Fastfood(
        D_IN, N_OUT, sigma=SIGMA, dropout=dropout, form=form, rng=seed, dtype=np.float64
    )
    return layer, np.random.default_rng(seed + 1).standard_normal((ROWS, D_IN))


def _dense(layer: Fastfood) -> Array:
    """Return c S H G Pi H B with c from its definition, 1 / (sigma sqrt(d_pad))."""
    S, G, B = (layer.params[name] for name in "SGB")
    factors = FastfoodFactors(S, G, B, layer.perm)
    return fastfood_matrix(factors, 1 / (SIGMA * math.sqrt(layer.perm.shape[1])), (N_OUT, D_IN))


def _feature_identity() -> Iterator[Check]:
    """Equation 1: features whose inner products are means of cosines of differences."""
    layer, x = _layer_and_input()
    projected, V = layer(x), _dense(layer)
    phi = np.concatenate([np.cos(projected), np.sin(projected)], axis=1) / math.sqrt(N_OUT)
    of_differences = np.cos((x[:, None] - x[None]) @ V.T).mean(axis=2)
    yield Check(
        "1", "<phi(x), phi(x')> and mean cos W(x - x')", gap(phi @ phi.T, of_differences), 1e-12
    )


def _gaussian_kernel() -> Check:
    """Equation 2: E cos w.(x - x') over w ~ N(0, 1/l^2), one Gauss-Hermite rule a coordinate."""
    _, x = _layer_and_input()
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    phases = (x[:, None] - x[None])[..., None] * nodes / SIGMA
    expectation = np.prod(np.exp(1j * phases) @ weights / weights.sum(), axis=2).real
    deviation = gap(gaussian(x, sigma=SIGMA), expectation)
    return Check("2", "gaussian() and Gauss-Hermite quadrature", deviation, 1e-12)


def _arc_cosine_kernel() -> Iterator[Check]:
    """Equations 3 and 4: E relu(w.x) relu(w.x') in polar coordinates of the plane of x and x'.

    The radius contributes the integral of r^3 exp(-r^2/2), which is 2, over 2 pi; the angle the
    integral of cos(a) cos(a - theta) where both are positive.
    """
    _, x = _layer_and_input()
    norms = np.linalg.norm(x, axis=1)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    expectation = np.empty((ROWS, ROWS))
    for i in range(ROWS):
        for j in range(ROWS):
            theta = scipy.linalg.subspace_angles(x[i, :, None], x[j, :, None])[0]
            theta = theta if x[i] @ x[j] >= 0 else math.pi - theta
            half = (math.pi - theta) / 2
            a = theta / 2 + half * nodes
            angular = half * (weights @ (np.cos(a) * np.cos(a - theta)))
            expectation[i, j] = norms[i] * norms[j] * 2 * angular / (2 * math.pi)
    printed = arc_cosine(x, order=1, convention="deep-fried")
    yield Check("3, 4", "arc_cosine() and polar quadrature", gap(printed, expectation), 1e-10)
    twice = arc_cosine(x, order=1, convention="cho-saul")
    yield Check(
        "4", "Cho and Saul's kernel and twice the paper's", gap(twice, 2 * expectation), 1e-10
    )


def _sampled_gaussian() -> Check:
    x, y = _pair()
    estimates = []
    for seed in range(SEEDS):
        projected = _sampled_layer(seed)(np.stack([x, y]))
        estimates.append(np.cos(projected[0] - projected[1]).mean())
    exact = gaussian(x[None], y[None], sigma=SIGMA)[0, 0]
    return Check("2", f"|z| of Fastfood cos/sin features, {SEEDS} seeds", _z(estimates, exact), 4.0)


def _sampled_arc_cosine() -> Check:
    x, y = _pair()
    estimates = []
    for seed in range(SEEDS):
        relu = ReLU()(_sampled_layer(seed)(np.stack([x, y])))
        estimates.append(relu[0] @ relu[1] / N_OUT)
    exact = arc_cosine(x[None], y[None], order=1, convention="deep-fried")[0, 0] / SIGMA**2
    return Check("4", f"|z| of Fastfood ReLU features, {SEEDS} seeds", _z(estimates, exact), 4.0)


def _pair() -> tuple[Array, Array]:
    """Two points whose kernels are far from 0 and from 1."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal(D_IN)
    return x, x + 0.5 * rng.standard_normal(D_IN)


def _sampled_layer(seed: int) -> Fastfood:
    return Fastfood(D_IN, N_OUT, sigma=SIGMA, rng=seed, dtype=np.float64)


def _layer(form: str) -> Iterator[Check]:
    """Equations 5 to 7 and the backward chain, block by block, against explicit matrices."""
    layer, x = _layer_and_input(form, dropout=0.5)
    blocks, d = layer.perm.shape
    c = 1 / (SIGMA * math.sqrt(d))
    y = layer(x)
    yield Check(
        "5", f"{form}: y and the dense c S H G Pi H B x", gap(y, x @ _dense(layer).T), 1e-12
    )

    trained, cache = layer.forward(x, train=True, rng=3)
    mask = cache["mask"].transpose(1, 2, 0) * 2.0  # kept with probability 1/2, so scaled by 2
    dy = np.random.default_rng(9).standard_normal(y.shape)
    dx, grads = layer.backward(dy, cache)

    H = scipy.linalg.hadamard(d).astype(np.float64)
    h_l = np.zeros((d, ROWS))  # the paper's columns
    h_l[:D_IN] = x.T
    dh_next = np.zeros((blocks * d, ROWS))
    dh_next[:N_OUT] = c * dy.T
    out, dS, dG, dB = (np.empty((blocks, d, ROWS)), *np.empty((3, blocks, d)))
    dh_l = np.zeros_like(h_l)
    for b in range(blocks):
        S, G, B = (np.diag(layer.params[name][b]) for name in "SGB")
        Pi = np.eye(d)[layer.perm[b]]
        h_G = mask[b] * (Pi @ H @ B @ h_l)
        h_S = H @ G @ h_G
        out[b] = c * S @ h_S
        dh = dh_next[b * d : (b + 1) * d]
        dS[b] = np.diag(dh @ h_S.T)
        dh_H1 = H.T @ S.T @ dh
        dG[b] = np.diag(dh_H1 @ h_G.T)
        dh_Pi = Pi.T @ (mask[b] * (G.T @ dh_H1))
        dh_H2 = H.T @ dh_Pi
        dB[b] = np.diag(dh_H2 @ h_l.T)
        dh_l += B.T @ dh_H2
    dense_out = out.reshape(blocks * d, ROWS)[:N_OUT].T
    yield Check("6", f"{form}: dE/dS and its diag(.)", gap(grads["S"], dS), 1e-12)
    yield Check("3.2", f"{form}: dE/dG through H S", gap(grads["G"], dG), 1e-12)
    yield Check("3.2", f"{form}: dE/dB through Pi^T and H", gap(grads["B"], dB), 1e-12)
    yield Check("3.2", f"{form}: dE/dx, the whole chain", gap(dx, dh_l[:D_IN].T), 1e-12)
    yield Check("7", f"{form}: y with dropout on Pi H B x", gap(trained, dense_out), 1e-12)


def gap(ours: Array, theirs: Array) -> float:
    """Return the largest deviation relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _z(estimates: list[float], exact: float) -> float:
    sample = np.asarray(estimates)
    return float(abs(sample.mean() - exact) / (sample.std(ddof=1) / math.sqrt(len(sample))))
