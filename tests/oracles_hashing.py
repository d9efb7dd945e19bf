"""Hash functions in Python's integers, from their definitions. Nothing of the package is imported.

MurmurHash3 (Austin Appleby, public domain) ends by mixing 32 bits; that of the empty text is
nothing but this mix of its seed.
"""

WORD = 2**32


def mixed(h):
    """The "fmix32" of MurmurHash3."""
    h = (h ^ h >> 16) * 0x85EBCA6B % WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 % WORD
    return h ^ h >> 16


def place(entry, seed, n_hashed):
    """h and s of an entry, entries being counted row by row."""
    word = mixed((entry * 0x9E3779B1 + seed) % WORD)
    return (word >> 1) * n_hashed // 2**31, 1 if word % 2 else -1


def hashed_matrix(w, seed, n_out, d_in):
    """s(i, j) w[h(i, j)] as lists of rows."""
    places = [[place(i * d_in + j, seed, len(w)) for j in range(d_in)] for i in range(n_out)]
    return [[s * w[h] for h, s in row] for row in places]
