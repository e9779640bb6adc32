"""The shell's variable for the folder of all outputs."""

from __future__ import annotations

import pytest

from ranking_pipeline.settings import OUTPUT_VARIABLE, output_root


def test_the_folder_of_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/she")
    monkeypatch.delenv(OUTPUT_VARIABLE, raising=False)
    assert output_root("data") == "data"
    monkeypatch.setenv(OUTPUT_VARIABLE, "~/runs")
    assert output_root("data") == "/home/she/runs"
    monkeypatch.setenv(OUTPUT_VARIABLE, "")
    assert output_root("data") == "data"
