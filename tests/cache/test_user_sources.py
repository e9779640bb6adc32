"""User sources: every edit of what a function of one's own imports changes its hash."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ranking_pipeline.cache.user_sources import function_sources, modules_reached

SOURCES = {
    "own_loss.py": "import os\nimport numpy as np\nfrom own_help import weigh\n"
    "from own_tools.deep import inner as other\n\ndef loss(s, t, m): return s\n",
    "own_help.py": "def weigh():\n    import own_late.part\n",
    "own_late/__init__.py": "",
    "own_late/part.py": "from . import sibling\nfrom ..own_late.third import x\n",
    "own_late/sibling.py": "from ranking_pipeline.row_ranks import row_ranks\n",
    "own_late/third.py": "x = 1\n",
    "own_tools/__init__.py": "from .beside import *\n",
    "own_tools/beside.py": "",
    "own_tools/deep/__init__.py": "",
    "own_tools/deep/inner.py": "import own_loss\n",
    "own_unused.py": "import own_loss\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def test_every_import_of_ones_own_is_followed(folder: Path) -> None:
    found = modules_reached("own_loss")
    own = {file for file in found.values() if file.is_relative_to(folder)}
    assert own == {folder / name for name in SOURCES if name != "own_unused.py"}
    assert found["numpy"].name == "__init__.py"
    assert "ranking_pipeline.row_ranks" in found
    assert "os" not in found
    assert not any(name.startswith("numpy.") for name in found)


@pytest.mark.parametrize("name", SOURCES)
def test_an_edit_changes_the_hash_where_the_module_is_reached(
    folder: Path, name: str
) -> None:
    before = function_sources("own_loss:loss")
    with (folder / name).open("a") as stream:
        stream.write("# edited\n")
    assert (function_sources("own_loss:loss") != before) == (name != "own_unused.py")


@pytest.mark.parametrize("name", ["nowhere_at_all:f", "numpy.nowhere:f", "os:path"])
def test_what_has_no_source_of_its_own_has_no_hash(name: str) -> None:
    assert function_sources(name) == ""
