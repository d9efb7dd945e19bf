"""A reader of compact files as docs/compact-format.md has it. Nothing of the package is imported.

It takes a file that is sound, and checks no more than lengths and checksums.
"""

import json
import math
import struct
import zlib

import numpy as np
import oracles_seeded


def read(data):
    """Return the header, and of each array its encoding and its bytes."""
    magic, version, packed, length, size, *checksums = struct.unpack("<4sHIIQII", data[:30])
    header, body = data[30 : 30 + packed], data[30 + packed :]
    assert (magic, version, len(body)) == (b"FFNP", 1, size)
    assert checksums == [zlib.crc32(header), zlib.crc32(body)]
    text = zlib.decompress(header)
    assert len(text) == length
    header, arrays, place = json.loads(text.decode("ascii")), [], 0
    for encoding, count in header["arrays"]:
        arrays.append((encoding, body[place : place + count]))
        place += count
    assert place == size
    return header, arrays


def array(encoding, data, shape, dtype, seed=None, signs=False):
    """Return one array; of a Fastfood layer's, also what its seed is and whether it is B."""
    if encoding == "raw":
        return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    if encoding == "seed":
        found = oracles_seeded.signs_and_permutations(oracles_seeded.PCG64(seed).word, *shape)
        return np.array(found[0 if signs else 1], dtype)
    count = math.prod(shape)
    if encoding == "codes":
        return np.array(decoded(data[1:], data[0], count), dtype).reshape(shape)
    scale, first, n = struct.unpack("<fhH", data[:8])
    multiples, place = list(range(first, first + n)), 8
    if encoding == "lloyd-max":
        place += 2 * (n - 1)
        multiples[1:] = struct.unpack(f"<{n - 1}h", data[8:place])
    codes = decoded(data[place:], math.ceil(math.log2(n)), count)
    return np.array([scale * multiples[code] for code in codes]).astype(dtype).reshape(shape)


def decoded(data, bits, count):
    """The range coder's codes."""
    if not (bits and count):
        return [0] * count
    coming = iter(data)
    place = int.from_bytes([next(coming, 0) for _ in range(4)], "big")
    learns, place, size = place < 2**31, place % 2**31, 2**31
    weights, codes = {}, []
    for _ in range(count):
        node = 1
        for _ in range(bits):
            pair = weights.setdefault(node, [1, 1])
            bound = size * pair[0] // sum(pair)
            bit = int(place >= bound)
            if bit:
                place, size = place - bound, size - bound
            else:
                size = bound
            if learns:
                pair[bit] += 2
                if sum(pair) > 4096:
                    pair[:] = [weight // 2 | 1 for weight in pair]
            node = 2 * node + bit
            while size < 2**24:
                place, size = place * 256 + next(coming, 0), size * 256
        codes.append(node - 2**bits)
    return codes
