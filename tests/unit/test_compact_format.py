"""docs/compact-format.md is true: its example, and a reader that was written after it."""

import json
import re
from pathlib import Path

import numpy as np
import oracles_compact
import oracles_seeded
import pytest
from contract.layers_table import CASES, DTYPES

import fastfood_np
from fastfood_np import layers
from fastfood_np.architectures import (
    BYTES_A_LAYER,
    BYTES_A_LETTER,
    BYTES_AN_ENTRY,
    arrays_of,
    describe,
)
from fastfood_np.compact_files import (
    HEADER_OBJECTS,
    LARGEST_HEADER,
    MOST_DIGITS,
    ROOM,
    START,
    decode_model,
    encode_model,
)
from fastfood_np.compression import LloydMax, Uniform
from fastfood_np.models import deep_fried_lenet

DOCUMENT = Path(fastfood_np.__file__).parents[1] / "docs" / "compact-format.md"
TEXT = DOCUMENT.read_text() if DOCUMENT.exists() else ""
pytestmark = pytest.mark.skipif(not TEXT, reason="the package is installed without its documents")


def block(kind):
    return re.search(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL).group(1)


def seeds(model, name=""):
    """The seed of each Fastfood layer, by its name with a dot."""
    if isinstance(model, layers.Sequential):
        inner = [seeds(layer, f"{name}{key}.") for key, layer in model.layers.items()]
        return {key: seed for part in inner for key, seed in part.items()}
    return {name: model.config.get("seed")}


def read_by_the_document(data, model):
    """All arrays; their shapes and types, which follow from the options, are the model's."""
    header, stored = oracles_compact.read(data)
    found, seed = {}, seeds(model)
    for (name, own), (encoding, part) in zip(arrays_of(model).items(), stored, strict=True):
        layer = re.sub(r"^\w+:|[^.]+$", "", name)
        found[name] = oracles_compact.array(
            encoding, part, own.shape, own.dtype, seed[layer], name.endswith("B")
        )
    return header, found


def test_the_example():
    data = bytes.fromhex("".join(block("hex").split()))
    expected = json.loads(block("json"))
    assert f"{len(data)} bytes:" in TEXT
    model, metadata = decode_model(data)
    assert describe(model) == expected["architecture"] and metadata == expected["metadata"]
    found = {**model.params, **model.constants}
    assert {name: array.tolist() for name, array in found.items()} == expected["arrays"]
    header, arrays = read_by_the_document(data, model)
    assert header["architecture"] == expected["architecture"]
    assert [array.tolist() for array in arrays.values()] == list(expected["arrays"].values())
    G = Uniform(3, step=0.5).fit(model.params["f.G"])
    W = LloydMax(2).fit(model.params["d.W"])
    W.scale, W.multiples = np.float32(0.5), np.array([-2, -1, 1], np.int16)
    again, parts = encode_model(model, {"f.G": G, "d.W": W}, metadata)
    size = sum(part.nbytes for part in parts[1:])
    assert again[-size:] == data[-size:]  # how the header is packed is up to zlib


@pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_reader_written_after_the_document(case, dtype):
    model = case.layer(dtype)
    kinds = (LloydMax(3), Uniform(4), None)
    chosen = {name: kinds[i % 3] for i, name in enumerate(model.params)}
    quantizers = {name: kind.fit(model.params[name]) for name, kind in chosen.items() if kind}
    assert_read_alike(encode_model(model, quantizers)[0])


def assert_read_alike(data):
    model, _ = decode_model(data)
    header, arrays = read_by_the_document(data, model)
    assert header["architecture"] == describe(model)
    for name, own in arrays_of(model).items():
        assert arrays[name].dtype == own.dtype and arrays[name].tobytes() == own.tobytes()


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_seeds_and_thousands_of_codes(seed):
    net = deep_fried_lenet(256, channels=(4, 8), rng=0)
    net.layers["fastfood"] = layers.Fastfood(128, 256, seed=seed, rng=0)
    quantizers = {
        name: Uniform(8, step=0.02).fit(w) for name, w in net.params.items() if name[-1] != "B"
    }
    data, parts = encode_model(net, quantizers)
    assert [part.encoding for part in parts].count("seed") == 2
    assert_read_alike(data)


def test_numbers_of_the_document():
    signs, (perm,) = oracles_seeded.signs_and_permutations(oracles_seeded.PCG64(0).word, 1, 8)
    order = " ".join(map(str, perm))
    assert f"perm {order}, B {' '.join('-+'[sign > 0] for sign in signs[0])}." in TEXT
    assert f"Start ({START.size} bytes)" in TEXT and f"at most {LARGEST_HEADER:,}" in TEXT
    assert f"integers have at most {MOST_DIGITS} characters" in TEXT
    told = " ".join(TEXT.split())
    assert f"{BYTES_AN_ENTRY} bytes for each number of the arrays" in told
    assert f"{HEADER_OBJECTS} for each byte of the header" in told
    assert f"{BYTES_A_LAYER >> 10} KiB for each layer" in told
    assert f"{BYTES_A_LETTER} bytes for each letter" in told
    assert f"{ROOM >> 20} MiB unless given" in told


def test_all_layers_are_in_the_document():
    for name in set(layers.__all__) - {"Layer", "SoftmaxCrossEntropy"}:
        assert f"`{name}`" in TEXT or f'"{name}"' in TEXT
    for case in CASES:
        for name, array in arrays_of(case.layer(np.float32)).items():
            word = name.split(":")[1].split(".")[-1]
            assert re.search(rf"\b{word}\b", TEXT), (name, array.shape)
