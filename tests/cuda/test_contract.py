"""The cuda backend and its layers keep the contracts of the host's: the same test bodies."""

import inspect

import numpy as np
import pytest
from contract import test_backends as backend_bodies
from contract import test_layers as layer_bodies
from contract.layers_table import CASES, Case

from fastfood_np.backends import cpu, reference

pytestmark = pytest.mark.simulated

both_dtypes = pytest.mark.parametrize("dtype", (np.float32, np.float64))


@pytest.fixture
def device():
    import on_device

    return on_device


# ------------------------------------------------------------------- functions of the backend

RUNS = [
    backend_bodies.run_fwht,
    backend_bodies.run_factors,
    backend_bodies.run_fastfood,
    backend_bodies.run_fastfood_dropout,
]
every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.__name__[4:])


def test_every_function_is_one_of_the_host_with_its_arguments():
    from fastfood_np.backends import cuda

    sources = "".join(inspect.getsource(run) for run in RUNS) + inspect.getsource(backend_bodies)
    for name in cuda.__all__:
        ours = backend_bodies.plain(inspect.signature(getattr(cuda, name)))
        theirs = backend_bodies.plain(inspect.signature(getattr(cpu, name)))
        assert ours[: len(theirs)] == theirs
        assert all(default is not inspect.Parameter.empty for *_, default in ours[len(theirs) :])
        assert f"backend.{name}(" in sources


@both_dtypes
@every_run
def test_same_bits_on_whole_numbers(run, dtype, device):
    ours = run(device.Backend(), dtype, backend_bodies.INTEGERS)
    for our, their in zip(ours, run(reference, dtype, backend_bodies.INTEGERS), strict=True):
        assert our.dtype == their.dtype
        np.testing.assert_array_equal(our, their)


@both_dtypes
@every_run
def test_same_results_and_the_same_bits_again(run, dtype, device):
    ours, again = (run(device.Backend(), dtype, "normal") for _ in range(2))
    for our, their in zip(ours, run(reference, dtype, "normal"), strict=True):
        limit = 64 * np.finfo(dtype).eps * np.abs(their[np.isfinite(their)]).max()
        np.testing.assert_allclose(our, their, rtol=0, atol=limit)
    for our, other in zip(ours, again, strict=True):
        np.testing.assert_array_equal(our, other)


@both_dtypes
def test_angles(dtype, device):
    """Cosines and sines, of huge angles and of no numbers too."""
    results = [
        backend_bodies.run_fastfood(
            backend, dtype, "normal", ("cos", "cos_sin"), m=3, d_in=4, n_out=4, d_pad=4, blocks=1
        )[:2]
        for backend in (device.Backend(), reference)
    ]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=4 * np.finfo(dtype).eps)


# ----------------------------------------------------------------------------------- layers


class OnDevice(Case):
    """A line of the table with its layer in device memory."""

    def layer(self, dtype):
        import on_device

        return on_device.Layer(super().layer(dtype))


def on_device_cases(wanted):
    """The lines of the table whose layers have kernels."""
    return [
        OnDevice(**vars(case))
        for case in CASES
        if case.make(np.float32).device_form and wanted(case.name)
    ]


# Of the contract, what needs a GPU's own kernels or buffers; and where many calls are made, on
# fewer layers: a simulated one takes up to a second.
QUICK = (
    layer_bodies.test_dtypes_and_shapes,
    layer_bodies.test_counts,
    layer_bodies.test_calling_is_forward_without_training,
    layer_bodies.test_backward_is_the_transpose,
    layer_bodies.test_no_rows,
    layer_bodies.test_need_dx,
    layer_bodies.test_inputs_are_never_written,
)
THOROUGH = (
    layer_bodies.test_batching,
    layer_bodies.test_nan_propagates,
    layer_bodies.test_fresh_arrays_without_a_cache,
    layer_bodies.test_a_cache_owns_its_buffers,
    layer_bodies.test_a_cache_may_change_its_dtype,
    layer_bodies.test_gradients_are_overwritten,
)
FEW = (
    "diagonal-2d",
    "hadamard",
    "permutation",
    "fastfood-fused-stacked-padded-cut",
    "fastfood-composed-dropout",
)


def of_contract(bodies, wanted=lambda name: True):
    """Each body with the lines of the table that it is for."""
    for body in bodies:
        (names,) = (
            {case.name for case in mark.args[1]}
            for mark in body.pytestmark
            if mark.args[0] == "case"
        )
        for case in on_device_cases(lambda name, names=names: name in names and wanted(name)):
            yield pytest.param(body, case, id=f"{body.__name__[5:]}-{case.name}")


def check(body, case):
    options = {"dtype": np.float32} if "dtype" in inspect.signature(body).parameters else {}
    body(case=case, **options)


@pytest.mark.parametrize(("body", "case"), list(of_contract(QUICK)))
def test_layers(body, case):
    check(body, case)


@pytest.mark.parametrize(("body", "case"), list(of_contract(THOROUGH, FEW.__contains__)))
def test_few_layers_thoroughly(body, case):
    check(body, case)


@pytest.mark.parametrize("name", ["stacked-padded-cut", "dropout"])
def test_fused_and_composed_are_one_layer(name, device):
    """Bit for bit, where all numbers are whole and c and the mask's scale are powers of two."""
    outcomes = []
    for form in ("fused", "composed"):
        (case,) = on_device_cases(f"fastfood-{form}-{name}".__eq__)
        layer = case.layer(np.float64)
        rng = np.random.default_rng(3)
        for value in layer.params.values():
            value[...] = rng.integers(-3, 4, value.shape)
        layer._layer.scale = 0.5
        x = rng.integers(-3, 4, (5, *case.shape)).astype(np.float64)
        y, cache = layer.forward(x, train=True, rng=1)
        dx, grads = layer.backward(rng.integers(-3, 4, y.shape).astype(np.float64), cache)
        outcomes.append([y, dx, *grads.values()])
    exact = name != "dropout"  # 1 / (1 - rate) is no power of two
    for ours, theirs in zip(*outcomes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0 if exact else 1e-13, atol=0)
