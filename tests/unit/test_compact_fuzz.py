"""Compact files made to break their reader: a sound model or one clear line, in little memory."""

import copy
import json
import struct
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest

from fastfood_np import backends, layers
from fastfood_np.architectures import arrays_of, building_bytes, describe
from fastfood_np.backends.cpu import jit
from fastfood_np.compact_files import (
    LARGEST_HEADER,
    MAGIC,
    ROOM,
    START,
    VERSION,
    decode_model,
    encode_model,
    load_compact,
)
from fastfood_np.compression import LloydMax, Uniform, range_coder
from fastfood_np.layers import Sequential
from fastfood_np.layers.codes import check_packed_codes
from fastfood_np.validation import ModelFileError

SLACK = 1 << 18  # what Python and zlib take whatever they read
SECONDS = 3.0  # of processor time for one file: far above what it takes, far below a hang
FEWER = 10 if jit.disabled() else 1


def base_models():
    def chain(*parts):
        return Sequential([(f"l{i}", part) for i, part in enumerate(parts)])

    return {
        "fastfood": chain(layers.Fastfood(3, 6, rng=0), layers.ReLU(), layers.Dense(6, 2, rng=0)),
        "seeded": chain(
            layers.Fastfood(4, 4, seed=2**64 - 1, dropout=0.5, rng=0),
            layers.Dropout(0.5),
            layers.Fastfood(4, 4, seed=5, form="composed", adaptive=False, rng=0),
        ),
        "convolutions": chain(
            layers.ConvPool2D(1, 2, 3, pool=2, relu=True, rng=0),
            layers.Conv2D(2, 2, (2, 1), padding=1, rng=0),
            layers.MaxPool2D(2, stride=1),
            layers.AveragePool2D(1, stride=1),
            layers.Flatten(),
        ),
        "packed": chain(layers.QuantizedDense(4, 3, n_subspaces=2, n_centroids=5, rng=0)),
        "bytes": layers.QuantizedDense(4, 3, n_subspaces=2, n_centroids=17, shared=True, rng=0),
        "hashed": chain(layers.Hashed(3, 4, n_hashed=5, rng=0), layers.Hadamard()),
        "permutation": layers.Permutation([[2, 0, 1], [0, 1, 2]]),
        "circulant": chain(
            layers.Circulant(3, 7, bias=True, rng=0),
            layers.BlockCirculant(7, 4, block_size=3, rng=0),
        ),
        "float64": layers.Dense(3, 4, rng=0, dtype=np.float64),
        "nested": chain(
            layers.Center((4,)),
            chain(layers.SORF(4, 6, rng=0), chain(layers.Diagonal(6))),
            layers.LowRank(6, 3, rank=1, rng=0),
        ),
    }


def encoded(model):
    """The model's file, params of each kind of encoding in turn."""
    quantizers = {}
    for i, (name, w) in enumerate(model.params.items()):
        if i % 3 < 2:
            quantizers[name] = (LloydMax(2), Uniform(3))[i % 3].fit(w)
    return encode_model(model, quantizers, {"title": "a model"})[0]


BASES = {name: encoded(model) for name, model in base_models().items()}
by_base = pytest.mark.parametrize("base", BASES)


def taken_apart(data):
    """The header's text and the body."""
    _, _, packed, *_ = START.unpack_from(data)
    return zlib.decompress(data[START.size : START.size + packed]), data[START.size + packed :]


def put_together(header, body, **start):
    """A file with right lengths and checksums, but those given."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    packed = start.pop("zipped", None) or zlib.compress(text)
    fields = {
        "magic": MAGIC,
        "version": VERSION,
        "packed": len(packed),
        "unpacked": len(text),
        "length": len(body),
        "check_packed": zlib.crc32(packed),
        "check_body": zlib.crc32(body),
    } | start
    return START.pack(*fields.values()) + packed + body


def read(data, room=ROOM):
    """The model, or None where it is refused as it should be."""
    try:
        model, metadata = decode_model(data, room=room)
    except ModelFileError as error:
        text = str(error)
        assert text.isprintable() and 10 < len(text) < 500, text
        return None
    assert isinstance(metadata, dict)
    return model


def measured(data, room=ROOM):
    """As `read`, in time, and in no more memory than the file and `room`."""
    tracemalloc.start()
    started = time.process_time()
    try:
        model = read(data, room)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < SECONDS
    assert peak < room + SLACK, f"{peak} bytes"
    return model


def assert_sound(model):
    """Constants are what kernels take them for, and the model can be written and read again."""
    for name, array in arrays_of(model).items():
        if name.endswith("perm"):
            np.testing.assert_array_equal(
                np.sort(array), np.broadcast_to(np.arange(array.shape[-1]), array.shape)
            )
        if name.endswith("codes"):
            books = arrays_of(model)[name.replace("constant:", "param:")[:-5] + "codebooks"]
            check_packed_codes(array, name, books.shape[1])
    data, _ = encode_model(model, {})
    back, _ = decode_model(data)
    assert describe(back) == describe(model)
    for found, own in zip(arrays_of(back).values(), arrays_of(model).values(), strict=True):
        assert found.dtype == own.dtype and found.tobytes() == own.tobytes()


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Nothing is imported or compiled for the first time while memory is measured."""
    for data in BASES.values():
        decode_model(data)


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ----------------------------------------------------------------- what checksums are there for


@by_base
def test_untouched(base):
    model = read(BASES[base])
    assert_sound(model)
    text, body = taken_apart(BASES[base])
    assert describe(read(put_together(text, body))) == describe(model)


@by_base
def test_cut_anywhere(base):
    data = BASES[base]
    for length in range(len(data)):
        assert read(data[:length]) is None


@by_base
def test_any_bit_flipped(base):
    data = bytearray(BASES[base])
    for place in range(0, len(data), FEWER):
        for bit in range(8):
            data[place] ^= 1 << bit
            assert read(bytes(data)) is None
            data[place] ^= 1 << bit


def damaged(data, rng):
    """Some bytes replaced, put in between, or taken away."""
    start, count = int(rng.integers(len(data))), int(rng.integers(1, 9))
    new = rng.integers(0, 256, count, np.uint8).tobytes()
    kept = start + (0, count, count)[kind := int(rng.integers(3))]
    return data[:start] + (b"" if kind == 2 else new) + data[kept:]


@by_base
def test_bytes_replaced_inserted_and_deleted(base):
    rng = np.random.default_rng(1)
    for _ in range(300 // FEWER):
        changed = damaged(BASES[base], rng)
        assert changed == BASES[base] or read(changed) is None


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "a model.ffnp"
    rng = np.random.default_rng(2)
    for data in BASES.values():
        for _ in range(20):
            path.write_bytes(damaged(data, rng)[:-1])
            with pytest.raises(ModelFileError) as caught:
                load_compact(path)
            text = str(caught.value)
            assert text.startswith(f"{path}: ") and text.isprintable()


ABSURD = (0, 1, 2, 2**8, 2**15, 2**16 - 1, 2**18, 2**18 + 1, 2**31 - 1, 2**31, 2**32 - 1)
FIELDS = ("version", "packed", "unpacked", "length", "check_packed", "check_body")


@pytest.mark.parametrize("field", FIELDS)
def test_absurd_numbers_at_the_start(field):
    values = [v for v in ABSURD if field != "version" or v < 2**16]
    values += [2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1] if field == "length" else []
    for data in BASES.values():
        text, body = taken_apart(data)
        usual = put_together(text, body)
        for value in values:
            changed = put_together(text, body, **{field: value})
            assert changed == usual or measured(changed, 1 << 20) is None
    assert read(put_together(text, body, magic=b"FFNQ")) is None
    assert read(MAGIC) is None and read(b"") is None and read(data[: START.size]) is None


def test_long_parts_with_right_checksums():
    """As long as they say: refused for what they are, in no more memory than they take."""
    text, body = taken_apart(BASES["float64"])
    header = json.loads(text)
    long = bytes(20 << 20)
    assert measured(put_together(text, body, zipped=long), 1 << 20) is None
    for i in range(2):
        changed = copy.deepcopy(header)
        changed["arrays"][i][1] += len(long)
        for encoding in ("raw", "seed", "codes", "uniform", "lloyd-max"):
            changed["arrays"][i][0] = encoding
            assert measured(put_together(changed, body + long), 1 << 20) is None
            assert measured(put_together(changed, long + body), 1 << 20) is None


def test_a_header_that_unpacks_to_a_quarter_of_a_gigabyte():
    packer, zeros = zlib.compressobj(), bytes(1 << 20)
    packed = b"".join([*(packer.compress(zeros) for _ in range(250)), packer.flush()])
    assert len(packed) < LARGEST_HEADER
    for said in (0, 1000, LARGEST_HEADER, 250 << 20, 2**32 - 1):
        assert measured(put_together(b"", b"", zipped=packed, unpacked=said), 1 << 20) is None
    # And one that goes on behind its end, or is cut.
    text, body = taken_apart(BASES["hashed"])
    zipped = zlib.compress(text)
    for other in (zipped + b"\0", zipped + zipped, zipped[:-1], zipped[:-4], zipped[2:], b"\0"):
        assert read(put_together(text, body, zipped=other)) is None


# ------------------------------------------------------------------ behind checksums that are right

# In the place of any value of the header.
HOSTILE = [
    *(None, True, 0, -1, 1, 2, 3, 5, 8, 256, 1000, 65_536, 10**6, 2**31, 2**63 - 1, 2**64 - 1),
    *(10**20 - 1, -(2**63), 0.5, 5e-324, 1e308, "", "1", "float32", "float64", ">f4", "a", "raw"),
    *("seed", "codes", "lloyd-max", "a\nb\x1b[31m\u2028", "\ud800", "ones", "composed"),
    *([], [[]], [1], [3, 2, 1, 1], [0] * 9, [1] * 65, [10**6] * 2, [2**32] * 2, ["x"]),
    *([10**19] * 64, [[1, 2], [3]], [[1, 0], [1, 0]], [[1.0]], {}, {"a": 1}, {"ReLU": {}}),
    *({"Sequential": {}}, {"Dense": {"d_in": 10**6, "n_out": 10**6}}, {"self": 1, "rng": 0}),
]
NAMES = [
    *("", "Dense", "ReLU", "Layer", "Sequential", "SoftmaxCrossEntropy", "Fastfood", "Hashed"),
    *("__class__", "__init__", "__builtins__", "__all__", "object", "self", "rng", "dtype", "seed"),
    *("d_in", "annotations", "dense", "a.b", "a\nb", "\ud800", "perm", "codes", "x" * 5000),
]


def paths(value, before=()):
    """All places in nested objects and lists."""
    yield before
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*before, key))


def changed_at(header, path, change):
    """A copy in which `change(parent, key)` was done at a path that is not the top."""
    header = copy.deepcopy(header)
    parent = header
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return header


def renamed(parent, key, name):
    if isinstance(parent, dict):
        items = [(name if k == key else k, v) for k, v in parent.items()]
        parent.clear()
        parent.update(items)


@by_base
def test_values_of_the_header(base):
    """Values of all kinds in all places, by turns; each with its own measure of memory."""
    text, body = taken_apart(BASES[base])
    header, loaded, tried = json.loads(text), 0, 0
    for i, path in enumerate(list(paths(header))[1:]):
        for value in HOSTILE[i % (2 * FEWER) :: 2 * FEWER]:
            changed = changed_at(header, path, lambda at, key, v=value: at.__setitem__(key, v))
            model = measured(put_together(changed, body), 1 << 20)
            tried += 1
            if model is not None:
                loaded += 1
                assert_sound(model)
    assert loaded < tried / 2


@by_base
def test_names_of_the_header(base):
    """Any name in the place of any other, and names and entries left out or there twice."""
    text, body = taken_apart(BASES[base])
    header = json.loads(text)

    def tried(change):
        model = measured(put_together(changed_at(header, path, change), body), 1 << 20)
        if model is not None:
            assert_sound(model)

    for i, path in enumerate(list(paths(header))[1:]):
        tried(lambda at, key: at.pop(key))
        if isinstance(path[-1], str):
            for name in NAMES[i % FEWER :: FEWER]:
                tried(lambda at, key, name=name: renamed(at, key, name))
                tried(lambda at, key, name=name: at.setdefault(name, 1))
        else:
            tried(lambda at, key: at.insert(key, at[key]))
            tried(lambda at, key: at.reverse())


@by_base
def test_characters_of_the_header(base):
    text, body = taken_apart(BASES[base])
    rng, alphabet, loaded = np.random.default_rng(3), b'0123456789-.eE"{}[]:,ntfDSN \\\xff\0', 0
    for _ in range(400 // FEWER):
        changed = bytearray(text)
        for _ in range(int(rng.integers(1, 4))):
            place, new = int(rng.integers(len(changed))), alphabet[int(rng.integers(len(alphabet)))]
            kind = int(rng.integers(3))
            changed[place : place + (kind < 2)] = b"" if kind == 1 else bytes([new])
        model = read(put_together(bytes(changed), body), 1 << 20)
        if model is not None:
            loaded += 1
            assert_sound(model)
    assert loaded < 200 // FEWER


@by_base
def test_the_body(base):
    """Bytes of codes, tables, permutations and raw numbers, changed, too few and too many."""
    text, body = taken_apart(BASES[base])
    header, model = json.loads(text), base_models()[base]
    rng, loaded = np.random.default_rng(4), 0
    x = np.ones((2, *shape), model.dtype) if (shape := usual_shape(model)) else None
    for trial in range(400 // FEWER):
        changed, new_header = body, header
        if body and trial % 4:
            place = int(rng.integers(len(body)))
            changed = body[:place] + bytes([int(rng.integers(256))]) + body[place + 1 :]
        elif header["arrays"]:  # one array has more bytes or fewer, and says so
            new_header = copy.deepcopy(header)
            which = int(rng.integers(len(header["arrays"])))
            place = int(sum(size for _, size in header["arrays"][: which + 1]))
            more = rng.integers(0, 256, int(rng.integers(1, 5)), np.uint8).tobytes()
            less = min(len(more), header["arrays"][which][1])
            longer = bool(rng.integers(2))
            changed = (
                body[:place] + more + body[place:]
                if longer
                else body[: place - less] + body[place:]
            )
            new_header["arrays"][which][1] += len(more) if longer else -less
        found = measured(put_together(new_header, changed), 1 << 20)
        if found is not None:
            loaded += 1
            assert_sound(found)
            if x is not None:
                with np.errstate(all="ignore"), backends.using("reference"):
                    assert found(x).shape == model(x).shape
    assert loaded or base in ("permutation",)


def usual_shape(model):
    """The shape of an input, if the first layer knows it."""
    first = next(iter(model.layers.values())) if isinstance(model, Sequential) else model
    return first.input_shape if first.input_shape and None not in first.input_shape else (1, 6, 6)


def first_header(base):
    text, body = taken_apart(BASES[base])
    return json.loads(text), body


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("brackets", b"[" * 100_000 + b"]" * 100_000),
        ("objects", b'{"a":' * 40_000 + b"1" + b"}" * 40_000),
        ("open", b'{"Sequential":' * 10_000),
        (
            "digits",
            b'{"architecture":{"ReLU":{}},"metadata":{"x":' + b"9" * 100_000 + b'},"arrays":[]}',
        ),
        (
            "negative",
            b'{"architecture":{"ReLU":{}},"metadata":{"x":-' + b"9" * 20 + b'},"arrays":[]}',
        ),
        ("decimals", b'{"architecture":{"ReLU":{}},"metadata":{"x":1e999},"arrays":[]}'),
        ("NaN", b'{"architecture":{"ReLU":{}},"metadata":{"x":NaN},"arrays":[]}'),
        ("Infinity", b'{"architecture":{"ReLU":{}},"metadata":{"x":-Infinity},"arrays":[]}'),
        ("twice", b'{"architecture":{"ReLU":{}},"metadata":{},"metadata":{},"arrays":[]}'),
        ("inner twice", b'{"architecture":{"ReLU":{},"ReLU":{}},"metadata":{},"arrays":[]}'),
        ("utf-16", '{"architecture":{"ReLU":{}},"metadata":{},"arrays":[]}'.encode("utf-16")),
        ("mark", b'\xef\xbb\xbf{"architecture":{"ReLU":{}},"metadata":{},"arrays":[]}'),
        ("latin", b'{"architecture":{"ReLU":{}},"metadata":{"\xe4":1},"arrays":[]}'),
        ("more", b'{"architecture":{"ReLU":{}},"metadata":{},"arrays":[]}{}'),
        ("zero", b'{"architecture":{"ReLU":{}},"metadata":{},"arrays":[]}\0'),
        ("none", b""),
        ("null", b"null"),
        ("list", b'["architecture","metadata","arrays"]'),
        ("string", b'"architecture metadata arrays"'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_json_that_is_none_of_ours(name, text):
    assert measured(put_together(text, b""), 1 << 20 if len(text) < 10_000 else ROOM) is None


def test_the_least_header_there_is():
    model = read(put_together(b'{"architecture":{"ReLU":{}},"metadata":{},"arrays":[]}', b""))
    assert type(model) is layers.ReLU
    assert_sound(model)


def nested(depth, inner):
    for _ in range(depth):
        inner = {"Sequential": {"a": inner}}
    return inner


def with_architecture(architecture, arrays=(), body=b"", metadata=None):
    header = {"architecture": architecture, "metadata": metadata or {}, "arrays": list(arrays)}
    # Python does not write what is nested so deep.
    return put_together(json.dumps(header).encode(), body)


def test_chains_in_chains():
    for depth in (1, 10, 50):
        model = measured(with_architecture(nested(depth, {"ReLU": {}})))
        assert_sound(model)
    for depth in (150, 200, 300):  # whatever Python's limit is
        measured(with_architecture(nested(depth, {"ReLU": {}})))
    text = b'{"Sequential":{"a":' * 10_000 + b'{"ReLU":{}}' + b"}}" * 10_000
    text = b'{"architecture":' + text + b',"metadata":{},"arrays":[]}'
    assert measured(put_together(text, b"")) is None


MANY = {
    "many layers": {"Sequential": {f"{i:x}": {"ReLU": {}} for i in range(14_000)}},
    "many layers with arrays": {
        "Sequential": {f"{i:x}": {"Fastfood": {"d_in": 1, "n_out": 1}} for i in range(5000)}
    },
    "many chains": {"Sequential": {f"{i:x}": {"Sequential": {}} for i in range(10_000)}},
    "a long name around many layers": {
        "Sequential": {
            "x" * 120_000: {
                "Sequential": {f"{i:x}": {"Diagonal": {"shape": 1}} for i in range(3000)}
            }
        }
    },
    "many layers deep inside": nested(
        60, {"Sequential": {f"{i:x}": {"Diagonal": {"shape": 1}} for i in range(3000)}}
    ),
    "long names that need four bytes a letter": {
        "Sequential": {
            "\U0001f600" * 9000: nested(
                9, {"Sequential": {f"{i:x}": {"ReLU": {}} for i in range(2000)}}
            )
        }
    },
    "strings of many lengths": {"Permutation": {"perm": ["a"] * 30_000 + ["b" * 100_000]}},
    "a large permutation": {"Permutation": {"perm": list(range(40_000))}},
    "axes": {"Center": {"shape": [1] * 100_000}},
    "large axes": {"Diagonal": {"shape": [10**18] * 10_000}},
    "a long dtype": {"Dense": {"d_in": 1, "n_out": 1, "dtype": "f4," * 60_000}},
    "blocks": {"Fastfood": {"d_in": 1, "n_out": 600_000}},
    "blocks of a seed": {"Fastfood": {"d_in": 1, "n_out": 600_000, "seed": 1}},
    "circulant blocks": {"Circulant": {"d_in": 1, "n_out": 1_000_000}},
    "options of a layer without": {"ReLU": {f"{i:x}": [] for i in range(15_000)}},
}


@pytest.mark.compiled_only
@pytest.mark.parametrize("name", MANY)
def test_many_small_things(name):
    """As much as a header holds: it takes long to build, or more room than there is."""
    text = json.dumps(
        {"architecture": MANY[name], "metadata": {}, "arrays": []}, separators=(",", ":")
    ).encode()
    measured(put_together(text, b""))


@pytest.mark.parametrize("layers_of_chain", [10, 1000, 3000])
def test_room_for_what_is_around_small_layers(layers_of_chain):
    """What is claimed for objects and names is what they take, and more."""
    for depth, name in ((0, "a"), (0, "\U0001f600" * 100), (20, "ab")):
        diagonals = {f"{name}{i:x}": {"Diagonal": {"shape": 1}} for i in range(layers_of_chain)}
        architecture = nested(depth, {"Sequential": diagonals})
        room = building_bytes(architecture) + (1 << 23)
        if layers_of_chain * (depth + 1) < 20_000:
            arrays = [["raw", 4]] * layers_of_chain
            data = with_architecture(architecture, arrays, bytes(4 * layers_of_chain))
            if START.unpack_from(data)[3] <= LARGEST_HEADER:
                assert measured(data, room) is not None


def sized(kind, n, dtype):
    """A layer of about n numbers, as a file describes it."""
    side = max(1, int(n**0.5))
    power = 1 << max(0, n.bit_length() - 3)
    options = {
        "Dense": {"d_in": side, "n_out": side},
        "Dense of one input": {"d_in": 1, "n_out": n // 2},
        "Conv2D": {"in_channels": 4, "out_channels": max(1, n // 36), "kernel_size": 3},
        "Conv2D of one weight": {"in_channels": 1, "out_channels": n // 2, "kernel_size": 1},
        "ConvPool2D": {"in_channels": 1, "out_channels": 1, "kernel_size": side, "pool": 1},
        "LowRank": {"d_in": n // 4, "n_out": n // 4, "rank": 2},
        "Hashed": {"d_in": 1, "n_out": 1, "n_hashed": n},
        "BlockCirculant": {"d_in": side, "n_out": side, "block_size": 1},
        "BlockCirculant of one block": {"d_in": 1, "n_out": 1, "block_size": n},
        "Circulant": {"d_in": n // 3, "n_out": n // 3, "bias": True},
        "Circulant of two blocks": {"d_in": n // 4 + 1, "n_out": n // 4 + 2},
        "Fastfood": {"d_in": power, "n_out": 1, "seed": 7},
        "Fastfood of small blocks": {"d_in": 1000, "n_out": n // 4, "seed": 7},
        "SORF": {"d_in": 1, "n_out": n // 3},
        "SORF of one block": {"d_in": power, "n_out": 1},
        "Center": {"shape": [side, side]},
        "Diagonal": {"shape": n},
        "QuantizedDense": {
            **{"d_in": side, "n_out": side, "n_subspaces": side, "n_centroids": 2, "shared": True}
        },
        "QuantizedDense of bytes": {
            **{"d_in": side, "n_out": side, "n_subspaces": side, "n_centroids": 17, "shared": False}
        },
    }[kind]
    config = options if kind == "Center" else {**options, "dtype": dtype}
    return {kind.split(" of ")[0]: config}


def stored_in_no_bytes(kind):
    """How each array of such a layer is written in next to nothing."""
    level = struct.pack("<fhH", 0.5, 1, 1)
    params = {
        "Dense": 2,
        "Conv2D": 2,
        "ConvPool2D": 2,
        "LowRank": 2,
        "SORF": 3,
        "Fastfood": 2,
        "Center": 0,
        "QuantizedDense": 2,
    }.get(kind, 1)
    arrays, body = [["uniform", len(level)]] * params, level * params
    if kind == "Fastfood":
        arrays += [["seed", 0]] * 2
    if kind in ("Circulant", "QuantizedDense"):
        arrays, body = [*arrays, ["codes", 1]], body + b"\0"
    return arrays, body


KINDS = [
    *("Dense", "Dense of one input", "Conv2D", "Conv2D of one weight", "ConvPool2D", "LowRank"),
    *("Hashed", "BlockCirculant", "BlockCirculant of one block", "Circulant"),
    *(
        "Circulant of two blocks",
        "Fastfood",
        "Fastfood of small blocks",
        "SORF",
        "SORF of one block",
    ),
    *("Center", "Diagonal", "QuantizedDense", "QuantizedDense of bytes"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
def test_claims_just_below_the_room_and_above(kind, dtype):
    """A file of a few hundred bytes that fills 16 MiB, and one that would fill more."""
    room, low, high = 16 << 20, 32, 1 << 40
    while high - low > max(1, low // 200):
        middle = (low + high) // 2
        fits = building_bytes(sized(kind, middle, dtype)) < room - (1 << 15)
        low, high = (middle, high) if fits else (low, middle)
    arrays, body = stored_in_no_bytes(kind.split(" of ")[0])
    if kind == "Circulant":
        arrays.insert(1, arrays[0])
        body = body[:8] + body
    if kind.startswith("Hashed"):
        arrays, body = [*arrays, ["raw", 4]], body + bytes(4)
    if kind == "Center":
        size = building_bytes(sized(kind, low, dtype)) // 24 * 8
        side = int(low**0.5)
        arrays, body = [["raw", 8 * side * side]], bytes(8 * side * side)
        assert len(body) <= size
    model = measured(with_architecture(sized(kind, low, dtype), arrays, body), room)
    assert model is not None
    claimed = sum(array.nbytes for array in arrays_of(model).values())
    assert (
        claimed > room // 64
    )  # the claim is not needlessly high: codes of QuantizedDense are bytes
    for above in (high + high // 100, 10 * high, 10**4 * high):
        refused = with_architecture(sized(kind, above, dtype), arrays, body)
        assert measured(refused, room) is None


def test_a_million_weights_and_a_hundred_million():
    million = with_architecture(
        {"Dense": {"d_in": 1000, "n_out": 1000}}, *stored_in_no_bytes("Dense")
    )
    assert measured(million).params["W"].shape == (1000, 1000)
    hundred = with_architecture(
        {"Dense": {"d_in": 10**4, "n_out": 10**4}}, *stored_in_no_bytes("Dense")
    )
    with pytest.raises(
        ModelFileError, match=r"room must be 24\d{8} bytes .*load_compact\(path, room="
    ):
        decode_model(hundred)
    assert measured(hundred) is None


@pytest.mark.skipif(
    jit.disabled(), reason="kernels as plain Python take minutes for a million codes"
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_codes_that_fill_the_room(dtype):
    """Real codes of eight bits, as many as there is room for."""
    side = int((ROOM // 24.2) ** 0.5)
    codes = np.random.default_rng(0).integers(0, 256, side * side, np.uint8)
    table = struct.pack("<fhH", 0.01, -128, 256)
    body = table + range_coder.encode(codes, 8)
    config = {"d_in": side, "n_out": side, "bias": False, "dtype": dtype}
    data = with_architecture({"Dense": config}, [["uniform", len(body)]], body)
    model = measured(data)
    expected = (np.float64(np.float32(0.01)) * (codes - 128.0)).astype(dtype)
    np.testing.assert_array_equal(model.params["W"].ravel(), expected)


# ------------------------------------------------------------------------- single things refused


def with_array(base, which, encoding, data):
    """A base file with another array in the place of one of its own."""
    header, body = first_header(base)
    place = sum(size for _, size in header["arrays"][:which])
    after = place + header["arrays"][which][1]
    header["arrays"][which] = [encoding, len(data)]
    return put_together(header, body[:place] + data + body[after:])


def codes_of(values, bits):
    return bytes([bits]) + range_coder.encode(np.array(values), bits)


def levels(scale, first, n, more=b"", bits=0, count=12, codes=None):
    coded = range_coder.encode(np.zeros(count, int) if codes is None else np.array(codes), bits)
    return struct.pack("<fhH", scale, first, n) + more + coded


REFUSED = {
    "perm with one twice": (("permutation", 0, "codes", codes_of([2, 0, 0, 0, 1, 2], 2)), "perm"),
    "perm past the end": (("permutation", 0, "codes", codes_of([2, 0, 3, 0, 1, 2], 2)), "perm"),
    "perm of raw numbers": (
        ("permutation", 0, "raw", np.array([2, 0, -1, 0, 1, 2], "<i8").tobytes()),
        "perm",
    ),
    "perm too short": (("permutation", 0, "codes", codes_of([2, 0], 2)), "data must be"),
    "perm of no bits": (("permutation", 0, "codes", b"\0"), "perm"),
    "perm of 17 bits": (("permutation", 0, "codes", b"\x11\0"), "bits must be at most 16"),
    "perm of no bytes": (("permutation", 0, "codes", b""), "codes must begin with"),
    "perm of a seed": (("permutation", 0, "seed", b""), "does not follow from a seed"),
    "perm of levels": (("permutation", 0, "uniform", levels(1, 0, 1)), "cannot be .* encoding"),
    "B of a seed that has bytes": (("seeded", 2, "seed", b"\0"), "does not follow from a seed"),
    "W of a seed": (("float64", 0, "seed", b""), "does not follow from a seed"),
    "W of codes": (("float64", 0, "codes", codes_of([0] * 12, 1)), "cannot be .* encoding"),
    "four bits of 5": (("packed", 2, "codes", codes_of([5, 0, 0, 0], 8)), r"lie in 0\.\.4, got 5"),
    "four bits of nobody": (
        ("packed", 2, "codes", codes_of([0, 0x50, 0, 0], 8)),
        r"lie in 0\.\.4, got 5",
    ),
    "codes past the codebook": (("bytes", 2, "codes", codes_of([17] * 6, 8)), r"0\.\.16, got 17"),
    "codes past a byte": (
        ("bytes", 2, "codes", codes_of([256] * 6, 9)),
        "codes must fit into uint8",
    ),
    "no levels": (("float64", 0, "uniform", levels(1, 0, 0)), "levels must be 1 to 256"),
    "257 levels": (("float64", 0, "uniform", levels(1, 0, 257, bits=9)), "levels must be 1 to 256"),
    "NaN": (("float64", 0, "uniform", levels(np.nan, 0, 1)), "levels must be .* of nan"),
    "infinity": (("float64", 0, "uniform", levels(np.inf, 0, 1)), "levels must be .* of inf"),
    "a negative scale": (("float64", 0, "uniform", levels(-1, 0, 1)), "levels must be"),
    "a table that is cut": (("float64", 0, "uniform", b"\0" * 7), "levels must begin with 8 bytes"),
    "multiples that are cut": (
        ("float64", 0, "lloyd-max", levels(1, 0, 9)[:10]),
        "buffer|multiples",
    ),
    "multiples that descend": (
        ("float64", 0, "lloyd-max", levels(1, 5, 2, struct.pack("<h", 4), 1)),
        r"multiples must ascend to at most 32767, got \[5, 4\]",
    ),
    "multiples past 16 bits": (("float64", 0, "uniform", levels(1, 32_767, 2, bits=1)), "ascend"),
    "code past the levels": (
        ("float64", 0, "uniform", levels(1, 0, 3, bits=2, codes=[0] * 11 + [3])),
        "codes must lie below 3, got 3",
    ),
    "raw numbers too few": (("float64", 0, "raw", bytes(88)), "cannot be 88 bytes of encoding"),
    "raw numbers too many": (("float64", 0, "raw", bytes(104)), "cannot be 104 bytes of encoding"),
    "an encoding nobody knows": (("float64", 0, "zip", b""), "cannot be 0 bytes of encoding 'zip'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_single_things_refused(name):
    (base, which, encoding, data), saying = REFUSED[name]
    file = with_array(base, which, encoding, data)
    with pytest.raises(ModelFileError, match=f"the model cannot be built .*{saying}"):
        decode_model(file)
    assert measured(file, 1 << 20) is None


def test_the_same_things_that_are_right():
    """What the refused ones differ from is loaded."""
    for base, which, encoding, data in (
        ("permutation", 0, "codes", codes_of([2, 0, 1, 1, 0, 2], 2)),
        ("permutation", 0, "codes", codes_of([2, 0, 1, 1, 0, 2], 9)),
        ("packed", 2, "codes", codes_of([4, 0x44, 0, 0], 8)),
        ("bytes", 2, "codes", codes_of([16] * 6, 5)),
        ("float64", 0, "uniform", levels(0, 0, 1)),
        ("float64", 0, "uniform", levels(1, 32_512, 256, bits=8)),
        ("float64", 0, "lloyd-max", levels(3e38, -5, 2, struct.pack("<h", 4), 1)),
        ("float64", 0, "raw", np.full(12, np.nan).tobytes()),
    ):
        model = measured(with_array(base, which, encoding, data), 1 << 20)
        assert_sound(model)


def test_an_encoding_of_another_shape():
    header, body = first_header("float64")
    for entry in (
        [],
        ["raw"],
        ["raw", 96, 0],
        "ab",
        {"raw": 1, "x": 2},
        5,
        None,
        [["raw"], 96],
        [{}, 96],
    ):
        changed = copy.deepcopy(header)
        changed["arrays"][0] = entry
        assert measured(put_together(changed, body), 1 << 20) is None
    for size in (True, 96.0, "96", -1, 2**63, None, [96]):
        changed = copy.deepcopy(header)
        changed["arrays"][0][1] = size
        assert measured(put_together(changed, body), 1 << 20) is None
    assert VERSION == 1
