"""Laws of the exact kernels on whatever hypothesis thinks of."""

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastfood_np.kernels import arc_cosine, ball_sum, gaussian, laplacian, matern

ORDERS = st.sampled_from([0, 1, 2])
SIGMAS = st.floats(0.1, 100.0)
POWERS = st.integers(-20, 20).map(lambda exponent: 2.0**exponent)
# Nothing between 0 and 1/1024: squares of tinier numbers would lose digits in the laws themselves.
COORDINATES = st.integers(-(2**20), 2**20).map(lambda k: k / 1024)
# Functions of |x - y|. The dimension 64 stands for padded inputs.
OSCILLATING = [partial(ball_sum, degree=1), partial(ball_sum, degree=3, dimension=64)]
RADIAL = st.sampled_from(
    [
        gaussian,
        *(partial(matern, nu=nu) for nu in (0.5, 1.5, 2.5)),
        *OSCILLATING,
        partial(ball_sum, degree=2),
    ]
)
LAWS = settings(deadline=None, max_examples=100)


@st.composite
def points(draw, dtype=np.float64):
    """Matrices (m, d), often with equal, opposite or zero rows among them."""
    m, d = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    X = draw(hnp.arrays(dtype, (m, d), elements=COORDINATES))
    factors = draw(hnp.arrays(dtype, m, elements=st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0])))
    return np.vstack([X, factors[:, None] * X])


@st.composite
def rotations(draw, d):
    """Orthogonal matrices (d, d)."""
    seed = draw(st.integers(0, 2**32 - 1))
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def scales(X, order):
    """|x|^n |y|^n for every pair of rows: what an error of the kernel is measured by."""
    return np.multiply.outer(*[np.linalg.norm(X, axis=1) ** order] * 2)


@LAWS
@given(RADIAL | st.just(laplacian), st.one_of(points(), points(np.float32)), SIGMAS)
def test_stationary_kernel_of_a_set(kernel_of, X, sigma):
    kernel = kernel_of(X, sigma=sigma)
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(kernel.diagonal(), 1.0)
    assert (kernel >= (-1 if kernel_of in OSCILLATING else 0)).all() and (kernel <= 1).all()
    # Norm of the kernel at most len(X); the factor is for LAPACK and the Bessel function.
    limit = 32 * len(X) * np.finfo(X.dtype).eps
    assert np.linalg.eigvalsh(kernel.astype(float)).min() >= -limit


@LAWS
@given(RADIAL | st.just(laplacian), points(), SIGMAS, st.integers(-1000, 1000))
def test_stationary_kernel_depends_on_differences(kernel_of, X, sigma, shift):
    kernel = kernel_of(X, sigma=sigma)
    np.testing.assert_array_equal(kernel_of(X + shift, sigma=sigma), kernel)
    np.testing.assert_array_equal(kernel_of(-X, sigma=sigma), kernel)


@LAWS
@given(RADIAL, points(), SIGMAS, st.data())
def test_radial_kernel_does_not_see_rotations(kernel_of, X, sigma, data):
    turned = kernel_of(X @ data.draw(rotations(X.shape[1])), sigma=sigma)
    # No kernel moves by more than |x - y| / sigma does.
    limit = 1e-13 * (1 + np.abs(X).max() / sigma)
    np.testing.assert_allclose(turned, kernel_of(X, sigma=sigma), rtol=0, atol=limit)


@LAWS
@given(points(), SIGMAS, st.data())
def test_laplacian_sees_no_order_of_columns(X, sigma, data):
    order = data.draw(st.permutations(range(X.shape[1])))
    np.testing.assert_array_equal(laplacian(X[:, order], sigma=sigma), laplacian(X, sigma=sigma))


@LAWS
@given(points(), SIGMAS)
def test_laplacian_is_a_product_over_columns(X, sigma):
    product = np.prod([laplacian(column[:, None], sigma=sigma) for column in X.T], axis=0)
    np.testing.assert_allclose(laplacian(X, sigma=sigma), product, rtol=1e-12, atol=1e-300)


@LAWS
@given(RADIAL | st.just(laplacian), points(), SIGMAS, POWERS)
def test_stationary_kernel_sees_only_the_ratio_to_sigma(kernel_of, X, sigma, power):
    np.testing.assert_array_equal(
        kernel_of(power * X, sigma=power * sigma), kernel_of(X, sigma=sigma)
    )


@LAWS
@given(RADIAL | st.just(laplacian), points(), points(), SIGMAS)
def test_stationary_kernel_transposes(kernel_of, X, Y, sigma):
    d = min(X.shape[1], Y.shape[1])
    X, Y = X[:, :d], Y[:, :d]
    np.testing.assert_array_equal(kernel_of(X, Y, sigma=sigma), kernel_of(Y, X, sigma=sigma).T)


@LAWS
@given(points(), SIGMAS, st.integers(1, 6), st.integers(0, 20))
def test_ball_sum_is_a_power(X, sigma, degree, more):
    D = X.shape[1] + more
    once = ball_sum(X, degree=1, sigma=np.sqrt(degree) * sigma, dimension=D)
    kernel = ball_sum(X, degree=degree, sigma=sigma, dimension=D)
    np.testing.assert_allclose(kernel, once**degree, rtol=0, atol=2e-14)


@LAWS
@given(st.one_of(points(), points(np.float32)), ORDERS)
def test_arc_cosine_of_a_set(X, order):
    kernel = arc_cosine(X, order=order)
    eps, X = np.finfo(X.dtype).eps, X.astype(np.float64)
    np.testing.assert_array_equal(kernel, kernel.T)
    assert (kernel >= 0).all()
    largest = {0: 1, 1: 1, 2: 3}[order] * scales(X, order)
    assert (kernel <= (1 + 16 * eps) * largest).all()
    moving = X.any(axis=1)
    np.testing.assert_allclose(kernel.diagonal()[moving], largest.diagonal()[moving], rtol=16 * eps)
    eigenvalues = np.linalg.eigvalsh(kernel.astype(float))
    assert eigenvalues.min() >= -16 * len(X) * eps * largest.max()


@LAWS
@given(points(), ORDERS, POWERS)
def test_arc_cosine_is_homogeneous(X, order, power):
    np.testing.assert_array_equal(
        arc_cosine(power * X, X, order=order), power**order * arc_cosine(X, order=order)
    )


@LAWS
@given(points(), ORDERS, st.data())
def test_arc_cosine_does_not_see_rotations(X, order, data):
    turned = arc_cosine(X @ data.draw(rotations(X.shape[1])), order=order)
    assert (np.abs(turned - arc_cosine(X, order=order)) <= 1e-13 * scales(X, order)).all()


@LAWS
@given(points(), points(), ORDERS)
def test_arc_cosine_transposes(X, Y, order):
    d = min(X.shape[1], Y.shape[1])
    X, Y = X[:, :d], Y[:, :d]
    np.testing.assert_array_equal(arc_cosine(X, Y, order=order), arc_cosine(Y, X, order=order).T)


@LAWS
@given(points(), ORDERS)
def test_opposite_angles_add_up(X, order):
    # k_0(x, y) + k_0(x, -y) = 1; k_1(x, y) - k_1(x, -y) = <x, y>; and for n = 2 the sum is
    # |x|^2 |y|^2 + 2 <x, y>^2: the step, ReLU and squared ReLU of t and -t give 1, t and t^2.
    same, opposite = arc_cosine(X, order=order), arc_cosine(X, -X, order=order)
    dots, norms = X @ X.T, scales(X, 2)
    left = same - opposite if order == 1 else same + opposite
    right = {0: np.ones_like(dots), 1: dots, 2: norms + 2 * dots**2}[order]
    assert (np.abs(left - right) <= 1e-13 * scales(X, order)).all()
