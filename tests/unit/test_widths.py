"""Which form the kernels take, and that all forms give the same bits, from a warm cache too."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

import fastfood_np
from fastfood_np import backends
from fastfood_np.backends import cpu, reference
from fastfood_np.backends.cpu import hadamard, jit, widths
from fastfood_np.layers import Fastfood

BYTES = {"avx512": 64, "avx2": 32, "portable": 16}
DTYPES = (np.dtype(np.float32), np.dtype(np.float64))

every_form = pytest.mark.parametrize("form", BYTES)
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def run(code, *arguments, **variables):
    """Run code in a fresh process, with these environment variables."""
    given = {name: value for name, value in os.environ.items() if name != widths.VARIABLE}
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**given, "PYTHONPATH": path, **variables},
    )


# Who says which form


@every_form
def test_vectors_says_which_form(form):
    before = widths.chosen()
    with cpu.vectors(form):
        assert widths.chosen() == cpu.description()["vectors"] == form
        for dtype in DTYPES:
            assert len(widths.lanes(dtype, 64)) * dtype.itemsize == BYTES[form]
            assert len(widths.lanes(dtype, 1)) == 1
    assert widths.chosen() == cpu.description()["vectors"] == before


def test_vectors_within_vectors():
    before = widths.chosen()
    with cpu.vectors("avx512"):
        with cpu.vectors("portable"):
            assert widths.chosen() == "portable"
        assert widths.chosen() == "avx512"
        with pytest.raises(KeyError), cpu.vectors("avx2"):
            raise KeyError
        assert widths.chosen() == "avx512"
    assert widths.chosen() == before


@every_form
def test_kernels_take_the_form(form, monkeypatch):
    seen = []
    monkeypatch.setattr(hadamard, "_by_blocks", lambda work, units, lanes, *_: seen.append(lanes))
    with cpu.vectors(form):
        for dtype in DTYPES:
            fastfood_np.fwht(np.zeros((1, 16), dtype))
    assert [len(lanes) for lanes in seen] == [BYTES[form] // 4, BYTES[form] // 8]


@pytest.mark.parametrize("form", ["sse", "AVX2", "", None, 512])
def test_an_unknown_form_is_refused(form):
    before = widths.chosen()
    message = f"form must be one of 'avx512', 'avx2', 'portable', got {form!r}"
    with pytest.raises(ValueError, match=message), cpu.vectors(form):
        pass
    assert widths.chosen() == before


def test_the_reference_has_one_form():
    with reference.vectors("portable"):
        np.testing.assert_array_equal(fastfood_np.fwht([1, 2], backend="reference"), [3, -1])


@every_form
def test_the_environment_says_which_form(form, monkeypatch):
    monkeypatch.setenv(widths.VARIABLE, form)
    assert widths._asked_for() == form


def test_an_empty_variable_says_nothing(monkeypatch):
    monkeypatch.setenv(widths.VARIABLE, "")
    empty = widths._asked_for()
    monkeypatch.delenv(widths.VARIABLE)
    assert empty == widths._asked_for() == widths._natural() in BYTES


SAY = "print(cpu.description()['vectors'])"


@pytest.mark.parametrize("form", ["avx512", "portable"])  # one of them is not the processor's own
def test_vectors_comes_before_the_environment(form):
    """The environment's form holds from the start of a process, but not within the block."""
    code = f"from fastfood_np.backends import cpu\n{SAY}\nwith cpu.vectors('avx2'):\n    {SAY}"
    end = run(code, FASTFOOD_NP_VECTORS=form)
    assert end.stdout.split() == [form, "avx2"], end.stderr


def test_an_unknown_form_in_the_environment_is_refused():
    end = run("import fastfood_np; fastfood_np.fwht([1.0, 2.0])", FASTFOOD_NP_VECTORS="sse")
    assert end.returncode == 1
    assert end.stderr.splitlines()[-1] == (
        "ValueError: FASTFOOD_NP_VECTORS must be one of 'avx512', 'avx2', 'portable', got 'sse'"
    )


# The same bits


def whole(rng, shape, dtype, limit):
    return rng.integers(-limit, limit + 1, shape).astype(dtype)


@every_form
@both_dtypes
@pytest.mark.parametrize("log2_d", range(9 if jit.disabled() else 18))
def test_fwht_of_whole_numbers_is_exact(log2_d, dtype, form):
    """The sums stay below 2^24."""
    x = whole(np.random.default_rng(60), (3, 1 << log2_d), dtype, 100)
    with cpu.vectors(form):
        ours = fastfood_np.fwht(x)
    np.testing.assert_array_equal(ours, fastfood_np.fwht(x, backend="reference"))


# d_in, n_out; d_pad is 4^k, so that the scale is 2^-k.
LAYERS = [(1, 3), (4, 4), (13, 40)]
LAYERS += [] if jit.disabled() else [(16, 16), (60, 130), (250, 256)]


@functools.cache
def whole_layer(d_in, n_out, dropout, dtype):
    """A layer whose S and G are whole numbers: sums stay below 2^24."""
    rng = np.random.default_rng(61)
    layer = Fastfood(d_in, n_out, dropout=dropout, rng=rng, dtype=dtype)
    for name in "SG":
        layer.params[name] = whole(rng, layer.perm.shape, dtype, 2)
    assert set(np.unique(layer.params["B"])) <= {-1, 1}
    assert np.log2(layer.scale) % 1 == 0
    return layer


def passes(layer, m):
    """All results of both passes, side by side."""
    rng = np.random.default_rng(62)
    x, dy = (whole(rng, (m, n), layer.dtype, 1) for n in (*layer.input_shape, layer.n_out))
    y, cache = layer.forward(x, train=True, rng=63)
    dx, grads = layer.backward(dy, cache)
    return np.concatenate([array.ravel() for array in (y, dx, *grads.values())])


@every_form
@both_dtypes
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("m", [1, 12, 13, 17])
def test_fastfood_of_whole_numbers_is_exact(m, dropout, dtype, form):
    for d_in, n_out in LAYERS:
        layer = whole_layer(d_in, n_out, dropout, dtype)
        with cpu.vectors(form):
            ours = passes(layer, m)
        with backends.using("reference"):
            np.testing.assert_array_equal(ours, passes(layer, m))


@every_form
@both_dtypes
@pytest.mark.parametrize("m", [3, 14])  # row by row, by tiles
def test_any_numbers_give_the_same_bits(m, dtype, form):
    """Sums are taken in one order and rounded once an operation."""
    x = np.random.default_rng(64).standard_normal((m, 16)).astype(dtype)
    layer = Fastfood(16, 40, rng=65, dtype=dtype)
    with cpu.vectors(form):
        ours = fastfood_np.fwht(x), layer(x)
    with backends.using("reference"):
        theirs = fastfood_np.fwht(x), layer(x)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


# Compiled code from disk

RESULTS = """
import hashlib, sys
import numpy as np
from fastfood_np import backends, fwht

x = np.random.default_rng(64).standard_normal((5, 16)).astype(np.float32)
for form in sys.argv[1:]:
    backend = "reference" if form == "reference" else "cpu"
    with backends.using(backend), backends.select().vectors(form):
        print(hashlib.sha256(fwht(x).tobytes()).hexdigest())
"""


@pytest.mark.skipif(jit.disabled(), reason="nothing is compiled")
def test_forms_share_a_cache_on_disk(tmp_path):
    """Each finds its own code there, and none writes over another's. (One kernel is enough.)"""

    def results(*forms):
        end = run(RESULTS, *forms, NUMBA_CACHE_DIR=str(tmp_path))
        assert end.returncode == 0, end.stderr
        return end.stdout.split()

    def written():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}

    expected, found = results("reference", "avx2")
    assert found == expected
    first = written()
    assert results("avx512", "portable", "avx2") == [expected] * 3
    second = written()
    assert first.items() < second.items()
    assert results("portable", "avx2", "avx512") == [expected] * 3
    assert written() == second
