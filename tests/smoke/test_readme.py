"""What the README shows runs."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_snippet_runs_and_prints_what_it_says(capsys) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(snippet, "README.md", "exec"), {})
    losses, transform = capsys.readouterr().out.splitlines()
    assert losses.endswith("(1, 1024)")
    assert transform == "[2. 2. 0. 0.]"


def test_its_pictures_and_documents_exist() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (Path(__file__).parents[2] / target).exists(), target
