"""Every backend offers the same functions with the same results."""

import inspect
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastfood_np import backends
from fastfood_np.backends import cpu, reference, reference_convolution, reference_factors
from fastfood_np.backends.cpu import jit, kernel, widths

REFERENCE = {
    name: function
    for module in (reference, reference_convolution, reference_factors)
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and function.__module__.startswith("fastfood_np.backends.reference")
    and not name.startswith("_")
}
INTEGERS = "integers"
DTYPES = (np.float32, np.float64)


@pytest.fixture
def parallel(monkeypatch):
    """Make even small work run on Numba's threads."""
    numba = pytest.importorskip("numba")
    if numba.get_num_threads() < 2:
        pytest.skip("one thread only")
    monkeypatch.setattr(jit, "PARALLEL_MIN_ELEMENTS", 1)


def plain(signature):
    """Names, kinds and defaults of the arguments, without annotations."""
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def test_same_functions():
    assert set(cpu.__all__) == set(REFERENCE)
    assert all(callable(getattr(cpu, name)) for name in cpu.__all__)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_same_arguments(name):
    theirs = plain(inspect.signature(REFERENCE[name]))
    assert plain(inspect.signature(getattr(cpu, name))) == theirs
    with backends.using("reference"):
        assert hasattr(backends.select(), name)


# ------------------------------------------------------------------- inputs and results


def numbers(rng, shape, dtype, kind):
    """Normal numbers, or whole numbers whose sums and products are exact."""
    if kind == INTEGERS:
        return rng.integers(-3, 4, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def fastfood_inputs(dtype, kind, m=37, d_in=5, n_out=19, d_pad=8, blocks=3, dropout=False):
    rng = np.random.default_rng(11)
    S, G = (numbers(rng, (blocks, d_pad), dtype, kind) for _ in range(2))
    B = rng.choice([-1.0, 1.0], (blocks, d_pad)).astype(dtype)
    perm = np.stack([rng.permutation(d_pad) for _ in range(blocks)])
    keep = rng.random((m, blocks, d_pad)) < 0.5 if dropout else None
    factors = (S, G, B, perm, 1.0 if kind == INTEGERS else 0.3, keep, 2.0)
    return numbers(rng, (m, d_in), dtype, kind), numbers(rng, (m, n_out), dtype, kind), factors


def run_fwht(backend, dtype, kind):
    rows = numbers(np.random.default_rng(1), (9, 32), dtype, kind)
    out = np.full_like(rows, np.nan)
    backend.fwht(rows, out)
    backend.fwht(rows, rows)
    return [rows, out]


def run_fastfood(
    backend, dtype, kind, nonlinearities=("none", "relu", "relu_squared", "step"), **options
):
    x, dy, factors = fastfood_inputs(dtype, kind, **options)
    dx = np.full_like(x, np.nan)
    grads = [np.full_like(factors[0], np.nan) for _ in range(3)]
    results = []
    phase = numbers(np.random.default_rng(12), dy.shape[1:], dtype, kind)
    for nonlinearity in nonlinearities:
        y = np.full((len(dy), dy.shape[1] * (1 + (nonlinearity == "cos_sin"))), np.nan, dtype)
        given = phase if nonlinearity == "cos" else None
        backend.fastfood_forward(x, *factors, nonlinearity, given, 0.5, y)
        results.append(y)
    backend.fastfood_backward(x, dy, *factors, dx, *grads)
    again = [np.full_like(factors[0], np.nan) for _ in range(3)]
    backend.fastfood_backward(x, dy, *factors, None, *again)
    return [*results, dx, *grads, *again]


def run_fastfood_dropout(backend, dtype, kind):
    return run_fastfood(backend, dtype, kind, dropout=True)


def run_factors(backend, dtype, kind):
    """Each factor of Fastfood by itself, forward and backward."""
    rng, m, blocks, d, d_in, n_out = np.random.default_rng(13), 7, 3, 8, 5, 19
    h, dh, D = (numbers(rng, shape, dtype, kind) for shape in [(m, blocks, d)] * 2 + [(blocks, d)])
    x, dy = numbers(rng, (m, d_in), dtype, kind), numbers(rng, (m, n_out), dtype, kind)
    perm = np.stack([rng.permutation(d) for _ in range(blocks)])
    keep = rng.random(h.shape) < 0.5
    results = [np.full_like(h, np.nan) for _ in range(5)]
    results += [np.full_like(array, np.nan) for array in (D, x, dy)]
    spread, joined, scaled, permuted, back, dD, dx, y = results
    backend.spread(x, 0.5, spread)
    backend.spread_backward(dh, dx)
    backend.join(h, 0.5, y)
    backend.join_backward(dy, 0.5, joined)
    backend.diagonal(h, D, scaled)
    backend.diagonal_backward(h, dh, dD)
    backend.permute(h, perm, permuted)
    backend.permute_backward(dh, perm, back)
    backend.drop(dh, keep, 2.0)
    return [*results, dh]


def run_pool(backend, dtype, kind):
    rng = np.random.default_rng(2)
    x, dy = numbers(rng, (3, 2, 6, 4), dtype, kind), numbers(rng, (3, 2, 3, 2), dtype, kind)
    y, position, dx = np.empty_like(dy), np.empty(dy.shape, np.int32), np.full_like(x, np.nan)
    backend.max_pool2d(x, 2, 2, y, position)
    backend.max_pool2d_backward(position, dy, dx)
    return [y, position, dx]


def run_overlapping_windows(backend, dtype, kind):
    """Pooling 3 x 3 every two pixels, once with windows cut on both sides, once with none cut."""
    rng, results = np.random.default_rng(6), []
    for height, width, rows, columns in ((6, 8, 3, 4), (5, 7, 2, 3)):
        x, dy = (
            numbers(rng, (3, 2, *size), dtype, kind) for size in ((height, width), (rows, columns))
        )
        y, mean, position = np.empty_like(dy), np.empty_like(dy), np.empty(dy.shape, np.int32)
        dx, dx_of_mean = np.full_like(x, np.nan), np.full_like(x, np.nan)
        backend.max_pool2d(x, 3, 2, y, position)
        backend.max_pool2d_backward(position, dy, dx)
        backend.average_pool2d(x, 3, 2, mean)
        backend.average_pool2d_backward(dy, 3, 2, dx_of_mean)
        results += [y, position, dx, mean, dx_of_mean]
    return results


def run_convolution(backend, dtype, kind, channels=2, relu=True, bias=True):
    rng = np.random.default_rng(3)
    x = numbers(rng, (3, channels, 6, 5), dtype, kind)
    W = numbers(rng, (3, channels, 3, 2), dtype, kind)
    b = numbers(rng, (3,), dtype, kind) if bias else None
    dy = numbers(rng, (3, 3, 2, 2), dtype, kind)
    y, position = np.empty_like(dy), np.empty(dy.shape, np.int32)
    dW, dx = np.full_like(W, np.nan), np.full_like(x, np.nan)
    db = np.full_like(b, np.nan) if bias else None
    backend.conv_pool2d(x, W, b, 2, relu, y, position)
    backend.conv_pool2d_backward_weights(x, position, dy, dW, db)
    backend.conv_pool2d_backward_input(position, dy, W, dx)
    return [y, position, dW, dx, *([db] if bias else [])]


def run_wide_convolution(backend, dtype, kind):
    return run_convolution(backend, dtype, kind, channels=9, relu=False, bias=False)


def run_hashed(backend, dtype, kind):
    """Fewer weights than entries, one, and more; the smallest and the largest seed among them."""
    rng, results = np.random.default_rng(14), []
    for shape, n_hashed, seed in (((13, 9), 20, 0), ((5, 7), 1, 2**32 - 1), ((1, 3), 50, 2**31)):
        w, dW = numbers(rng, n_hashed, dtype, kind), numbers(rng, shape, dtype, kind)
        W, dw = np.full(shape, np.nan, dtype), np.full_like(w, np.nan)
        backend.hashed_matrix(w, seed, W)
        backend.hashed_matrix_backward(dW, seed, dw)
        results += [W, dw]
    return results


def run_range_coder(backend, dtype, kind):
    """Skewed codes and uniform ones, with and without adapting, into enough bytes and one less."""
    rng, results = np.random.default_rng(15), []
    for bits, n in ((1, 400), (4, 300), (4, 1), (9, 50), (16, 3)):
        spread = (1 << bits) / 16 if kind == INTEGERS else 1 << bits
        codes = (rng.random(n) * spread).astype(np.uint16)
        for adaptive in (True, False):
            out = np.zeros(2 * n + 2, np.uint8)
            length = backend.range_encode(codes, bits, adaptive, out)
            short = backend.range_encode(codes, bits, adaptive, np.empty(length - 1, np.uint8))
            again, other = np.empty_like(codes), np.empty_like(codes)
            backend.range_decode(out[:length], bits, again)
            backend.range_decode(rng.integers(0, 256, n, np.uint8), bits, other)
            assert (again == codes).all()
            results += [np.array([length, short]), out[:length], other]
    return results


def run_quantized(backend, dtype, kind):
    """Two codes a byte and one, a codebook for each run and one for all, rows in many numbers."""
    rng, results = np.random.default_rng(15), []
    sizes = ((1, 5, 3, 16, 150), (3, 4, 4, 7, 65), (21, 3, 6, 16, 33), (20, 5, 2, 40, 9))
    for m, runs, length, n_centroids, n_out in sizes:
        for books in (runs, 1):
            codebooks = numbers(rng, (books, n_centroids, length), dtype, kind)
            x, dy = (numbers(rng, (m, size), dtype, kind) for size in (runs * length, n_out))
            codes = rng.integers(0, n_centroids, (runs, n_out), np.uint8)
            if n_centroids <= 16:
                odd = np.pad(codes, ((0, 0), (0, 1)))[:, 1::2][:, : -(-n_out // 2)]
                codes = codes[:, ::2] + 16 * odd
            y, dx, again = np.full_like(dy, np.nan), np.full_like(x, np.nan), codebooks.copy()
            grads = np.full_like(codebooks, np.nan)
            backend.quantized_forward(x, codebooks, codes, y)
            backend.quantized_backward(x, dy, codebooks, codes, dx, grads)
            backend.quantized_backward(x, dy, codebooks, codes, None, again)
            results += [y, dx, grads, again]
    return results


def run_sgd_step(backend, dtype, kind):
    rng = np.random.default_rng(4)
    w, v, g = (numbers(rng, (3, 5), dtype, kind) for _ in range(3))
    backend.sgd_step(w, v, g, 0.5, 0.5, 0.25)
    return [w, v]


def run_apply_nonlinearity(backend, dtype, kind):
    rng = np.random.default_rng(5)
    phase, results = numbers(rng, (7,), dtype, kind), []
    exact = ("none", "relu", "relu_squared", "step")
    for name in exact if kind == INTEGERS else (*exact, "cos", "cos_sin"):
        # One column more than is used, and numbers with a sign, NaN and both infinities.
        y = numbers(rng, (9, 15 if name == "cos_sin" else 7), dtype, kind)
        y[0, :4] = 0.0, -0.0, 0.0, 2.0
        if name not in ("cos", "cos_sin"):
            y[1, :3] = np.nan, np.inf, -np.inf
        backend.apply_nonlinearity(name, phase if name == "cos" else None, 0.5, y)
        results.append(y)
    return results


RUNS = [
    run_apply_nonlinearity,
    run_fwht,
    run_factors,
    run_fastfood,
    run_fastfood_dropout,
    run_pool,
    run_overlapping_windows,
    run_convolution,
    run_wide_convolution,
    run_hashed,
    run_quantized,
    run_range_coder,
    run_sgd_step,
]
every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__[4:])
both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def select_reference():
    with backends.using("reference"):
        return backends.select()


def test_every_function_is_run():
    """A function that a backend gains must be added to `RUNS`."""
    source = "".join(inspect.getsource(run) for run in RUNS)
    computing = set(REFERENCE) - {"description", "serial", "teams", "vectors", "workers"}
    assert all(f"backend.{name}(" in source for name in computing)


@both_dtypes
@every_run
def test_same_bits_on_whole_numbers(run, dtype):
    for ours, theirs in zip(
        run(cpu, dtype, INTEGERS), run(select_reference(), dtype, INTEGERS), strict=True
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@both_dtypes
@every_run
def test_same_results(run, dtype):
    """Sums of at most a few hundred terms, in another order."""
    for ours, theirs in zip(
        run(cpu, dtype, "normal"), run(select_reference(), dtype, "normal"), strict=True
    ):
        limit = 64 * np.finfo(dtype).eps * np.abs(theirs[np.isfinite(theirs)]).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit)


@both_dtypes
@every_run
def test_serial_and_parallel_bits(run, dtype, parallel):
    shared = []
    original = kernel.Kernel.__call__

    def watched(self, teams, *arguments):
        if teams > 1:
            shared.append(self)
        original(self, teams, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel.Kernel, "__call__", watched)
        threaded = run(cpu, dtype, "normal")
        assert shared or run in (run_sgd_step, run_factors, run_range_coder)
        shared.clear()
        with cpu.serial():
            alone = run(cpu, dtype, "normal")
        assert not shared
    for ours, theirs in zip(threaded, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@both_dtypes
@pytest.mark.parametrize("backend", (cpu, reference), ids=("cpu", "reference"))
def test_vectors_change_no_bits_on_whole_numbers(backend, dtype):
    # Compiling Fastfood in each form takes a minute, and its errors are tested in each form anyway.
    for run in (run_fwht, run_fastfood, run_fastfood_dropout) if jit.disabled() else (run_fwht,):
        expected = run(reference, dtype, INTEGERS)
        for form in widths.BYTES:
            with backend.vectors(form):
                results = run(backend, dtype, INTEGERS)
            for ours, theirs in zip(results, expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def test_teams(parallel):
    """How many threads share work: one where there is little of it, and within `serial`."""
    numba = pytest.importorskip("numba")
    assert cpu.teams(100) == numba.get_num_threads() and reference.teams(10**9) == 1
    assert cpu.teams(0) == 1
    with cpu.serial():
        assert cpu.teams(10**9) == 1
    with cpu.workers(1):
        assert cpu.teams(10**9) == 1
    seen = []
    thread = threading.Thread(target=lambda: seen.append(cpu.teams(10**9)))
    thread.start()
    thread.join()
    assert seen == [1]


# ------------------------------------------------------------------------ who is chosen


def test_using():
    assert backends.select() is cpu
    with backends.using("reference"):
        assert backends.select() is reference
        with backends.using("cpu"):
            assert backends.select() is cpu
        assert backends.select() is reference
        assert backends.select("cpu") is cpu
        seen = []
        thread = threading.Thread(target=lambda: seen.append(backends.select()))
        thread.start()
        thread.join()
        assert seen == [cpu]
    assert backends.select() is cpu
    with pytest.raises(KeyError), backends.using("reference"):
        raise KeyError
    assert backends.select() is cpu


@pytest.mark.parametrize("name", ["numpy", "", "CPU", None])
def test_unknown_backend(name):
    message = "backend must be one of 'cpu', 'reference'"
    with pytest.raises(ValueError, match=message), backends.using(name):
        pass
    if name is not None:
        with pytest.raises(ValueError, match=message):
            backends.select(name)
    assert backends.select() is cpu


def test_layers_follow_using():
    from fastfood_np.layers import Hadamard

    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "fwht", lambda x, out: calls.append(x.shape))
        with backends.using("reference"):
            Hadamard()(np.zeros((3, 4)))
    assert calls == [(3, 4)]


def test_descriptions():
    for backend in (cpu, reference):
        described = backend.description()
        assert all(isinstance(text, str) and text for pair in described.items() for text in pair)
    assert cpu.description()


@pytest.mark.parametrize("module", ["fastfood_np", "fastfood_np.layers", "fastfood_np.training"])
def test_importing_the_package_does_not_import_numba(module):
    code = f"import sys, {module}; print(sorted({{'numba', 'llvmlite'}} & set(sys.modules)))"
    path = os.pathsep.join(filter(None, sys.path))
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert answer.stdout.strip() == "[]"


def test_the_reference_backend_does_not_need_numba():
    code = (
        "import sys, numpy as np\n"
        "from fastfood_np import backends\n"
        "from fastfood_np.layers import Fastfood\n"
        "with backends.using('reference'):\n"
        "    Fastfood(4, 4, rng=0)(np.zeros((1, 4), np.float32))\n"
        "print('numba' in sys.modules)\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert answer.stdout.strip() == "False"
