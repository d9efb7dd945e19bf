"""PCG64 in Python's integers, and what seeds stand for. Nothing of the package is imported.

O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random
Number Generation", 2014: a linear congruential generator of 128 bits, of which each word is the
xor of both halves, turned by the top six bits (XSL-RR). How a seed becomes a state is NumPy's.
"""

import math

import numpy as np

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
MASK_32, MASK_64, MASK_128 = ((1 << bits) - 1 for bits in (32, 64, 128))


def _hashed(value, constant, multiplier):
    """One step of SeedSequence's hash: the hashed word and the next constant."""
    value ^= constant
    constant = constant * multiplier & MASK_32
    value = value * constant & MASK_32
    return value ^ value >> 16, constant


def _mixed(x, y):
    value = (0xCA01F9DD * x - 0x4973F715 * y) & MASK_32
    return value ^ value >> 16


def seed_words(seed, count):
    """Return words of 64 bits that NumPy's SeedSequence makes of an integer below 2^128."""
    entropy, constant = [seed >> 32 * i & MASK_32 for i in range(4)], 0x43B0D7E5
    for i in range(4):
        entropy[i], constant = _hashed(entropy[i], constant, 0x931E8875)
    for i in range(4):
        for j in range(4):
            if i != j:
                value, constant = _hashed(entropy[i], constant, 0x931E8875)
                entropy[j] = _mixed(entropy[j], value)
    halves, constant = [], 0x8B51F9DD
    for i in range(2 * count):
        value, constant = _hashed(entropy[i % 4], constant, 0x58F38DED)
        halves.append(value)
    return [halves[2 * i] | halves[2 * i + 1] << 32 for i in range(count)]


class PCG64:
    """The words of ``numpy.random.PCG64(seed).random_raw()``."""

    def __init__(self, seed):
        high, low, stream_high, stream_low = seed_words(seed, 4)
        self.increment = ((stream_high << 64 | stream_low) << 1 | 1) & MASK_128
        self.state = self.increment + (high << 64 | low)
        self._step()

    def _step(self):
        self.state = (self.state * MULTIPLIER + self.increment) & MASK_128

    def word(self):
        self._step()
        x, turns = (self.state >> 64 ^ self.state) & MASK_64, self.state >> 122
        return (x >> turns | x << (64 - turns)) & MASK_64


def signs_and_permutations(word, blocks, size):
    """Signs and permutations as lists of lists, from a function that gives words of 64 bits."""
    signs, perms = [], []
    for _ in range(blocks):
        words = [word() for _ in range(size)]
        perms.append(sorted(range(size), key=words.__getitem__))  # which is stable
        bits = [word() for _ in range(math.ceil(size / 64))]
        signs.append([1 if bits[i // 64] >> i % 64 & 1 else -1 for i in range(size)])
    return signs, perms


def chi_square(counts):
    """The statistic of Pearson for equally likely cells."""
    counts = np.asarray(counts, np.float64)
    return float(((counts - counts.mean()) ** 2).sum() / counts.mean())
