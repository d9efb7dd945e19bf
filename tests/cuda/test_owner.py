"""Who imports `numba.cuda`, and what a user is told where the backend cannot be used.

Each test runs a script in a Python of its own, with the simulator or without.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest


def python(script: str, simulated: bool = False) -> str:
    """Return what a script prints."""
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": str(int(simulated))}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def refusal(preparation: str) -> str:
    """Return what a layer says that shall go to the device after this preparation."""
    return python(
        textwrap.dedent(preparation)
        + textwrap.dedent(
            """
            from fastfood_np.backends import BackendUnavailableError
            from fastfood_np.layers import Fastfood

            layer = Fastfood(4, 4, rng=0)
            for attempt in range(2):  # the second one must not find a half-imported backend
                try:
                    layer.to_device()
                except BackendUnavailableError as error:
                    print(error)
            """
        )
    )


@pytest.mark.parametrize("module", ["fastfood_np", "fastfood_np.layers", "fastfood_np.transforms"])
def test_importing_the_package_leaves_numba_alone(module: str) -> None:
    script = f"import sys, {module}; print([name for name in sys.modules if name[:5] == 'numba'])"
    assert python(script) == "[]\n"


WITHOUT_THE_PACKAGE = """
    import sys

    class Blocker:
        '''Finds nothing of numba-cuda, as if it were not installed.'''
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in ("numba_cuda", "_numba_cuda_redirector"):
                raise ModuleNotFoundError(name)

    import importlib.util
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if "numba_cuda" in name else find_spec(name)
    sys.meta_path[:] = [Blocker()] + [
        finder for finder in sys.meta_path if type(finder).__name__ != "NumbaCudaFinder"
    ]
    sys.modules.pop("_numba_cuda_redirector", None)
"""


def test_without_the_package_it_is_named() -> None:
    first, second = refusal(WITHOUT_THE_PACKAGE).splitlines()
    assert first == second
    assert "needs the package numba-cuda, which is not installed" in first
    assert 'pip install "fastfood_np[cuda]"' in first


def test_without_the_package_the_rest_works() -> None:
    script = (
        WITHOUT_THE_PACKAGE
        + """
    from fastfood_np import fwht
    from fastfood_np.layers import Fastfood
    import numpy as np
    print(Fastfood(4, 4, rng=0)(np.ones((2, 4), np.float32)).shape, fwht([1.0, 2.0]).tolist())
    """
    )
    assert python(script) == "(2, 4) [3.0, -1.0]\n"


WITHOUT_A_DRIVER = """
    from fastfood_np.backends.cuda.numba_cuda import cuda
    if cuda.is_available():
        cuda.is_available = lambda: False
"""


def test_without_a_driver_the_simulator_is_named() -> None:
    first, second = refusal(WITHOUT_A_DRIVER).splitlines()
    assert first == second
    assert "needs an NVIDIA GPU and its driver" in first
    assert "NUMBA_ENABLE_CUDASIM=1, set before Python starts" in first


def test_numba_cuda_of_old_is_refused() -> None:
    said = refusal(
        """
        import sys
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if type(finder).__name__ != "NumbaCudaFinder"
        ]
        import numba.cuda
        """
    ).splitlines()
    assert len(said) == 2
    for line in said:
        assert "deprecated numba.cuda was imported before it could be replaced" in line
        assert "import fastfood_np.backends.cuda first" in line


@pytest.mark.parametrize("simulated", [True, False])
def test_numpy_without_row_stack(simulated: bool) -> None:
    """NumPy 2.5 has dropped it; numba-cuda looks for it."""
    script = """
        import numpy as np
        vars(np).pop("row_stack", None)
        hidden = np.__getattr__
        def without(name):
            if name == "row_stack":
                raise AttributeError(name)
            return hidden(name)
        np.__getattr__ = without
        from fastfood_np.backends.cuda.numba_cuda import SIMULATED
        import fastfood_np.backends.cuda
        print(SIMULATED, hasattr(np, "row_stack"))
    """
    assert python(script, simulated) == f"{simulated} False\n"


def test_numpy_with_row_stack_keeps_it() -> None:
    script = """
        import numpy as np
        np.row_stack = mine = object()
        import fastfood_np.backends.cuda
        print(np.row_stack is mine)
    """
    assert python(script, simulated=True) == "True\n"


@pytest.mark.parametrize("first", ["", "from numba import cuda"])
def test_the_simulator_works_in_any_script(first: str) -> None:
    """Its shuffles are ours, and not there in what numba-cuda brings; whoever imports it first."""
    script = f"""
        import numpy as np
        {first}
        from fastfood_np import fwht
        from fastfood_np.backends.cuda import arrays
        x = arrays.to_device(np.eye(2, 64, dtype=np.float32))
        print(fwht(x).copy_to_host().sum(axis=1).tolist(), fwht(x, out=x) is x)
    """
    assert python(script, simulated=True) == "[64.0, 0.0] True\n"
