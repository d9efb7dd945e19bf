"""What random features must know of a kernel: which frequencies it is a mean over, and of what.

A kernel of x - y is the mean of cos <w, x - y> over its spectral distribution (Bochner), an
arc-cosine kernel that of 2 f(<w, x>) f(<w, y>) over w ~ N(0, I). Here sigma is always 1: features
multiply frequencies by 1 / sigma.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastfood_np import kernels
from fastfood_np.kernels.matern import NUS
from fastfood_np.transforms.factors import gaussian_radii
from fastfood_np.validation import Array, check_choice, check_int

Generator = np.random.Generator


class Spectrum:
    """Frequencies of random directions, and the kernel that they give."""

    nonlinearity = "cos_sin"
    metric = "euclidean"
    has_bandwidth = True

    def radii(self, rng: Generator, count: int, dimension: int) -> Array:
        """Draw lengths of frequencies, float64 (count,)."""
        raise NotImplementedError

    def frequencies(self, rng: Generator, count: int, dimension: int) -> Array:
        """Draw independent frequencies, float64 (count, dimension)."""
        w = rng.standard_normal((count, dimension))
        lengths = np.linalg.norm(w, axis=1)
        w *= (self.radii(rng, count, dimension) / lengths)[:, None]
        return w

    def sorf_radii(self, rng: Generator, count: int, dimension: int) -> Array:
        """Return lengths for SORF, which has them constant where it can."""
        return self.radii(rng, count, dimension)

    def exact(self, X: Array, Y: Array | None, sigma: float, dimension: int) -> Array:
        """Return the kernel of each row of X with each of Y; `dimension` is the frequencies'."""
        raise NotImplementedError

    def sigma_of(self, gamma: float) -> float:
        """Return the sigma that `gamma` stands for."""
        return math.sqrt(0.5) / math.sqrt(gamma)


class Gaussian(Spectrum):
    """w ~ N(0, I)."""

    def radii(self, rng: Generator, count: int, dimension: int) -> Array:
        return gaussian_radii(rng, count, dimension)

    def frequencies(self, rng: Generator, count: int, dimension: int) -> Array:
        return rng.standard_normal((count, dimension))

    def sorf_radii(self, rng: Generator, count: int, dimension: int) -> Array:
        """Equation 5 of Yu et al.: what lengths of N(0, I) vectors are near to."""
        return np.full(count, math.sqrt(dimension))

    def exact(self, X: Array, Y: Array | None, sigma: float, dimension: int) -> Array:
        return kernels.gaussian(X, Y, sigma=sigma)


@dataclass(frozen=True)
class Matern(Spectrum):
    """Multivariate t: a normal vector, divided by sqrt(chi^2(2 nu) / 2 nu)."""

    nu: float

    def radii(self, rng: Generator, count: int, dimension: int) -> Array:
        lengths = gaussian_radii(rng, count, dimension)
        return lengths / np.sqrt(rng.chisquare(2 * self.nu, count) / (2 * self.nu))

    def exact(self, X: Array, Y: Array | None, sigma: float, dimension: int) -> Array:
        return kernels.matern(X, Y, nu=self.nu, sigma=sigma)


@dataclass(frozen=True)
class BallSum(Spectrum):
    """The sum of `degree` points uniform in the unit ball, scaled to variance 1.

    Below equation 37 of Le et al. Only the sum's length is needed: a further point is of length
    u^(1 / dimension), and the cosine of its angle to the sum so far is a coordinate of a random
    direction.
    """

    degree: int

    def radii(self, rng: Generator, count: int, dimension: int) -> Array:
        total = np.zeros(count)
        for _ in range(self.degree):
            length = rng.random(count) ** (1 / dimension)
            cosine = _coordinate_of_a_direction(rng, count, dimension)
            total = np.sqrt(np.maximum(0, total**2 + length**2 + 2 * total * length * cosine))
        return total * math.sqrt((dimension + 2) / self.degree)

    def exact(self, X: Array, Y: Array | None, sigma: float, dimension: int) -> Array:
        return kernels.ball_sum(X, Y, degree=self.degree, sigma=sigma, dimension=dimension)


def _coordinate_of_a_direction(rng: Generator, count: int, dimension: int) -> Array:
    if dimension == 1:
        return rng.choice([-1.0, 1.0], count)
    half = (dimension - 1) / 2
    return 2 * rng.beta(half, half, count) - 1


class Laplacian(Spectrum):
    """Independent Cauchy coordinates: no direction is like another."""

    metric = "cityblock"

    def frequencies(self, rng: Generator, count: int, dimension: int) -> Array:
        return rng.standard_cauchy((count, dimension))

    def exact(self, X: Array, Y: Array | None, sigma: float, dimension: int) -> Array:
        return kernels.laplacian(X, Y, sigma=sigma)

    def sigma_of(self, gamma: float) -> float:
        """As in scikit-learn's laplacian_kernel."""
        return 1 / gamma


@dataclass(frozen=True)
class ArcCosine(Gaussian):
    """w ~ N(0, I) under a step, ReLU or squared ReLU."""

    order: int

    has_bandwidth = False

    @property
    def nonlinearity(self) -> str:  # type: ignore[override]
        return ("step", "relu", "relu_squared")[self.order]

    def sorf_radii(self, rng: Generator, count: int, dimension: int) -> Array:
        """Our choice: of the chi distribution's lengths, the mean of the power that counts.

        For n = 2 that is the fourth, d (d + 2); for n = 1 the second, d.
        """
        if self.order == 2:
            return np.full(count, (dimension * (dimension + 2)) ** 0.25)
        return super().sorf_radii(rng, count, dimension)

    def exact(self, X: Array, Y: Array | None, sigma: float, dimension: int) -> Array:
        return kernels.arc_cosine(X, Y, order=self.order)


NAMES = ("gaussian", "matern", "ball-sum", "arc-cosine", "laplacian")


def spectrum(parameters: Mapping[str, Any], names: tuple[str, ...]) -> Spectrum:
    """Return the spectrum that an estimator's parameters ask for, one of `names`."""
    name = check_choice(parameters["kernel"], "kernel", names)
    if name == "matern":
        return Matern(check_choice(parameters["nu"], "nu", NUS))
    if name == "ball-sum":
        return BallSum(check_int(parameters["degree"], "degree", minimum=1))
    if name == "arc-cosine":
        return ArcCosine(check_int(parameters["order"], "order", minimum=0, maximum=2))
    return Laplacian() if name == "laplacian" else Gaussian()
