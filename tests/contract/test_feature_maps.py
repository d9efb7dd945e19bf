"""The contract of the feature maps: what scikit-learn asks of a transformer, and what each adds."""

import copy
import math
import pickle

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from small_runs import BACKEND

pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from fastfood_np import backends, kernels
from fastfood_np.features import FastfoodFeatures, OrthogonalFeatures, RandomFourierFeatures
from fastfood_np.kernels import pairs
from fastfood_np.transforms import draw_fastfood, fastfood_matrix

SORF = {"method": "sorf"}
MAPS = {
    "fastfood": (FastfoodFeatures, {}),
    "fastfood matern": (FastfoodFeatures, {"kernel": "matern", "nu": 0.5}),
    "fastfood phase": (FastfoodFeatures, {"random_phase": True}),
    "fastfood arc-cosine": (FastfoodFeatures, {"kernel": "arc-cosine"}),
    "fourier": (RandomFourierFeatures, {}),
    "fourier laplacian": (RandomFourierFeatures, {"kernel": "laplacian"}),
    "orf": (OrthogonalFeatures, {}),
    "orf ball-sum": (OrthogonalFeatures, {"kernel": "ball-sum", "degree": 3}),
    "sorf": (OrthogonalFeatures, SORF),
    "sorf arc-cosine": (OrthogonalFeatures, {"kernel": "arc-cosine", "order": 2, **SORF}),
}
PAIRED = [name for name in MAPS if not name.endswith(("arc-cosine", "phase"))]
KINDS = ("fastfood", "fourier", "orf", "sorf")
KERNELS = {
    "gaussian": {},
    "matern 1/2": {"kernel": "matern", "nu": 0.5},
    "matern 3/2": {"kernel": "matern", "nu": 1.5},
    "matern 5/2": {"kernel": "matern", "nu": 2.5},
    "ball-sum 1": {"kernel": "ball-sum", "degree": 1},
    "ball-sum 4": {"kernel": "ball-sum", "degree": 4},
    "arc-cosine 0": {"kernel": "arc-cosine", "order": 0},
    "arc-cosine 1": {"kernel": "arc-cosine", "order": 1},
    "arc-cosine 2": {"kernel": "arc-cosine", "order": 2},
    "laplacian": {"kernel": "laplacian"},
}
DTYPES = (np.float32, np.float64)
X = np.random.default_rng(0).standard_normal((20, 5))
SCALES = np.array([0.5, 2.0, 1.0, 4.0, 0.7])
SPARSE = np.where(np.random.default_rng(1).random((20, 5)) < 0.4, X, 0)
COMPRESSED = (
    sparse.csr_matrix,
    sparse.csc_matrix,
    sparse.coo_matrix,
    sparse.csr_array,
    sparse.csc_array,
    sparse.coo_array,
)

every_map = pytest.mark.parametrize("name", MAPS)
every_kernel = pytest.mark.parametrize(
    ("kind", "kernel"),
    [(kind, kernel) for kind in KINDS for kernel in KERNELS if kernel != "laplacian"]
    + [("fourier", "laplacian")],
)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def arithmetic():
    """Kernels that run as plain Python would take minutes."""
    with backends.using(BACKEND):
        yield


def make(name, n_components=65, **more):
    """The estimator of this name, not fitted: two blocks of eight in Fastfood, and more."""
    kind, parameters = MAPS[name]
    return kind(**{"n_components": n_components, "random_state": 0, **parameters, **more})


def features(maps, points=X):
    """The features of the points that a map is fitted to."""
    return clone(maps).fit_transform(points)


def state(maps):
    """All that an estimator holds, as something that `==` compares."""
    return {
        key: pickle.dumps(value) if key != "random_state" else repr(value)
        for key, value in vars(maps).items()
    }


# ------------------------------------------------------------------------ scikit-learn's checks


@every_map
def test_check_estimator(name):
    # Its points have 2 to 10 columns, and each width and nonlinearity is a kernel to compile: with
    # compiled kernels one map of each kind goes through, of an even number of features.
    n, backend = (64, BACKEND) if name in KINDS else (65, "reference")
    with backends.using(backend):
        reports = check_estimator(make(name, n), on_skip=None, on_fail=None)
    assert len(reports) > 30
    others = [report for report in reports if report["status"] != "passed"]
    assert [report["check_name"] for report in others] in ([], ["check_array_api_input"]), others
    assert all(report["status"] == "skipped" for report in others)


@every_map
def test_tags(name):
    tags = get_tags(make(name))
    assert tags.input_tags.sparse
    assert set(tags.transformer_tags.preserves_dtype) == {"float32", "float64"}
    assert not tags.target_tags.required


@every_map
@pytest.mark.parametrize("points", [X, sparse.csr_array(SPARSE)], ids=["dense", "sparse"])
def test_before_fit(name, points):
    maps = make(name)
    for call in (maps.transform, maps.exact_kernel):
        with pytest.raises(NotFittedError, match=f"{type(maps).__name__} instance is not fitted"):
            call(points)
    with pytest.raises(NotFittedError, match="not fitted"):
        maps.get_feature_names_out()


@every_map
def test_no_rows(name):
    maps = make(name).fit(X)
    message = f"Found array with 0 sample.*required by {type(maps).__name__}"
    with pytest.raises(ValueError, match=message):
        maps.transform(X[:0])
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        maps.transform(sparse.csr_array(SPARSE)[:0])


@every_map
def test_names_of_features(name):
    names = make(name, 12).fit(X).get_feature_names_out()
    prefix = MAPS[name][0].__name__.lower()
    assert list(names) == [f"{prefix}{i}" for i in range(12)]


@both_dtypes
@every_map
def test_pandas_in_and_out(name, dtype):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    columns, rows = list("vwxyz"), [f"row {i}" for i in range(len(X))]
    frame = pandas.DataFrame(X.astype(dtype), index=rows, columns=columns)
    maps = make(name).set_output(transform="pandas")
    Z = maps.fit_transform(frame)
    assert list(maps.feature_names_in_) == columns
    assert list(Z.columns) == list(maps.get_feature_names_out())
    assert list(Z.index) == rows and set(Z.dtypes) == {np.dtype(dtype)}
    assert_array_equal(Z.to_numpy(), features(make(name), X.astype(dtype)))
    with pytest.raises(ValueError, match="feature names should match"):
        maps.transform(frame[columns[::-1]])
    with pytest.raises(ValueError, match="input_features is not equal"):
        maps.get_feature_names_out(columns[::-1])


@every_map
def test_polars_in_and_out(name):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    maps = make(name).set_output(transform="polars")
    Z = maps.fit_transform(polars.DataFrame(X, schema=list("vwxyz")))
    assert isinstance(Z, polars.DataFrame)
    assert list(maps.feature_names_in_) == list("vwxyz")
    assert Z.columns == list(maps.get_feature_names_out())
    assert_array_equal(Z.to_numpy(), features(make(name)))


# ------------------------------------------------------------------- how many features, which


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 100, 1025])
@every_map
def test_exactly_so_many_features(name, n):
    for dtype in DTYPES:
        maps = make(name, n)
        Z = maps.fit_transform(X.astype(dtype))
        assert Z.shape == (20, n) and Z.dtype == dtype and Z.flags.c_contiguous
        assert len(maps.get_feature_names_out()) == n
        assert Z.any(axis=0).sum() >= 0.9 * n and len(np.unique(Z, axis=1).T) >= 0.9 * n


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1025])
@pytest.mark.parametrize("name", PAIRED)
def test_cosines_and_sines_of_pairs_and_what_closes_an_odd_number(name, n):
    Z = features(make(name, n))
    pairs_, last = Z[:, : n - n % 2], Z[:, n - n % 2 :]
    half = n // 2
    cosines, sines = pairs_[:, :half], pairs_[:, half:]
    assert_allclose(cosines**2 + sines**2, 2 / n, rtol=1e-13)
    assert (np.abs(last) <= math.sqrt(2 / n) * (1 + 1e-15)).all()
    np.testing.assert_array_less(0, np.ptp(last, axis=0))


@pytest.mark.parametrize("name", PAIRED)
def test_an_odd_number_closes_with_a_cosine_of_its_own(name):
    """a cos(t + u) + a cos(t - u) = 2 cos(u) a cos(t), for t = <w, x> + b and u = <w, h>."""
    rng = np.random.default_rng(1)
    maps = make(name, 7, sigma=1.0).fit(X)
    many, h = rng.standard_normal((400, 5)), rng.standard_normal(5) / 20
    last, ahead, behind = (maps.transform(many + step)[:, -1] for step in (0, h, -h))
    amplitude = math.sqrt(2 / 7)
    assert 0.999 * amplitude < np.abs(last).max() <= amplitude * (1 + 1e-15)
    slope = (ahead + behind) @ last / (last @ last)
    assert 0 < slope < 2
    assert_allclose(ahead + behind, slope * last, atol=1e-13)
    # It is none of the other cosines moved: each of those has another slope.
    others, forth, back = (maps.transform(many + step)[:, :3] for step in (0, h, -h))
    slopes = ((forth + back) * others).sum(axis=0) / (others**2).sum(axis=0)
    assert np.abs(slopes - slope).min() > 1e-6


@pytest.mark.parametrize("name", PAIRED)
def test_what_closes_has_the_kernel_as_its_mean(name):
    rng, few = np.random.default_rng(2), 0.6 * X[:4, :3]
    maps = make(name, 1, sigma=1.3, length_scales=SCALES[:3], random_state=rng)
    found = (maps.fit(few).transform(few)[:, 0] for _ in range(600))
    products = np.array([np.multiply.outer(z, z) for z in found])
    off = np.triu_indices(4)
    deviation = products.std(axis=0) / math.sqrt(len(products))
    z = (products.mean(axis=0) - maps.exact_kernel(few)) / deviation
    assert np.abs(z[off]).max() < 4.5
    # A bandwidth nearly twice as large would have been seen.
    wrong = maps.set_params(sigma=2.3).fit(few).exact_kernel(few)
    assert np.abs((products.mean(axis=0) - wrong) / deviation)[off].max() > 4.5


@pytest.mark.parametrize("length_scales", [None, SCALES])
@both_dtypes
@pytest.mark.parametrize("kernel", ["gaussian", "matern", "ball-sum"])
@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_attributes(kind, kernel, dtype, length_scales):
    tolerance = 1e-4 if dtype == np.float32 else 1e-13
    x = X.astype(dtype)
    maps = make(kind, 40, kernel=kernel, length_scales=length_scales).fit(x)
    v = x @ frequencies(maps).T
    expected = math.sqrt(2 / 40) * np.concatenate([np.cos(v), np.sin(v)], axis=1)
    assert_allclose(maps.transform(x), expected, atol=tolerance)
    maps.set_params(random_phase=True).fit(x)
    v = x @ frequencies(maps).T
    assert maps.phase_.shape == (40,) and maps.phase_.dtype == dtype
    assert maps.phase_.min() >= 0 and maps.phase_.max() < 2 * np.pi
    assert_allclose(maps.transform(x), math.sqrt(2 / 40) * np.cos(v + maps.phase_), atol=tolerance)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_arc_cosine_features_are_those_of_the_attributes(kind, order):
    maps = make(kind, 41, kernel="arc-cosine", order=order).fit(X)
    assert maps.sigma_ == 1 and maps.phase_ is None
    v = X @ frequencies(maps).T
    expected = math.sqrt(2 / 41) * (v > 0) * v**order
    sure = np.abs(v) > 1e-9  # SORF has rows that are zero but for the padding
    assert sure.mean() > 0.9
    assert_allclose(maps.transform(X)[sure], expected[sure], atol=1e-12)


def frequencies(maps):
    """The dense matrix (frequencies, 5) that fitted attributes stand for."""
    n = maps.n_components
    count = n // 2 if maps.phase_ is None and maps.kernel != "arc-cosine" else n
    if isinstance(maps, FastfoodFeatures):
        assert maps.factors_.S.shape == (-(-count // 8), 8)
        return fastfood_matrix(maps.factors_, 1 / (maps.sigma_ * math.sqrt(8)), (count, 5))
    if maps.get_params().get("method") != "sorf":
        return maps.frequencies_
    H = scipy.linalg.hadamard(8) / math.sqrt(8)
    blocks = [H @ np.diag(D1) @ H @ np.diag(D2) @ H @ np.diag(D3) for D1, D2, D3 in maps.signs_]
    return maps.lengths_[:, None] * np.concatenate(blocks)[:count, :5]


@both_dtypes
def test_fastfood_draws_the_factors_of_draw_fastfood(dtype):
    d, x = 100, np.random.default_rng(3).standard_normal((4, 100)).astype(dtype)
    small = FastfoodFeatures(1024, random_state=7).fit(x)
    large = FastfoodFeatures(2048, random_state=7).fit(x)
    for i, drawn in enumerate(draw_fastfood(d, 1024, rng=7)):
        assert_array_equal(large.factors_[i], drawn.astype(drawn.dtype if i == 3 else dtype))
        assert_array_equal(small.factors_[i], large.factors_[i][: 512 // 128])
    with_phase = FastfoodFeatures(1024, random_phase=True, random_state=7).fit(x)
    assert_array_equal(with_phase.factors_.G, large.factors_.G)


@pytest.mark.parametrize("gamma", ["scale", "median", 0.3])
@every_map
def test_length_scales_divide_the_columns(name, gamma):
    """Automatic relevance determination: X with l is X / l without, at the same sigma."""
    scaled = make(name, gamma=gamma, length_scales=list(SCALES)).fit(X)
    plain = make(name, gamma=gamma).fit(X / SCALES)
    assert scaled.sigma_ == pytest.approx(plain.sigma_, rel=1e-13)
    Z = plain.transform(X / SCALES)
    assert_allclose(scaled.transform(X), Z, atol=1e-10 * np.abs(Z).max())
    kernel = plain.exact_kernel(X / SCALES, X[:3] / SCALES)
    assert_allclose(scaled.exact_kernel(X, X[:3]), kernel, rtol=1e-10, atol=1e-14)
    assert not np.allclose(features(make(name)), Z)


# ----------------------------------------------------------------------------------- the kernel


def exact(maps, X, Y):
    """The kernel by its function, of points already divided by the length scales."""
    if maps.kernel == "arc-cosine":
        return kernels.arc_cosine(X, Y, order=maps.order)
    if maps.kernel == "matern":
        return kernels.matern(X, Y, nu=maps.nu, sigma=maps.sigma_)
    if maps.kernel == "ball-sum":
        padded = isinstance(maps, FastfoodFeatures) or maps.get_params().get("method") == "sorf"
        dimension = 8 if padded else 5
        return kernels.ball_sum(X, Y, degree=maps.degree, sigma=maps.sigma_, dimension=dimension)
    kernel = {"gaussian": kernels.gaussian, "laplacian": kernels.laplacian}[maps.kernel]
    return kernel(X, Y, sigma=maps.sigma_)


@both_dtypes
@every_kernel
def test_exact_kernel_is_that_of_the_functions(kind, kernel, dtype):
    x, y = X.astype(dtype), X[:7].astype(dtype) + dtype(0.5)
    factors = (1 / SCALES).astype(dtype)
    maps = make(kind, 8, gamma="median", **KERNELS[kernel]).fit(x)
    assert_array_equal(maps.exact_kernel(x, y), exact(maps, x, y), strict=True)
    assert_array_equal(maps.exact_kernel(x), exact(maps, x, x), strict=True)
    maps.set_params(length_scales=SCALES).fit(x)
    expected = exact(maps, x * factors, y * factors)
    assert_array_equal(maps.exact_kernel(x, y), expected, strict=True)
    assert maps.exact_kernel(x.tolist(), y.tolist()).dtype == np.float64


@every_kernel
def test_inner_products_are_near_the_kernel(kind, kernel):
    points = np.random.default_rng(4).standard_normal((30, 20))
    points *= np.linspace(0.1, 1, 30)[:, None] / np.linalg.norm(points, axis=1, keepdims=True)
    n = 4095 if kernel == "gaussian" else 4096
    maps = make(kind, n, sigma=2.0 if kernel == "laplacian" else 0.5, **KERNELS[kernel])
    Z = maps.fit_transform(points)
    expected = maps.exact_kernel(points)
    assert np.ptp(expected) > 0.5
    error = np.sqrt(np.mean((np.einsum("in,jn", Z, Z) - expected) ** 2))
    # Standard deviations of one product, of points of length 1 where there is an order.
    deviation = {"arc-cosine 1": 2.3, "arc-cosine 2": 15}.get(kernel, 1.0)
    assert error < 1.3 * deviation / math.sqrt(n)


# ---------------------------------------------------------------------------- kinds of input


def misaligned(x):
    bytes_ = np.empty(x.nbytes + 1, np.uint8)
    moved = bytes_[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    assert not moved.flags.aligned
    return moved


def frozen(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "F order": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": frozen,
    "misaligned": misaligned,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_map
def test_the_layout_of_the_input_does_not_matter(name, layout):
    for dtype in DTYPES:
        x = X.astype(dtype)
        given = LAYOUTS[layout](x)
        maps = make(name, gamma="median", length_scales=SCALES).fit(x)
        Z = maps.transform(x)
        assert_array_equal(maps.transform(given), Z, strict=True)
        assert_array_equal(features(maps, given), Z, strict=True)
        assert_array_equal(given, x)


@every_map
def test_other_numbers_become_float64(name):
    whole = np.abs(np.round(4 * X))
    expected = features(make(name), whole)
    kinds = (np.uint8, np.int64, np.float16, np.longdouble, ">f4", ">f8", object)
    for given in (whole.tolist(), *(whole.astype(kind) for kind in kinds)):
        assert_array_equal(features(make(name), given), expected, strict=True)
    assert_array_equal(features(make(name), whole > 1), features(make(name), 1.0 * (whole > 1)))


@every_map
def test_float32_is_near_float64(name):
    maps, x = make(name), X.astype(np.float32)
    Z = features(maps)
    for near in (features(maps, x), maps.fit(X).transform(x), maps.fit(x).transform(X)):
        assert_allclose(near, Z, atol=2e-4 * np.abs(Z).max())
    assert maps.fit(x).transform(X).dtype == np.float64


@every_map
def test_input_and_parameters_are_left_alone(name):
    dense, compressed = X.copy(), sparse.csr_array(SPARSE)
    maps = make(name, length_scales=SCALES.copy(), gamma="median")
    before = maps.get_params()
    for points in (dense, compressed):
        maps.fit(points).transform(points)
        maps.fit_transform(points)
    maps.exact_kernel(dense, dense)
    assert_array_equal(dense, X)
    assert_array_equal(compressed.toarray(), SPARSE)
    after = maps.get_params()
    assert before.keys() == after.keys()
    assert all(before[key] is after[key] for key in before)
    assert_array_equal(maps.length_scales, SCALES)


@pytest.mark.parametrize("form", COMPRESSED, ids=lambda form: form.__name__)
@every_map
def test_sparse_is_dense(name, form):
    for gamma, scales in (("scale", None), ("scale", SCALES), ("median", SCALES), (0.2, None)):
        maps = make(name, gamma=gamma, length_scales=scales)
        for dtype, tolerance in ((np.float32, 2e-3), (np.float64, 1e-11)):
            x = SPARSE.astype(dtype)
            Z, ours = features(maps, x), features(maps, form(x))
            assert isinstance(ours, np.ndarray) and ours.dtype == dtype
            assert_allclose(ours, Z, atol=tolerance * np.abs(Z).max())


@every_map
def test_sparse_integers_become_float64(name):
    whole = np.round(3 * SPARSE).astype(np.int32)
    Z = features(make(name), sparse.csc_array(whole))
    assert Z.dtype == np.float64
    assert_allclose(Z, features(make(name), whole), atol=1e-10)


@pytest.mark.parametrize("rows", [1, 3, 20, 21])
@every_map
def test_sparse_rows_in_blocks(name, rows, monkeypatch):
    maps = make(name).fit(SPARSE)
    Z = maps.transform(SPARSE)
    monkeypatch.setattr(pairs, "BLOCK_BYTES", rows * 8 * 5)
    assert_allclose(maps.transform(sparse.csr_array(SPARSE)), Z, atol=1e-13 * np.abs(Z).max())


def test_sparse_rows_are_never_all_dense(monkeypatch):
    tracemalloc = pytest.importorskip("tracemalloc")
    x = sparse.eye_array(2000, 1000, format="csr")
    maps = make("fourier", 8).fit(x)
    maps.transform(x[:1])
    monkeypatch.setattr(pairs, "BLOCK_BYTES", 1 << 20)
    tracemalloc.start()
    maps.transform(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20  # dense they are 16 MB


@both_dtypes
@every_map
def test_one_row_is_that_of_the_batch(name, dtype):
    x = np.random.default_rng(6).standard_normal((300, 5)).astype(dtype)
    maps = make(name).fit(x)
    Z = maps.transform(x)
    tolerance = (2e-3 if dtype == np.float32 else 1e-11) * np.abs(Z).max()
    assert_allclose(maps.transform(x[100:200]), Z[100:200], atol=tolerance)
    for i in (0, 1, 150, 299):
        assert_allclose(maps.transform(x[i : i + 1])[0], Z[i], atol=tolerance)


@pytest.mark.skipif(BACKEND == "reference", reason="compiled kernels run as plain Python")
@both_dtypes
@every_map
def test_backends_agree(name, dtype):
    x = X.astype(dtype)
    maps = make(name).fit(x)
    Z = maps.transform(x)
    with backends.using("reference"):
        near = maps.transform(x)
    assert_allclose(Z, near, atol=(1e-3 if dtype == np.float32 else 1e-12) * np.abs(Z).max())


# ------------------------------------------------------------------------- copies and refitting


@every_map
def test_clones_draw_the_same(name):
    maps = make(name).fit(X)
    other = clone(maps)
    with pytest.raises(NotFittedError):
        other.transform(X)
    assert_array_equal(other.fit(X).transform(X), maps.transform(X))


@both_dtypes
@every_map
def test_copies_transform_the_same(name, dtype, tmp_path):
    x = X.astype(dtype)
    for n in (1, 65):
        maps = make(name, n, length_scales=SCALES).fit(x)
        Z, kernel = maps.transform(x), maps.exact_kernel(x)
        joblib.dump(maps, tmp_path / "maps")
        for other in (
            pickle.loads(pickle.dumps(maps)),
            copy.deepcopy(maps),
            copy.copy(maps),
            joblib.load(tmp_path / "maps"),
            joblib.load(tmp_path / "maps", mmap_mode="r"),
        ):
            assert_array_equal(other.transform(x), Z, strict=True)
            assert_array_equal(other.exact_kernel(x), kernel, strict=True)


@every_map
def test_refitting_forgets_other_points(name):
    maps = make(name, gamma="median").fit(np.tile(X, 2))
    for points in (X.astype(np.float32), np.tile(X, 4), X[:7] + 1):
        fresh = make(name, gamma="median").fit(points)
        assert state(maps.fit(points)) == state(fresh)
        assert_array_equal(maps.transform(points), fresh.transform(points), strict=True)
    with pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 5"):
        maps.transform(X[:, :2])


@pytest.mark.parametrize(
    "other",
    [{"n_components": 1}, {"n_components": 7}, {"random_phase": True}, {"kernel": "arc-cosine"}],
    ids=str,
)
@pytest.mark.parametrize("kind", KINDS)
def test_refitting_forgets_other_parameters(kind, other):
    maps = make(kind).fit(X).set_params(**other).fit(X)
    fresh = make(kind, **other).fit(X)
    assert_array_equal(maps.transform(X), fresh.transform(X))
    assert state(maps) == state(fresh)


@pytest.mark.parametrize(("first", "second"), [("orf", "sorf"), ("sorf", "orf")])
def test_refitting_forgets_the_other_method(first, second):
    maps = make(first).fit(X).set_params(method=second).fit(X)
    assert_array_equal(maps.transform(X), features(make(second)))
    assert state(maps) == state(make(second).fit(X))


@every_map
def test_parameters_set_after_fit_wait_for_the_next(name):
    maps = make(name).fit(X)
    Z = maps.transform(X)
    maps.set_params(n_components=3, kernel="matern", order=0, random_phase=True, sigma=9.0)
    maps.set_params(length_scales=SCALES, random_state=1)
    assert_array_equal(maps.transform(X), Z)
    assert maps.fit(X).transform(X).shape == (20, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_are_there_for_any_number_of_features(kind):
    names = {"fastfood": ["factors_"], "sorf": ["signs_", "lengths_"]}
    for n in (1, 2):
        maps = make(kind, n).fit(X)
        for name in (*names.get(kind, ["frequencies_"]), "sigma_", "phase_", "n_features_in_"):
            assert hasattr(maps, name), f"n_components={n}: {name}"


# --------------------------------------------------------------------------------- random states


@every_map
def test_seeds(name):
    for n in (1, 65):
        maps = make(name, n, random_state=3)
        Z = features(maps)
        assert_array_equal(features(maps), Z)
        assert_array_equal(features(make(name, n, random_state=np.int64(3))), Z)
        assert_array_equal(features(make(name, n, random_state=np.random.default_rng(3))), Z)
        assert not np.isclose(features(make(name, n, random_state=4)), Z).all(axis=0).any()


@pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
@every_map
def test_generators_advance(name, kind):
    maps = make(name, random_state=kind(3))
    first, second = (maps.fit(X).transform(X) for _ in range(2))
    assert not np.isclose(first, second).all(axis=0).any()
    again = make(name, random_state=kind(3))
    assert_array_equal(again.fit(X).transform(X), first)
    assert_array_equal(again.fit(X).transform(X), second)


@every_map
def test_none_is_numpys_global_state(name):
    maps = make(name, random_state=None)
    before = np.random.get_state()  # noqa: NPY002
    try:
        found = []
        for seed in (3, None, 3, 4):
            if seed is not None:
                np.random.seed(seed)  # noqa: NPY002
            found.append(maps.fit(X).transform(X))
    finally:
        np.random.set_state(before)  # noqa: NPY002
    assert_array_equal(found[2], found[0])
    for other in (found[1], found[3]):
        assert not np.isclose(other, found[0]).all(axis=0).any()
