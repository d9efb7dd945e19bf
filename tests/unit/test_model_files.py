"""Model files: every layer comes back bit for bit, and nothing else comes in."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastfood_np import backends, layers
from fastfood_np.architectures import least_entries
from fastfood_np.files import read_npz, write_npz
from fastfood_np.layers import Conv2D, Dense, Fastfood, Flatten, Layer, MaxPool2D, Sequential
from fastfood_np.model_files import load_model, save_model
from fastfood_np.models import deep_fried_lenet, lenet
from fastfood_np.validation import ModelFileError

DTYPES = ("float32", "float64")
NO_LAYERS = {"Layer", "SoftmaxCrossEntropy"}


def centered(shape: tuple[int, ...]) -> Layer:
    layer = layers.Center(shape)
    layer.constants["mean"][:] = np.random.default_rng(4).standard_normal(shape)
    return layer


# An example of each kind of layer, and the shape of one of its inputs.
EXAMPLES: dict[str, tuple[Callable[[str], Layer], tuple[int, ...]]] = {
    "AveragePool2D": (lambda dtype: layers.AveragePool2D(3, stride=2), (1, 4, 4)),
    "BlockCirculant": (
        lambda dtype: layers.BlockCirculant(5, 7, block_size=3, rng=0, dtype=dtype),
        (5,),
    ),
    "Center": (lambda dtype: centered((2, 3)), (2, 3)),
    "Circulant": (lambda dtype: layers.Circulant(5, 7, bias=True, rng=0, dtype=dtype), (5,)),
    "Conv2D": (lambda dtype: layers.Conv2D(2, 3, (3, 2), padding=1, rng=0, dtype=dtype), (2, 5, 5)),
    "ConvPool2D": (
        lambda dtype: layers.ConvPool2D(2, 3, 3, pool=2, relu=True, bias=False, rng=0, dtype=dtype),
        (2, 6, 6),
    ),
    "Dense": (lambda dtype: layers.Dense(5, 3, rng=0, dtype=dtype), (5,)),
    "Diagonal": (lambda dtype: layers.Diagonal((2, 4), adaptive=False, dtype=dtype), (2, 4)),
    "Dropout": (lambda dtype: layers.Dropout(0.25), (5,)),
    "Fastfood": (
        lambda dtype: layers.Fastfood(5, 19, sigma=3.0, dropout=0.5, rng=0, dtype=dtype),
        (5,),
    ),
    "Flatten": (lambda dtype: layers.Flatten(), (2, 3)),
    "Hadamard": (lambda dtype: layers.Hadamard(), (8,)),
    "Hashed": (lambda dtype: layers.Hashed(5, 7, n_hashed=6, rng=0, dtype=dtype), (5,)),
    "LowRank": (lambda dtype: layers.LowRank(5, 7, rank=2, rng=0, dtype=dtype), (5,)),
    "MaxPool2D": (lambda dtype: layers.MaxPool2D(2, stride=1), (1, 4, 4)),
    "Permutation": (lambda dtype: layers.Permutation([[2, 0, 1], [0, 1, 2]]), (2, 3)),
    "QuantizedDense": (
        lambda dtype: layers.QuantizedDense(6, 7, n_subspaces=3, n_centroids=5, rng=0, dtype=dtype),
        (6,),
    ),
    "ReLU": (lambda dtype: layers.ReLU(), (5,)),
    "SORF": (lambda dtype: layers.SORF(5, 19, sigma=3.0, rng=0, dtype=dtype), (5,)),
    "Sequential": (
        lambda dtype: layers.Sequential(
            [
                ("first", layers.Fastfood(5, 8, form="composed", rng=1, dtype=dtype)),
                ("inner", layers.Sequential([("relu", layers.ReLU())])),
            ]
        ),
        (5,),
    ),
}


@pytest.fixture
def small_model() -> Layer:
    """Small enough to break every byte of its file."""
    return layers.Sequential(
        [("fastfood", layers.Fastfood(3, 4, rng=0)), ("ip", layers.Dense(4, 2, rng=0))]
    )


def test_every_layer_has_an_example() -> None:
    assert set(EXAMPLES) == set(layers.__all__) - NO_LAYERS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_round_trip(tmp_path: Path, kind: str, dtype: str) -> None:
    build, shape = EXAMPLES[kind]
    model = build(dtype)
    for value in model.params.values():
        value += np.random.default_rng(1).standard_normal(value.shape).astype(dtype)
    path, metadata = tmp_path / "model.npz", {"title": "a model", "numbers": [1, 2.5, None]}
    save_model(path, model, metadata)
    back, its_metadata = load_model(path)
    assert type(back) is type(model) and its_metadata == metadata
    assert (back.dtype, back.trainable, back.biases) == (model.dtype, model.trainable, model.biases)
    for stored, own in ((back.params, model.params), (back.constants, model.constants)):
        assert stored.keys() == own.keys()
        for name, array in own.items():
            assert stored[name].dtype == array.dtype
            assert stored[name].tobytes() == array.tobytes()
    x = np.random.default_rng(2).standard_normal((4, *shape)).astype(dtype)
    with backends.using("reference"):
        np.testing.assert_array_equal(back(x), model(x))
        if back.draws:
            y = back.forward(x, train=True, rng=3)[0]
            np.testing.assert_array_equal(y, model.forward(x, train=True, rng=3)[0])


@pytest.mark.parametrize("kind", EXAMPLES)
def test_least_entries_are_all(tmp_path: Path, kind: str) -> None:
    """What a layer is said to hold is what it holds."""
    model = EXAMPLES[kind][0]("float64")
    save_model(tmp_path / "model.npz", model)
    stored = read_npz(tmp_path / "model.npz")
    said = least_entries(json.loads(str(stored.pop("header")))["architecture"])
    assert said == sum(array.size for array in stored.values())


@pytest.mark.parametrize("block_size", range(1, 13))
@pytest.mark.parametrize(("d_in", "n_out"), [(1, 1), (5, 7), (6, 6), (12, 1), (1, 12)])
def test_entries_of_circulant_blocks(d_in: int, n_out: int, block_size: int) -> None:
    """The claim is what is held, however little of the last blocks is used."""
    layer = layers.BlockCirculant(d_in, n_out, block_size=block_size, rng=0)
    assert least_entries({"BlockCirculant": layer.config}) == layer.params["r"].size


@pytest.mark.parametrize("model", [lenet(rng=0), deep_fried_lenet(rng=0, dropout=0.5)])
def test_models(tmp_path: Path, model: Layer) -> None:
    save_model(tmp_path / "model.npz", model)
    back, metadata = load_model(str(tmp_path / "model.npz"))
    assert metadata == {} and back.n_weights == model.n_weights
    assert all(np.array_equal(back.params[name], w) for name, w in model.params.items())


def test_layers_saved_before_they_had_padding_or_a_stride(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = Sequential([("conv", Conv2D(1, 2, 3, rng=0)), ("pool", MaxPool2D(2))])
    save_model(path, model)
    conv = {"in_channels": 1, "out_channels": 2, "kernel_size": 3, "bias": True, "dtype": "float32"}
    older = {"Sequential": {"conv": {"Conv2D": conv}, "pool": {"MaxPool2D": {"size": 2}}}}
    changed_header(path, architecture=older)
    x = np.random.default_rng(0).standard_normal((2, 1, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(load_model(path)[0](x), model(x))


def test_astype_is_stored(tmp_path: Path, small_model: Layer) -> None:
    save_model(tmp_path / "model.npz", small_model.astype(np.float64))
    assert load_model(tmp_path / "model.npz")[0].dtype == np.float64


def changed_header(path: Path, **values: Any) -> None:
    stored = read_npz(path)
    header = json.loads(str(stored["header"])) | values
    write_npz(path, stored | {"header": np.array(json.dumps(header))})


@pytest.mark.parametrize(
    ("values", "saying"),
    [
        ({"version": 0}, "model version 0, this package reads 1"),
        ({"version": 2}, "model version 2, this package reads 1"),
        ({"format": "onnx"}, "not a fastfood_np model .format 'onnx'"),
        ({"metadata": [1]}, "metadata must be an object, got list"),
        ({"architecture": {}}, "cannot be built"),
        ({"architecture": None}, "cannot be built"),
        ({"architecture": {"Layer": {}}}, "unknown layer 'Layer'"),
        ({"architecture": {"SoftmaxCrossEntropy": {}}}, "unknown layer 'SoftmaxCrossEntropy'"),
        ({"architecture": {"__builtins__": {}}}, "unknown layer '__builtins__'"),
        ({"architecture": {"Dense": {"d_in": 3}}}, "cannot be built"),
        ({"architecture": {"Dense": {"d_in": "3", "n_out": 2}}}, "d_in must be an integer"),
        ({"architecture": {"Dense": {"d_in": 3, "n_out": 2, "odd": 1}}}, "odd"),
        ({"architecture": {"ReLU": {"self": 1}}}, "ReLU takes no options, got self"),
        ({"architecture": {"Dense": {"d_in": 3, "n_out": 2, "rng": 0}}}, "rng is no option"),
        ({"architecture": {"Dense": {"d_in": 3, "n_out": 2, "dtype": None}}}, "dtype must be one"),
        ({"architecture": {"Dense": {"d_in": 3, "n_out": 2, "dtype": "f"}}}, "dtype must be one"),
        ({"architecture": {"Permutation": {"perm": [0, "b" * 9]}}}, "perm must be an integer"),
        ({"architecture": {"Center": {"shape": [1] * 65}}}, "length of shape must be at most 64"),
        ({"architecture": {"ReLU": {}}}, "does not fit this model: missing or unknown "),
        ({"architecture": {"Sequential": {"a.b": {"ReLU": {}}}}}, "without dots"),
    ],
)
def test_wrong_headers(
    tmp_path: Path, small_model: Layer, values: dict[str, Any], saying: str
) -> None:
    path = tmp_path / "model.npz"
    save_model(path, small_model)
    changed_header(path, **values)
    with pytest.raises(ModelFileError, match=saying) as caught:
        load_model(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "absurd",
    [
        {"Dense": {"d_in": 10**12, "n_out": 1}},
        {"Dense": {"d_in": 10**5, "n_out": 10**5}},
        {"BlockCirculant": {"d_in": 10**6, "n_out": 10**6, "block_size": 10}},
        {"BlockCirculant": {"d_in": 1, "n_out": 1, "block_size": 10**12}},
        {"BlockCirculant": {"d_in": 10**6, "n_out": 1, "block_size": 10**6 - 1}},
        {"Center": {"shape": [10**5, 10**5]}},
        {"Circulant": {"d_in": 10**9, "n_out": 1}},
        {"Circulant": {"d_in": 1, "n_out": 10**9}},
        {"Hashed": {"d_in": 1, "n_out": 1, "n_hashed": 10**9}},
        {"LowRank": {"d_in": 10**9, "n_out": 1, "rank": 1}},
        {"LowRank": {"d_in": 1, "n_out": 1, "rank": 10**9}},
        {
            "QuantizedDense": {
                "d_in": 10**9,
                "n_out": 1,
                "n_subspaces": 1,
                "n_centroids": 2,
                "shared": True,
            }
        },
        {
            "QuantizedDense": {
                "d_in": 2,
                "n_out": 10**9,
                "n_subspaces": 1,
                "n_centroids": 2,
                "shared": False,
            }
        },
        {"SORF": {"d_in": 10**9, "n_out": 1}},
        {"SORF": {"d_in": 1, "n_out": 10**9}},
        {"Diagonal": {"shape": [10**5, 10**5]}},
        {"Fastfood": {"d_in": 10**9, "n_out": 1}},
        {"Fastfood": {"d_in": 1, "n_out": 10**9}},
        {"Conv2D": {"in_channels": 10**4, "out_channels": 10**4, "kernel_size": 10**3}},
        {"ConvPool2D": {"in_channels": 1, "out_channels": 1, "kernel_size": 10**6, "pool": 1}},
        {"Sequential": {str(i): {"Dense": {"d_in": 30, "n_out": 1}} for i in range(1000)}},
    ],
)
def test_absurd_sizes_allocate_nothing(
    tmp_path: Path, small_model: Layer, absurd: dict[str, Any]
) -> None:
    path = tmp_path / "model.npz"
    save_model(path, small_model)
    changed_header(path, architecture=absurd)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match=r"it asks for \d+ numbers, the file holds \d+\)"):
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_deeply_nested_header(tmp_path: Path) -> None:
    depth = 100_000
    for header in ('{"Sequential":' * depth, "[" * depth + "]" * depth):
        write_npz(tmp_path / "model.npz", {"header": np.array(header)})
        with pytest.raises(ModelFileError, match="not a fastfood_np model"):
            load_model(tmp_path / "model.npz")


@pytest.mark.parametrize(
    "perm", [[[0, 1, 2, 4]], [[0, 1, 2, -1]], [[0, 1, 2, 2]], [[0.0, 1.0, 2.0, 3.0]]]
)
def test_tampered_permutation(tmp_path: Path, small_model: Layer, perm: Any) -> None:
    path, name = tmp_path / "model.npz", "constant:fastfood.perm"
    save_model(path, small_model)
    write_npz(path, read_npz(path) | {name: np.array(perm)})
    with pytest.raises(ModelFileError, match=rf"model\.npz: {name} must"):
        load_model(path)


@pytest.mark.parametrize(
    ("kind", "name", "array"),
    [
        ("Circulant", "constant:signs", np.ones((2, 5))),
        ("Circulant", "constant:signs", np.ones((1, 5), np.int8)),
        ("Circulant", "param:r", np.ones((2, 6))),
        ("BlockCirculant", "param:r", np.ones((3, 2, 4))),
        ("Hashed", "constant:seed", np.ones(1)),
        ("Hashed", "constant:seed", np.ones(2, np.uint32)),
        ("Hashed", "param:w", np.ones(5)),
        ("LowRank", "param:V", np.ones((5, 2))),
        ("QuantizedDense", "constant:codes", np.ones((3, 7), np.uint8)),
        ("QuantizedDense", "constant:codes", np.ones((3, 4), np.int64)),
        ("QuantizedDense", "constant:codes", np.full((3, 4), 5, np.uint8)),
        ("QuantizedDense", "constant:codes", np.full((3, 4), 0x50, np.uint8)),
        ("QuantizedDense", "param:codebooks", np.ones((3, 6, 2))),
        ("QuantizedDense", "param:codebooks", np.ones((3, 5, 3))),
        ("SORF", "param:D2", np.ones((3, 4))),
    ],
)
def test_tampered_arrays(tmp_path: Path, kind: str, name: str, array: Any) -> None:
    """Of another shape or dtype; `Hashed` indexes by what its seed gives, and any seed will do."""
    path = tmp_path / "model.npz"
    save_model(path, EXAMPLES[kind][0]("float64"))
    stored = read_npz(path)
    assert name in stored
    write_npz(path, stored | {name: array})
    with pytest.raises(ModelFileError, match=rf"model\.npz: .*{name}"):
        load_model(path)
    del stored[name]
    write_npz(path, stored)
    with pytest.raises(ModelFileError, match=rf"missing or unknown .*{name}|it asks for"):
        load_model(path)


@pytest.mark.parametrize(
    ("n_centroids", "code", "largest"), [(5, 0x05, 5), (5, 0x60, 6), (17, 17, 17)]
)
def test_tampered_codes_of_a_layer_in_a_chain(
    tmp_path: Path, n_centroids: int, code: int, largest: int
) -> None:
    layer = layers.QuantizedDense(6, 4, n_subspaces=2, n_centroids=n_centroids, rng=0)
    path, name = tmp_path / "model.npz", "constant:first.codes"
    save_model(path, Sequential([("first", layer)]))
    stored = read_npz(path)
    stored[name].flat[-1] = code
    write_npz(path, stored)
    with pytest.raises(ModelFileError, match=rf"{name} must lie in 0\.\.\d+, got {largest}"):
        load_model(path)


def loads_or_refuses(path: Path) -> Layer | None:
    """Return the model in the file, if there is one; nothing but the one error else."""
    try:
        model, metadata = load_model(path)
    except ModelFileError:
        return None
    assert isinstance(metadata, dict)
    return model


def test_a_thousand_broken_files(tmp_path: Path, small_model: Layer) -> None:
    """Single bytes changed, or the end cut off: the checksums of the archive tell nearly all."""
    path, x = tmp_path / "model.npz", np.ones((2, 3), np.float32)
    save_model(path, small_model)
    whole = path.read_bytes()
    rng, loaded = np.random.default_rng(0), 0
    for trial in range(1000):
        broken = bytearray(whole)
        position = int(rng.integers(len(whole)))
        if trial % 4 == 0:
            del broken[position:]
        else:
            broken[position] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        model = loads_or_refuses(path)
        if model is not None:
            loaded += 1
            assert trial % 4
            with backends.using("reference"):
                np.testing.assert_array_equal(model(x), small_model(x))
    assert 0 < loaded < 500  # dates of the archive's entries, for one, mean nothing


def test_a_thousand_broken_headers(tmp_path: Path, small_model: Layer) -> None:
    """Characters of the header changed in an archive that is sound."""
    path, x = tmp_path / "model.npz", np.ones((2, 3), np.float32)
    save_model(path, small_model)
    stored = read_npz(path)
    header = str(stored["header"])
    rng, loaded = np.random.default_rng(1), 0
    alphabet = '0123456789-.eE"{}[]:,ntfDS '
    for _ in range(1000):
        changed = list(header)
        for _ in range(int(rng.integers(1, 3))):
            changed[int(rng.integers(len(changed)))] = alphabet[int(rng.integers(len(alphabet)))]
        write_npz(path, stored | {"header": np.array("".join(changed))})
        model = loads_or_refuses(path)
        if model is not None:
            loaded += 1
            # Layers that no longer follow on each other say so.
            with backends.using("reference"), contextlib.suppress(ValueError):
                assert model(x).shape[0] == len(x)
    assert 0 < loaded < 500


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64])
@pytest.mark.parametrize(
    "make",
    [
        lambda d, n, k: layers.BlockCirculant(d, n, block_size=k, rng=0),
        lambda d, n, k: layers.Circulant(d, n, adaptive=np.True_, bias=np.True_, rng=0),
        lambda d, n, k: layers.Hashed(d, n, n_hashed=k, rng=0),
        lambda d, n, k: layers.LowRank(d, n, rank=k, rng=0),
        lambda d, n, k: layers.QuantizedDense(d, n, n_subspaces=k - 8, n_centroids=k, rng=0),
        lambda d, n, k: layers.SORF(d, n, sigma=np.float32(1.5), rng=0),
    ],
    ids=["BlockCirculant", "Circulant", "Hashed", "LowRank", "QuantizedDense", "SORF"],
)
def test_sizes_given_as_small_numpy_scalars(tmp_path: Path, make: Any, kind: type) -> None:
    """Integers of 8 bits overflow, and their square roots have 11 bits: neither may be noticed."""
    layer, usual = make(kind(100), kind(120), kind(33)), make(100, 120, 33)
    for name, value in usual.params.items():
        np.testing.assert_array_equal(layer.params[name], value, strict=True)
    assert layer.config == usual.config
    save_model(tmp_path / "model.npz", layer)
    x = np.ones((2, 100), np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "model.npz")[0](x), usual(x))


def test_sizes_given_as_numpy_scalars_can_be_saved(tmp_path: Path) -> None:
    model = Sequential(
        [
            ("conv", Conv2D(np.int64(1), np.int32(2), (np.int64(2), np.int64(3)), rng=0)),
            ("pool", MaxPool2D(np.int64(2))),
            ("flatten", Flatten()),
            ("fastfood", Fastfood(np.int64(8), np.int64(5), dropout=np.float32(0.5), rng=0)),
            ("dense", Dense(np.int16(5), np.int8(3), bias=np.True_, rng=0)),
        ]
    )
    save_model(tmp_path / "model.npz", model)
    loaded, _ = load_model(tmp_path / "model.npz")
    x = np.ones((2, 1, 5, 6), np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
