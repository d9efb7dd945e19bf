"""Naive implementations, written from the definitions. Nothing of the package is imported here."""

import itertools
import math
from fractions import Fraction

import numpy as np

# Walsh-Hadamard


def hadamard_matrix(d):
    """H in natural order: H_1 = [1], H_2n = [[H_n, H_n], [H_n, -H_n]]."""
    if d == 1:
        return np.ones((1, 1))
    H = hadamard_matrix(d // 2)
    return np.block([[H, H], [H, -H]])


def sign_changes(row):
    """How often the sign changes along `row`."""
    return sum(a * b < 0 for a, b in itertools.pairwise(row))


def sequency_matrix(d):
    """H with its rows sorted by their number of sign changes (Walsh)."""
    return np.array(sorted(hadamard_matrix(d), key=sign_changes))


def dyadic_matrix(d):
    """H with row i taken from the place whose index has the bits of i reversed (Paley)."""
    bits = d.bit_length() - 1
    H = hadamard_matrix(d)
    return np.array([H[int(format(i, f"0{bits}b")[::-1], 2)] for i in range(d)])


def fwht(x, axis=-1, ordering="hadamard"):
    """The transform as a matrix product, without scaling."""
    matrix = {
        "hadamard": hadamard_matrix,
        "sequency": sequency_matrix,
        "dyadic": dyadic_matrix,
    }[ordering]
    x = np.moveaxis(np.asarray(x), axis, -1)
    return np.moveaxis(x @ matrix(x.shape[-1]).T, -1, axis)


# Fastfood


def permutation_matrix(perm):
    """P with (P x)_i = x[perm[i]]."""
    P = np.zeros((len(perm), len(perm)))
    for i, j in enumerate(perm):
        P[i, j] = 1.0
    return P


def fastfood_matrix(S, G, B, perm, scale):
    """The blocks scale * S H G P H B, one below the other; all four arrays are (blocks, d)."""
    H = hadamard_matrix(np.shape(S)[1])
    blocks = [
        scale * np.diag(s) @ H @ np.diag(g) @ permutation_matrix(p) @ H @ np.diag(b)
        for s, g, b, p in zip(S, G, B, perm, strict=True)
    ]
    return np.vstack(blocks)


# Layers and loss


def dense_forward(x, W, b=None):
    """y = W x + b for each row of x: W is (n_out, d_in), b is (n_out,) or None."""
    y = np.zeros((len(x), len(W)))
    for row in range(len(x)):
        for i in range(len(W)):
            y[row, i] = 0.0 if b is None else b[i]
            for j in range(len(W[i])):
                y[row, i] += W[i][j] * x[row][j]
    return y


def softmax(logits):
    """Softmax of each row, the largest logit taken off first."""
    result = np.zeros(np.shape(logits))
    for row, values in enumerate(logits):
        largest = max(values)
        powers = [math.exp(value - largest) for value in values]
        for i, power in enumerate(powers):
            result[row, i] = power / math.fsum(powers)
    return result


def softmax_cross_entropy(logits, labels, divisor=None):
    """Sum over the rows of -log softmax(logits)[label], divided by `divisor` (or len(labels))."""
    total = 0.0
    for values, label in zip(logits, labels, strict=True):
        largest = max(values)
        total += largest - values[label]
        total += math.log(math.fsum(math.exp(value - largest) for value in values))
    return total / (len(labels) if divisor is None else divisor)


def softmax_cross_entropy_gradient(logits, labels, divisor=None):
    """Its derivative by the logits: softmax minus one at the label."""
    gradient = softmax(logits)
    for row, label in enumerate(labels):
        gradient[row, label] -= 1.0
    return gradient / (len(labels) if divisor is None else divisor)


def central_difference(f, arrays, direction, step=1e-6):
    """Derivative of the number f(*arrays) when all arrays move along `direction` at once.

    `arrays` and `direction` are sequences of equally shaped arrays. The arrays are not written.
    """
    ahead = f(*(a + step * v for a, v in zip(arrays, direction, strict=True)))
    behind = f(*(a - step * v for a, v in zip(arrays, direction, strict=True)))
    return (ahead - behind) / (2.0 * step)


# Exact kernels


def gaussian(X, Y, sigma):
    """exp(-|x - y|^2 / (2 sigma^2)) for each pair of rows."""
    kernel = np.zeros((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            squared = math.fsum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))
            kernel[i, j] = math.exp(-squared / (2.0 * sigma**2))
    return kernel


def arc_cosine(X, Y, order):
    """Cho and Saul's kernel for each pair of rows, none of them zero."""
    kernel = np.zeros((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            x_norm, y_norm = math.hypot(*x), math.hypot(*y)
            dot = math.fsum(float(a) * float(b) for a, b in zip(x, y, strict=True))
            theta = math.acos(max(-1.0, min(1.0, dot / (x_norm * y_norm))))
            if order == 0:
                J = math.pi - theta
            elif order == 1:
                J = math.sin(theta) + (math.pi - theta) * math.cos(theta)
            else:
                J = 3.0 * math.sin(theta) * math.cos(theta)
                J += (math.pi - theta) * (1.0 + 2.0 * math.cos(theta) ** 2)
            kernel[i, j] = (x_norm * y_norm) ** order * J / math.pi
    return kernel


def laplacian(X, Y, sigma):
    """exp(-|x - y|_1 / sigma) for each pair of rows."""
    kernel = np.zeros((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            distance = math.fsum(abs(float(a) - float(b)) for a, b in zip(x, y, strict=True))
            kernel[i, j] = math.exp(-distance / sigma)
    return kernel


def matern(X, Y, nu, sigma):
    """The sum e^-s p!/(2p)! sum_i (p + i)! / (i! (p - i)!) (2s)^(p - i), where nu = p + 1/2."""
    p = round(nu - 0.5)
    kernel = np.zeros((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            distance = math.dist([float(a) for a in x], [float(b) for b in y])
            s = math.sqrt(2.0 * nu) * distance / sigma
            total = 0.0
            for k in range(p + 1):
                ways = math.factorial(p + k) / (math.factorial(k) * math.factorial(p - k))
                total += ways * (2.0 * s) ** (p - k)
            kernel[i, j] = math.exp(-s) * total * math.factorial(p) / math.factorial(2 * p)
    return kernel


def ball_sum(X, Y, degree, sigma, dimension):
    """Lambda(r)^t for each pair of rows, r = sqrt((D + 2) / t) |x - y| / sigma."""
    kernel = np.zeros((len(X), len(Y)))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            squares = [
                (Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, y, strict=True)
            ]
            squared = sum(squares) * Fraction(dimension + 2, degree) / Fraction(sigma) ** 2
            kernel[i, j] = float(ball(squared, dimension)) ** degree
    return kernel


def ball(squared, dimension):
    """Lambda(r) at r^2: sum_k (-r^2 / 4)^k / (k! (D/2 + 1) ... (D/2 + k)), in exact fractions."""
    total, term, k = Fraction(0), Fraction(1), 0
    while abs(term) > 1e-40:
        total += term
        k += 1
        term *= -squared / (2 * k * (dimension + 2 * k))
    return total
