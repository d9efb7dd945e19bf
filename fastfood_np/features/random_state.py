"""scikit-learn's `random_state` as a NumPy Generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fastfood_np.validation import check_int


def generator(random_state: Any) -> np.random.Generator:
    """Return a Generator for an int, a Generator, a RandomState or None.

    A Generator is used itself. A RandomState, or for None (or numpy.random) NumPy's global one,
    gives a seed.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return np.random.default_rng(check_int(random_state, "random_state", minimum=0))
    global_state = random_state is None or random_state is np.random
    if not global_state and not isinstance(random_state, np.random.RandomState):
        raise TypeError(
            "random_state must be None, an integer, a numpy RandomState or a numpy Generator, "
            f"got {random_state!r}"
        )
    words = check_random_state(random_state).randint(0, 1 << 32, size=4, dtype=np.uint64)
    return np.random.default_rng(words)
