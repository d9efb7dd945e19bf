"""Doctests are not looked for where nothing can be imported: in cuda without numba-cuda."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("numba_cuda") else ["fastfood_np/backends/cuda"]
