"""Packing, entropy and k-means from their definitions. Nothing of the package is imported."""

import numpy as np


def packed(codes, bits):
    """All codes as one integer in base 2^bits, lowest code first, in whole bytes."""
    whole = sum(int(code) << i * bits for i, code in enumerate(codes))
    return whole.to_bytes(-(-len(codes) * bits // 8), "little")


def entropy_bytes(codes):
    """Bytes that the codes take at -log2 of their frequency bits each."""
    counts = np.unique(np.asarray(codes), return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum()) / 8


def nearest(points, centroids):
    """Number of the nearest centroid of each point, the lowest of several."""
    differences = np.asarray(points, np.float64)[:, None] - np.float64(centroids)
    return (differences**2).sum(axis=2).argmin(axis=1)


def squared_errors(points, centroids):
    """Squared distance of each point to its nearest centroid."""
    points = np.asarray(points, np.float64)
    return ((points - np.float64(centroids)[nearest(points, centroids)]) ** 2).sum(axis=1)


def lloyd_step(points, centroids):
    """Each centroid moved to the mean of the points nearest to it; those with none stay."""
    where, moved = nearest(points, centroids), np.array(centroids, np.float64)
    for j in np.unique(where):
        moved[j] = np.asarray(points, np.float64)[where == j].mean(axis=0)
    return moved


def k_means(points, k, rng, most_steps=100):
    """Lloyd's steps until nothing moves, from k different points drawn at random (k-means++).

    Each further point is drawn with a probability in proportion to its squared distance to those
    already there (Arthur and Vassilvitskii, 2007).
    """
    points = np.asarray(points, np.float64)
    centroids = points[rng.integers(len(points))][None]
    while len(centroids) < k:
        squares = ((points[:, None] - centroids) ** 2).sum(axis=2).min(axis=1)
        drawn = points[rng.choice(len(points), p=squares / squares.sum())]
        centroids = np.concatenate([centroids, drawn[None]])
    for _ in range(most_steps):
        moved = lloyd_step(points, centroids)
        if (moved == centroids).all():
            break
        centroids = moved
    return centroids


def learnt_bits(codes, bits, limit=4096):
    """-log2 of the codes' probability if each bit is guessed from how often it was 0 and 1.

    Given the bits above it, that is: 1 + 2 n_0 to 1 + 2 n_1 (Krichevsky and Trofimov, 1981), both
    halved, and made odd again, as soon as they are more than `limit` together.
    """
    seen, total = {}, 0.0
    for code in codes:
        text = format(int(code), f"0{bits}b")
        for i, bit in enumerate(text):
            weights = seen.setdefault(text[:i], {"0": 1, "1": 1})
            total -= np.log2(weights[bit] / sum(weights.values()))
            weights[bit] += 2
            if sum(weights.values()) > limit:
                for each in weights:
                    weights[each] = weights[each] // 2 | 1
    return float(total)
