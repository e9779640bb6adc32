"""Docs and notebook say what is true now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ranking_pipeline.pipeline_registry import register_pipelines


def test_the_configuration_page_is_current(project: Path) -> None:
    path = project / "docs" / "generate_configuration.py"
    spec = importlib.util.spec_from_file_location("generate_configuration", path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = (project / "docs" / "configuration.md").read_text("utf-8")
    assert page == generator.render(), "run docs/generate_configuration.py"
    assert " |  |" not in page, "a parameter has no meaning"


def test_every_command_names_a_pipeline_and_an_overlay_that_exist(
    project: Path,
) -> None:
    pages = [project / "README.md", *(project / "docs").glob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    named = {
        name
        for names in re.findall(r"kedro run --pipelines?=([\w,]+)", text)
        for name in names.split(",")
    }
    assert len(named) >= 8
    assert named - {"NAME"} <= set(register_pipelines())
    # The overlay "tuned" is what tuning writes.
    for env in set(re.findall(r"--env=(\w+)", text)) - {"NAME", "tuned"}:
        assert (project / "conf" / env).is_dir(), env
    targets = set(re.findall(r"(?m)(?:^|`)make (\w+)", text))
    makefile = (project / "Makefile").read_text("utf-8")
    assert not {name for name in targets if f"\n{name}:" not in makefile}
