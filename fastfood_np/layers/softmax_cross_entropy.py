"""The loss of a classifier."""

from __future__ import annotations

import numpy as np

from fastfood_np.layers.cache import Cache, buffer, open_cache
from fastfood_np.validation import Array, check_batch, check_cache, check_int, check_labels


class SoftmaxCrossEntropy:
    """E = sum over the batch of -log softmax(logits)[label], divided by the number of rows.

    Computed from logits shifted by their largest, so nothing overflows. dE/dlogits =
    (softmax(logits) - onehot(label)) / divisor.

    Examples
    --------
    >>> import numpy as np
    >>> loss, cache = SoftmaxCrossEntropy().forward(np.zeros((1, 2)), np.array([0]))
    >>> round(loss, 6), SoftmaxCrossEntropy().backward(cache)
    (0.693147, array([[-0.5,  0.5]]))
    """

    def forward(
        self,
        logits: Array,
        labels: Array,
        divisor: int | None = None,
        cache: Cache | None = None,
    ) -> tuple[float, Cache]:
        """Return the loss and the cache that `backward` needs.

        Parameters
        ----------
        logits : ndarray of shape (m, classes), float32 or float64
        labels : ndarray of int, shape (m,), in 0..classes-1
        divisor : int, optional
            What the sum over rows is divided by: m unless given. A shard of a batch passes the
            whole batch's size, so that the losses and gradients of the shards add up.
        cache : dict, optional
            Owns the buffers, as for layers.
        """
        check_batch(logits, "logits", None, (None,))
        m, classes = logits.shape
        check_labels(labels, "labels", m, classes)
        divisor = max(m, 1) if divisor is None else check_int(divisor, "divisor", minimum=1)
        cache = open_cache(cache)
        rows = np.arange(m)
        p = buffer(cache, "p", logits.shape, logits.dtype)
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=p)
        at_label = p[rows, labels]
        np.exp(p, out=p)
        total = p.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - at_label).sum(dtype=np.float64)) / divisor
        p /= total
        p[rows, labels] -= 1
        p /= p.dtype.type(divisor)
        cache["dlogits"] = p
        cache["y_shape"] = ()
        return loss, cache

    def backward(self, cache: Cache) -> Array:
        """Return dE/dlogits, shape (m, classes)."""
        check_cache(cache)
        dlogits: Array = cache["dlogits"]
        return dlogits
