"""Learning rates, and coefficients of penalties, as functions of the step, counted from 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from fastfood_np.validation import check_int, check_real

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    base: float

    def __post_init__(self) -> None:
        check_real(self.base, "base", above=0.0)

    def __call__(self, step: int) -> float:
        return self.base


@dataclass(frozen=True)
class InverseDecay:
    """Caffe's "inv" policy: base (1 + gamma step)^-power.

    >>> round(InverseDecay(0.01)(10_000), 6)
    0.005946
    """

    base: float
    gamma: float = 1e-4
    power: float = 0.75

    def __post_init__(self) -> None:
        check_real(self.base, "base", above=0.0)
        check_real(self.gamma, "gamma", minimum=0.0)
        check_real(self.power, "power", minimum=0.0)

    def __call__(self, step: int) -> float:
        return float(self.base * (1.0 + self.gamma * step) ** -self.power)


@dataclass(frozen=True)
class StepDecay:
    """Caffe's "step" policy: base factor^floor(step / every).

    >>> StepDecay(1.0, factor=0.1, every=100)(250)
    0.010000000000000002
    """

    base: float
    factor: float = 0.1
    every: int = 2500

    def __post_init__(self) -> None:
        check_real(self.base, "base", above=0.0)
        check_real(self.factor, "factor", above=0.0)
        check_int(self.every, "every", minimum=1)

    def __call__(self, step: int) -> float:
        return float(self.base * self.factor ** (step // self.every))


@dataclass(frozen=True)
class Cosine:
    """From base to 0 along half a cosine over `steps`, after a linear rise over `warmup` steps.

    >>> [round(Cosine(1.0, steps=10, warmup=2)(step), 3) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    base: float
    steps: int
    warmup: int = 0

    def __post_init__(self) -> None:
        check_real(self.base, "base", above=0.0)
        check_int(self.steps, "steps", minimum=1)
        check_int(self.warmup, "warmup", minimum=0, maximum=self.steps)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.base * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.5 * self.base * (1.0 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class LinearRise:
    """0 up to step `begin`, then linearly up to `top` at step `end`, which then stays.

    >>> [LinearRise(1.0, begin=2, end=4)(step) for step in (0, 2, 3, 4, 9)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    top: float
    begin: int
    end: int

    def __post_init__(self) -> None:
        check_real(self.top, "top", minimum=0.0)
        check_int(self.begin, "begin", minimum=0)
        check_int(self.end, "end", minimum=self.begin + 1)

    def __call__(self, step: int) -> float:
        risen = (step - self.begin) / (self.end - self.begin)
        return self.top * min(1.0, max(0.0, risen))
