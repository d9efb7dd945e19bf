"""Product quantisation of a weight matrix: runs of columns, each replaced by the nearest centroid.

Jegou et al., "Product Quantization for Nearest Neighbor Search", 2011, for vectors; Gong et al.,
"Compressing Deep Convolutional Networks using Vector Quantization", 2014, for weights, whose
subspaces are runs of columns and whose codebooks come from k-means.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastfood_np.compression.centroids import exponent, find_centroids, scaled
from fastfood_np.compression.packing import bits_for
from fastfood_np.compression.product_quantized import check_code_rows, product_quantized_matrix
from fastfood_np.validation import Array, check_bool, check_int, check_points, check_rng

MAX_CENTROIDS = 256


class ProductQuantizer:
    """Rows of W (n_out, d_in) as n_subspaces numbers each of a centroid.

    The columns are cut into n_subspaces runs of equal length; what is in a run is replaced by one
    of n_centroids vectors of that length, found by k-means on the rows.

    Parameters
    ----------
    n_subspaces : int
        At least 1; must divide d_in.
    n_centroids : int
        2 to 256.
    shared : bool
        Whether all subspaces share one codebook (our addition, for short matrices, whose codebooks
        take more memory than the codes).
    restarts : int
        From how many draws of the first centroids k-means starts; the best result is kept.
    rng : None, int, SeedSequence or Generator
        Source of these draws. Every `fit` of one object starts from the same; a seed fixes every
        bit of the result, on any number of threads.

    Attributes
    ----------
    codebooks : ndarray of shape (1 if shared else n_subspaces, n_centroids, d_in // n_subspaces)
        Set by `fit`, in W's dtype; may be replaced or written into, to fine-tune the centroids.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, or out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.array([[1.0, 1.0, 5.0, 5.0], [1.0, 1.0, 7.0, 7.0], [2.0, 2.0, 7.0, 7.0]])
    >>> quantizer = ProductQuantizer(2, 2, rng=0).fit(W)
    >>> quantizer.encode(W).tolist(), quantizer.error(W)
    ([[0, 0], [0, 1], [1, 1]], 0.0)
    """

    codebooks: Array

    def __init__(
        self,
        n_subspaces: int,
        n_centroids: int,
        *,
        shared: bool = False,
        restarts: int = 1,
        rng: Any = None,
    ) -> None:
        self.n_subspaces = check_int(n_subspaces, "n_subspaces", minimum=1)
        self.n_centroids = check_int(n_centroids, "n_centroids", minimum=2, maximum=MAX_CENTROIDS)
        self.shared = check_bool(shared, "shared")
        self.restarts = check_int(restarts, "restarts", minimum=1)
        count = 1 if self.shared else self.n_subspaces
        self._seeds = check_rng(rng).integers(0, 2**32, count, np.uint32)

    def fit(self, W: npt.ArrayLike) -> ProductQuantizer:
        """Find the codebooks of W; return self.

        Parameters
        ----------
        W : array_like of shape (n_out, d_in)
            float32 or float64, finite. (Integers become float64.)

        Raises
        ------
        ImportError
            scikit-learn, the extra "sklearn", is missing.
        TypeError, ValueError
            W is not such an array, or n_subspaces does not divide d_in.

        Notes
        -----
        Computed in float64 on one thread, O(n_out * d_in * n_centroids) for each step of k-means.
        Where there are no more different vectors than centroids, all of them become centroids and
        the last one is repeated: the error is 0.
        """
        points = self._subvectors(check_points(W, "W"))
        if self.shared:
            points = points.reshape(1, -1, points.shape[2])
        self.codebooks = find_centroids(points, self.n_centroids, self.restarts, self._seeds)
        return self

    def encode(self, W: npt.ArrayLike) -> npt.NDArray[np.uint8]:
        """Return codes (n_out, n_subspaces) of uint8: the numbers of the nearest centroids.

        Of several at one distance, the lowest number; distances are sums of squares in float64.
        W (n_out, d_in) may have any number of rows, and either dtype.
        """
        from scipy.spatial.distance import cdist

        points = self._subvectors(check_points(W, "W"), self._fitted().shape[2])
        codebooks = np.broadcast_to(self.codebooks, (self.n_subspaces, *self.codebooks.shape[1:]))
        codes = np.empty(points.shape[1::-1], np.uint8)
        for s, (rows, codebook) in enumerate(zip(points, codebooks, strict=True)):
            common = max(exponent(rows), exponent(codebook))
            distances = cdist(scaled(rows, common), scaled(codebook, common), "sqeuclidean")
            codes[:, s] = distances.argmin(axis=1)
        return codes

    def decode(self, codes: Array) -> Array:
        """Return the matrix (n_out, d_in) that these codes (n_out, n_subspaces) stand for."""
        codebooks = self._fitted()
        checked = check_code_rows(codes, self.n_centroids)
        if checked.shape[1] != self.n_subspaces:
            raise ValueError(f"codes must have shape (m, {self.n_subspaces}), got {checked.shape}")
        return product_quantized_matrix(codebooks, checked)

    def error(self, W: npt.ArrayLike) -> float:
        """Return the mean of (W - decode(encode(W)))^2 over all entries, summed in float64."""
        difference = check_points(W, "W") - np.float64(self.decode(self.encode(W)))
        return float(np.mean(difference**2))

    def size_bits(self, n_out: int) -> int:
        """Return how many bits n_out coded rows take, together with the codebooks.

        With cols = d_in, m = d_in / n_subspaces and k = n_centroids, Gong et al. count
        ``rows * (cols / m) * log2(k) + 32 * k * cols``: the codes, and for each subspace a codebook
        in float32. Here log2(k) is rounded up to whole bits, a shared codebook counts once, and
        float64 counts as 32 bits too.
        """
        codebooks = self._fitted()
        codes = check_int(n_out, "n_out", minimum=0) * self.n_subspaces
        return codes * bits_for(self.n_centroids) + 32 * codebooks.size

    def _fitted(self) -> Array:
        if not hasattr(self, "codebooks"):
            raise ValueError("codebooks must be there: call fit(W) first")
        return self.codebooks

    def _subvectors(self, W: Array, length: int | None = None) -> Array:
        """Return W (n_out, d_in) as (n_subspaces, n_out, d_in // n_subspaces)."""
        if length is not None and W.shape[1] != self.n_subspaces * length:
            raise ValueError(
                f"W must have shape (m, {self.n_subspaces * length}), as where the codebooks come "
                f"from, got {W.shape}"
            )
        if W.shape[1] % self.n_subspaces:
            raise ValueError(
                f"n_subspaces must divide the {W.shape[1]} columns of W, got {self.n_subspaces}"
            )
        return W.reshape(len(W), self.n_subspaces, -1).transpose(1, 0, 2)
