"""Fine-tuning of quantised weights: the gradient passes straight through the rounding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfood_np.compression import ScalarQuantizer
from fastfood_np.training.sgd import SGD
from fastfood_np.validation import Array


class StraightThroughSGD(SGD):
    """`SGD` on weights behind quantised ones.

    The model computes with quantised weights, so its gradients are taken there; they move copies
    that are not quantised, as if rounding had slope 1 (Hinton's straight-through estimator), and
    the model gets those copies' nearest levels. Quantisers follow their weights at each step
    (`refine`).

    Parameters
    ----------
    params, trainable, options
        As of `SGD`. `params` are the model's own; those with a quantiser are quantised at once.
    quantizers : mapping of str to ScalarQuantizer
        For trained params, fitted to them.

    Attributes
    ----------
    params : dict of str to ndarray
        What is trained: the copies of quantised params, all others themselves.
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        trainable: Sequence[str],
        quantizers: Mapping[str, ScalarQuantizer],
        **options: Any,
    ) -> None:
        for name, quantizer in quantizers.items():
            if name not in trainable:
                known = ", ".join(trainable)
                raise ValueError(f"quantizers must name trained params ({known}), got {name!r}")
            if not quantizer.multiples.size:
                raise ValueError(f"quantizers[{name!r}] must be fitted first: call fit(w)")
        self.quantizers = dict(quantizers)
        self._quantized = {name: params[name] for name in quantizers}
        copies = {name: params[name].copy() for name in quantizers}
        super().__init__({**params, **copies}, trainable, **options)
        self.quantize()

    def step(self, grads: Mapping[str, Array], rate: float) -> None:
        super().step(grads, rate)
        for name, quantizer in self.quantizers.items():
            quantizer.refine(self.params[name])
        self.quantize()

    def quantize(self) -> None:
        """Give the model the levels nearest to the copies.

        `step` does it. It is needed where the copies were changed otherwise: a checkpoint holds
        them, but neither the model's levels nor what a quantiser that refines has come to.
        """
        for name, quantizer in self.quantizers.items():
            w = self._quantized[name]
            w[...] = quantizer.decode(quantizer.encode(self.params[name]), w.dtype)
