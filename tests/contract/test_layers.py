"""The contract of `layers.base`, checked on every layer."""

import copy
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from contract.layers_table import CASES, DTYPES, ROWS, frozen, run

from fastfood_np.layers import Layer

every_layer = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def only(wanted):
    """The lines of the table that `wanted` picks."""
    cases = [case for case in CASES if wanted(case)]
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_same(ours, theirs):
    """Bit for bit, dtype and shape too."""
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs, strict=True)


def assert_all_same(ours, theirs):
    for our, their in zip(ours[:2], theirs[:2], strict=True):
        assert_same(our, their)
    assert ours[2].keys() == theirs[2].keys()
    for name in ours[2]:
        assert_same(ours[2][name], theirs[2][name])


def copies(result):
    y, dx, grads, _ = result
    return y.copy(), dx.copy(), {name: grad.copy() for name, grad in grads.items()}


def state(value):
    """Everything an object holds, as something that `==` compares."""
    if isinstance(value, Layer):
        return type(value), state(vars(value))
    if isinstance(value, dict):
        return {key: state(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    return copy.deepcopy(value)


def address(array):
    return array.__array_interface__["data"][0]


def tolerance(dtype, d):
    """What BLAS may lose on sums of `d` terms, relative to the largest result."""
    return 4 * np.finfo(dtype).eps * math.sqrt(d)


# ------------------------------------------------------------------------------- results


@both_dtypes
@every_layer
def test_dtypes_and_shapes(case, dtype):
    layer, x = case.layer(dtype), case.inputs(dtype)
    y, dx, grads, _ = run(layer, x)
    assert y.dtype == dx.dtype == dtype
    assert dx.shape == x.shape and len(y) == len(x)
    assert tuple(sorted(grads)) == tuple(sorted(layer.trainable))
    for name, grad in grads.items():
        assert grad.dtype == dtype and grad.shape == layer.params[name].shape


@every_layer
def test_counts(case):
    layer = case.layer(np.float32)
    assert (layer.n_weights, layer.n_biases) == case.counts
    assert sum(value.size for value in layer.params.values()) == sum(case.counts)


@both_dtypes
@every_layer
def test_calling_is_forward_without_training(case, dtype):
    layer, x = case.layer(dtype), case.inputs(dtype)
    assert_same(layer(x), layer.forward(x)[0])
    # train=False needs no rng, and one given draws nothing.
    rng = np.random.default_rng(1)
    assert_same(layer(x), layer.forward(x, False, rng)[0])
    assert rng.bit_generator.state == np.random.default_rng(1).bit_generator.state


@only(lambda case: case.layer(np.float32).draws)
def test_dropout_is_on_while_training_only(case):
    layer, x = case.layer(np.float64), case.inputs(np.float64)
    assert not np.array_equal(layer.forward(x, train=True, rng=3)[0], layer(x))
    assert_same(layer.forward(x, train=True, rng=3)[0], layer.forward(x, train=True, rng=3)[0])
    generator = np.random.default_rng(3)
    assert_same(layer.forward(x, True, 3)[0], layer.forward(x, True, generator)[0])
    with pytest.raises(ValueError, match="rng must be given"):
        layer.forward(x, train=True)
    with pytest.raises(TypeError, match="rng"):
        layer.forward(x, train=True, rng="seed")


@only(lambda case: not case.layer(np.float32).draws)
def test_without_dropout_training_changes_nothing(case):
    layer, x = case.layer(np.float64), case.inputs(np.float64)
    assert_same(layer.forward(x, train=True)[0], layer(x))


@both_dtypes
@every_layer
def test_batching(case, dtype):
    """The rows of a batch do not know of each other."""
    layer, x = case.layer(dtype), case.inputs(dtype, 7)
    y, cache = layer.forward(x)
    dy = frozen(np.random.default_rng(2).standard_normal(y.shape), dtype)
    dx, _ = layer.backward(dy, cache)
    for first, last in ((0, 4), (4, 7), (6, 7)):
        part, cache = layer.forward(x[first:last])
        dpart, _ = layer.backward(dy[first:last], cache)
        for ours, theirs in ((part, y[first:last]), (dpart, dx[first:last])):
            if case.exact:
                assert_same(ours, theirs)
            else:
                limit = tolerance(dtype, math.prod(case.shape)) * np.abs(theirs).max()
                assert np.abs(ours - theirs).max() <= limit


@both_dtypes
@only(lambda case: case.linear)
def test_backward_is_the_transpose(case, dtype):
    """<W x, y> = <x, W' y>, with the mask of one seed where there is dropout."""
    layer, x = case.layer(dtype), case.inputs(dtype)
    y, cache = layer.forward(x, train=True, rng=5)
    other = frozen(np.random.default_rng(6).standard_normal(y.shape), dtype)
    dx, _ = layer.backward(other, cache)
    left, right = np.float64(y) * other, np.float64(x) * dx
    limit = 100 * np.finfo(dtype).eps * max(np.abs(left).sum(), np.abs(right).sum())
    assert abs(left.sum() - right.sum()) <= limit
    assert np.abs(left).sum() > 0


@every_layer
def test_no_rows(case):
    layer = case.layer(np.float32)
    y, dx, grads, _ = run(layer, case.inputs(np.float32, 0))
    assert len(y) == 0 and dx.shape == (0, *case.shape)
    assert y.shape[1:] == layer(case.inputs(np.float32)).shape[1:]
    assert all(not grad.any() for grad in grads.values())
    assert grads.keys() == set(layer.trainable)


@every_layer
def test_need_dx(case):
    layer, x = case.layer(np.float64), case.inputs(np.float64)
    _, _, wanted, _ = run(layer, x)
    _, dx, grads, _ = run(layer, x, need_dx=False)
    assert dx is None
    assert grads.keys() == wanted.keys()
    for name in grads:
        assert_same(grads[name], wanted[name])


@both_dtypes
@every_layer
def test_memory_layout_does_not_matter(case, dtype):
    layer, x = case.layer(dtype), case.inputs(dtype)
    y, cache = layer.forward(x)
    dy = frozen(np.random.default_rng(2).standard_normal(y.shape), dtype)
    dx, grads = layer.backward(dy, cache)

    def stretched(array):
        wide = np.zeros((2 * len(array), *array.shape[1:-1], 2 * array.shape[-1]), array.dtype)
        wide[::2, ..., ::2] = array
        return wide[::2, ..., ::2]

    def assert_close(ours, theirs, d):
        limit = tolerance(dtype, d) * np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)

    for layout in (np.asfortranarray, stretched):
        other_y, cache = layer.forward(layout(x))
        other_dx, other_grads = layer.backward(layout(dy), cache)
        for ours, theirs in ((other_y, y), (other_dx, dx)):
            if case.exact:
                np.testing.assert_array_equal(ours, theirs)
            else:
                assert_close(ours, theirs, max(case.shape))
        for name in layer.trainable:  # sums over the rows, whose order may depend on the layout
            assert_close(other_grads[name], grads[name], ROWS)


@every_layer
def test_nan_propagates(case):
    """NaN in one row of x or dy reaches that row's y or dx, and no other row's."""
    layer, x = case.layer(np.float32), case.inputs(np.float32)
    y, cache = layer.forward(x)
    # Of ones, so that something passes each ReLU.
    dy = np.ones_like(y)
    dx, _ = layer.backward(dy, cache)
    spoilt, spoilt_dy = x.copy(), dy.copy()
    spoilt[2] = np.nan
    spoilt_dy[2] = np.nan
    spoilt_y = layer(frozen(spoilt, np.float32))
    spoilt_dx, _ = layer.backward(frozen(spoilt_dy, np.float32), layer.forward(x)[1])
    assert np.isnan(spoilt_y[2]).all()
    assert np.isnan(spoilt_dx[2]).any()
    others = [0, 1, 3, 4]
    limit = 0 if case.exact else tolerance(np.float32, 40)
    np.testing.assert_allclose(spoilt_y[others], y[others], rtol=limit, atol=limit)
    np.testing.assert_allclose(spoilt_dx[others], dx[others], rtol=limit, atol=limit)


# --------------------------------------------------------------- nothing hidden, nothing lost


@every_layer
def test_forward_and_backward_store_nothing(case):
    layer, x = case.layer(np.float32), case.inputs(np.float32)
    before = state(layer)
    layer(x)
    run(layer, x)
    assert state(layer) == before


@pytest.mark.compiled_only
@every_layer
def test_inference_from_eight_threads(case):
    layer = case.layer(np.float32)
    batches = [case.inputs(np.float32, seed=seed) for seed in range(8)]
    alone = [layer(x) for x in batches]
    start = threading.Barrier(8)

    def infer(x):
        start.wait()
        return [layer(x) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for wanted, answers in zip(alone, pool.map(infer, batches), strict=True):
            for answer in answers:
                assert_same(answer, wanted)


@every_layer
def test_inputs_are_never_written(case):
    layer, x = case.layer(np.float32), case.inputs(np.float32).copy()
    y, cache = layer.forward(x, train=True, rng=1)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
    x_before, dy_before = x.copy(), dy.copy()
    params = {name: value.copy() for name, value in layer.params.items()}
    layer.backward(dy, cache)
    layer(x)
    assert_same(x, x_before)
    assert_same(dy, dy_before)
    for name, value in params.items():
        assert_same(layer.params[name], value)


@only(lambda case: not case.view)
def test_fresh_arrays_without_a_cache(case):
    layer, x = case.layer(np.float32), case.inputs(np.float32)
    y, dx, grads, _ = run(layer, x)
    kept = copies((y, dx, grads, None))
    again = run(layer, x, seed=8)
    # SoftmaxCrossEntropy apart, all that a call returns is its own.
    arrays = [y, dx, *grads.values(), again[0], again[1], *again[2].values()]
    held = [x, *layer.params.values(), *layer.constants.values()]
    for i, array in enumerate(arrays):
        for other in (*arrays[:i], *held):
            assert not np.shares_memory(array, other)
    assert_all_same((y, dx, grads), kept)


def spoil(cache):
    """Fill every buffer a cache owns with junk."""
    for value in cache.get("buffers", {}).values():
        value.fill(True if value.dtype == bool else 77)
        if value.dtype.kind == "f":
            value.fill(np.nan)
    for value in cache.values():
        if isinstance(value, dict) and value is not cache.get("buffers"):
            spoil(value)


@both_dtypes
@every_layer
def test_a_cache_changes_no_bit(case, dtype):
    """Also where its buffers hold junk, and for larger and smaller batches after one another."""
    layer, cache = case.layer(dtype), {}
    for rows, seed in ((3, 1), (3, 2), (6, 3), (2, 4), (0, 5), (6, 6)):
        x = case.inputs(dtype, rows, seed)
        ours = run(layer, x, seed, cache)
        assert ours[3] is cache
        assert_all_same(ours, run(layer, x, seed))
        spoil(cache)


@every_layer
def test_a_cache_may_change_its_dtype(case):
    cache = {}
    for dtype in (np.float32, np.float64, np.float32):
        layer, x = case.layer(dtype), case.inputs(dtype)
        assert_all_same(run(layer, x, 1, cache), run(layer, x, 1))


@only(lambda case: not case.view)
def test_a_cache_owns_its_buffers(case):
    layer, cache = case.layer(np.float32), {}
    y, dx, grads, _ = run(layer, case.inputs(np.float32, 4), 1, cache)
    places = [address(array) for array in (y, dx, *grads.values())]
    for rows in (4, 2):  # the same, and leading rows
        y2, dx2, grads2, _ = run(layer, case.inputs(np.float32, rows), 2, cache)
        assert len(y2) == rows
        assert [address(array) for array in (y2, dx2, *grads2.values())] == places
    larger, dx_larger, _, _ = run(layer, case.inputs(np.float32, 6), 3, cache)
    assert not np.shares_memory(larger, y) and not np.shares_memory(dx_larger, dx)
    # Reallocated once, then kept.
    again, dx_again, _, _ = run(layer, case.inputs(np.float32, 5), 4, cache)
    assert (address(again), address(dx_again)) == (address(larger), address(dx_larger))


@only(lambda case: case.layer(np.float32).trainable)
def test_gradients_are_overwritten(case):
    layer, x, cache = case.layer(np.float64), case.inputs(np.float64), {}
    first = copies(run(layer, x, 1, cache))
    second = run(layer, x, 1, cache)
    assert_all_same(second, first)
    assert any(grad.any() for grad in second[2].values())


@every_layer
def test_a_cache_of_an_earlier_call_without_one(case):
    """It owned no buffers; given back, it owns new ones and takes none of the caller's arrays."""
    layer = case.layer(np.float32)
    x, other = case.inputs(np.float32, 4, 1), case.inputs(np.float32, 4, 2)
    y, dx, grads, cache = run(layer, x, 1)
    kept = copies((y, dx, grads, None))
    assert_all_same(run(layer, other, 2, cache), run(layer, other, 2))
    assert_all_same((y, dx, grads), kept)


@both_dtypes
@every_layer
def test_astype(case, dtype):
    layer = case.layer(dtype)
    before = state(layer)
    for other_dtype in DTYPES:
        other = layer.astype(other_dtype)
        x = case.inputs(other_dtype)
        assert other(x).dtype == other_dtype
        assert other.trainable == layer.trainable
        assert (other.n_weights, other.n_biases) == case.counts
        for name, value in other.params.items():
            assert value.dtype == other_dtype
            assert not np.shares_memory(value, layer.params[name])
    if dtype == np.float32:
        back = layer.astype(np.float64).astype(np.float32)
        for name, value in layer.params.items():
            assert_same(back.params[name], value)
        assert_same(back(case.inputs(dtype)), layer(case.inputs(dtype)))
    assert state(layer) == before


# ------------------------------------------------------------------------------ wrong calls


@only(lambda case: case.counts != (0, 0))
def test_wrong_dtype_of_a_layer_with_params(case):
    layer = case.layer(np.float32)
    with pytest.raises(TypeError, match=r"x must have .* float32, got float64.*astype\('float64'"):
        layer.forward(case.inputs(np.float64))
    with pytest.raises(TypeError, match="float32, got float64"):
        layer(case.inputs(np.float64))
    y, cache = layer.forward(case.inputs(np.float32))
    with pytest.raises(TypeError, match=r"dy must have .* float32, got float64"):
        layer.backward(y.astype(np.float64), cache)


@every_layer
@pytest.mark.parametrize("wrong", [np.int64, np.float16, np.complex128])
def test_wrong_dtype(case, wrong):
    layer = case.layer(np.float32)
    with pytest.raises(TypeError, match=np.dtype(wrong).name):
        layer.forward(np.zeros((ROWS, *case.shape), wrong))
    y, cache = layer.forward(case.inputs(np.float32))
    with pytest.raises(TypeError, match=np.dtype(wrong).name):
        layer.backward(y.astype(wrong), cache)


@every_layer
def test_no_array(case):
    layer = case.layer(np.float32)
    with pytest.raises(TypeError, match="x must be a NumPy array, got list"):
        layer.forward([[1.0]])
    _, cache = layer.forward(case.inputs(np.float32))
    with pytest.raises(TypeError, match="dy must be a NumPy array, got list"):
        layer.backward([[1.0]], cache)


@every_layer
def test_wrong_shape(case):
    layer = case.layer(np.float32)
    for shape in case.wrong:
        with pytest.raises(ValueError, match="must"):
            layer.forward(np.zeros(shape, np.float32))
        with pytest.raises(ValueError, match="must"):
            layer(np.zeros(shape, np.float32))


@every_layer
def test_wrong_shape_of_dy(case):
    layer = case.layer(np.float32)
    y, cache = layer.forward(case.inputs(np.float32))
    for shape in ((len(y) + 1, *y.shape[1:]), (*y.shape[:-1], y.shape[-1] + 1), y.shape[:-1]):
        with pytest.raises(ValueError, match="dy must have"):
            layer.backward(np.zeros(shape, np.float32), cache)


@every_layer
def test_cache_that_forward_never_filled(case):
    layer = case.layer(np.float32)
    dy = np.zeros_like(layer(case.inputs(np.float32)))
    for empty in ({}, {"buffers": {}}):
        with pytest.raises(ValueError, match="cache must come from a forward pass"):
            layer.backward(dy, empty)
    with pytest.raises(TypeError, match="cache must be the dict forward returned"):
        layer.backward(dy, None)
