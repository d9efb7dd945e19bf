"""Compact model files: what comes back, how many bytes it takes, and what is not written."""

import json
import warnings
import zlib
from pathlib import Path

import numpy as np
import oracles_compression
import pytest
from contract.layers_table import CASES, DTYPES

from fastfood_np import compact_files, files, layers
from fastfood_np.compact_files import (
    LARGEST_HEADER,
    START,
    is_compact,
    load_compact,
    save_compact,
)
from fastfood_np.compression import LloydMax, Uniform
from fastfood_np.model_files import load_model, save_model
from fastfood_np.models import cifar10_quick, deep_fried_lenet, lenet
from fastfood_np.training import predict
from fastfood_np.validation import ModelFileError

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
by_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.ffnp"


def arrays(model):
    return {**model.params, **{f"constant {key}": a for key, a in model.constants.items()}}


def assert_same(back, model, quantizers=()):
    """The same layer with the same bits, but what is quantised, which is what codes stand for."""
    assert type(back) is type(model) and back.dtype == model.dtype
    assert (back.trainable, back.biases) == (model.trainable, model.biases)
    assert back.config == model.config
    found, own = arrays(back), arrays(model)
    assert list(found) == list(own)
    for name, array in own.items():
        if name in quantizers:
            array = quantizers[name].decode(quantizers[name].encode(array), array.dtype)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes(), name
        assert found[name].flags.writeable


def header_of(data):
    _, _, packed, *_ = START.unpack_from(data)
    return json.loads(zlib.decompress(data[START.size : START.size + packed]))


def saved(path, model, quantizers=None, metadata=None):
    """Save and load; the parts by name are all of the file."""
    parts = save_compact(path, model, quantizers, metadata)
    assert path.stat().st_size == sum(part.nbytes for part in parts)
    assert sorted(path.parent.iterdir()) == [path]
    back, found = load_compact(path)
    assert found == (metadata or {})
    assert [part.entries for part in parts[1:]] == [array.size for array in arrays(model).values()]
    return back, {part.name: part for part in parts}


# ------------------------------------------------------------------------------ what comes back


@by_dtype
@by_case
def test_round_trip(path, case, dtype):
    model = case.layer(dtype)
    for value in model.params.values():  # the signs of S, G and B are numbers by now
        assert np.isfinite(value).all()
    back, _ = saved(path, model, metadata={"title": "ä \u2028 \U0001f600", "n": [1, 2.5, None, {}]})
    assert_same(back, model)
    x = case.inputs(dtype)
    np.testing.assert_array_equal(back(x), model(x))
    if back.draws:
        y, _ = back.forward(x, train=True, rng=3)
        np.testing.assert_array_equal(y, model.forward(x, train=True, rng=3)[0])
    by_load_model, _ = load_model(path)
    assert_same(by_load_model, model)


@pytest.mark.compiled_only
@by_dtype
@by_case
def test_round_trip_of_quantized_params(path, case, dtype):
    model = case.layer(dtype)
    for bits, kind in enumerate((LloydMax, Uniform) * 4, start=1):
        quantizers = {name: kind(bits).fit(value) for name, value in model.params.items()}
        back, parts = saved(path, model, quantizers)
        assert_same(back, model, quantizers)
        for name in quantizers:
            assert (
                parts[f"param:{name}"].encoding == {LloydMax: "lloyd-max", Uniform: "uniform"}[kind]
            )
        # Once more, from what came back: the same bytes.
        first = path.read_bytes()
        save_compact(path, back, quantizers)
        assert path.read_bytes() == first


def test_some_params_are_quantized(path):
    model = lenet(channels=(2, 3), rng=0)
    quantizers = {"conv1.W": Uniform(3, step=0.1), "ip2.W": LloydMax(2)}
    for name, quantizer in quantizers.items():
        quantizer.fit(model.params[name])
    back, parts = saved(path, model, quantizers)
    assert_same(back, model, quantizers)
    raw = [name for name, part in parts.items() if part.encoding == "raw"]
    assert raw == [f"param:{name}" for name in model.params if name not in quantizers]


def test_chains_in_chains(path):
    inner = layers.Sequential(
        [
            ("p", layers.Permutation([[3, 1, 2, 0]])),
            ("a:b", layers.Fastfood(4, 8, seed=2**64 - 1, rng=0)),
            ("deeper", layers.Sequential([("ü", layers.Dense(8, 3, rng=0))])),
            ("empty", layers.Sequential([])),
        ]
    )
    model = layers.Sequential([("one", layers.Fastfood(5, 4, seed=0, rng=1)), ("in:ner", inner)])
    quantizers = {"in:ner.a:b.S": LloydMax(3).fit(model.params["in:ner.a:b.S"])}
    back, parts = saved(path, model, quantizers)
    assert_same(back, model, quantizers)
    for name in (
        "param:one.B",
        "constant:one.perm",
        "param:in:ner.a:b.B",
        "constant:in:ner.a:b.perm",
    ):
        assert parts[name][1:] == ("seed", parts[name].entries, 0)
    assert parts["param:in:ner.a:b.S"].encoding == "lloyd-max"
    assert back.layers["in:ner"].layers["a:b"].config["seed"] == 2**64 - 1


@pytest.mark.compiled_only
@pytest.mark.parametrize("make", [lenet, deep_fried_lenet, cifar10_quick])
def test_models(path, make):
    small = {} if make is cifar10_quick else {"channels": (4, 6)}
    options = (
        {"mean": np.random.default_rng(0).random((3, 32, 32))} if make is cifar10_quick else {}
    )
    model = make(rng=0, **small, **options)
    quantizers = {
        name: Uniform(4).fit(model.params[name]) for name in model.params if name[-1] == "W"
    }
    back, parts = saved(path, model, quantizers)
    assert_same(back, model, quantizers)
    if make is deep_fried_lenet:
        permutation = next(part for name, part in parts.items() if name.endswith("perm"))
        assert permutation[1:] == ("seed", 1024, 0)


def test_permutations_that_follow_from_no_seed(path):
    """Drawn without one, or changed since: then they are codes."""
    one, other = layers.Fastfood(64, 64, rng=0), layers.Fastfood(64, 64, seed=1, rng=0)
    first, second = other.perm[0, :2]
    other.perm[0, :2] = second, first
    other.params["B"][0, 0] *= -1
    for model in (one, other):
        back, parts = saved(path, model)
        assert_same(back, model)
        assert parts["constant:perm"].encoding == "codes"
        assert 64 * 6 / 8 <= parts["constant:perm"].nbytes <= 64 * 6 / 8 + 2
        assert parts["param:B"].encoding == "raw"
    # What counts is what would be read back: signs that levels do not hit, or that they restore.
    model = layers.Fastfood(64, 64, seed=1, rng=0)
    for w, step, encoding in (
        (model.params["B"], 0.75, "uniform"),
        (model.params["B"], 0.5, "seed"),
        (model.params["B"] * np.float32(1.1), 0.5, "seed"),
        (model.params["B"] * np.float32(1.3), 0.5, "uniform"),
    ):
        model.params["B"] = w
        quantizers = {"B": Uniform(4, step=step).fit(w)}
        back, parts = saved(path, model, quantizers)
        assert_same(back, model, quantizers)
        assert parts["param:B"].encoding == encoding
    changed_by_training = layers.Fastfood(64, 64, seed=1, rng=0)
    changed_by_training.params["B"] += 0.01
    parts = {part.name: part.encoding for part in save_compact(path, changed_by_training)}
    assert (parts["param:B"], parts["constant:perm"]) == ("raw", "seed")


@pytest.mark.parametrize("centroids", [2, 5, 16, 17, 256])
def test_quantized_dense(path, centroids):
    model = layers.QuantizedDense(16, 31, n_subspaces=4, n_centroids=centroids, rng=0)
    book = LloydMax(8).fit(model.params["codebooks"])
    back, parts = saved(path, model, {"codebooks": book})
    assert_same(back, model, {"codebooks": book})
    assert parts["constant:codes"].encoding == "codes"
    codes = model.constants["codes"]
    assert parts["constant:codes"].nbytes <= 2 + oracles_compression.entropy_bytes(codes) + 150


def test_constants_of_all_kinds(path):
    """Negative, beyond 16 bits, float64, and 32 bits of a seed."""
    for model in (
        layers.Circulant(5, 20, rng=0),
        layers.Circulant(5, 20, signs="ones", rng=0),
        layers.Hashed(5, 7, n_hashed=3, rng=0),
        layers.Center((2, 3)),
        layers.Permutation(np.random.default_rng(0).permutation(1000)),
    ):
        assert_same(saved(path, model)[0], model)
    hashed = layers.Hashed(5, 7, n_hashed=3, rng=0)
    for seed, encoding in ((0, "codes"), (65_535, "codes"), (65_536, "raw"), (2**32 - 1, "raw")):
        hashed.constants["seed"][0] = seed
        back, parts = saved(path, hashed)
        assert back.seed == seed and parts["constant:seed"].encoding == encoding


@by_dtype
def test_special_numbers_that_are_not_quantized(path, dtype):
    """NaN with what it carries, infinity, -0, and the smallest and largest of their kind."""
    info = np.finfo(dtype)
    model = layers.Dense(5, 2, rng=0, dtype=dtype)
    bits = np.array([np.nan, -np.nan], dtype).view(f"u{info.dtype.itemsize}") + 5
    model.params["b"][:] = bits.view(dtype)
    numbers = [np.inf, -np.inf, -0.0, 0.0, info.max, info.min, info.tiny, 1e-45, 3e38, info.eps]
    model.params["W"].flat[:] = numbers
    assert_same(saved(path, model)[0], model)


@pytest.mark.parametrize("kind", [LloydMax, Uniform])
@by_dtype
@pytest.mark.parametrize(
    "w",
    [
        [[0.0]],
        [[1.5]],
        [[-3e38, 3e38, 0.0, 1.0]],
        [[float(np.finfo(np.float32).max), -float(np.finfo(np.float32).max)]],
        [[1e-45, -1e-45]],
        [[1e-38, 2e-38, -3e-37]],
        [[0.0] * 7] * 3,
        [[2.5] * 7] * 3,
        [[-1e-3] * 40],
    ],
)
def test_extreme_weights_quantized(path, w, dtype, kind):
    w = np.array(w, dtype)
    for bits in (1, 3, 8):
        model = layers.Dense(w.shape[1], w.shape[0], bias=False, rng=0, dtype=dtype)
        model.params["W"][:] = w
        quantizers = {"W": kind(bits).fit(w)}
        back, _ = saved(path, model, quantizers)
        assert_same(back, model, quantizers)
        assert np.isfinite(back.params["W"]).all()


@pytest.mark.compiled_only
@pytest.mark.parametrize("make", [lenet, deep_fried_lenet])
def test_predictions_do_not_depend_on_threads(path, make):
    model = make(channels=(4, 6), rng=0)
    quantizers = {name: Uniform(5).fit(w) for name, w in model.params.items() if w.any()}
    back, _ = saved(path, model, quantizers)
    for name, quantizer in quantizers.items():
        w = model.params[name]
        w[...] = quantizer.decode(quantizer.encode(w), w.dtype)
    images = np.random.default_rng(0).integers(0, 256, (700, 1, 28, 28), np.uint8)
    expected = predict(model, images, 1)
    for threads in (1, 2, 4):
        assert predict(back, images, threads).tobytes() == expected.tobytes()


# ------------------------------------------------------------------------------- how many bytes


@pytest.mark.compiled_only
@pytest.mark.parametrize("make", [lenet, deep_fried_lenet])
@pytest.mark.parametrize(("kind", "bits"), [(Uniform, 5), (LloydMax, 3)])
def test_size_of_a_file(path, make, kind, bits):
    """Codes at their entropy, tables, what is not quantised, and a header: by hand."""
    model = make(rng=0)
    rng, quantizers, expected = np.random.default_rng(1), {}, 0.0
    for name, w in model.params.items():
        w[...] = 0.05 * rng.standard_normal(w.shape)
        quantizers[name] = kind(bits).fit(w)
        codes = quantizers[name].encode(w)
        expected += oracles_compression.entropy_bytes(codes) + 4 + 2 + 2
        expected += 2 * (len(quantizers[name].multiples) - 1) if kind is LloydMax else 0
    parts = save_compact(path, model, quantizers)
    data = path.read_bytes()
    expected += 30 + len(zlib.compress(json.dumps(header_of(data)).encode()))
    if make is deep_fried_lenet:  # B is no longer that of the seed, the permutation is
        assert {part.encoding for part in parts[1:]} == {parts[1].encoding, "seed"}
    assert abs(len(data) - expected) < 1024
    assert len(data) == sum(part.nbytes for part in parts)


def test_parts(path):
    model = layers.Fastfood(8, 8, seed=3, rng=0)
    parts = save_compact(path, model, {"S": Uniform(2, step=0.5).fit(model.params["S"])})
    assert [part.name for part in parts] == [
        "header",
        "param:S",
        "param:G",
        "param:B",
        "constant:perm",
    ]
    assert [part.encoding for part in parts] == ["zlib", "uniform", "raw", "seed", "seed"]
    assert [part.entries for part in parts[1:]] == [8, 8, 8, 8]
    data = path.read_bytes()
    header = header_of(data)
    assert header["arrays"] == [[part.encoding, part.nbytes] for part in parts[1:]]
    assert parts[0].entries == len(json.dumps(header, separators=(",", ":")))
    assert list(header) == ["architecture", "metadata", "arrays"]
    G = data[parts[0].nbytes + parts[1].nbytes :]
    assert model.params["G"].astype("<f4").tobytes() == G


# ------------------------------------------------------------------------------------- the files


def test_is_compact_and_load_model(path, tmp_path):
    model = layers.Dense(3, 2, rng=0)
    save_compact(path, model)
    save_model(tmp_path / "model.npz", model)
    assert is_compact(path) and not is_compact(tmp_path / "model.npz")
    assert_same(load_model(str(path))[0], model)  # whatever its name
    assert_same(load_compact(str(path))[0], model)
    for nothing in (tmp_path, tmp_path / "none.ffnp"):
        assert not is_compact(nothing)
    with pytest.raises(FileNotFoundError):
        load_compact(tmp_path / "none.ffnp")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.ffnp")
    with pytest.raises(ModelFileError):
        load_model(tmp_path)
    with pytest.raises(ModelFileError, match="not a compact model"):
        load_compact(tmp_path / "model.npz")
    for start in (b"", b"F", b"FFN"):
        path.write_bytes(start)
        assert not is_compact(path)


def test_folders_are_made_and_files_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "model.ffnp"
    for outputs in (2, 3):
        save_compact(path, layers.Dense(3, outputs, rng=0))
        assert load_compact(path)[0].params["W"].shape == (outputs, 3)


@pytest.mark.parametrize("there", [True, False])
def test_a_failed_write_changes_nothing(path, monkeypatch, there):
    if there:
        save_compact(path, layers.Dense(3, 2, rng=0))
    before = path.read_bytes() if there else None

    def fails(*args):
        raise OSError("no space left on device")

    for owner, name in ((files.os, "fsync"), (Path, "replace")):
        monkeypatch.setattr(owner, name, fails)
        with pytest.raises(OSError, match="no space"):
            save_compact(path, layers.Dense(4, 2, rng=0))
        monkeypatch.undo()
    assert sorted(path.parent.iterdir()) == ([path] if there else [])
    assert not there or path.read_bytes() == before


class Mine(layers.Layer):
    """A layer that is not the package's."""


def dense(**changes):
    layer = layers.Dense(3, 2, rng=0)
    for name, value in changes.items():
        layer.params[name] = value
    return layer


FITTED = LloydMax(2).fit(np.ones(3))


class Other:
    """Has what a quantiser has, but no file knows its levels."""

    bits, scale, multiples = 1, np.float32(1), np.zeros(1, np.int16)


@pytest.mark.parametrize(
    ("model", "quantizers", "metadata", "kind", "saying"),
    [
        (None, {}, None, TypeError, "model must be a Layer, got NoneType"),
        (layers.Dense, {}, None, TypeError, "model must be a Layer, got type"),
        ({"W": 1}, {}, None, TypeError, "model must be a Layer, got dict"),
        (
            dense(),
            {"V": FITTED},
            None,
            ValueError,
            r"quantizers must name params \(W, b\), got 'V'",
        ),
        (dense(), {"W": LloydMax(2)}, None, ValueError, r"quantizers\['W'\] must be fitted first"),
        (dense(), {"W": Uniform(2)}, None, ValueError, r"quantizers\['W'\] must be fitted first"),
        (dense(), {"W": Other()}, None, TypeError, "must be LloydMax or Uniform, got Other"),
        (dense(), {"W": None}, None, TypeError, "must be LloydMax or Uniform, got NoneType"),
        (dense(), {}, [1], TypeError, "metadata must be a dict, got list"),
        (dense(), {}, {"x": np.ones(2)}, TypeError, "ndarray is not JSON serializable"),
        (dense(), {}, {"x": {1, 2}}, TypeError, "set is not JSON serializable"),
        (dense(), {}, {"x": np.nan}, ValueError, "cannot be stored: .* NaN is not finite"),
        (dense(), {}, {"x": -np.inf}, ValueError, "cannot be stored: .* -Infinity is not finite"),
        (dense(), {}, {"x": 10**20}, ValueError, "cannot be stored: .*integer of 21 digits"),
        (dense(), {}, {"x": "y" * LARGEST_HEADER}, ValueError, "header must be at most 262144"),
        (Mine(), {}, None, ValueError, "cannot be stored: .* unknown layer 'Mine'"),
        (layers.SoftmaxCrossEntropy(), {}, None, TypeError, "must be a Layer, got SoftmaxCross"),
        (dense(W=np.ones((2, 4), "f")), {}, None, ValueError, "cannot be stored: .*param:W"),
        (dense(W=np.ones((3, 2), "f")), {}, None, ValueError, r"\(2, 3\), got float32 \(3, 2\)"),
        (dense(W=np.ones((2, 3))), {}, None, ValueError, "param:W cannot be 48 bytes"),
        (dense(W=np.ones((2, 3))), {"W": FITTED}, None, ValueError, "param:W must be float32"),
        (dense(W=np.empty((0, 3), "f")), {}, None, ValueError, "param:W cannot be 0 bytes"),
        (dense(c=np.ones(1, "f")), {}, None, ValueError, "2 arrays are needed, the file has 3"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    path, model, quantizers, metadata, kind, saying
):
    path.write_bytes(b"old")
    with pytest.raises(kind, match=saying):
        save_compact(path, model, quantizers, metadata)
    assert path.read_bytes() == b"old" and sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("kind", [LloydMax, Uniform])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_quantized_weights_must_be_finite(path, value, kind):
    model = layers.Dense(3, 2, rng=0)
    quantizers = {"W": kind(2).fit(model.params["W"])}
    model.params["W"][1, 1] = value
    with pytest.raises(ValueError, match="W must be finite to be quantised, but holds NaN or inf"):
        save_compact(path, model, quantizers)
    assert not path.exists()


def test_layers_in_device_memory_are_copied_first(path, monkeypatch):
    """Without a GPU: a layer that says it is there, and gives its copy on the host."""
    layer, host = layers.Diagonal(4), layers.Diagonal(4)
    host.params["D"][:] = [1, 2, 3, 4]
    layer.on_device = True
    monkeypatch.setattr(layer, "to_host", lambda: host, raising=False)
    save_compact(path, layer)
    assert_same(load_compact(path)[0], host)


# ---------------------------------------------------------------------------------------- memory


def test_room(path):
    """Of 24 bytes a weight, and some for what is around them."""
    save_compact(path, layers.Dense(100, 100, bias=False, rng=0))
    with pytest.raises(
        ModelFileError, match=r"model\.ffnp: room must be (\d+) bytes .*, got 240000;"
    ) as caught:
        load_compact(path, room=240_000)
    needed = int(str(caught.value).split("must be ")[1].split()[0])
    assert 240_000 < needed < 240_000 + 2**15
    load_compact(path, room=needed)
    with pytest.raises(ModelFileError, match="room"):
        load_compact(path, room=needed - 1)
    for room, kind in ((-1, ValueError), (1.5, TypeError), (None, TypeError)):
        with pytest.raises(kind, match=r"room must be"):
            load_compact(path, room=room)


def test_a_million_weights_need_no_more_room(path):
    model = layers.Dense(1000, 1000, rng=0)
    save_compact(path, model)
    assert_same(load_compact(path)[0], model)
    assert compact_files.ROOM == 64 << 20
