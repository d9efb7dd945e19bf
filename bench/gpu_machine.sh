#!/usr/bin/env bash
# On a machine with a GPU, which needs neither a network nor this package installed: the tests that
# need a GPU, then the benchmark. What they print and measure goes to the folder given, by default
# bench/results. Fails only if a test does, or the tests take too long (124): a figure that is missing
# says itself why.
#
#     bench/gpu_machine.sh [FOLDER]
#
# TESTS_SECONDS and BENCH_SECONDS limit both (0: leave it out), PYTHON says which Python.
set -uo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-$(command -v python3 || command -v python)}
tests_seconds=${TESTS_SECONDS:-240}
bench_seconds=${BENCH_SECONDS:-300}
out=${1:-bench/results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
unset NUMBA_ENABLE_CUDASIM

tests=0
if [ "$tests_seconds" -gt 0 ]; then
    # Most of the time is the compiler's, and each process has one of its own.
    workers=$("$python" -c 'import xdist; print("-n 8")' 2>/dev/null || true)
    # (Interrupted rather than ended, pytest still says what has failed.)
    timeout --signal=INT --kill-after=15 "$tests_seconds" "$python" -m pytest -v -m gpu tests/cuda \
        -p no:cacheprovider --durations=10 $workers 2>&1 | tee "$out/gpu-tests.log"
    tests=$?
fi

if [ "$bench_seconds" -gt 0 ]; then
    # The benchmark starts nothing new in its last half minute.
    timeout --kill-after=5 "$bench_seconds" "$python" bench/bench_gpu.py \
        --limit $((bench_seconds - 30)) --json "$out/gpu.json" 2>&1 | tee "$out/gpu.log"
    "$python" - "$out" <<'DRAW' || true
import sys
from pathlib import Path

from fastfood_np.experiments import benchmarks

for path in benchmarks.draw(["gpu"], Path(sys.argv[1])):
    print(path)
DRAW
fi

exit "$tests"
