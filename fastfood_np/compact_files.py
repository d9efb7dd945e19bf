"""The compact model file, .ffnp: weights as codes of a few bits, a short header, nothing else.

`docs/compact-format.md` describes every byte. A file may come from strangers: nothing in it is
executed, every size in it is held against what is there before memory is taken for it, and a file
that is not exactly what `save_compact` writes is refused.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastfood_np.architectures import arrays_of, build, check_constants, describe, least_entries
from fastfood_np.compression import LloydMax, ScalarQuantizer, Uniform, bits_for, range_coder
from fastfood_np.compression.scalar_quantizer import levels_of
from fastfood_np.files import write_whole
from fastfood_np.layers import Fastfood, Layer, Sequential
from fastfood_np.transforms.seeded import seeded_signs_and_permutations
from fastfood_np.validation import Array, ModelFileError

MAGIC, VERSION = b"FFNP", 1
# Magic, version, bytes of the header as stored and unpacked, bytes of the body, checksums of both.
START = struct.Struct("<4sHIIQII")
LARGEST_HEADER = 1 << 18
ROOM = 64 << 20  # bytes of memory that reading may take beside the file's own
BYTES_AN_ENTRY = 40  # that building a model and filling it takes at most, at a time
SCALE = struct.Struct("<fhH")  # scale, first multiple, number of levels


class Part(NamedTuple):
    """What one array of the model takes in a file."""

    name: str
    encoding: str
    entries: int
    nbytes: int


def save_compact(
    path: str | Path,
    model: Layer,
    quantizers: Mapping[str, ScalarQuantizer] | None = None,
    metadata: dict[str, Any] | None = None,
) -> list[Part]:
    """Write `model`, and `metadata` (JSON values), to `path`, replacing it in one step.

    Parameters
    ----------
    path : str or Path
    model : Layer
        On the host.
    quantizers : mapping of str to ScalarQuantizer, optional
        Fitted, by the names of params, which are stored as codes; all others are stored as they
        are. The model that is read back has what the codes stand for.
    metadata : dict, optional

    Returns
    -------
    list of Part
        What the file consists of; their bytes add up to the file's.

    Raises
    ------
    ValueError
        A quantiser is for no param of the model, or not fitted.
    """
    data, parts = encode_model(model, quantizers or {}, metadata)
    write_whole(Path(path), data)
    return parts


def encode_model(
    model: Layer, quantizers: Mapping[str, ScalarQuantizer], metadata: dict[str, Any] | None = None
) -> tuple[bytes, list[Part]]:
    """Return what `save_compact` writes, and what it consists of."""
    for name in quantizers:
        if name not in model.params:
            known = ", ".join(model.params)
            raise ValueError(f"quantizers must name params ({known}), got {name!r}")
    by_seed = _by_seed(model)
    encodings, bodies, parts = [], [], []
    for name, array in arrays_of(model).items():
        kind, _, key = name.partition(":")
        if name in by_seed and np.array_equal(by_seed[name], array):
            encoding, body = "seed", b""
        elif kind == "param" and key in quantizers:
            encoding, body = _encode_levels(array, quantizers[key])
        elif array.dtype.kind in "iu" and array.size and array.min() >= 0:
            encoding, body = _encode_integers(array)
        else:
            encoding, body = "raw", array.astype(array.dtype.newbyteorder("<")).tobytes()
        encodings.append([encoding, len(body)])
        bodies.append(body)
        parts.append(Part(name, encoding, array.size, len(body)))
    header = {"architecture": describe(model), "metadata": metadata or {}, "arrays": encodings}
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"the header must be at most {LARGEST_HEADER} bytes, got {len(text)}")
    packed, body = zlib.compress(text, 9), b"".join(bodies)
    start = START.pack(
        *(MAGIC, VERSION, len(packed), len(text), len(body)),
        *(zlib.crc32(packed), zlib.crc32(body)),
    )
    sizes = Part("header", "zlib", len(text), START.size + len(packed))
    return start + packed + body, [sizes, *parts]


def load_compact(path: str | Path, *, room: int = ROOM) -> tuple[Layer, dict[str, Any]]:
    """Return the model and the metadata that `save_compact` wrote.

    Parameters
    ----------
    path : str or Path
    room : int
        Bytes of memory that reading may take beside the size of the file: a small file may say
        that it stands for a large model.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ModelFileError
        The file is corrupt, no compact model, of an unknown version, or its model would take more
        memory than `room` allows.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        return decode_model(data, room=room)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error


def decode_model(data: bytes, *, room: int = ROOM) -> tuple[Layer, dict[str, Any]]:
    """Return what `encode_model` was given, from its bytes."""
    header, body = _read_header(data)
    try:
        architecture, metadata, encodings = (
            header[key] for key in ("architecture", "metadata", "arrays")
        )
        if not isinstance(metadata, dict) or not isinstance(encodings, list):
            raise TypeError("metadata must be an object and arrays a list")
        needed = BYTES_AN_ENTRY * least_entries(architecture)
    except Exception as error:  # JSON values of any kind in any place
        raise ModelFileError(f"not a compact model ({error!r})") from error
    if needed > room + len(data):
        raise ModelFileError(
            f"reading the model would take about {needed} bytes of memory, room is for "
            f"{room + len(data)}; load_compact(path, room=...) allows more"
        )
    try:
        model = build(architecture)
        _fill(model, encodings, body)
    except Exception as error:  # constructors fed with anything, arrays that do not fit
        raise ModelFileError(f"the model cannot be built ({error})") from error
    return model, metadata


def is_compact(path: Path) -> bool:
    """Whether a file begins as compact models do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _read_header(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) < START.size or data[: len(MAGIC)] != MAGIC:
        raise ModelFileError("not a compact model (it does not begin as one)")
    _, version, packed, unpacked, size, *checksums = START.unpack_from(data)
    if version != VERSION:
        raise ModelFileError(f"compact model version {version}, this package reads {VERSION}")
    if len(data) != START.size + packed + size:
        raise ModelFileError(
            f"must be {START.size + packed + size} bytes long by its header, is {len(data)}"
        )
    view = memoryview(data)[START.size :]
    text, body = view[:packed], view[packed:]
    for name, part, checksum in zip(("header", "body"), (text, body), checksums, strict=True):
        if zlib.crc32(part) != checksum:
            raise ModelFileError(f"the {name}'s checksum is wrong: the file is damaged")
    if unpacked > LARGEST_HEADER:
        raise ModelFileError(f"a header of {unpacked} bytes, at most {LARGEST_HEADER} are allowed")
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(text, unpacked + 1)
        if len(plain) != unpacked or not unpacker.eof or unpacker.unused_data:
            raise ValueError("its length is another than said")
        header = json.loads(plain)
        if not isinstance(header, dict):
            raise TypeError("it is no object")
    except (zlib.error, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"the header cannot be read ({error})") from error
    return header, body


def _fill(model: Layer, encodings: list[Any], body: memoryview) -> None:
    """Put the arrays of the body into the model."""
    targets, by_seed, place = arrays_of(model), _by_seed(model), 0
    if len(encodings) != len(targets):
        raise ValueError(f"{len(targets)} arrays are needed, the file has {len(encodings)}")
    for (name, target), (encoding, size) in zip(targets.items(), encodings, strict=True):
        if not isinstance(size, int) or not 0 <= size <= len(body) - place:
            raise ValueError(f"{name} has {size!r} of {len(body) - place} bytes")
        data, place = bytes(body[place : place + size]), place + size
        if encoding == "seed":
            if name not in by_seed or data:
                raise ValueError(f"{name} does not follow from a seed")
            target[...] = by_seed[name]
        elif encoding in LEVELS and name.startswith("param:"):
            _decode_levels(encoding, data, target)
        elif encoding == "codes" and target.dtype.kind in "iu":
            _decode_integers(data, target)
        elif encoding == "raw" and size == target.nbytes:
            kind = target.dtype.newbyteorder("<")
            target[...] = np.frombuffer(data, kind).reshape(target.shape)
        else:
            raise ValueError(f"{name} cannot be {encoding!r} of {size} bytes")
    if place != len(body):
        raise ValueError(f"{len(body) - place} bytes are left over")
    check_constants(targets)


def _by_seed(model: Layer) -> dict[str, Array]:
    """Return the arrays that the seeds in the model's config bring back."""
    if isinstance(model, Sequential):
        return {
            name.replace(":", f":{part}.", 1): array
            for part, layer in model.layers.items()
            for name, array in _by_seed(layer).items()
        }
    if not isinstance(model, Fastfood) or model.config["seed"] is None:
        return {}
    signs, perm = seeded_signs_and_permutations(model.config["seed"], *model.perm.shape)
    return {"param:B": signs.astype(model.params["B"].dtype), "constant:perm": perm}


# ------------------------------------------------------------------------------------- encodings

LEVELS = {"lloyd-max": LloydMax, "uniform": Uniform}


def _encode_levels(w: Array, quantizer: ScalarQuantizer) -> tuple[str, bytes]:
    """Return the levels and the range-coded codes of weights.

    Equally spaced levels are a scale and two numbers, others a scale and each multiple.
    """
    encoding = next(name for name, kind in LEVELS.items() if isinstance(quantizer, kind))
    codes, multiples = quantizer.encode(w), quantizer.multiples
    table = SCALE.pack(quantizer.scale, multiples[0], multiples.size)
    if encoding == "lloyd-max":
        table += multiples[1:].astype("<i2").tobytes()
    return encoding, table + range_coder.encode(codes, bits_for(multiples.size))


def _decode_levels(encoding: str, data: bytes, target: Array) -> None:
    scale, first, n = SCALE.unpack_from(data)
    if not (math.isfinite(scale) and scale >= 0 and 1 <= n <= 256):
        raise ValueError(f"levels must be 1 to 256 multiples of a scale, got {n} of {scale}")
    multiples = first + np.arange(n, dtype=np.int64)
    place = SCALE.size
    if encoding == "lloyd-max":
        multiples[1:] = np.frombuffer(data, "<i2", n - 1, place)
        place += 2 * (n - 1)
    codes = range_coder.decode(data[place:], bits_for(n), target.size)
    if codes.max(initial=0) >= n:
        raise ValueError(f"codes must lie below {n}, got {codes.max()}")
    largest = scale * float(np.abs(multiples).max())
    if largest > np.finfo(target.dtype).max:
        raise ValueError(f"levels must fit into {target.dtype}, got {largest}")
    levels = levels_of(np.float32(scale), multiples, target.dtype)
    target[...] = levels[codes].reshape(target.shape)


def _encode_integers(array: Array) -> tuple[str, bytes]:
    """Return range-coded integers of up to 16 bits after how many bits they have; else raw."""
    bits = bits_for(int(array.max()) + 1)
    if bits > 16:
        return "raw", array.astype(array.dtype.newbyteorder("<")).tobytes()
    return "codes", bytes([bits]) + range_coder.encode(array, bits)


def _decode_integers(data: bytes, target: Array) -> None:
    if not data:
        raise ValueError("codes must begin with their number of bits")
    codes = range_coder.decode(data[1:], data[0], target.size)
    if codes.max(initial=0) > np.iinfo(target.dtype).max:
        raise ValueError(f"codes must fit into {target.dtype}, got {codes.max()}")
    target[...] = codes.reshape(target.shape)
