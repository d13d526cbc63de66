"""Every code block of README.md and of the pages of docs/ runs, without a warning: as a user would paste it."""

import doctest
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.relative_to(ROOT / "docs").parts[0][0] != "_")
DOCTESTS = sorted(path for path in (ROOT / "docs").rglob("*.rst") if path.relative_to(ROOT / "docs").parts[0][0] != "_")
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.fixture(autouse=True)
def closed_figures():
    """Figures that a page drew are closed behind it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=name_of)
def test_python_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone, names = page.name == "README.md", {}
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        # A page is read from its beginning; of the README each block is copied into a file of its own.
        exec(compile(block, name_of(page), "exec"), {} if alone else names)


@pytest.mark.parametrize("page", DOCTESTS, ids=name_of)
def test_examples_with_prompts(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert failed == 0
