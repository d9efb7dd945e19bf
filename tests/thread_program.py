"""A program for unit/test_threads.py: Python threads or forks, on one of Numba's layers.

``python thread_program.py crowd|fork|early_fork`` prints what `digests` gives.
"""

import faulthandler
import hashlib
import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fastfood_np.layers import Fastfood
from fastfood_np.transforms import fwht

# After so many seconds a process that hangs dies and shows where its threads were; a forked child
# after half as many.
LIMIT = 240
PEOPLE, ROUNDS = 8, 5


def transform(m, d, dtype, seed=0, workers=None):
    """The transform of m rows of length d."""
    x = np.random.default_rng(seed).standard_normal((m, d)).astype(dtype)
    return [fwht(x, workers=workers)]


def fastfood(m, d_in, n_out, dtype, seed=0):
    """y, dx, dS, dG and dB."""
    rng = np.random.default_rng(seed)
    layer = Fastfood(d_in, n_out, rng=rng, dtype=dtype)
    y, cache = layer.forward(rng.standard_normal((m, d_in)).astype(dtype))
    dx, grads = layer.backward(rng.standard_normal(y.shape).astype(dtype), cache)
    return [y, dx, *(grads[name] for name in "SGB")]


def digest(arrays):
    """Short words that are the same only if all bits are."""
    return [hashlib.sha256(np.ascontiguousarray(array)).hexdigest()[:16] for array in arrays]


def digests(seed):
    """Those of results that are all large enough for the parallel form."""
    return digest(
        transform(64, 1024, np.float32, seed)
        + transform(1, 2**16, np.float32, seed, workers=2)
        + fastfood(100, 200, 500, np.float32, seed)
    )


def count_shared_out():
    """Return a list that grows when work is shared out to Numba's threads."""
    from fastfood_np.backends.cpu import kernel

    teams, share_out = [], kernel._share_out

    def noting(address, units, n, *arguments):
        teams.append(n)
        share_out(address, units, n, *arguments)

    kernel._share_out = noting
    return teams


def in_parallel(seed):
    """`digests`, of which each was computed by several threads."""
    teams = count_shared_out()
    found = digests(seed)
    assert len(teams) >= 5 and min(teams) > 1, teams
    return found


def in_child(compute, seed):
    """What `compute(seed)` gives in a forked process, which must then end well by itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT // 2)
        os.write(writing, json.dumps(compute(seed)).encode())
        sys.exit()  # not os._exit: what libraries do at the end is also under test
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with os.fdopen(reading) as pipe:
        return json.load(pipe)


def crowd():
    """All at once, the first time with nothing compiled yet; the main thread is one of them."""
    start = threading.Barrier(PEOPLE)

    def work(seed):
        start.wait()
        return [digests(seed) for _ in range(ROUNDS)]

    teams = count_shared_out()
    with ThreadPoolExecutor(PEOPLE - 1) as pool:
        others = [pool.submit(work, seed) for seed in range(1, PEOPLE)]
        found = [work(0), *(other.result() for other in others)]
    assert len(teams) >= 5 * ROUNDS and min(teams) > 1, teams

    from fastfood_np.backends import cpu

    with cpu.serial():
        alone = [digests(seed) for seed in range(PEOPLE)]
    assert len({tuple(one) for one in alone}) == PEOPLE
    assert found == [[one] * ROUNDS for one in alone]
    return alone[0]


def fork():
    """Two children, one after the other, of a process that has used its threads and goes on."""
    before = in_parallel(0)
    for seed in (0, 1):
        assert in_child(digests, seed) == in_parallel(seed)
    return before


def early_fork():
    """One child before Numba is imported, which uses threads of its own; one before any kernel."""
    assert "numba" not in sys.modules
    first = in_child(in_parallel, 0)
    import fastfood_np.backends.cpu  # noqa: F401

    second = in_child(digests, 0)
    assert first == second == in_parallel(0)
    return first


if __name__ == "__main__":
    if hasattr(signal, "alarm"):
        faulthandler.register(signal.SIGALRM, chain=True)
        signal.alarm(LIMIT)
    answer = {f.__name__: f for f in (crowd, fork, early_fork)}[sys.argv[1]]()
    import numba

    print(json.dumps({"layer": numba.threading_layer(), "digests": answer}))
