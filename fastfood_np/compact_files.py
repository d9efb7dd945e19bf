"""The compact model file, .ffnp: weights as codes of a few bits, a short header, nothing else.

`docs/compact-format.md` describes every byte. A file may come from strangers: nothing in it is
executed, every size in it is held against what is there before memory is taken for it, and a file
whose parts do not fit each other to the last byte is refused.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastfood_np.architectures import arrays_of, build, building_bytes, check_constants, describe
from fastfood_np.compression import LloydMax, ScalarQuantizer, Uniform, bits_for, range_coder
from fastfood_np.compression.scalar_quantizer import LARGEST, levels_of
from fastfood_np.files import write_whole
from fastfood_np.layers import Fastfood, Layer, Sequential
from fastfood_np.transforms.seeded import seeded_signs_and_permutations
from fastfood_np.validation import Array, ModelFileError, check_int

MAGIC, VERSION = b"FFNP", 1
# Magic, version, bytes of the header as stored and unpacked, bytes of the body, checksums of both.
START = struct.Struct("<4sHIIQII")
LARGEST_HEADER = 1 << 18  # as JSON, and as stored
HEADER_OBJECTS = 32  # bytes that Python's objects take at most for a byte of JSON
ROOM = 64 << 20  # bytes of memory that reading may take beside the file's own
LARGEST_TABLE = 1 << 10  # bytes that an array may take beyond those of its numbers
MOST_DIGITS = 20  # of an integer in the header: 2^64 - 1 has so many
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
        A layer in device memory is copied to the host for it.
    quantizers : mapping of str to LloydMax or Uniform, optional
        Fitted, by the names of params, which are stored as codes; all others are stored as they
        are, NaN and infinity too. The model that is read back has what the codes stand for.
    metadata : dict, optional
        Its numbers are finite and its integers have at most 20 digits.

    Returns
    -------
    list of Part
        What the file consists of; their bytes add up to the file's.

    Raises
    ------
    TypeError
        `model` is no layer, a quantiser of another kind, or `metadata` no dict of JSON values.
    ValueError
        A quantiser is for no param of the model, not fitted, or its param is not finite; or what
        would be written could not be read back: a layer that is not the package's, arrays that do
        not fit it, or a header above 256 KiB. Nothing is written then.

    Notes
    -----
    The file is decoded once before it is written.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"model must be a Layer, got {type(model).__name__}")
    model = model.to_host() if model.on_device else model
    data, parts = encode_model(model, quantizers or {}, metadata)
    _check_readable(data, model)
    write_whole(Path(path), data)
    return parts


def encode_model(
    model: Layer, quantizers: Mapping[str, ScalarQuantizer], metadata: dict[str, Any] | None = None
) -> tuple[bytes, list[Part]]:
    """Return what `save_compact` writes, and what it consists of; whether it can be read is open.

    Raises
    ------
    TypeError, ValueError
        As of `save_compact`, for arguments that are wrong by themselves.
    """
    if metadata is not None and not isinstance(metadata, dict):
        raise TypeError(f"metadata must be a dict, got {type(metadata).__name__}")
    for name, given in quantizers.items():
        _check_quantizer(name, given, model)
    by_seed = _by_seed(model)
    encodings, bodies, parts = [], [], []
    for name, array in arrays_of(model).items():
        kind, _, key = name.partition(":")
        quantizer = quantizers.get(key) if kind == "param" else None
        if name in by_seed and np.array_equal(by_seed[name], _quantized(array, quantizer)):
            encoding, body = "seed", b""
        elif quantizer is not None:
            encoding, body = _encode_levels(array, quantizer)
        elif array.dtype.kind in "iu" and array.size and array.min() >= 0:
            encoding, body = _encode_integers(array)
        else:
            encoding, body = "raw", array.astype(array.dtype.newbyteorder("<")).tobytes()
        encodings.append([encoding, len(body)])
        bodies.append(body)
        parts.append(Part(name, encoding, array.size, len(body)))
    header = {"architecture": describe(model), "metadata": metadata or {}, "arrays": encodings}
    text = json.dumps(header, separators=(",", ":")).encode()
    packed, body = zlib.compress(text, 9), b"".join(bodies)
    start = START.pack(
        *(MAGIC, VERSION, len(packed), len(text), len(body)),
        *(zlib.crc32(packed), zlib.crc32(body)),
    )
    data, sizes = start + packed + body, Part("header", "zlib", len(text), START.size + len(packed))
    return data, [sizes, *parts]


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
    path, room = Path(path), check_int(room, "room", minimum=0)
    data = path.read_bytes()
    try:
        return decode_model(data, room=room)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error


def decode_model(data: bytes, *, room: int = ROOM) -> tuple[Layer, dict[str, Any]]:
    """Return what `encode_model` was given, from its bytes."""
    text, body = _open(data)
    try:
        header = json.loads(
            text.decode(),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_number,
        )
        architecture, metadata, encodings = (
            header[key] for key in ("architecture", "metadata", "arrays")
        )
        if not isinstance(metadata, dict) or not isinstance(encodings, list):
            raise TypeError("metadata must be an object and arrays a list")
        needed = HEADER_OBJECTS * len(text) + building_bytes(architecture)
    except Exception as error:  # any JSON values in any place
        raise ModelFileError(f"the header cannot be read ({_line(error)})") from error
    if needed > room:
        raise ModelFileError(
            f"room must be {min(needed, sys.maxsize)} bytes of memory for this model, got {room}; "
            "load_compact(path, room=...) allows more"
        )
    try:
        model = build(architecture)
        _fill(model, encodings, body)
    except Exception as error:  # constructors fed with anything, arrays that do not fit
        raise ModelFileError(f"the model cannot be built ({_line(error)})") from error
    return model, metadata


def is_compact(path: Path) -> bool:
    """Whether there is a file that begins as compact models do."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _open(data: bytes) -> tuple[bytes, memoryview]:
    """Return the header's JSON and the body, both as long as said and with the checksums said."""
    if len(data) < START.size or data[: len(MAGIC)] != MAGIC:
        raise ModelFileError("not a compact model (it does not begin as one)")
    _, version, packed, unpacked, size, *checksums = START.unpack_from(data)
    if version != VERSION:
        raise ModelFileError(f"compact model version {version}, this package reads {VERSION}")
    if len(data) != START.size + packed + size:
        raise ModelFileError(
            f"must be {START.size + packed + size} bytes long by its header, is {len(data)}"
        )
    if max(packed, unpacked) > LARGEST_HEADER:
        raise ModelFileError(
            f"the header must be at most {LARGEST_HEADER} bytes, got {packed} that stand for "
            f"{unpacked}"
        )
    view = memoryview(data)[START.size :]
    text, body = view[:packed], view[packed:]
    for name, part, checksum in zip(("header", "body"), (text, body), checksums, strict=True):
        if zlib.crc32(part) != checksum:
            raise ModelFileError(f"the {name}'s checksum is wrong: the file is damaged")
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(text, unpacked + 1)
    except zlib.error as error:
        raise ModelFileError(f"the header cannot be unpacked ({error})") from error
    if len(plain) != unpacked or not unpacker.eof or unpacker.unused_data:
        raise ModelFileError(f"the header does not stand for the {unpacked} bytes that it should")
    return plain, body


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has two values of one name")
    return values


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, at most {MOST_DIGITS} are allowed")
    return int(digits)


def _number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise ValueError(f"{digits} is not finite")
    return number


def _line(error: Exception) -> str:
    """Return what an error says as one line that is fit to be shown, whatever a file made it of."""
    text = "".join(c if c.isprintable() else "?" for c in str(error)[:200])
    return f"{type(error).__name__}: {text}"


def _check_readable(data: bytes, model: Layer) -> None:
    """Raise ValueError unless the data stand for a model with arrays like this one's."""
    try:
        back, _ = decode_model(data, room=sys.maxsize)
    except ModelFileError as error:
        raise ValueError(f"model or metadata cannot be stored: {error}") from error
    for (name, found), own in zip(arrays_of(back).items(), arrays_of(model).values(), strict=True):
        if (found.shape, found.dtype) != (own.shape, own.dtype):
            raise ValueError(
                f"{name} must be {found.dtype} {found.shape}, got {own.dtype} {own.shape}"
            )


def _check_quantizer(name: str, quantizer: Any, model: Layer) -> None:
    if name not in model.params:
        known = ", ".join(model.params)
        raise ValueError(f"quantizers must name params ({known}), got {name!r}")
    if not isinstance(quantizer, (LloydMax, Uniform)):
        kind = type(quantizer).__name__
        raise TypeError(f"quantizers[{name!r}] must be LloydMax or Uniform, got {kind}")
    if not quantizer.multiples.size:
        raise ValueError(f"quantizers[{name!r}] must be fitted first: call fit(w)")
    if not np.isfinite(model.params[name]).all():
        raise ValueError(f"{name} must be finite to be quantised, but holds NaN or infinity")


def _fill(model: Layer, encodings: list[Any], body: memoryview) -> None:
    """Put the arrays of the body into the model."""
    targets, by_seed, place = arrays_of(model), _by_seed(model), 0
    if len(encodings) != len(targets):
        raise ValueError(f"{len(targets)} arrays are needed, the file has {len(encodings)}")
    for (name, target), entry in zip(targets.items(), encodings, strict=True):
        if not isinstance(entry, list) or len(entry) != 2:
            raise TypeError(f"{name} must have an encoding and a size, got {entry!r}")
        encoding, size = entry[0], check_int(entry[1], f"the size of {name}", minimum=0)
        if size > min(len(body) - place, target.nbytes + LARGEST_TABLE):
            raise ValueError(f"{name} cannot be {size} of {len(body) - place} bytes")
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
            raise ValueError(f"{name} cannot be {size} bytes of encoding {encoding!r}")
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


def _quantized(w: Array, quantizer: ScalarQuantizer | None) -> Array:
    """Return what a file with the codes of w gives back."""
    return w if quantizer is None else quantizer.decode(quantizer.encode(w), w.dtype)


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
    if len(data) < SCALE.size:
        raise ValueError(f"levels must begin with {SCALE.size} bytes, got {len(data)}")
    scale, first, n = SCALE.unpack_from(data)
    if not (math.isfinite(scale) and scale >= 0 and 1 <= n <= 256):
        raise ValueError(f"levels must be 1 to 256 multiples of a scale, got {n} of {scale}")
    multiples = first + np.arange(n, dtype=np.int64)
    place = SCALE.size
    if encoding == "lloyd-max":
        multiples[1:] = np.frombuffer(data, "<i2", n - 1, place)
        place += 2 * (n - 1)
    if multiples[-1] > LARGEST or (np.diff(multiples) < 0).any():
        raise ValueError(f"multiples must ascend to at most {LARGEST}, got {multiples.tolist()}")
    codes = range_coder.decode(data[place:], bits_for(n), target.size)
    if codes.max(initial=0) >= n:
        raise ValueError(f"codes must lie below {n}, got {codes.max()}")
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
