"""The formulas of circulant projections (Cheng et al. 2015), checked numerically.

The layer, which goes through the FFT, is held against sums written out from the definition
R_ij = r_((i - j) mod d). (Of the paper itself only the abstract is at hand: the formulas are
rederived.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastfood_np.experiments.equations import Check, gap
from fastfood_np.layers import Circulant

D_IN, N_OUT, ROWS = 13, 34, 7  # a prime length; two blocks and a cut one


def check_circulant_equations() -> Iterator[Check]:
    """Yield a line for each formula."""
    layer = Circulant(D_IN, N_OUT, rng=0, dtype=np.float64)
    rng = np.random.default_rng(1)
    x, dy = rng.standard_normal((ROWS, D_IN)), rng.standard_normal((ROWS, N_OUT))
    r, D = layer.params["r"], np.float64(layer.signs)
    blocks = len(r)
    i, j = np.ogrid[:D_IN, :D_IN]
    behind = (i - j) % D_IN  # [i, j] of R is r[behind]

    Dx = D * x[:, None]
    y = np.einsum("bij,mbj->mbi", r[:, behind], Dx).reshape(ROWS, -1)[:, :N_OUT]
    padded = np.zeros((ROWS, blocks * D_IN))
    padded[:, :N_OUT] = dy
    g = padded.reshape(ROWS, blocks, D_IN)
    dr = np.einsum("mbi,mbik->bk", g, Dx[:, :, behind])
    dx = np.einsum("bj,bij,mbi->mj", D, r[:, behind], g)

    ours, cache = layer.forward(x)
    our_dx, grads = layer.backward(dy, cache)
    yield Check("R D x", "y and sums of r_(i-j) D_j x_j", gap(ours, y), 1e-12)
    yield Check("dL/dr", "its FFT form and sums of g_i (D x)_(i-k)", gap(grads["r"], dr), 1e-12)
    yield Check("dL/dx", "its FFT form and D times sums of r_(i-j) g_i", gap(our_dx, dx), 1e-12)
    shifted = np.roll(x[:, ::-1], 1, axis=1)
    deviation = gap(np.fft.fft(x).conj(), np.fft.fft(shifted))
    yield Check("conj", "conj FFT(v) and FFT of v reversed, then shifted by 1", deviation, 1e-12)
