"""Doctests are not looked for where they lack a package: in cuda without numba-cuda, for one."""

from importlib.util import find_spec

NEEDS = {"fastfood_np/backends/cuda": "numba_cuda", "fastfood_np/onnx_export": "onnx"}
collect_ignore = [folder for folder, package in NEEDS.items() if not find_spec(package)]
