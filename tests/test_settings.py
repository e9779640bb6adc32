"""The shell's variable for the folder of all outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ranking_pipeline.settings import OUTPUT_VARIABLE, OnceReadLoader, output_root


def test_the_folder_of_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/she")
    monkeypatch.delenv(OUTPUT_VARIABLE, raising=False)
    assert output_root("data") == "data"
    monkeypatch.setenv(OUTPUT_VARIABLE, "~/runs")
    assert output_root("data") == "/home/she/runs"
    monkeypatch.setenv(OUTPUT_VARIABLE, "")
    assert output_root("data") == "data"


def test_configuration_is_read_once_and_nobody_changes_it_for_others(
    tmp_path: Path,
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "local").mkdir()
    file = tmp_path / "base" / "parameters.yml"
    file.write_text("split: {share: 0.2}\n")
    loader = OnceReadLoader(str(tmp_path), base_env="base", default_run_env="local")
    loader["parameters"]["split"]["share"] = 0.5
    file.write_text("split: {share: 0.9}\n")
    assert loader["parameters"] == {"split": {"share": 0.2}}
    loader["parameters"] = {"split": {"share": 0.7}}
    assert loader["parameters"] == {"split": {"share": 0.7}}
