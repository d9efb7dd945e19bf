"""What a thread block may use, on a GPU and in the simulator."""

from fastfood_np.backends.cuda.numba_cuda import SIMULATED

# Numba cannot ask for more than 48 KiB of shared memory, and 32 is the power of two below. The
# simulator starts a Python thread for each CUDA thread: with 4 KiB a block has 64 at most.
GPU_SHARED_BYTES = 32 * 1024
SIMULATED_SHARED_BYTES = 4 * 1024
SHARED_BYTES = SIMULATED_SHARED_BYTES if SIMULATED else GPU_SHARED_BYTES

# A tile of short rows has so many numbers at least, to give a block some warps; or one to simulate.
LOG_SMALLEST_TILE = 0 if SIMULATED else 11
MAX_THREADS = 64 if SIMULATED else 1024
