"""Signs and permutations that a seed alone brings back, for ever.

NumPy promises the raw 64-bit words of PCG64 for a seed, but not what its Generator's methods make
of them; so what a compact file stores as a seed is made here of the words themselves.
"""

from __future__ import annotations

import numpy as np

from fastfood_np.validation import Array, check_int

MOST = (1 << 64) - 1


def seeded_signs_and_permutations(seed: int, blocks: int, size: int) -> tuple[Array, Array]:
    """Return signs (float64) and permutations (int64), each of shape (blocks, size).

    The words are those of ``np.random.PCG64(seed).random_raw``. Each block takes `size` words, and
    the stable order of them, smallest first, is the permutation; then ceil(size / 64) words, whose
    bits from the lowest on are the signs, +1 where one is set. More blocks begin with the same.

    Parameters
    ----------
    seed : int
        From 0 to 2^64 - 1.
    blocks, size : int

    Examples
    --------
    >>> signs, perm = seeded_signs_and_permutations(7, 1, 8)
    >>> print(signs.astype(int), perm)
    [[-1  1  1  1  1 -1  1 -1]] [[6 3 4 0 2 7 5 1]]
    """
    check_int(seed, "seed", minimum=0, maximum=MOST)
    check_int(blocks, "blocks", minimum=1)
    check_int(size, "size", minimum=1)
    source = np.random.PCG64(seed)
    signs, perm = np.empty((blocks, size)), np.empty((blocks, size), np.int64)
    for block in range(blocks):
        perm[block] = np.argsort(source.random_raw(size), kind="stable")
        words = source.random_raw(-(-size // 64)).astype("<u8")
        bits = np.unpackbits(words.view(np.uint8), count=size, bitorder="little")
        signs[block] = 2.0 * bits - 1.0
    return signs, perm
