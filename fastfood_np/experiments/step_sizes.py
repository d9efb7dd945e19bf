"""How coarsely each parameter of a model may be rounded: one knob, shared out by curvature.

Rounding to multiples of a step d adds noise of variance d^2 / 12 to every weight. If the outputs'
mean squared error grows by h n d^2 / 12 for the n weights of a parameter, and a weight takes
log2(rms / d) + const bits, the error of all parameters together is least for a given size where
h d^2 is the same for all: d = coarseness / sqrt(h). (Our choice of a rule; it is the reverse
water-filling of rate-distortion theory. The h are measured.)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastfood_np.compression import Uniform
from fastfood_np.compression.scalar_quantizer import LARGEST
from fastfood_np.layers import Layer
from fastfood_np.training import predict
from fastfood_np.validation import Array

PROBE = 0.5  # of a parameter's standard deviation: the step that it is measured with
BITS = 8
WIDEST = 250  # levels from the smallest to the largest weight, so that no code is cut off


def sensitivities(model: Layer, images: Array, threads: int | None = None) -> dict[str, float]:
    """Return h of each trained parameter: what rounding it alone does to the outputs.

    Parameters
    ----------
    model : Layer
        As it was on return; its params are written meanwhile.
    images : ndarray
        A thousand are enough.
    """
    exact = predict(model, images, threads).astype(np.float64)
    found = {}
    for name in model.trainable:
        w = model.params[name]
        kept, step = w.copy(), PROBE * float(w.std())
        if step:
            w[...] = np.rint(kept / step) * step
            error = np.mean(np.square(predict(model, images, threads) - exact))
            w[...] = kept
            found[name] = 12 * float(error) / (w.size * step**2)
        else:
            found[name] = 0.0
    return found


def uniform_quantizers(
    model: Layer, curvatures: Mapping[str, float], coarseness: float
) -> dict[str, Uniform]:
    """Return a quantiser for each trained parameter, fitted."""
    quantizers = {}
    for name in model.trainable:
        w, h = model.params[name], curvatures[name]
        low, high = float(w.min()), float(w.max())
        largest = max(-low, high)
        finest = max((high - low) / WIDEST, largest / LARGEST)
        # From 4 * largest on all are 0. What the outputs do not depend on is rounded to about one
        # bit; numbers that are all the same, of which nothing was measured, stay as they are.
        step = min(coarseness / h**0.5, 4 * largest) if h else largest
        quantizers[name] = Uniform(BITS, max(step, finest) or 1.0).fit(w)
    return quantizers
