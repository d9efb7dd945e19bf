"""Product quantisation: sizes, ties, k-means against plain Lloyd and other libraries, gradients."""

import sys
import warnings

import numpy as np
import oracles_compression
import pytest
from threadpoolctl import threadpool_limits

from fastfood_np.compression import (
    ProductQuantizer,
    product_quantized_gradient,
    product_quantized_matrix,
)

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
shared_or_not = pytest.mark.parametrize("shared", [False, True], ids=["apart", "shared"])


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def weights(n_out=120, d_in=12, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal((n_out, d_in)).astype(dtype)


def groups(W, n_subspaces, shared):
    """The vectors that each codebook is made for."""
    parts = W.reshape(len(W), n_subspaces, -1)
    return [parts.reshape(-1, parts.shape[2])] if shared else list(parts.transpose(1, 0, 2))


# ---------------------------------------------------------------------- what comes out


@both_dtypes
@shared_or_not
def test_shapes_and_dtypes(shared, dtype):
    W = weights(dtype=dtype)
    quantizer = ProductQuantizer(4, 8, shared=shared, rng=0)
    assert quantizer.fit(W) is quantizer
    assert quantizer.codebooks.shape == (1 if shared else 4, 8, 3)
    codes, decoded = quantizer.encode(W), quantizer.decode(quantizer.encode(W))
    assert (codes.shape, codes.dtype) == ((120, 4), np.uint8) and codes.max() < 8
    assert (
        (decoded.shape, decoded.dtype) == (W.shape, dtype) == (W.shape, quantizer.codebooks.dtype)
    )
    for s in range(4):
        codebook = quantizer.codebooks[0 if shared else s]
        np.testing.assert_array_equal(decoded[:, 3 * s : 3 * s + 3], codebook[codes[:, s]])
    error = quantizer.error(W)
    assert type(error) is float
    assert error == pytest.approx(np.mean((np.float64(W) - decoded) ** 2), rel=1e-12)


def test_other_rows_and_the_other_dtype():
    quantizer = ProductQuantizer(4, 8, rng=0).fit(weights())
    rows = weights(7, seed=1)
    alone = [quantizer.encode(row[None])[0] for row in rows]
    np.testing.assert_array_equal(quantizer.encode(rows), alone)
    assert quantizer.encode(np.float32(rows)).shape == (7, 4)
    assert quantizer.decode(np.empty((0, 4), np.uint8)).shape == (0, 12)


def test_inputs_stay_as_they_are():
    W = weights()
    W.flags.writeable = False
    copy = W.copy()
    quantizer = ProductQuantizer(4, 8, rng=0).fit(W)
    by_columns = ProductQuantizer(4, 8, rng=0).fit(np.asfortranarray(W))
    np.testing.assert_array_equal(W, copy)
    np.testing.assert_array_equal(quantizer.codebooks, by_columns.codebooks)
    np.testing.assert_array_equal(quantizer.encode(W), quantizer.encode(np.asfortranarray(W)))


@shared_or_not
def test_size_is_that_of_gong_et_al(shared):
    W = weights(500, 20)
    for n_centroids, bits in ((2, 1), (16, 4), (20, 5), (256, 8)):
        quantizer = ProductQuantizer(5, n_centroids, shared=shared, rng=0).fit(W)
        codebooks = 32 * n_centroids * (4 if shared else 20)
        assert quantizer.size_bits(500) == 500 * (20 // 4) * bits + codebooks
        assert quantizer.size_bits(0) == codebooks


def test_256_centroids_need_all_of_uint8():
    W = np.arange(256.0)[::-1, None]
    quantizer = ProductQuantizer(1, 256, rng=0).fit(W)
    assert sorted(quantizer.encode(W)[:, 0]) == list(range(256)) and quantizer.error(W) == 0


# -------------------------------------------------------------------- ties and few vectors


def test_ties_go_to_the_lowest_number():
    quantizer = ProductQuantizer(1, 4, rng=0).fit(weights(20, 2))
    quantizer.codebooks = np.array([[[9.0, 9.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]])
    W = np.array([[0.0, 0.0], [0.0, 3.0], [1.0, 0.0], [-1.0, 0.5], [8.0, 9.0]])
    assert quantizer.encode(W)[:, 0].tolist() == [1, 1, 1, 2, 0]


@both_dtypes
@shared_or_not
@pytest.mark.parametrize("different", [1, 2, 5, 8])
def test_few_different_vectors_are_kept_as_they_are(different, shared, dtype):
    rng = np.random.default_rng(different)
    vectors = rng.standard_normal((different, 3)).astype(dtype)
    W = vectors[rng.integers(0, different, (40, 4))].reshape(40, 12)
    quantizer = ProductQuantizer(4, 8, shared=shared, rng=0).fit(W)
    np.testing.assert_array_equal(quantizer.decode(quantizer.encode(W)), W)
    assert quantizer.error(W) == 0 and np.isfinite(quantizer.codebooks).all()
    if shared:  # centroids beyond the different ones are never used
        assert len(np.unique(quantizer.encode(W))) == different


@shared_or_not
def test_fewer_rows_than_centroids(shared):
    W = weights(3, 4)
    quantizer = ProductQuantizer(2, 200, shared=shared, rng=0).fit(W)
    np.testing.assert_array_equal(quantizer.decode(quantizer.encode(W)), W)


def test_rows_that_differ_by_less_than_a_rounding_of_their_distances():
    """scikit-learn finds fewer clusters than asked for, and says so in a warning."""
    W = 1.0 + np.arange(12)[:, None] * np.array([[2**-52, 0.0]])
    W[0] = -1.0
    quantizer = ProductQuantizer(1, 6, rng=0).fit(W)
    assert np.isfinite(quantizer.codebooks).all() and quantizer.error(W) < 1e-16


@both_dtypes
def test_the_largest_and_the_smallest_numbers(dtype):
    """Squares of either are no longer numbers; the result is that of weights near 1, scaled."""
    W = weights(40, 4, dtype).clip(-1.5, 1.5)
    expected = ProductQuantizer(2, 4, rng=0).fit(W)
    for power in (np.finfo(dtype).minexp + 40, np.finfo(dtype).maxexp - 1):
        factor = dtype(2.0) ** power
        quantizer = ProductQuantizer(2, 4, rng=0).fit(W * factor)
        np.testing.assert_allclose(quantizer.codebooks / factor, expected.codebooks, rtol=1e-5)
        np.testing.assert_array_equal(quantizer.encode(W * factor), expected.encode(W))
    extreme = np.full((9, 2), np.finfo(dtype).max)
    extreme[:4] *= -1
    extreme[4:6, 0] = 0
    assert np.isfinite(ProductQuantizer(1, 2, rng=0).fit(extreme).codebooks).all()


# ------------------------------------------------------------------------------ k-means


@shared_or_not
@pytest.mark.parametrize(("n_subspaces", "n_centroids"), [(1, 2), (3, 5), (4, 16), (12, 4)])
def test_as_good_as_plain_lloyd(n_subspaces, n_centroids, shared):
    W = weights()
    quantizer = ProductQuantizer(n_subspaces, n_centroids, shared=shared, restarts=5, rng=0).fit(W)
    rng, total = np.random.default_rng(1), 0.0
    for points, codebook in zip(groups(W, n_subspaces, shared), quantizer.codebooks, strict=True):
        found = oracles_compression.squared_errors(points, codebook).sum()
        tries = [oracles_compression.k_means(points, n_centroids, rng, 30) for _ in range(5)]
        naive = min(oracles_compression.squared_errors(points, each).sum() for each in tries)
        assert found <= 1.06 * naive
        # A further step lowers the error no more: the codebook is a local optimum.
        moved = oracles_compression.lloyd_step(points, codebook)
        after = oracles_compression.squared_errors(points, moved).sum()
        assert after >= (1 - 1e-6) * found
        total += found
    assert quantizer.error(W) == pytest.approx(total / W.size, rel=1e-10)


def test_clusters_that_lie_apart_are_found():
    rng = np.random.default_rng(3)
    middles = 10.0 * np.arange(8)[:, None] * np.ones(3)
    W = middles[rng.permutation(np.repeat(np.arange(8), 25))] + rng.uniform(-1, 1, (200, 3))
    quantizer = ProductQuantizer(1, 8, restarts=4, rng=0).fit(W)
    found = quantizer.codebooks[0][np.argsort(quantizer.codebooks[0, :, 0])]
    np.testing.assert_allclose(found, middles, atol=0.7)


def test_more_restarts_are_not_worse():
    W = weights(200, 6)
    errors = [ProductQuantizer(1, 16, restarts=n, rng=0).fit(W).error(W) for n in (1, 20)]
    assert errors[1] < errors[0]


def test_a_seed_fixes_every_bit():
    W = weights()
    first = ProductQuantizer(4, 8, rng=5)
    expected = first.fit(W).codebooks
    for quantizer in (
        first,
        ProductQuantizer(4, 8, rng=5),
        ProductQuantizer(4, 8, rng=np.random.default_rng(5)),
    ):
        np.testing.assert_array_equal(quantizer.fit(W).codebooks, expected)
    assert (ProductQuantizer(4, 8, rng=6).fit(W).codebooks != expected).any()
    # NumPy's global generator is neither used nor touched.
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    ProductQuantizer(4, 8).fit(W)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@shared_or_not
def test_threads_change_no_bits(shared):
    W, found = weights(3000, 8), []
    for threads in (1, 4):
        with threadpool_limits(threads):
            found.append(ProductQuantizer(2, 16, shared=shared, rng=0).fit(W).codebooks)
    np.testing.assert_array_equal(*found)


# ---------------------------------------------------------------------- other libraries


def test_as_good_as_nanopq():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nanopq = pytest.importorskip("nanopq", reason="compares with nanopq")
        W = weights(400, 16, np.float32)
        theirs = nanopq.PQ(M=4, Ks=16, verbose=False).fit(W, seed=0)
        error = np.mean((theirs.decode(theirs.encode(W)) - W) ** 2)
    ours = ProductQuantizer(4, 16, restarts=3, rng=0).fit(W)
    assert ours.error(W) <= 1.01 * error
    # On their codebooks, the same codes.
    ours.codebooks = theirs.codewords
    np.testing.assert_array_equal(ours.encode(W), theirs.encode(W))
    np.testing.assert_array_equal(ours.decode(ours.encode(W)), theirs.decode(theirs.encode(W)))


def test_as_good_as_faiss():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        faiss = pytest.importorskip("faiss", reason="compares with faiss")
    W = weights(700, 16, np.float32)
    faiss.omp_set_num_threads(1)
    theirs = faiss.ProductQuantizer(16, 4, 4)
    theirs.train(W)
    error = np.mean((theirs.decode(theirs.compute_codes(W)) - W) ** 2)
    ours = ProductQuantizer(4, 16, restarts=3, rng=0).fit(W)
    assert ours.error(W) <= 1.01 * error
    ours.codebooks = faiss.vector_to_array(theirs.centroids).reshape(4, 16, 4)
    np.testing.assert_array_equal(
        ours.decode(ours.encode(W)), theirs.decode(theirs.compute_codes(W))
    )


# ------------------------------------------------------------------------------ gradient


@shared_or_not
@both_dtypes
def test_gradient_against_central_differences(dtype, shared):
    W, dW = weights(30, 6, dtype), weights(30, 6, dtype, seed=1)
    quantizer = ProductQuantizer(3, 4, shared=shared, rng=0).fit(W)
    codes = quantizer.encode(W)
    gradient = product_quantized_gradient(dW, codes, 4, shared)
    assert gradient.dtype == dtype
    codebooks = np.float64(quantizer.codebooks)
    expected = np.empty_like(codebooks)
    for place in np.ndindex(codebooks.shape):
        step = np.zeros_like(codebooks)
        step[place] = 0.5
        ahead, back = (
            np.vdot(np.float64(dW), product_quantized_matrix(codebooks + sign * step, codes))
            for sign in (1, -1)
        )
        expected[place] = ahead - back
    rtol = 1e-6 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(gradient, expected, rtol=rtol, atol=rtol)


def test_gradient_of_unused_centroids_of_nan_and_of_no_rows():
    codes = np.array([[0, 2], [2, 2]], np.uint8)
    dW = np.array([[1.0, 2.0, np.nan, 4.0], [5.0, 6.0, 7.0, 8.0]])
    found = product_quantized_gradient(dW, codes, 3, shared=False)
    expected = [[[1, 2], [0, 0], [5, 6]], [[0, 0], [0, 0], [np.nan, 12]]]
    np.testing.assert_array_equal(found, expected)
    found = product_quantized_gradient(dW, codes, 3, shared=True)
    np.testing.assert_array_equal(found, [[[1, 2], [0, 0], [np.nan, 18]]])
    empty = product_quantized_gradient(dW[:0], codes[:0], 3, shared=False)
    np.testing.assert_array_equal(empty, np.zeros((2, 3, 2)))


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "saying"),
    [
        ((0, 4), {}, ValueError, "n_subspaces must be at least 1, got 0"),
        ((2.0, 4), {}, TypeError, "n_subspaces must be an integer"),
        ((2, 1), {}, ValueError, "n_centroids must be at least 2, got 1"),
        ((2, 257), {}, ValueError, "n_centroids must be at most 256, got 257"),
        ((2, 4), {"shared": 1}, TypeError, "shared must be True or False, got 1"),
        ((2, 4), {"restarts": 0}, ValueError, "restarts must be at least 1, got 0"),
        ((2, 4), {"rng": -1}, ValueError, "rng must be at least 0"),
        ((2, 4), {"rng": "x"}, TypeError, "rng must be None"),
    ],
)
def test_wrong_settings(arguments, options, kind, saying):
    with pytest.raises(kind, match=saying):
        ProductQuantizer(*arguments, **options)


def test_wrong_matrices():
    quantizer = ProductQuantizer(5, 4, rng=0)
    with pytest.raises(ValueError, match="n_subspaces must divide the 12 columns of W, got 5"):
        quantizer.fit(weights())
    assert not hasattr(quantizer, "codebooks")
    for wrong, kind, saying in (
        (weights()[0], ValueError, r"W must have shape \(m, d\)"),
        (weights()[:0], ValueError, r"W must have shape \(m, d\)"),
        (np.full((4, 5), np.nan), ValueError, "W must be finite"),
        (np.full((4, 5), "a"), TypeError, "W must hold real numbers"),
    ):
        with pytest.raises(kind, match=saying):
            quantizer.fit(wrong)
    quantizer.fit(weights(9, 10))
    for method in (quantizer.encode, quantizer.error):
        with pytest.raises(ValueError, match=r"W must have shape \(m, 10\).*, got \(3, 15\)"):
            method(weights(3, 15))


def test_not_fitted():
    quantizer = ProductQuantizer(3, 4)
    for call in (
        lambda: quantizer.encode(weights()),
        lambda: quantizer.decode(np.zeros((2, 3), np.uint8)),
        lambda: quantizer.error(weights()),
        lambda: quantizer.size_bits(3),
    ):
        with pytest.raises(ValueError, match=r"codebooks must be there: call fit\(W\) first"):
            call()


def test_wrong_codes():
    quantizer = ProductQuantizer(3, 4, rng=0).fit(weights())
    for wrong, kind, saying in (
        (np.zeros((2, 4), np.uint8), ValueError, r"codes must have shape \(m, 3\), got \(2, 4\)"),
        (np.zeros(3, np.uint8), ValueError, r"codes must have shape \(m, n_subspaces\)"),
        (np.full((2, 3), 4), ValueError, r"codes must lie in 0\.\.3, got 4 to 4"),
        (np.full((2, 3), -1), ValueError, r"codes must lie in 0\.\.3, got -1 to -1"),
        (np.zeros((2, 3)), TypeError, "codes must be an integer array, got float64"),
        ([[0, 0, 0]], TypeError, "codes must be an integer array, got list"),
    ):
        with pytest.raises(kind, match=saying):
            quantizer.decode(wrong)
    with pytest.raises(ValueError, match="n_out must be at least 0"):
        quantizer.size_bits(-1)


def test_wrong_arguments_of_the_matrix_and_its_gradient():
    codes, dW = np.zeros((5, 3), np.uint8), np.zeros((5, 6))
    for call, kind, saying in (
        (lambda: product_quantized_gradient(dW[:4], codes, 2, False), ValueError, "4 rows of dW"),
        (
            lambda: product_quantized_gradient(dW[:, :5], codes, 2, False),
            ValueError,
            "divide the 5",
        ),
        (lambda: product_quantized_gradient(dW[0], codes, 2, False), ValueError, "dW must have sh"),
        (lambda: product_quantized_gradient(dW > 0, codes, 2, False), TypeError, "dtype of dW"),
        (lambda: product_quantized_gradient(dW, codes + 2, 2, False), ValueError, r"codes.*0\.\.1"),
        (lambda: product_quantized_gradient(dW, codes, 0, False), ValueError, "n_centroids must"),
        (lambda: product_quantized_gradient(dW, codes, 2, 0), TypeError, "shared must be True"),
        (
            lambda: product_quantized_gradient(dW, codes[:, :0], 2, True),
            ValueError,
            "codes must ha",
        ),
        (lambda: product_quantized_matrix(dW, codes), ValueError, "codebooks must have shape"),
        (
            lambda: product_quantized_matrix(np.zeros((2, 4, 2)), codes),
            ValueError,
            "codebooks must be 1",
        ),
    ):
        with pytest.raises(kind, match=saying):
            call()


def test_without_scikit_learn(monkeypatch):
    quantizer = ProductQuantizer(3, 4, rng=0).fit(weights())
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ImportError, match=r"pip install 'fastfood_np\[sklearn\]'"):
        ProductQuantizer(3, 4).fit(weights())
    assert quantizer.error(weights()) > 0  # what is fitted needs it no longer
