"""The matrix that a product quantiser's codes stand for, and its gradient.

Once the codes are fixed, the codebooks are parameters as any others: Gong et al. leave them as
k-means finds them; fine-tuning them through the codes is the step that follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfood_np.compression.arguments import check_codes
from fastfood_np.validation import Array, check_batch, check_bool, check_int


def product_quantized_matrix(codebooks: Array, codes: Array) -> Array:
    """Matrix that codes of a product quantiser stand for.

    Parameters
    ----------
    codebooks : ndarray of shape (1 or n_subspaces, n_centroids, length)
        float32 or float64; 1 is a codebook that all subspaces share.
    codes : integer ndarray of shape (n_out, n_subspaces)
        Values in 0..n_centroids - 1.

    Returns
    -------
    ndarray of shape (n_out, n_subspaces * length)
        In the dtype of the codebooks.

    Raises
    ------
    TypeError, ValueError
        An argument is not such an array.

    Examples
    --------
    >>> import numpy as np
    >>> codebooks = np.array([[[0.0, 1.0], [2.0, 3.0]]])
    >>> product_quantized_matrix(codebooks, np.array([[0, 1], [1, 1]]))
    array([[0., 1., 2., 3.],
           [2., 3., 2., 3.]])
    """
    check_batch(codebooks, "codebooks", None, (None, None))
    codes = check_code_rows(codes, codebooks.shape[1])
    if len(codebooks) not in (1, codes.shape[1]):
        raise ValueError(
            f"codebooks must be 1 or one for each of {codes.shape[1]} subspaces, got "
            f"{len(codebooks)}"
        )
    which = 0 if len(codebooks) == 1 else np.arange(len(codebooks))
    return codebooks[which, codes].reshape(len(codes), codes.shape[1] * codebooks.shape[2])


def product_quantized_gradient(dW: Array, codes: Array, n_centroids: int, shared: bool) -> Array:
    """Gradient of a loss with respect to the codebooks, for codes that stay as they are.

    That of `product_quantized_matrix`: a centroid's is the sum of dL/dW over the places where it
    stands.

    Parameters
    ----------
    dW : ndarray of shape (n_out, d_in)
        dL/dW; float32 or float64. NaN and infinity reach the centroids of their places only.
    codes : integer ndarray of shape (n_out, n_subspaces)
        n_subspaces divides d_in; values in 0..n_centroids - 1.
    n_centroids : int
    shared : bool
        Whether all subspaces share one codebook.

    Returns
    -------
    ndarray of shape (1 if shared else n_subspaces, n_centroids, d_in // n_subspaces)
        In dW's dtype; summed in float64, row by row.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or range.

    Examples
    --------
    >>> import numpy as np
    >>> dW = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    >>> product_quantized_gradient(dW, np.array([[0, 1], [0, 0]]), 2, shared=False).tolist()
    [[[6.0, 8.0], [0.0, 0.0]], [[7.0, 8.0], [3.0, 4.0]]]
    """
    check_batch(dW, "dW", None, (None,))
    n_centroids = check_int(n_centroids, "n_centroids", minimum=1)
    shared = check_bool(shared, "shared")
    codes = check_code_rows(codes, n_centroids)
    (n_out, d_in), n_subspaces = dW.shape, codes.shape[1]
    if len(codes) != n_out:
        raise ValueError(f"codes must have the {n_out} rows of dW, got {len(codes)}")
    if d_in % n_subspaces:
        raise ValueError(f"codes must have columns that divide the {d_in} of dW, got {n_subspaces}")
    count, length = 1 if shared else n_subspaces, d_in // n_subspaces
    centroid = codes.astype(np.int64)
    if not shared:
        centroid += n_centroids * np.arange(n_subspaces)
    entry = length * centroid[:, :, None] + np.arange(length)
    sums = np.bincount(entry.ravel(), dW.ravel(), count * n_centroids * length)
    return sums.reshape(count, n_centroids, length).astype(dW.dtype)


def check_code_rows(codes: Any, n_centroids: int) -> Array:
    """Return `codes` if it is an integer array (m, n_subspaces) with values in range."""
    checked = check_codes(codes, n_centroids)
    if checked.ndim != 2 or not checked.shape[1]:
        raise ValueError(f"codes must have shape (m, n_subspaces), got {checked.shape}")
    return checked
