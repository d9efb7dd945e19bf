"""The factors of V = c S H G Pi H B: how they are drawn, and the dense matrix they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastfood_np import backends
from fastfood_np.transforms.seeded import seeded_signs_and_permutations
from fastfood_np.validation import Array, check_float_dtype, check_int, check_rng

# (generator, count, dimension) -> array (count,)
Radii: TypeAlias = Callable[[np.random.Generator, int, int], Array]


class FastfoodFactors(NamedTuple):
    """S, G, B (float64) and perm (int64), each of shape (blocks, d_pad)."""

    S: Array
    G: Array
    B: Array
    perm: Array

    def to_device(self, dtype: Any = np.float32) -> FastfoodFactors:
        """Return a copy in the memory of the GPU, for `fastfood_transform` of arrays there.

        S, G and B are rounded to `dtype`, float32 or float64; indices take 32 bits. (In device
        memory nobody checks that perm holds permutations.)

        Raises
        ------
        BackendUnavailableError
            The package numba-cuda, the driver or the GPU is missing.
        """
        dtype = check_float_dtype(dtype)
        to_device = backends.select_cuda().arrays.to_device
        S, G, B = (to_device(np.asarray(D).astype(dtype)) for D in (self.S, self.G, self.B))
        return FastfoodFactors(S, G, B, to_device(np.asarray(self.perm).astype(np.int32)))


def padded_size(d: int) -> int:
    """Return d_pad, the smallest power of two that is at least `d`.

    >>> padded_size(800), padded_size(1024), padded_size(1)
    (1024, 1024, 1)
    """
    return 1 << (d - 1).bit_length()


def gaussian_radii(rng: np.random.Generator, count: int, dimension: int) -> Array:
    """Draw the lengths of N(0, I) vectors: chi with `dimension` degrees of freedom."""
    return np.sqrt(rng.chisquare(dimension, count))


def draw_fastfood(
    d_in: int,
    n_out: int,
    rng: Any = None,
    *,
    seed: int | None = None,
    radii: Radii = gaussian_radii,
) -> FastfoodFactors:
    """Draw the factors of ceil(n_out / d_pad) stacked blocks for the Gaussian kernel.

    Of each block (Le et al., section 4.2): B_ii uniform in {-1, +1}, perm a uniform permutation,
    G_ii ~ N(0, 1), and S_ii = s_i / ||G||_F with s_i ~ chi(d_pad). With c = 1 / (sigma sqrt(d_pad))
    the rows of V are then distributed as N(0, 1 / sigma^2). (Equation 35 there prints the exponent
    of ||G||_F as -1/2, which fits only ||G||_F^2: all rows of H G Pi H B have the squared norm
    d_pad ||G||_F^2.)

    Blocks are drawn one after the other, each in the order B, perm, G, s, so that the first
    blocks of a larger layer equal those of a smaller one with the same seed.

    Parameters
    ----------
    d_in, n_out : int
        Length of one input and of one output.
    rng : None, int, SeedSequence or Generator
    seed : int, optional
        From 0 to 2^64 - 1. B and perm are then those of `seeded_signs_and_permutations`, which need
        not be stored, and G and s alone are drawn from `rng`.
    radii : callable
        Draws the s of a block, as ``radii(generator, d_pad, d_pad)``: how many, and in how many
        dimensions. Other lengths of the rows of V than the Gaussian's give other radial kernels
        (section 4.4 there).

    Returns
    -------
    FastfoodFactors

    Examples
    --------
    >>> draw_fastfood(800, 2048, rng=0).S.shape
    (2, 1024)
    """
    d_pad = padded_size(check_int(d_in, "d_in", minimum=1))
    blocks = -(-check_int(n_out, "n_out", minimum=1) // d_pad)
    generator = check_rng(rng)
    shape = (blocks, d_pad)
    factors = FastfoodFactors(
        S=np.empty(shape), G=np.empty(shape), B=np.empty(shape), perm=np.empty(shape, np.int64)
    )
    if seed is not None:
        factors.B[:], factors.perm[:] = seeded_signs_and_permutations(seed, blocks, d_pad)
    for S, G, B, perm in zip(*factors, strict=True):
        if seed is None:
            B[:] = 2 * generator.integers(0, 2, d_pad) - 1
            perm[:] = generator.permutation(d_pad)
        G[:] = generator.standard_normal(d_pad)
        S[:] = radii(generator, d_pad, d_pad) / np.linalg.norm(G)
    return factors


def fastfood_matrix(
    factors: FastfoodFactors, scale: float = 1.0, shape: tuple[int, int] | None = None
) -> Array:
    """Return the dense matrix ``scale * S H G Pi H B``, blocks stacked, for checking and teaching.

    Parameters
    ----------
    factors : FastfoodFactors
    scale : float
        The scalar c.
    shape : (n_out, d_in), optional
        What the stacked blocks are cut to; without it nothing is cut.

    Returns
    -------
    ndarray of shape (blocks * d_pad, d_pad), or `shape`; float64
        Cost O(blocks d_pad^3).
    """
    from scipy.linalg import hadamard  # here, because its import takes a fifth of a second

    d_pad = factors.S.shape[1]
    H = hadamard(d_pad).astype(np.float64)
    Pi = [np.eye(d_pad)[perm] for perm in factors.perm]
    V = np.concatenate(
        [
            scale * np.diag(S) @ H @ np.diag(G) @ P @ H @ np.diag(B)
            for S, G, B, P in zip(factors.S, factors.G, factors.B, Pi, strict=True)
        ]
    )
    return V if shape is None else V[: shape[0], : shape[1]]
