"""The vocabulary of vectors: compiled and in Python it is one language, and NumPy says what.

Every body below is run both ways and compared with NumPy bit for bit; `_` stands between results,
so that a word that writes too far is noticed.
"""

import ast
import functools
import inspect
import re

import numba
import numpy as np
import pytest

from fastfood_np.backends.cpu import jit, simd, simd_in_python
from fastfood_np.backends.cpu.simd import (
    EIGHT,
    FOUR,
    ONE,
    SIXTEEN,
    TWO,
    U,
    add,
    add_all,
    add_each,
    butterflies,
    butterflies_within,
    element_bytes,
    flat,
    gather_all,
    load,
    load_all,
    look_up_all,
    multiply,
    multiply_add,
    multiply_all,
    prefetch,
    scatter_all,
    sixteen_bytes,
    spread,
    spread_all,
    start_at,
    store,
    store_all,
    transpose,
    up_to_line,
    zeros,
)

COUNTS = (ONE, TWO, FOUR, EIGHT, SIXTEEN)
GAP = 7.0

both_dtypes = pytest.mark.parametrize("dtype", (np.float32, np.float64))
every_length = pytest.mark.parametrize("lanes", COUNTS, ids=len)


def in_python(body):
    """The body in the words of `simd_in_python`."""
    words = {name: getattr(simd_in_python, name) for name in simd_in_python.__all__}
    return jit.renamed(body, "_in_python", **words)


# Once for each body: for other values of the same types there is nothing to compile again.
compiled = functools.cache(numba.njit)


@pytest.fixture(params=[compiled, in_python], ids=["compiled", "in_python"])
def form(request):
    """What makes of a body a function to call."""
    return request.param


def numbers(size, dtype):
    """Normal numbers, and among them zeros of both signs and some that are nearly too small."""
    rng = np.random.default_rng(size)
    tiny = np.finfo(dtype).smallest_subnormal
    odd = rng.choice(np.array([0.0, -0.0, tiny, -3 * tiny], dtype), size)
    return np.where(rng.random(size) < 0.2, odd, rng.standard_normal(size).astype(dtype))


def bits(array):
    return array.view(f"i{array.itemsize}")


def assert_results(out, *expected):
    """`out` holds the expected vectors (count, lanes), each with a gap behind it."""
    for k, (actual, vectors) in enumerate(zip(out, expected, strict=True)):
        vectors = np.asarray(vectors)
        assert vectors.dtype == out.dtype
        with_gaps = np.full_like(actual, GAP)
        with_gaps[: len(vectors), :-1] = vectors
        np.testing.assert_array_equal(bits(actual), bits(with_gaps), f"result {k}")


def gaps(results, lanes, count, dtype):
    return np.full((results, len(count), len(lanes) + 1), GAP, dtype)


# ------------------------------------------------------------------------------- the two languages


def functions(module):
    """The public functions at the top of a module, with the names of their arguments."""
    return {
        node.name: [argument.arg for argument in node.args.args]
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


def test_same_words_with_the_same_arguments():
    compiled, in_python = functions(simd), functions(simd_in_python)
    assert all(arguments[0] == "typing" for arguments in compiled.values())
    assert {word: arguments[1:] for word, arguments in compiled.items()} == in_python
    assert sorted(in_python) == simd_in_python.__all__


def test_which_words_are_used_without_the_compiler():
    for word in functions(simd):
        same = getattr(simd, word) is getattr(simd_in_python, word)
        assert same == jit.disabled(), word


def test_every_word_is_tested():
    """A word that the vocabulary gains must be added to a body below."""
    bodies = [value for name, value in globals().items() if re.match("[a-z_]+_body$", name)]
    spoken = {name for body in bodies for name in body.__code__.co_names}
    assert spoken >= set(functions(simd))


def test_counts():
    assert [len(count) for count in COUNTS] == [1, 2, 4, 8, 16]


# ------------------------------------------------------------------------------------ single words


def one_vector_body(lanes, array, factor, out):
    x, y = load(lanes, array, U(3)), load(lanes, array, U(1))
    step = U(len(lanes) + 1)
    store(out, U(0), x)
    store(out, step, zeros(lanes, array))
    store(out, U(2) * step, spread(lanes, factor))
    store(out, U(3) * step, add(x, y))
    store(out, U(4) * step, multiply(x, y))
    store(out, U(5) * step, multiply_add(factor, x, y))


@both_dtypes
@every_length
def test_one_vector(form, lanes, dtype):
    # Whole numbers, so that multiply_add is exact, rounded once or twice.
    array = np.random.default_rng(1).integers(-9, 10, len(lanes) + 3).astype(dtype)
    array[3] = -0.0
    x, y, factor = array[3:], array[1:-2], dtype(-3)
    out = gaps(6, lanes, ONE, dtype)
    form(one_vector_body)(lanes, array, factor, out.reshape(-1))
    zero, copies = np.zeros_like(x), np.full_like(x, factor)
    assert_results(out, *([row] for row in (x, zero, copies, x + y, x * y, factor * x + y)))


def multiply_add_body(lanes, factor, x, y, out):
    store(out, U(0), multiply_add(factor, load(lanes, x, U(0)), load(lanes, y, U(0))))


@both_dtypes
@every_length
def test_multiply_add_rounds_once_or_after_each_step(form, lanes, dtype):
    """(1 - e)(1 + e) - 1 = -e^2, which is lost where the product is rounded to 1."""
    e, n = dtype(np.finfo(dtype).eps), len(lanes)
    x, y, out = np.full(n, 1 + e), np.full(n, dtype(-1)), np.full(n, GAP, dtype)
    form(multiply_add_body)(lanes, 1 - e, x, y, out)
    fused = form is compiled and out[0] != 0
    np.testing.assert_array_equal(out, np.full(n, -e * e if fused else 0, dtype))


# --------------------------------------------------------------------------------- several vectors


def several_body(lanes, count, array, out):
    far, near = U(len(lanes) + 1), U(1)
    x, y = load_all(lanes, count, array, U(3), far), load_all(lanes, count, array, U(1), near)
    last, step = load(lanes, array, U(2)), far * U(len(count))
    store_all(out, U(0), far, x)
    store_all(out, U(1) * step, far, y)
    store_all(out, U(2) * step, far, spread_all(lanes, count, array, U(2)))
    store_all(out, U(3) * step, far, multiply_all(x, y))
    store_all(out, U(4) * step, far, multiply_all(x, last))
    store_all(out, U(5) * step, far, add_each(x, y))
    store_all(out, U(6) * step, far, butterflies(x))
    store_all(out, U(7) * step, far, butterflies_within(x))
    store(out, U(8) * step, add_all(last, x))


def transformed(x):
    """H times a list of numbers or rows, stage by stage from the bottom up."""
    x, half = list(x), 1
    while half < len(x):
        for i in range(len(x)):
            if not i & half:
                x[i], x[i + half] = x[i] + x[i + half], x[i] - x[i + half]
        half *= 2
    return np.array(x)


# All counts with one length, all lengths with one count, and the most that the kernels hold.
SIZES = [*((FOUR, count) for count in COUNTS), *((lanes, FOUR) for lanes in COUNTS)]
SIZES = list(dict.fromkeys([*SIZES, (SIXTEEN, SIXTEEN), (EIGHT, SIXTEEN)]))


@both_dtypes
@pytest.mark.parametrize(("lanes", "count"), SIZES, ids=len)
def test_several_vectors(form, lanes, count, dtype):
    n, k = len(lanes), len(count)
    array = numbers(2 + k * (n + 1), dtype)
    x = array[2:].reshape(k, n + 1)[:, 1:]
    y = np.stack([array[1 + i : 1 + i + n] for i in range(k)])
    last = array[2 : 2 + n]
    total = last
    for row in x:
        total = total + row
    out = gaps(9, lanes, count, dtype)
    form(several_body)(lanes, count, array, out.reshape(-1))
    assert_results(
        out,
        x,
        y,
        np.repeat(array[2 : 2 + k, None], n, axis=1),
        x * y,
        x * last,
        x + y,
        transformed(x),
        [transformed(row) for row in x],
        [total],
    )


def transpose_body(lanes, matrix, out):
    rows = load_all(lanes, lanes, matrix, U(0), U(len(lanes)))
    store_all(out, U(0), U(len(lanes) + 1), transpose(rows))


@both_dtypes
@every_length
def test_transpose(form, lanes, dtype):
    matrix = np.arange(len(lanes) ** 2, dtype=dtype).reshape(len(lanes), -1)
    out = gaps(1, lanes, lanes, dtype)
    form(transpose_body)(lanes, matrix.reshape(-1), out.reshape(-1))
    assert_results(out, matrix.T)


# ------------------------------------------------------------------------------ places and pointers


def places_body(lanes, count, array, places, first, width, offset, gathered, scattered):
    """Arrays first, then pointers: the words take both."""
    step = U(len(lanes) + 1)
    store_all(gathered, U(0), step, gather_all(lanes, count, array, places, first, width, offset))
    vectors = gather_all(lanes, count, flat(array), flat(places), first, width, offset)
    scatter_all(scattered, places, first, width, offset, vectors)
    again = load_all(lanes, count, array, U(0), width)
    scatter_all(flat(scattered), flat(places), first + U(len(count)), width, offset, again)


@both_dtypes
@pytest.mark.parametrize(("lanes", "count"), [(FOUR, ONE), (EIGHT, FOUR), (FOUR, EIGHT)], ids=len)
def test_gather_and_scatter(form, lanes, count, dtype):
    n, k, first, offset = len(lanes), len(count), 2, 3
    width = n + 5
    places = np.random.default_rng(k).permutation(2 * k + first + 1)
    array = numbers(len(places) * width, dtype)
    rows = array.reshape(-1, width)[:, offset : offset + n]
    gathered, scattered = gaps(1, lanes, count, dtype), np.full_like(array, GAP)
    numbers_given = map(U, (first, width, offset))
    form(places_body)(lanes, count, array, places, *numbers_given, gathered.reshape(-1), scattered)
    there, behind = places[first : first + k], places[first + k : first + 2 * k]
    assert_results(gathered, rows[there])
    expected = np.full_like(array, GAP)
    window = expected.reshape(-1, width)[:, offset : offset + n]
    window[there], window[behind] = rows[there], array.reshape(-1, width)[:k, :n]
    np.testing.assert_array_equal(bits(scattered), bits(expected))


def look_up_body(lanes, count, table, first, codes, place, out):
    """From arrays, then from pointers."""
    step = U(len(lanes) + 1)
    store_all(out, U(0), step, look_up_all(lanes, count, table, first, codes, place))
    found = look_up_all(lanes, count, flat(table), first, flat(codes), place + U(1))
    store_all(out, U(len(count)) * step, step, found)


@both_dtypes
@pytest.mark.parametrize("count", [EIGHT, FOUR, ONE], ids=len)
@every_length
def test_look_up(form, lanes, count, dtype):
    """Among all entries of the table there are NaN and infinity, and beside it there is more."""
    n, k, first, place = len(lanes), len(count), 3, 5
    table = numbers(first + 16 + 2, dtype)
    table[first + 1], table[first + 14] = np.nan, np.inf
    codes = np.random.default_rng(n).integers(0, 256, place + 4 * n + 2, np.uint8)
    out = gaps(2, lanes, count, dtype)
    form(look_up_body)(lanes, count, table, U(first), codes, U(place), out.reshape(-1))
    fours = np.stack([codes & 15, codes >> 4], axis=1).reshape(-1)
    expected = [
        [[table[first + fours[2 * start + 8 * i + t]] for i in range(n)] for t in range(k)]
        for start in (place, place + 1)
    ]
    assert_results(out, *np.array(expected, dtype))


def pointers_body(lanes, array, out):
    source, target = start_at(flat(array), U(3)), flat(out)
    store(target, U(1), load(lanes, start_at(source, U(2)), U(1)))
    target[U(0)] = source[U(1)]
    return element_bytes(array), element_bytes(start_at(flat(array), U(1)))


@both_dtypes
@pytest.mark.parametrize("lanes", (FOUR, SIXTEEN), ids=len)
def test_pointers_into_arrays_of_any_shape(form, lanes, dtype):
    array, out = numbers(36, dtype), np.full((4, 9), GAP, dtype)
    sizes = form(pointers_body)(lanes, array.reshape(2, 3, 6), out)
    assert sizes == (out.itemsize,) * 2
    expected = np.full(out.size, GAP, dtype)
    expected[0], expected[1 : 1 + len(lanes)] = array[4], array[6 : 6 + len(lanes)]
    np.testing.assert_array_equal(bits(out.reshape(-1)), bits(expected))


def lines_body(array, indices, gaps):
    for k in range(indices.size):
        gaps[k] = up_to_line(flat(array), U(indices[k]))
    return len(sixteen_bytes(array))


@both_dtypes
@pytest.mark.parametrize("offset", [0, 4, 8, 16, 32, 60])
def test_lines_of_the_cache(form, offset, dtype):
    memory = np.zeros(512, np.uint8)
    start = -memory.ctypes.data % 64 + offset
    itemsize = np.dtype(dtype).itemsize
    array = memory[start : start + 32 * itemsize].view(dtype)
    indices, gaps = np.arange(32), np.full(32, -1)
    assert form(lines_body)(array, indices, gaps) * itemsize == 16
    to_line = -(offset + indices * itemsize) % 64
    np.testing.assert_array_equal(gaps, np.where(to_line % 16, 0, to_line // itemsize))


def prefetch_body(lanes, count, array, index):
    prefetch(lanes, count, array, index)


PREFETCHES = [(ONE, ONE), (FOUR, FOUR), (EIGHT, TWO), (SIXTEEN, EIGHT)]


@both_dtypes
@pytest.mark.parametrize(("lanes", "count"), PREFETCHES, ids=len)
def test_prefetch_touches_nothing_even_behind_the_end(form, lanes, count, dtype):
    array = numbers(5, dtype)
    before = array.copy()
    for index in (0, 5, 1 << 40):
        form(prefetch_body)(lanes, count, array, U(index))
    np.testing.assert_array_equal(bits(array), bits(before))


@pytest.mark.skipif(jit.disabled(), reason="Python cannot fetch anything ahead")
@both_dtypes
@pytest.mark.parametrize(("lanes", "count"), PREFETCHES, ids=len)
def test_prefetch_asks_once_for_each_line_of_the_cache(lanes, count, dtype):
    compiled = jit.part(prefetch_body)
    compiled.compile(tuple(map(numba.typeof, (lanes, count, np.zeros(1, dtype), U(0)))))
    (code,) = compiled.inspect_llvm().values()
    size = len(lanes) * len(count) * dtype().itemsize
    assert code.count("call void @llvm.prefetch") == -(-size // 64)
