"""The dense layer with a product-quantised matrix, against the product with the matrix itself."""

import itertools

import numpy as np
import pytest

from fastfood_np import backends
from fastfood_np.backends import cpu
from fastfood_np.backends.cpu import jit, quantized, widths
from fastfood_np.layers import QuantizedDense
from fastfood_np.layers.codes import check_codes, check_packed_codes, pack_codes, unpack_codes

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
NO_CODES = np.zeros((2, 3), np.uint8)


def whole(layer, rows, seed=0):
    """x and dy of whole numbers, and the layer with such params: sums without any rounding."""
    rng = np.random.default_rng(seed)
    for value in layer.params.values():
        value[...] = rng.integers(-3, 4, value.shape)
    sizes = (*layer.input_shape, layer.n_out)
    return [rng.integers(-3, 4, (rows, size)).astype(layer.dtype) for size in sizes]


def expected(layer, x, dy):
    """y, dx and the gradients, by the matrix and, for the codebooks, sums from their definition."""
    W, codes = layer.matrix(), layer.codes
    y = x @ W.T + layer.params.get("b", 0)
    books, _, length = layer.params["codebooks"].shape
    dW, dbooks = dy.T @ x, np.zeros_like(layer.params["codebooks"])
    for o, s in np.ndindex(codes.shape):
        dbooks[s % books, codes[o, s]] += dW[o, s * length : (s + 1) * length]
    return [y, dy @ W, dbooks, *([dy.sum(axis=0)] if "b" in layer.params else [])]


def computed(layer, x, dy):
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    return [y, dx, *(grads[name] for name in layer.trainable)]


def assert_same(ours, theirs):
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(our, their, strict=True)


# d_in, n_out, n_subspaces, n_centroids: runs of one column, of four, of odd length; fewer runs than
# are taken at a time and more; outputs that fill vectors, and some more; the largest codes.
SIZES = [
    (1, 1, 1, 2),
    (9, 64, 9, 16),
    (36, 130, 9, 16),
    (35, 129, 7, 11),
    (26, 65, 2, 4),
    (9, 64, 9, 17),
    (24, 67, 6, 256),
    (35, 3, 5, 99),
]


@both_dtypes
@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_against_the_matrix(sizes, shared, dtype):
    d_in, n_out, n_subspaces, n_centroids = sizes
    layer = QuantizedDense(
        d_in,
        n_out,
        n_subspaces=n_subspaces,
        n_centroids=n_centroids,
        shared=shared,
        rng=1,
        dtype=dtype,
    )
    for rows in (1, 2, 3, 4, 8, 17):
        x, dy = whole(layer, rows, seed=rows)
        assert_same(computed(layer, x, dy), expected(layer, x, dy))
        with backends.using("reference"):
            assert_same(computed(layer, x, dy), expected(layer, x, dy))


@both_dtypes
@pytest.mark.parametrize("n_centroids", [16, 17 if jit.disabled() else 200])
def test_bits_do_not_depend_on_batch_vectors_or_backend(n_centroids, dtype, monkeypatch):
    """Each row as if it were alone; many tables at once or few."""
    layer = QuantizedDense(24, 130, n_subspaces=6, n_centroids=n_centroids, rng=0, dtype=dtype)
    x = np.random.default_rng(0).standard_normal((37, 24)).astype(dtype)
    y = layer(x)
    with backends.using("reference"):
        assert_same([layer(x)], [y])
    for count in (1, 2, 3, 5, 16):
        parts = [layer(x[start : start + count]) for start in range(0, 37, count)]
        assert_same([np.concatenate(parts)], [y])
    monkeypatch.setattr(quantized, "MOST_ENTRIES", 1)
    assert_same([layer(x)], [y])
    for form in widths.BYTES if jit.disabled() else ("portable", "avx2"):
        with cpu.vectors(form):
            assert_same([layer(x), layer(x[:2])], [y, y[:2]])


@pytest.mark.parametrize(("n_centroids", "rows"), list(itertools.product((16, 33), (1, 3, 9))))
def test_threads_change_no_bit(n_centroids, rows, monkeypatch):
    """As many shares of the work as there may be threads; also more than there is work."""
    layer = QuantizedDense(20, 300, n_subspaces=5, n_centroids=n_centroids, shared=True, rng=0)
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((rows, size)).astype(np.float32) for size in (20, 300))
    alone = computed(layer, x, dy)

    def in_turn(self, teams, units, lanes, *arguments):
        for team in range(teams):
            self.serial(lanes, *arguments, team, units * team // teams, units * (team + 1) // teams)

    monkeypatch.setattr(quantized.Kernel, "__call__", in_turn)
    for count in (2, 3, 7, 100):
        for module in (quantized, cpu.quantized_gradients):
            monkeypatch.setattr(module, "teams", lambda elements, count=count: count)
        assert_same(computed(layer, x, dy), alone)


def test_nan_in_a_centroid_reaches_the_outputs_that_have_it_only():
    layer = QuantizedDense(12, 140, n_subspaces=3, n_centroids=16, bias=False, rng=0)
    layer.params["codebooks"][1, 5] = np.nan
    touched = layer.codes[:, 1] == 5
    assert touched.any() and not touched.all()
    for rows in (1, 9):
        y = layer(np.ones((rows, 12), np.float32))
        np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(touched, y.shape))


# ------------------------------------------------------------------------------------------ codes


@pytest.mark.parametrize("n_out", [1, 2, 7, 8])
@pytest.mark.parametrize("n_centroids", [2, 16, 17, 256])
def test_packing_and_back(n_out, n_centroids):
    codes = np.random.default_rng(0).integers(0, n_centroids, (n_out, 3), np.uint8)
    kept = pack_codes(codes, n_centroids)
    assert kept.flags.c_contiguous and kept.dtype == np.uint8
    assert kept.shape == (3, n_out if n_centroids > 16 else (n_out + 1) // 2)
    np.testing.assert_array_equal(unpack_codes(kept, n_centroids, n_out), codes, strict=True)
    check_packed_codes(kept, "codes", n_centroids)


def test_the_first_of_two_codes_is_in_the_low_bits():
    codes = np.array([[1, 9], [2, 10], [3, 11]], np.uint8)
    np.testing.assert_array_equal(pack_codes(codes, 12), [[0x21, 0x03], [0xA9, 0x0B]])
    np.testing.assert_array_equal(pack_codes(codes, 20), codes.T)


def test_memory():
    """Four bits a code and, where all runs share a codebook, hardly more."""
    layer = QuantizedDense(256, 512, n_subspaces=32, n_centroids=16, shared=True, rng=0)
    assert layer.constants["codes"].nbytes == 512 * 32 // 2
    assert layer.params["codebooks"].nbytes == 16 * 8 * 4


def test_set_codes_copies_what_it_is_given():
    layer = QuantizedDense(6, 2, n_subspaces=3, n_centroids=20, rng=0)
    codes = NO_CODES.copy()
    layer.set_codes(codes)
    codes[...] = 7
    assert not layer.codes.any()
    layer.codes[...] = 7
    assert not layer.codes.any()
    layer.set_codes(np.asfortranarray(codes))
    assert (layer.codes == 7).all() and layer.constants["codes"].flags.c_contiguous


@pytest.mark.parametrize(
    ("codes", "error", "saying"),
    [
        ([[0] * 3] * 2, TypeError, "codes must be an array of uint8, got list"),
        (NO_CODES.astype(np.int64), TypeError, "codes must be an array of uint8, got int64"),
        (NO_CODES.T, ValueError, r"codes must have shape \(2, 3\), got \(3, 2\)"),
        (NO_CODES + np.uint8(5), ValueError, r"codes must lie in 0\.\.4, got 5"),
        (NO_CODES + np.uint8(255), ValueError, r"codes must lie in 0\.\.4, got 255"),
    ],
)
def test_wrong_codes(codes, error, saying):
    layer = QuantizedDense(6, 2, n_subspaces=3, n_centroids=5, rng=0)
    before = layer.codes
    with pytest.raises(error, match=saying):
        layer.set_codes(codes)
    np.testing.assert_array_equal(layer.codes, before)


def test_wrong_codes_of_a_file():
    for kept, n_centroids, largest in (([0x05], 5, 5), ([0x50], 5, 5), ([20], 20, 20)):
        with pytest.raises(ValueError, match=rf"it must lie in 0\.\.\d+, got {largest}"):
            check_packed_codes(np.array([kept], np.uint8), "it", n_centroids)
    with pytest.raises(TypeError, match="it must be an array of uint8, got float64"):
        check_packed_codes(np.zeros((2, 3)), "it", 16)
    check_packed_codes(np.full((1, 1), 0x44, np.uint8), "it", 5)
    check_codes(np.empty((0, 3), np.uint8), "it", None, 2)


# ----------------------------------------------------------------------------------- construction


@pytest.mark.parametrize(
    ("options", "error", "saying"),
    [
        ({"n_subspaces": 4}, ValueError, "n_subspaces must divide d_in = 6, got 4"),
        ({"n_subspaces": 0}, ValueError, "n_subspaces must be at least 1, got 0"),
        ({"n_subspaces": 12}, ValueError, "n_subspaces must be at most 6, got 12"),
        ({"n_subspaces": 2.0}, TypeError, "n_subspaces must be an integer"),
        ({"n_centroids": 1}, ValueError, "n_centroids must be at least 2, got 1"),
        ({"n_centroids": 257}, ValueError, "n_centroids must be at most 256, got 257"),
        ({"shared": 1}, TypeError, "shared must be True or False, got 1"),
        ({"bias": None}, TypeError, "bias must be True or False, got None"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
        ({"rng": "seed"}, TypeError, "rng must be"),
        ({"d_in": 0}, ValueError, "d_in must be at least 1, got 0"),
        ({"n_out": 0}, ValueError, "n_out must be at least 1, got 0"),
    ],
)
def test_bad_options(options, error, saying):
    usual = {"d_in": 6, "n_out": 2, "n_subspaces": 3, "n_centroids": 4}
    with pytest.raises(error, match=saying):
        QuantizedDense(**(usual | options))


def test_a_seed_gives_the_same_layer_in_both_dtypes():
    layers = [
        QuantizedDense(60, 40, n_subspaces=10, n_centroids=16, rng=3, dtype=dtype)
        for dtype in (np.float32, np.float64)
    ]
    np.testing.assert_array_equal(layers[0].codes, layers[1].codes)
    np.testing.assert_array_equal(layers[0].matrix(), layers[1].matrix().astype(np.float32))
    assert np.abs(layers[1].matrix()).max() <= np.sqrt(3 / 60)
    assert set(layers[0].codes.ravel()) == set(range(16))


@both_dtypes
@pytest.mark.parametrize("books", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_from_codes(books, bias, dtype):
    rng = np.random.default_rng(0)
    codebooks = rng.standard_normal((books, 5, 4)).astype(dtype)
    codes = rng.integers(0, 5, (7, 3), np.uint8)
    b = rng.standard_normal(7) if bias else None
    layer = QuantizedDense.from_codes(codebooks, codes, b)
    W = np.array([[codebooks[s % books, code] for s, code in enumerate(row)] for row in codes])
    np.testing.assert_array_equal(layer.matrix(), W.reshape(7, 12), strict=True)
    np.testing.assert_array_equal(layer.codes, codes, strict=True)
    assert layer.config == {
        "d_in": 12,
        "n_out": 7,
        "n_subspaces": 3,
        "n_centroids": 5,
        "shared": books == 1,
        "bias": bias,
    }
    assert layer.params["codebooks"].dtype == dtype
    assert not np.shares_memory(layer.params["codebooks"], codebooks)
    if b is not None:
        np.testing.assert_array_equal(layer.params["b"], b.astype(dtype), strict=True)


BOOKS = np.zeros((3, 5, 4))


@pytest.mark.parametrize(
    ("codebooks", "codes", "b", "error", "saying"),
    [
        (BOOKS.tolist(), NO_CODES, None, TypeError, "the dtype of codebooks must be float32"),
        (BOOKS.astype(int), NO_CODES, None, TypeError, "the dtype of codebooks must be float32"),
        (BOOKS[0], NO_CODES, None, ValueError, r"codebooks must have shape .* got \(5, 4\)"),
        (
            BOOKS[:, :, :0],
            NO_CODES,
            None,
            ValueError,
            r"codebooks must have shape .* got \(3, 5, 0",
        ),
        (BOOKS[:2], NO_CODES, None, ValueError, "codebooks must hold 1 or, as codes, 3 .* got 2"),
        (BOOKS + np.nan, NO_CODES, None, ValueError, "codebooks must be finite"),
        (BOOKS[:, :1], NO_CODES, None, ValueError, "n_centroids must be at least 2, got 1"),
        (BOOKS, NO_CODES[0], None, ValueError, r"codes must be an array of shape .* got \(3,\)"),
        (BOOKS, [[0, 0, 0]], None, ValueError, r"codes must be an array of shape .* got \[\[0"),
        (BOOKS, NO_CODES[:0], None, ValueError, r"codes must be .* got \(0, 3\)"),
        (BOOKS, NO_CODES.astype(int), None, TypeError, "codes must be an array of uint8, got int"),
        (BOOKS, NO_CODES + np.uint8(5), None, ValueError, r"codes must lie in 0\.\.4, got 5"),
        (BOOKS, NO_CODES, np.zeros(3), ValueError, r"b must have shape \(2,\), got \(3,\)"),
        (BOOKS, NO_CODES, np.full(2, np.inf), ValueError, "b must be finite"),
    ],
)
def test_from_wrong_codes(codebooks, codes, b, error, saying):
    with pytest.raises(error, match=saying):
        QuantizedDense.from_codes(codebooks, codes, b)


@pytest.mark.compiled_only
def test_codebooks_train_and_codes_stay():
    """Gradient descent on the layer's own parameters takes it to what another layer computes."""
    rng = np.random.default_rng(0)
    layer, aim = (
        QuantizedDense(8, 12, n_subspaces=4, n_centroids=3, rng=rng, dtype=np.float64)
        for _ in range(2)
    )
    aim.set_codes(layer.codes)
    codes, x = layer.codes, rng.standard_normal((50, 8))
    errors = []
    for _ in range(200):
        y, cache = layer.forward(x)
        dy = (y - aim(x)) / len(x)
        errors.append(np.vdot(dy, dy))
        for name, grad in layer.backward(dy, cache, need_dx=False)[1].items():
            layer.params[name] -= 0.1 * grad
    assert errors[-1] < 1e-4 * errors[0]
    np.testing.assert_array_equal(layer.codes, codes)
