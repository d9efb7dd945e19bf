"""Bad input of the structured layers and of the circulant transform: each argument, both ways."""

import re

import numpy as np
import pytest

from fastfood_np.layers import SORF, BlockCirculant, Circulant, Hashed, LowRank
from fastfood_np.transforms import (
    circulant_adjoint,
    circulant_matrix,
    circulant_transform,
    draw_circulant,
)

MAKE = {
    "BlockCirculant": lambda **given: BlockCirculant(
        **{"d_in": 4, "n_out": 6, "block_size": 2, **given}
    ),
    "Circulant": lambda **given: Circulant(**{"d_in": 4, "n_out": 6, **given}),
    "Hashed": lambda **given: Hashed(**{"d_in": 4, "n_out": 6, "n_hashed": 5, **given}),
    "LowRank": lambda **given: LowRank(**{"d_in": 4, "n_out": 6, "rank": 2, **given}),
    "SORF": lambda **given: SORF(**{"d_in": 4, "n_out": 6, **given}),
}
OWN_SIZE = {"BlockCirculant": "block_size", "Hashed": "n_hashed", "LowRank": "rank"}
SIZES = [
    (kind, name)
    for kind in MAKE
    for name in ("d_in", "n_out", *([OWN_SIZE[kind]] if kind in OWN_SIZE else []))
]
every_layer = pytest.mark.parametrize("kind", MAKE)
every_size = pytest.mark.parametrize(("kind", "name"), SIZES)


@every_layer
def test_the_arguments_are_right_before_they_are_spoilt(kind):
    assert MAKE[kind]()(np.zeros((3, 4), np.float32)).shape == (3, 6)


@every_size
@pytest.mark.parametrize("size", [4.0, True, np.True_, "4", None, np.ones(1, int), [4], 4 + 0j])
def test_kind_of_a_size(kind, name, size):
    message = f"{name} must be an integer, got {re.escape(repr(size))}"
    with pytest.raises(TypeError, match=message):
        MAKE[kind](**{name: size})


@every_size
@pytest.mark.parametrize("size", [0, -1, np.int64(-7)])
def test_sizes_below_one(kind, name, size):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got "):
        MAKE[kind](**{name: size})


def test_more_weights_than_a_hash_can_tell_apart():
    with pytest.raises(ValueError, match=r"n_hashed must be at most 2147483647, got 2147483648"):
        MAKE["Hashed"](n_hashed=2**31)
    with pytest.raises(ValueError, match=r"d_in \* n_out must be at most 4294967296"):
        MAKE["Hashed"](d_in=2**16, n_out=2**16 + 1)


@every_layer
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"rng": "seed"}, TypeError, "rng must be None, an integer, .* got 'seed'"),
        ({"rng": True}, TypeError, "rng must be None, .* got True"),
        ({"rng": -1}, ValueError, "rng must be at least 0, got -1"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64, got .*float16"),
        ({"dtype": "complex64"}, TypeError, "dtype must be float32 or float64, got 'complex64'"),
        ({"dtype": "numbers"}, TypeError, "dtype must be float32 or float64, got 'numbers'"),
    ],
)
def test_rng_and_dtype(kind, given, error, message):
    with pytest.raises(error, match=message):
        MAKE[kind](**given)


@pytest.mark.parametrize(
    ("kind", "given", "error", "message"),
    [
        ("Circulant", {"adaptive": 1}, TypeError, "adaptive must be True or False, got 1"),
        ("Circulant", {"bias": None}, TypeError, "bias must be True or False, got None"),
        ("Circulant", {"signs": "zeros"}, ValueError, "signs must be one of 'random', 'ones', got"),
        ("Circulant", {"signs": None}, ValueError, "signs must be one of 'random', 'ones', got No"),
        ("Circulant", {"signs": np.ones(4)}, ValueError, "signs must be one of 'random', 'ones'"),
        ("SORF", {"adaptive": "yes"}, TypeError, "adaptive must be True or False, got 'yes'"),
        ("SORF", {"sigma": "1"}, TypeError, "sigma must be a real number, got '1'"),
        ("SORF", {"sigma": True}, TypeError, "sigma must be a real number, got True"),
        ("SORF", {"sigma": 0}, ValueError, r"sigma must be greater than 0\.0, got 0"),
        ("SORF", {"sigma": -1.5}, ValueError, r"sigma must be greater than 0\.0, got -1\.5"),
        ("SORF", {"sigma": float("nan")}, ValueError, "sigma must be finite, got nan"),
        ("SORF", {"sigma": 10**400}, ValueError, "sigma must be finite, got 1000"),
    ],
)
def test_other_arguments(kind, given, error, message):
    with pytest.raises(error, match=message):
        MAKE[kind](**given)


@every_layer
def test_options_are_named(kind):
    """A size in the place of an option would else be taken for it."""
    with pytest.raises(TypeError, match="positional argument"):
        type(MAKE[kind]())(4, 6, 2)


@every_layer
def test_there_are_no_kernels_for_a_gpu(kind):
    with pytest.raises(TypeError, match=f"{kind} has no kernels for a GPU"):
        MAKE[kind]().to_device()


class InDeviceMemory:
    """What such an array shows of itself."""

    shape, dtype = (3, 4), np.dtype(np.float32)

    @property
    def __cuda_array_interface__(self):
        return {"shape": (3, 4), "typestr": "<f4", "data": (0, True), "version": 3}


@every_layer
def test_arrays_in_device_memory(kind):
    layer = MAKE[kind]()
    with pytest.raises(TypeError, match="x must be a NumPy array, got InDeviceMemory, which is in"):
        layer(InDeviceMemory())
    _, cache = layer.forward(np.zeros((3, 4), np.float32))
    with pytest.raises(TypeError, match="dy must be a NumPy array, got InDeviceMemory, which is"):
        layer.backward(InDeviceMemory(), cache)


# ---------------------------------------------------------------------- the circulant transform

X, R = np.ones((2, 3)), np.ones((2, 3))
READ_ONLY = np.ones((2, 6))
READ_ONLY.flags.writeable = False

TRANSFORM = [
    ({"x": X + 1j}, TypeError, r"x must hold float32 or float64 .*got complex128; transform its"),
    ({"x": "abc"}, TypeError, r"x must hold float32 or float64 .*got <U3"),
    ({"x": [None] * 3}, TypeError, r"x must hold float32 or float64 .*got object"),
    ({"x": InDeviceMemory()}, TypeError, "x must be in host memory, got an array in device memory"),
    ({"x": 1.0}, ValueError, r"x must have shape \(\.\.\., 3\) as r has, got \(\)"),
    ({"x": np.ones((3, 4))}, ValueError, r"x must have shape \(\.\.\., 3\) as r has, got \(3, 4\)"),
    ({"x": np.ones((3, 0))}, ValueError, r"x must have shape \(\.\.\., 3\) as r has, got \(3, 0\)"),
    ({"r": R + 1j}, TypeError, r"r must hold float32 or float64 .*got complex128"),
    ({"r": ["a"]}, TypeError, r"r must hold float32 or float64 .*got <U1"),
    ({"r": InDeviceMemory()}, TypeError, "r must be in host memory, got an array in device memory"),
    ({"r": 1.0}, ValueError, r"r must have shape \(d,\) or \(blocks, d\) with d >= 1, got \(\)"),
    ({"r": np.ones((0, 3))}, ValueError, r"r must have shape .* with d >= 1, got \(0, 3\)"),
    ({"r": np.ones((2, 0))}, ValueError, r"r must have shape .* with d >= 1, got \(2, 0\)"),
    ({"r": np.ones((1, 2, 3))}, ValueError, r"r must have shape .*, got \(1, 2, 3\)"),
    ({"signs": R * 1j}, TypeError, r"signs must hold float32 or float64 .*got complex128"),
    ({"signs": [["a"] * 3] * 2}, TypeError, r"signs must hold float32 or float64 .*got <U1"),
    ({"signs": InDeviceMemory()}, TypeError, "signs must be in host memory, got an array in dev"),
    ({"signs": np.ones(3)}, ValueError, r"signs must have r's shape \(2, 3\), got \(3,\)"),
    ({"signs": 1.0}, ValueError, r"signs must have r's shape \(2, 3\), got \(\)"),
    ({"n_out": 2.0}, TypeError, r"n_out must be an integer, got 2\.0"),
    ({"n_out": True}, TypeError, "n_out must be an integer, got True"),
    ({"n_out": 0}, ValueError, "n_out must be at least 1, got 0"),
    ({"n_out": 7}, ValueError, "n_out must be at most 6, got 7"),
    ({"out": [[0.0] * 6] * 2}, TypeError, "out must be a NumPy array, got list"),
    (
        {"out": np.ones((2, 6), np.float32)},
        TypeError,
        "out must have the result's dtype float64, g",
    ),
    ({"out": np.ones((6, 2))}, ValueError, r"out must have the result's shape \(2, 6\), got \(6, "),
    ({"out": np.ones((2, 6)), "n_out": 5}, ValueError, r"result's shape \(2, 5\), got \(2, 6\)"),
    ({"out": READ_ONLY}, ValueError, "out must be writable, got a read-only array"),
    ({"workers": 0}, ValueError, "workers must not be zero"),
    ({"workers": 1.5}, TypeError, r"workers must be an integer, got 1\.5"),
    (
        {"workers": -(10**6)},
        ValueError,
        r"workers must be at least -\d+ on this machine, got -1000",
    ),
]


@pytest.mark.parametrize(("given", "error", "message"), TRANSFORM)
def test_transform(given, error, message):
    with pytest.raises(error, match=message):
        circulant_transform(**{"x": X, "r": R, **given})


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [(given, *rest) for given, *rest in TRANSFORM if not given.keys() & {"x", "n_out", "out"}]
    + [
        ({"y": X + 1j}, TypeError, r"y must hold float32 or float64 .*got complex128"),
        ({"y": InDeviceMemory()}, TypeError, "y must be in host memory, got an array in device"),
        ({"y": 1.0}, ValueError, r"y must have shape \(\.\.\., n_out\) with 1 <= n_out <= 6, got"),
        ({"y": np.ones((2, 7))}, ValueError, r"1 <= n_out <= 6, got \(2, 7\)"),
        ({"y": np.ones((2, 0))}, ValueError, r"1 <= n_out <= 6, got \(2, 0\)"),
    ],
)
def test_adjoint(given, error, message):
    with pytest.raises(error, match=message):
        circulant_adjoint(**{"y": X, "r": R, **given})


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [(given, *rest) for given, *rest in TRANSFORM if not given.keys() & {"x", "out", "workers"}],
)
def test_matrix(given, error, message):
    with pytest.raises(error, match=message):
        circulant_matrix(**{"r": R, **given})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "d_in must be at least 1, got 0"),
        ((1, -2), ValueError, "n_out must be at least 1, got -2"),
        ((2.0, 1), TypeError, r"d_in must be an integer, got 2\.0"),
        ((2, True), TypeError, "n_out must be an integer, got True"),
        ((2, 2, "seed"), TypeError, "rng must be .* got 'seed'"),
        ((2, 2, -1), ValueError, "rng must be at least 0, got -1"),
    ],
)
def test_draw(arguments, error, message):
    with pytest.raises(error, match=message):
        draw_circulant(*arguments)


def test_nothing_is_written_before_all_is_checked():
    out = np.full((2, 6), 7.0)
    with pytest.raises(ValueError, match="workers"):
        circulant_transform(X, R, out=out, workers=0)
    with pytest.raises(TypeError, match="signs"):
        circulant_transform(X, R, 1j * R, out=out)
    assert (out == 7).all()
