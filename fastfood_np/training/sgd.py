"""Stochastic gradient descent as Caffe does it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.linalg

from fastfood_np import backends
from fastfood_np.validation import Array, check_rate, check_real


class SGD:
    """Momentum, weight decay, a clipped gradient norm, and multipliers for single parameters.

    ``v = momentum v + rate (g + weight_decay w)``, then ``w = w - v``, in place. For the
    parameter named p, `rate` is multiplied by ``rate_multipliers[p]`` and `weight_decay` by
    ``decay_multipliers[p]`` (1 where absent). With `clip_norm` all gradients together are scaled
    down to that Euclidean norm where it is exceeded, before decay is added.

    Parameters
    ----------
    params : mapping of str to ndarray
        Written in place by `step`.
    trainable : sequence of str
        The names in `params` that are trained.
    momentum : float
        In [0, 1).
    weight_decay : float
        At least 0.
    clip_norm : float, optional
        Greater than 0.
    rate_multipliers, decay_multipliers : mapping of str to float, optional

    Attributes
    ----------
    velocities : dict of str to ndarray
        The v of each trainable parameter, starting at 0.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        trainable: Sequence[str],
        *,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        clip_norm: float | None = None,
        rate_multipliers: Mapping[str, float] | None = None,
        decay_multipliers: Mapping[str, float] | None = None,
    ) -> None:
        self.params = {name: params[name] for name in trainable}
        for name, value in self.params.items():
            if not value.flags.c_contiguous:
                raise ValueError(f"params[{name!r}] must be C-contiguous to be written in place")
        self.momentum = check_rate(momentum, "momentum")
        self.weight_decay = check_real(weight_decay, "weight_decay", minimum=0.0)
        self.clip_norm = clip_norm
        if clip_norm is not None:
            check_real(clip_norm, "clip_norm", above=0.0)
        self.rate_multipliers = self._checked(rate_multipliers, "rate_multipliers")
        self.decay_multipliers = self._checked(decay_multipliers, "decay_multipliers")
        self.velocities = {name: np.zeros_like(value) for name, value in self.params.items()}

    def _checked(self, multipliers: Mapping[str, float] | None, argument: str) -> dict[str, float]:
        for name, value in (multipliers or {}).items():
            if name not in self.params:
                known = ", ".join(self.params)
                raise ValueError(f"{argument} must name trained params ({known}), got {name!r}")
            check_real(value, f"{argument}[{name!r}]", minimum=0.0)
        return dict(multipliers or {})

    def step(self, grads: Mapping[str, Array], rate: float) -> None:
        """Update every trainable parameter from its gradient; `grads` may be scaled in place.

        Raises
        ------
        FloatingPointError
            A gradient is not finite. Nothing is changed then.
        """
        norm = gradient_norm(grads)
        if not math.isfinite(norm):
            raise FloatingPointError(f"the norm of the gradients is {norm}")
        if self.clip_norm is not None and norm > self.clip_norm:
            for name in self.params:
                np.multiply(grads[name], self.clip_norm / norm, out=grads[name])
        sgd_step = backends.select().sgd_step
        for name, w in self.params.items():
            sgd_step(
                w,
                self.velocities[name],
                grads[name],
                rate * self.rate_multipliers.get(name, 1.0),
                self.momentum,
                self.weight_decay * self.decay_multipliers.get(name, 1.0),
            )


def gradient_norm(grads: Mapping[str, Array]) -> float:
    """Return the Euclidean norm of all gradients together (BLAS's nrm2: squares never overflow)."""
    norms = (scipy.linalg.norm(grad.ravel(), check_finite=False) for grad in grads.values())
    return math.hypot(*norms)
