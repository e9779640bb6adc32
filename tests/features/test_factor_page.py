"""The page of factors says what the library computes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from ranking_pipeline.features import factor_names


@pytest.fixture(scope="module")
def generator(project: Path) -> ModuleType:
    path = project / "docs" / "generate_factors.py"
    spec = importlib.util.spec_from_file_location("generate_factors", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(project: Path, generator: ModuleType) -> None:
    page = (project / "docs" / "factors.md").read_text("utf-8")
    assert page == generator.render(), "run docs/generate_factors.py"


def test_every_factor_has_one_full_row(generator: ModuleType) -> None:
    lines = generator.render().splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    names = [row.split("`")[1] for row in rows if len(_cells(row)) == 6]
    assert sorted(names) == sorted(factor_names())
    assert not any("|  |" in row for row in rows)


def _cells(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row)[1:-1]
