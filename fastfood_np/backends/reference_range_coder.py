"""Entropy coding by an adaptive binary range coder, in Python's integers."""

from __future__ import annotations

from collections import defaultdict

from fastfood_np.validation import Array

Weights = defaultdict[int, list[int]]

# The interval that stands for what has been coded is as long as FULL or shorter; at SHORT it is
# scaled up by a byte. Part of the format.
FULL, SHORT = 1 << 32, 1 << 24

# The two weights of a bit together: past this, both are halved, so that early symbols are
# forgotten. The larger it is, the closer to the entropy if nothing changes along the symbols, and
# the farther from it if their distribution drifts.
LIMIT = 4096


def range_encode(codes: Array, bits: int, adaptive: bool, out: Array) -> int:
    """Write codes (n,) of `bits` >= 1 bits into out (uint8), and return how many bytes that took.

    -1 if they do not fit into `out`, whose contents are then arbitrary. A code is coded bit by bit
    from the top one; each bit depends on those above it and shares the interval by the estimator
    of Krichevsky and Trofimov, 1 + 2 n_0 to 1 + 2 n_1, or in halves unless `adaptive`. The very
    first bit says whether it is. What comes out are the first bytes, no more than needed, that all
    numbers of the last interval and of no other have in common.
    """
    weights: Weights = defaultdict(lambda: [1, 1])
    step = 2 if adaptive else 0
    low, size, digits = (0 if adaptive else FULL // 2), FULL // 2, [0]
    for code in codes.tolist():
        node = 1  # 1 followed by the bits of the code that are coded already
        for shift in range(bits - 1, -1, -1):
            bit = code >> shift & 1
            bound = size * weights[node][0] // sum(weights[node])
            low, size = (low + bound, size - bound) if bit else (low, bound)
            learn(weights[node], bit, step)
            node = 2 * node + bit
            while size < SHORT:
                digits[-1] += low >> 32  # a carry
                digits.append(low >> 24 & 0xFF)
                low, size = low << 8 & 0xFFFFFFFF, size << 8
    # One more byte if all that begins with it lies in the interval, else two.
    for shift in (24, 16):
        first = -(-low >> shift)
        if (first + 1) << shift <= low + size:
            break
    digits[-1] += first << shift >> 32
    digits += [first << shift >> 24 & 0xFF, first << shift >> 16 & 0xFF][: 1 + (shift == 16)]
    for i in range(len(digits) - 1, 0, -1):
        digits[i - 1] += digits[i] >> 8
        digits[i] &= 0xFF
    written = len(digits) - 1
    if written > len(out):
        return -1
    out[:written] = digits[1:]
    return written


def range_decode(data: Array, bits: int, codes: Array) -> None:
    """Fill codes (n,) with what `range_encode` has written as data (uint8).

    Any data stand for some codes below 2^bits; behind their end come zeros.
    """
    weights: Weights = defaultdict(lambda: [1, 1])
    bytes_left = iter(data.tolist())
    place = sum(next(bytes_left, 0) << shift for shift in (24, 16, 8, 0))  # above `low`
    size = FULL // 2
    step = 2 if place < size else 0
    place %= size
    for i in range(len(codes)):
        node = 1
        for _ in range(bits):
            bound = size * weights[node][0] // sum(weights[node])
            bit = int(place >= bound)
            place, size = (place - bound, size - bound) if bit else (place, bound)
            learn(weights[node], bit, step)
            node = 2 * node + bit
            while size < SHORT:
                place, size = place << 8 | next(bytes_left, 0), size << 8
        codes[i] = node - (1 << bits)


def learn(weights: list[int], bit: int, step: int) -> None:
    """Add to the weight of the bit that came; weights never fall below 1."""
    weights[bit] += step
    if sum(weights) > LIMIT:
        weights[0], weights[1] = weights[0] >> 1 | 1, weights[1] >> 1 | 1
