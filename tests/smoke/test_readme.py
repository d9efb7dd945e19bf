"""What the README shows runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_snippet_runs_and_prints_what_it_says(capsys) -> None:
    exec(compile(SNIPPETS[0], "README.md", "exec"), {})
    losses, transform = capsys.readouterr().out.splitlines()
    assert losses.endswith("(1, 1024)")
    assert transform == "[2. 2. 0. 0.]"


def test_the_snippet_of_small_files_writes_what_it_says(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(SNIPPETS[1], "README.md", "exec"), {})
    size = (tmp_path / "net.ffnp").stat().st_size
    assert capsys.readouterr().out == f"{size:,} bytes, 38,812 weights\n"
    assert f"  # {size:,} bytes, 38,812 weights\n" in SNIPPETS[1]


def test_the_snippet_of_structured_layers_counts_what_it_says(capsys) -> None:
    exec(compile(SNIPPETS[2], "README.md", "exec"), {})
    assert f"  # {capsys.readouterr().out}" in SNIPPETS[2]


@pytest.mark.compiled_only
def test_the_features_snippet_prints_about_what_it_says(capsys) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn (extra 'sklearn') is not installed")
    exec(compile(SNIPPETS[3], "README.md", "exec"), {})
    score, error = map(float, capsys.readouterr().out.split())
    said_score, said_error = map(float, re.findall(r"  # (0\.\d+)", SNIPPETS[3]))
    assert abs(score - said_score) < 0.005 and abs(error - said_error) < 0.05


def test_the_snippet_for_gpus_runs_in_the_simulator() -> None:
    pytest.importorskip("numba_cuda", reason='the extra "cuda-test" is not installed')
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    command = [sys.executable, "-W", "error", "-c", SNIPPETS[4]]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.stdout.split() == ["FakeCUDAArray", "(3,", "8)"], answer.stderr


def test_its_pictures_and_documents_exist() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (Path(__file__).parents[2] / target).exists(), target
