"""What the compiler makes of a CUDA kernel, without a GPU: its PTX, and what ptxas says of it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("numba_cuda", reason="the package numba-cuda (extra 'cuda') is not installed")

from fastfood_np.backends.cuda.numba_cuda import cuda


@dataclass(frozen=True)
class Code:
    """A compiled kernel: its PTX, registers of a thread, and bytes of three kinds of memory."""

    ptx: str = field(repr=False)
    registers: int
    stack: int
    spilled: int
    shared: int

    def count(self, instruction: str) -> int:
        """How often an instruction of this name, whatever follows it, stands in the PTX."""
        return len(re.findall(rf"{re.escape(instruction)}\b", self.ptx))


@cache
def ptxas() -> Path | None:
    """Where the assembler lies, or None."""
    from cuda.pathfinder import find_nvidia_binary_utility

    found = find_nvidia_binary_utility("ptxas")
    return None if found is None else Path(found)


@cache
def missing() -> str:
    """Why nothing can be compiled here, or an empty string."""
    from numba.cuda.cudadrv.nvvm import NVVM, NvvmSupportError

    try:
        NVVM()
    except NvvmSupportError as error:
        return f"libnvvm (package nvidia-nvvm) is missing: {error}"
    return "" if ptxas() else "ptxas (package nvidia-cuda-nvcc) is missing"


@cache
def compiled(kernel: Any, signature: tuple[Any, ...], capability: tuple[int, int]) -> Code:
    """Compile a kernel, as its own decorator says, for GPUs of this compute capability."""
    options = {name: kernel.targetoptions[name] for name in ("launch_bounds", "fastmath")}
    # Functions that kernels call are compiled for the current device, which may not be there.
    device = mock.Mock(compute_capability=capability)
    with mock.patch("numba.cuda.dispatcher.get_current_device", return_value=device):
        ptx, _ = cuda.compile_ptx(kernel.py_func, signature, cc=capability, **options)
    return Code(ptx, **assembled(ptx, capability))


def assembled(ptx: str, capability: tuple[int, int]) -> dict[str, int]:
    """What ptxas says that the code needs."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(ptx)
        architecture = "sm_{}{}".format(*capability)
        command = [ptxas(), "-v", "-arch", architecture, "-o", source.with_suffix(".cubin"), source]
        result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

    def number(pattern: str) -> int:
        return sum(map(int, re.findall(pattern, result.stderr)))

    return {
        "registers": number(r"Used (\d+) registers"),
        "stack": number(r"(\d+) bytes stack frame"),
        "spilled": number(r"(\d+) bytes spill"),
        "shared": number(r"(\d+) bytes smem"),
    }
